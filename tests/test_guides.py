"""The documents: their commands and code run, and their links lead somewhere."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from studio import api, testing
from studio.cli import arguments as arguments_module
from studio.cli.arguments import COMMANDS
from studio.core.paths import Home
from studio.library.storage import writer
from tests.library import factories

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
GUIDES = sorted(
    str(path.relative_to(ROOT)) for path in (*ROOT.glob("*.md"), *DOCS.rglob("*.md"), *(ROOT / "plugins").rglob("*.md"))
)

RUN_ELSEWHERE = {
    "python3 main.py": "opens the window: tests/ui/test_app.py",
    "python3 main.py test": "would run this test again",
    "bash .ci/run": "would run this test again",
}
"""Commands of the documents that are not run here, with the reason."""
JUDGES_THE_MACHINE = "python3 main.py doctor"
"""Exits with 1 where something is missing on the machine that runs the tests."""


def _read_blocks(guide: str, language: str) -> list[str]:
    """Return the contents of the code blocks of a language ("" where none is given)."""
    blocks: list[tuple[str, list[str]]] = []
    inside = False
    for line in (ROOT / guide).read_text("utf-8").splitlines():
        if line.lstrip().startswith("```"):
            inside = not inside
            if inside:
                blocks.append((line.strip().removeprefix("```"), []))
        elif inside:
            blocks[-1][1].append(line)
    return ["\n".join(lines) + "\n" for name, lines in blocks if name == language]


def _read_commands(guide: str) -> list[str]:
    """Return the commands of a document's shell blocks, without their comments."""
    lines = (line for block in _read_blocks(guide, "sh") for line in block.splitlines())
    return [command for line in lines if (command := line.partition(" #")[0].strip()) and not command.startswith("#")]


def _split_arguments(command: str) -> list[str]:
    """Return the arguments of the studio in a command; an empty list where it is another program."""
    words = shlex.split(command)
    if words[:2] in (["python3", "main.py"], ["py", "main.py"]):
        return words[2:]
    return words[1:] if words[:1] == ["studio"] else []


@pytest.fixture
def samples(home: Home, tmp_path: Path) -> Path:
    """Make a folder with the files that the documents name."""
    folder = tmp_path / "work"
    folder.mkdir()
    for number, name in enumerate(("photo.jpg", "a.jpg", "b.jpg", "b.png")):
        Image.effect_mandelbrot((96, 64), (-2.0 + number, -1.0, 1.0, 1.0), 40).convert("RGB").save(folder / name)
    recipe = factories.make_recipe("a red apple, 3d", seed=1)
    writer.save_image(home, factories.make_picture(), recipe).rename(folder / "apple.png")
    return folder


@pytest.mark.parametrize("guide", [guide for guide in GUIDES if _read_commands(guide)])
def test_the_commands_of_a_guide_run_in_order(guide: str, samples: Path) -> None:
    environ = {**os.environ, "PYTHONPATH": str(ROOT)}
    for command in dict.fromkeys(_read_commands(guide)):
        if command in RUN_ELSEWHERE:
            continue
        arguments = _split_arguments(command)
        assert arguments, f"{guide}: {command} is neither run here nor in RUN_ELSEWHERE"
        process = subprocess.run(
            [sys.executable, "-m", "studio.cli", *arguments], cwd=samples, env=environ, capture_output=True, text=True
        )
        allowed = (0, 1) if command == JUDGES_THE_MACHINE else (0,)
        assert process.returncode in allowed, f"{guide}: {command}\n{process.stdout}{process.stderr}"


@pytest.mark.parametrize("guide", GUIDES)
def test_blocks_without_a_language_contain_no_commands(guide: str) -> None:
    """A block without a language would not be run. `console` marks what needs a network or another machine."""
    for block in _read_blocks(guide, ""):
        assert not re.search(r"^(python3|py) main\.py|^studio (?!\[)", block, re.MULTILINE), block


@pytest.fixture(scope="module")
def tools() -> dict[str, type[api.Tool]]:
    folders = [entry for entry in (ROOT / "plugins").iterdir() if (entry / "__init__.py").is_file()]
    return {tool.id: tool for folder in folders for tool in testing.load(folder)}


@pytest.mark.parametrize("guide", [guide for guide in GUIDES if _read_blocks(guide, "console")])
def test_commands_with_placeholders_have_real_parameters(guide: str, tools: dict[str, type[api.Tool]]) -> None:
    for line in "".join(_read_blocks(guide, "console")).replace("\\\n", " ").splitlines():
        if not (arguments := _split_arguments(line.partition(" #")[0])):
            continue
        options = arguments_module.parse_arguments(arguments)
        if getattr(options, "tool", None):
            names = {setting.partition("=")[0] for setting in getattr(options, "set", [])}
            assert names <= set(tools[options.tool].Params.model_fields), f"{guide}: {line}"


@pytest.mark.parametrize("guide", GUIDES)
def test_commands_in_the_text_are_known(guide: str) -> None:
    text = (ROOT / guide).read_text("utf-8")
    for words in re.findall(r"`(?:python3 main\.py|studio) ([a-z][^`]*)`", text):
        assert words.split()[0] in COMMANDS, f"{guide}: {words}"


@pytest.mark.parametrize("guide", GUIDES)
def test_links_of_a_guide_lead_to_existing_files_and_headings(guide: str) -> None:
    page = ROOT / guide
    for target in re.findall(r"\]\(([^)]+)\)", page.read_text("utf-8")):
        if target.startswith("https://"):
            continue
        path, _, heading = target.partition("#")
        linked = page.parent / path if path else page
        assert linked.exists(), f"{guide} links to {target}"
        assert not heading or heading in _find_headings(linked), f"{guide} links to {target}"


def _find_headings(page: Path) -> Iterator[str]:
    """Yield the anchors of a page's headings, as GitHub makes them."""
    for title in re.findall(r"^#+ (.+)$", page.read_text("utf-8"), re.MULTILINE):
        yield re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")


def test_the_plugin_of_the_guide_passes_the_tests_of_the_guide(tmp_path: Path) -> None:
    plugin, *_, its_tests = _read_blocks("docs/plugin-guide.md", "python")
    (tmp_path / "plasma.py").write_text(plugin, "utf-8")
    (tmp_path / "test_plasma.py").write_text(its_tests, "utf-8")
    environ = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{tmp_path}"}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_plasma.py"]
    process = subprocess.run(command, cwd=tmp_path, env=environ, capture_output=True, text=True, check=False)
    assert process.returncode == 0, process.stdout
    assert "3 passed" in process.stdout


def test_the_examples_of_the_kit_in_the_guide_train_and_apply_a_model(tmp_path: Path) -> None:
    _, *parts, _ = _read_blocks("docs/plugin-guide.md", "python")
    (tmp_path / "tint.py").write_text("\n\n".join(parts), "utf-8")
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    for number in range(6):
        Image.new("RGB", (80, 64), (40 * number, 30 * number, 128)).save(pictures / f"{number}.png")
    apply, train = testing.load(tmp_path / "tint.py")
    values: dict[str, Any] = {"folder": pictures, "steps": 40, "preview_every": 20}
    (trained,) = testing.results(testing.run(train, **values))
    assert isinstance(trained, api.Trained)
    assert "| Steps | 40 |" in (trained.folder / "README.md").read_text("utf-8")
    model: dict[str, Any] = {"image": pictures / "3.png", "model": str(trained.folder), "size": 64}
    testing.check(tmp_path / "tint.py", {train.id: values | {"steps": 2}, apply.id: model})
    with pytest.raises(api.BadInput, match="is not a tint"):
        testing.run(apply, **(model | {"model": str(pictures)}))


def test_the_command_line_help_in_the_guide_is_current() -> None:
    environ = {**os.environ, "COLUMNS": "100"}
    command = [sys.executable, "-m", "studio.cli", "--help"]
    help_text = subprocess.run(
        command, cwd=ROOT, env=environ, capture_output=True, text=True, check=True
    ).stdout.strip()
    assert f"```\n{help_text}\n```" in (DOCS / "user-guide.md").read_text("utf-8")


@pytest.mark.parametrize("guide", [guide for guide in GUIDES if guide not in ("CHANGELOG.md",)])
def test_files_named_in_a_guide_exist(guide: str) -> None:
    text = (ROOT / guide).read_text("utf-8").partition("## Before\n")[0]
    for path in re.findall(r"`((?:studio|plugins|tests|scripts|docs|resources)/[\w/.-]*)`", text):
        if not re.search(r"NAME|ROOM", path):
            assert (ROOT / path).exists(), f"{guide} names {path}"
