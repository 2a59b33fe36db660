"""What the guides show is run as it stands there."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"


def _blocks(guide: str) -> list[str]:
    return re.findall(r"^```python\n(.*?)^```$", (DOCS / guide).read_text("utf-8"), re.MULTILINE | re.DOTALL)


def test_the_plugin_of_the_guide_passes_the_tests_of_the_guide(tmp_path: Path) -> None:
    plugin, its_tests = _blocks("plugin-guide.md")
    (tmp_path / "plasma.py").write_text(plugin, "utf-8")
    (tmp_path / "test_plasma.py").write_text(its_tests, "utf-8")
    environ = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{tmp_path}"}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_plasma.py"]
    done = subprocess.run(command, cwd=tmp_path, env=environ, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    assert "3 passed" in done.stdout


@pytest.mark.parametrize("guide", ["README.md", *(f"docs/{path.name}" for path in DOCS.glob("*.md"))])
def test_what_a_guide_links_to_is_there(guide: str) -> None:
    page = ROOT / guide
    for target in re.findall(r"\]\(([^)#]+)\)", page.read_text("utf-8")):
        assert target.startswith("https://") or (page.parent / target).exists(), f"{guide} links to {target}"


def test_the_command_line_of_the_guide_is_the_one_that_there_is() -> None:
    environ = {**os.environ, "COLUMNS": "100"}
    command = [sys.executable, "-m", "studio.cli", "--help"]
    told = subprocess.run(command, cwd=ROOT, env=environ, capture_output=True, text=True, check=True).stdout.strip()
    assert f"```\n{told}\n```" in (DOCS / "user-guide.md").read_text("utf-8")
