"""A plugin as others publish them: a distribution, built and installed, found by its entry point."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from studio.core.messages import PreviewFrame, Ready, Reload
from tests.worker.worker_client import WorkerFactory, filter_messages, find_plugin, format_plugin

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
    """Build and install a distribution with the installed build backend, so that nothing is downloaded."""
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
    """A folder into which a test installs distributions."""
    (tmp_path / "site").mkdir()
    return tmp_path / "site"


def test_an_installed_distribution_is_found_and_run(start_worker: WorkerFactory, site: Path, tmp_path: Path) -> None:
    build_and_install("clouds", format_plugin("clouds", "yield api.Text(WORD)"), site, tmp_path)
    worker = start_worker(env={"PYTHONPATH": str(site)})
    plugin = find_plugin(worker.wait_until_ready(), "clouds")
    assert (plugin.source, plugin.version, plugin.path, plugin.error) == ("installed", "2.5", "studio_clouds.tools", "")
    (preview,) = filter_messages(worker.run("clouds.do", options={"draft": True}), PreviewFrame)
    assert preview.text == "inside"


def test_a_plugin_installed_later_is_found_by_a_reload(start_worker: WorkerFactory, site: Path, tmp_path: Path) -> None:
    worker = start_worker(env={"PYTHONPATH": str(site)})
    worker.wait_until_ready()
    build_and_install("rain", format_plugin("rain", "yield api.Text(WORD)"), site, tmp_path)
    build_and_install("broken", "raise RuntimeError('at import')", site, tmp_path)
    worker.send(Reload())
    ready = worker.wait_for(Ready)
    assert [tool.id for tool in find_plugin(ready, "rain").tools] == ["rain.do"]
    assert find_plugin(ready, "broken").error == "Broken cannot be loaded: RuntimeError: at import"
    (site / "studio_rain" / "words.py").write_text("WORD = 'of a newer version'\n")
    worker.send(Reload())
    worker.wait_for(Ready)
    (preview,) = filter_messages(worker.run("rain.do", options={"draft": True}), PreviewFrame)
    assert preview.text == "of a newer version"


def test_an_installed_plugin_cannot_replace_a_bundled_one(
    start_worker: WorkerFactory, site: Path, tmp_path: Path
) -> None:
    body = format_plugin("thief", "yield").replace("thief.do", "vae.morph")
    build_and_install("vae_interpolation", body, site, tmp_path)
    build_and_install("thief", body, site, tmp_path)
    ready = start_worker(env={"PYTHONPATH": str(site)}).wait_until_ready()
    assert ready.catalogue.tools["vae.morph"].plugin == "vae_interpolation"
    assert find_plugin(ready, "thief").notes == ("There is already a tool vae.morph; this one was left out.",)
    refused = [plugin.error for plugin in ready.catalogue.plugins if plugin.source == "installed" and plugin.error]
    assert refused == ["There is already a plugin named vae_interpolation; this one was left out."]
