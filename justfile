# Short names for the checks. Each line can be typed without just as well.

python := ".venv/bin/python"

# List the recipes.
default:
    @just --list

# Run all checks that CI runs.
check:
    bash .ci/run

# Run the tests: all of them, or the given files.
test *paths:
    python3 main.py test {{paths}}

# Check style, format and spelling.
lint:
    {{python}} -m ruff check
    {{python}} -m ruff format --check
    .venv/bin/typos --format brief

# Correct style and format where that is safe.
fix:
    {{python}} -m ruff check --fix
    {{python}} -m ruff format

# Check types (mypy, strict).
types:
    {{python}} -m mypy

# Check which layer imports which (import-linter).
layers:
    .venv/bin/lint-imports

# Write the generated tables of the documentation.
docs:
    {{python}} -m scripts.diffusion_docs

# Measure speed: all benchmarks, or one by name.
bench *name:
    python3 main.py bench {{name}}
