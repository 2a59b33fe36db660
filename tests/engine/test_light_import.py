"""The engine's imports: the window imports it at start, which has a third of a second for everything."""

from __future__ import annotations

import subprocess
import sys

HEAVY = ("torch", "diffusers", "transformers", "numpy", "PIL", "pydantic", "pluggy", "PySide6", "psutil")


def test_the_engine_imports_no_heavy_package() -> None:
    code = (
        "import sys, studio.engine.local_engine, studio.engine.recipe_builder, studio.cli.arguments\n"
        f"print([name for name in {HEAVY!r} if name in sys.modules])"
    )
    process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert process.stdout.strip() == "[]"
