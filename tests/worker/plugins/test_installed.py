"""A plugin as others publish them: a distribution, built and installed, found by its entry point."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from studio.core.messages import PreviewFrame, Ready, Reload
from tests.worker.worker_client import Worker, of, plugin, tool

PYPROJECT = """
[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"

[project]
name = "studio-{name}"
version = "2.5"

[project.entry-points."studio.plugins"]
{name} = "studio_{name}.tools"

[tool.hatch.build.targets.wheel]
packages = ["studio_{name}"]
"""


def build_and_install(name: str, body: str, into: Path, work: Path) -> None:
    """With the build backend that is there, so that nothing is downloaded."""
    package = work / name / f"studio_{name}"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "words.py").write_text("WORD = 'inside'\n")
    (package / "tools.py").write_text(
        "from studio import api\nfrom studio_NAME.words import WORD\n".replace("NAME", name) + body
    )
    (work / name / "pyproject.toml").write_text(PYPROJECT.format(name=name))
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "-q"]
    install = [
        *pip,
        "install",
        "--no-deps",
        "--no-build-isolation",
        "--no-index",
        "--target",
        str(into),
        str(work / name),
    ]
    subprocess.run(install, check=True, capture_output=True)


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """Where distributions are installed for one test only."""
    (tmp_path / "site").mkdir()
    return tmp_path / "site"


def test_an_installed_distribution_is_found_and_run(fresh: Callable[..., Worker], site: Path, tmp_path: Path) -> None:
    build_and_install("clouds", tool("clouds", "yield api.Text(WORD)"), site, tmp_path)
    worker = fresh(env={"PYTHONPATH": str(site)})
    found = plugin(worker.ready(), "clouds")
    assert (found.source, found.version, found.path, found.error) == ("installed", "2.5", "studio_clouds.tools", "")
    (preview,) = of(worker.run("clouds.do", more={"draft": True}), PreviewFrame)
    assert preview.text == "inside"


def test_one_that_is_installed_later_is_found_by_a_reload(
    fresh: Callable[..., Worker], site: Path, tmp_path: Path
) -> None:
    worker = fresh(env={"PYTHONPATH": str(site)})
    worker.ready()
    build_and_install("rain", tool("rain", "yield api.Text(WORD)"), site, tmp_path)
    build_and_install("broken", "raise RuntimeError('at import')", site, tmp_path)
    worker.tell(Reload())
    ready = worker.hear(Ready)
    assert [tool.id for tool in plugin(ready, "rain").tools] == ["rain.do"]
    assert plugin(ready, "broken").error == "Broken cannot be loaded: RuntimeError: at import"
    (site / "studio_rain" / "words.py").write_text("WORD = 'of a newer version'\n")
    worker.tell(Reload())
    worker.hear(Ready)
    (preview,) = of(worker.run("rain.do", more={"draft": True}), PreviewFrame)
    assert preview.text == "of a newer version"


def test_it_cannot_take_the_place_of_a_bundled_one(fresh: Callable[..., Worker], site: Path, tmp_path: Path) -> None:
    body = tool("thief", "yield").replace("thief.do", "vae.morph")
    build_and_install("vae_interpolation", body, site, tmp_path)
    build_and_install("thief", body, site, tmp_path)
    ready = fresh(env={"PYTHONPATH": str(site)}).ready()
    assert ready.catalogue.tools["vae.morph"].plugin == "vae_interpolation"
    assert plugin(ready, "thief").notes == ("There is already a tool vae.morph; this one was left out.",)
    refused = [one.error for one in ready.catalogue.plugins if one.source == "installed" and one.error]
    assert refused == ["There is already a plugin named vae_interpolation; this one was left out."]
