"""The wheel: its contents, and its commands when it is installed alone."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import msgspec
import pytest

ROOT = Path(__file__).resolve().parents[1]
BUNDLED = {path.name for path in (ROOT / "plugins").iterdir() if (path / "__init__.py").exists()}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    (path,) = folder.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def names(wheel: Path) -> list[str]:
    with zipfile.ZipFile(wheel) as archive:
        return archive.namelist()


@pytest.fixture(scope="module")
def site(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder into which pip has installed the wheel and nothing else."""
    site = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "pip", "install", "--no-deps", "--no-index", "--target", str(site), str(wheel)]
    subprocess.run(command, check=True, capture_output=True)
    return site


def _run_studio(site: Path, folder: Path, *arguments: str) -> list[dict[str, object]]:
    environ = {**os.environ, "PYTHONPATH": str(site), "PYTHONSAFEPATH": "1", "STUDIO_HOME": str(folder / "home")}
    command = [sys.executable, "-m", "studio.cli", *arguments]
    process = subprocess.run(command, cwd=folder, env=environ, capture_output=True, text=True, check=False)
    assert process.returncode == 0, process.stderr
    return [msgspec.json.decode(line) for line in process.stdout.splitlines()]


def test_the_only_top_level_package_is_studio(names: list[str]) -> None:
    tops = {name.partition("/")[0] for name in names}
    assert all(top == "studio" or top.startswith("studio_local-") for top in tops), tops


def test_plugins_starters_and_the_licence_are_included_and_tests_are_not(names: list[str]) -> None:
    for plugin in BUNDLED:
        assert f"studio/plugins/{plugin}/__init__.py" in names
    assert "studio/constraints.txt" in names
    starters = ROOT / "resources" / "starters"
    for starter in (path for path in starters.iterdir() if path.is_dir()):
        assert f"studio/resources/starters/{starter.name}/studio.json" in names
    assert any(name.endswith("licenses/LICENSE") for name in names)
    assert not [name for name in names if "test_" in name or "__pycache__" in name]


def test_the_installed_command_lists_and_describes_the_bundled_tools(site: Path, tmp_path: Path) -> None:
    script = (site / "bin" / "studio").read_text() if os.name != "nt" else "studio.cli"
    assert "studio.cli" in script
    tools = _run_studio(site, tmp_path, "tools", "--json")
    assert {tool["plugin"] for tool in tools} >= BUNDLED
    assert "vae.morph" in {tool["id"] for tool in tools}
    assert _run_studio(site, tmp_path, "describe", "vae.morph", "--json")
