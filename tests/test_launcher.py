"""The launcher on a small checkout, whose only package is a local wheel, so no network is used."""

from __future__ import annotations

import ast
import os
import shutil
import signal
import subprocess
import sys
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from studio.launcher import stamp, start, system
from studio.launcher.environment import Environment, data_folder

ROOT = Path(__file__).resolve().parents[1]
CLI = """
import os, sys, brush
print(brush.VERSION, os.getcwd(), *sys.argv[1:])
"""


@dataclass(frozen=True)
class Checkout:
    root: Path
    wheels: Path
    environ: Mapping[str, str]

    def pin(self, version: str) -> None:
        """Pin one version of the only package."""
        (self.root / "constraints.txt").write_text(f"# run\nbrush=={version}\n")

    def start(self, *arguments: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
        command = self._command(arguments)
        return subprocess.run(command, cwd=cwd, env=self.environ, capture_output=True, text=True, check=False)

    def begin(self, *arguments: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            self._command(arguments), env=self.environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    def _command(self, arguments: tuple[str, ...]) -> list[str]:
        return [sys.executable, str(self.root / "main.py"), *arguments]

    @property
    def log(self) -> str:
        return (self.root / ".venv.log").read_text()


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    root = tmp_path / "check out"
    shutil.copytree(ROOT / "studio" / "launcher", root / "studio" / "launcher", ignore=lambda *_: ["__pycache__"])
    shutil.copy(ROOT / "main.py", root)
    (root / "studio" / "__init__.py").touch()
    (root / "studio" / "cli.py").write_text(CLI)
    (root / "pyproject.toml").write_text(
        '[project]\ndependencies = ["brush>=1"]\n[project.optional-dependencies]\ntest = ["brush>=1"]\n'
    )
    wheels = tmp_path / "wheels"
    wheels.mkdir()
    for version in ("1.0", "2.0"):
        _make_wheel(wheels, version)
    quiet = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(wheels), "PIP_CONFIG_FILE": os.devnull}
    made = Checkout(root, wheels, {**os.environ, **quiet})
    made.pin("1.0")
    return made


def _make_wheel(folder: Path, version: str) -> None:
    info = f"brush-{version}.dist-info"
    with zipfile.ZipFile(folder / f"brush-{version}-py3-none-any.whl", "w") as wheel:
        wheel.writestr("brush.py", f"VERSION = {version!r}\n")
        wheel.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: brush\nVersion: {version}\n")
        wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(f"{info}/RECORD", f"brush.py,,\n{info}/METADATA,,\n{info}/WHEEL,,\n{info}/RECORD,,\n")


def test_the_first_start_creates_the_environment_and_later_ones_use_it(checkout: Checkout, tmp_path: Path) -> None:
    first = checkout.start("tools", "--json", cwd=tmp_path)
    assert first.returncode == 0, first.stderr
    assert first.stdout == f"1.0 {tmp_path} tools --json\n"
    assert f"Creating the environment of the studio (once): {checkout.root / '.venv'}" in first.stderr
    assert "Installing: " in first.stderr or "Downloading: " in first.stderr
    assert "Ready after" in first.stderr

    shutil.rmtree(checkout.wheels)
    second = checkout.start("tools", cwd=tmp_path)
    assert (second.stdout, second.stderr) == (f"1.0 {tmp_path} tools\n", "")


def test_models_are_fetched_after_the_installation_and_may_fail(checkout: Checkout, tmp_path: Path) -> None:
    (checkout.root / "studio" / "cli.py").write_text(
        "import sys; print(*sys.argv[1:]); sys.exit('--setup' in sys.argv)"
    )
    first = checkout.start("--home", "there", "tools")
    assert first.returncode == 0, first.stderr
    assert "Some models could not be fetched" in first.stderr
    assert "Ready after" in first.stderr
    assert "models get --setup --home there" in checkout.log
    assert "could not" not in checkout.start("tools").stderr


def test_changed_pins_update_the_environment_and_changed_file_times_do_not(checkout: Checkout) -> None:
    assert checkout.start("tools").stdout.startswith("1.0 ")
    checkout.pin("2.0")
    updated = checkout.start("tools")
    assert updated.stdout.startswith("2.0 ")
    assert "Updating the environment" in updated.stderr

    os.utime(checkout.root / "pyproject.toml", (1, 1))
    assert checkout.start("tools").stderr == ""
    assert stamp.is_fresh(str(checkout.root), str(checkout.root / ".venv"), "run")


def test_a_start_that_was_killed_halfway_is_repaired(checkout: Checkout) -> None:
    venv = checkout.root / ".venv"
    killed = checkout.begin("tools")
    while stamp.read(str(venv)) != [stamp.UNFINISHED]:
        assert killed.poll() is None
    killed.send_signal(signal.SIGKILL if os.name != "nt" else signal.SIGTERM)
    killed.communicate()

    repaired = checkout.start("tools")
    assert repaired.returncode == 0, repaired.stderr
    assert "incomplete" in repaired.stderr
    assert repaired.stdout.startswith("1.0 ")


def test_repair_removes_strangers_and_brings_replaced_packages_back(checkout: Checkout) -> None:
    checkout.start("tools")
    python = Environment.of(checkout.root).python
    subprocess.run([python, "-m", "pip", "install", "-q", "brush==2.0"], env=checkout.environ, check=True)
    (site,) = (checkout.root / ".venv").glob("[Ll]ib/python3*/site-packages")
    info = site / "PyQt5-5.15.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: PyQt5\nVersion: 5.15\n")
    (info / "RECORD").write_text(
        "PyQt5/__init__.py,,\nPyQt5-5.15.dist-info/METADATA,,\nPyQt5-5.15.dist-info/RECORD,,\n"
    )
    (site / "PyQt5").mkdir()
    (site / "PyQt5" / "__init__.py").touch()
    assert checkout.start("tools").stdout.startswith("2.0 ")

    repaired = checkout.start("repair")
    assert repaired.returncode == 0, repaired.stderr
    assert "pyqt5 5.15: it is a second Qt" in repaired.stderr
    assert "brush 2.0: the studio was tested with 1.0" in repaired.stderr
    assert "Removing pyqt5." in repaired.stderr
    assert not (site / "PyQt5").exists()
    again = checkout.start("tools")
    assert (again.stdout[:4], again.stderr) == ("1.0 ", "")
    assert checkout.start("repair", "--help").stdout.endswith("repair --help\n")


@pytest.mark.parametrize("arguments", [("--help",), ("run", "--help"), ("test", "-h"), ("--version",)])
def test_help_installs_nothing(checkout: Checkout, arguments: tuple[str, ...]) -> None:
    before = sorted(path.name for path in checkout.root.iterdir())
    assert "not set up yet" in checkout.start(*arguments).stdout
    assert sorted(path.name for path in checkout.root.iterdir()) == before


def test_an_environment_without_its_python_is_created_again(checkout: Checkout) -> None:
    checkout.start("tools")
    Environment.of(checkout.root).python.unlink()
    again = checkout.start("tools")
    assert again.stdout.startswith("1.0 "), again.stderr


def test_two_first_starts_at_once_make_one_environment(checkout: Checkout) -> None:
    both = [checkout.begin("tools"), checkout.begin("tools")]
    answers = [start.communicate(timeout=300) for start in both]
    assert all(output.startswith("1.0 ") for output, _ in answers), answers
    assert sum("Creating the environment" in errors for _, errors in answers) == 1
    assert sum("Waiting for it" in errors for _, errors in answers) == 1


def test_a_missing_package_is_reported_with_the_log(checkout: Checkout) -> None:
    checkout.pin("3.0")
    failed = checkout.start("tools")
    assert failed.returncode == 1
    sentence = failed.stderr.splitlines()[-1]
    assert sentence.startswith("There is no build of brush==3.0 for this machine")
    assert sentence.endswith(f"{checkout.root / '.venv.log'}.")
    assert "conflicting dependencies" in checkout.log

    checkout.pin("1.0")
    assert checkout.start("tools").stdout.startswith("1.0 ")


@pytest.mark.skipif(sys.platform != "linux", reason="displays are asked for on Linux")
@pytest.mark.parametrize(
    ("display", "sentence"), [("", "There is no display"), (":4711", "The display :4711 cannot be")]
)
def test_without_a_display_nothing_is_installed_and_the_reason_is_reported(
    checkout: Checkout, display: str, sentence: str
) -> None:
    environ = {name: value for name, value in checkout.environ.items() if name not in ("DISPLAY", "WAYLAND_DISPLAY")}
    del environ["QT_QPA_PLATFORM"]
    refused = replace(checkout, environ={**environ, "DISPLAY": display} if display else environ).start()
    assert refused.returncode == 2
    assert refused.stderr.startswith(sentence)
    assert refused.stderr.count("\n") == 1
    assert not (checkout.root / ".venv").exists()


def test_old_pythons_can_parse_main() -> None:
    ast.parse((ROOT / "main.py").read_text("utf-8"), feature_version=(3, 4))


def test_the_environment_of_a_read_only_checkout_is_in_the_user_data(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STUDIO_HOME", str(tmp_path / "home"))
    locked = tmp_path / "locked"
    locked.mkdir(mode=0o500)
    if os.access(locked, os.W_OK):
        assert Environment.of(locked).folder == locked / ".venv"
    else:
        assert Environment.of(locked).folder.parent == data_folder() / "environments"
        assert Environment.of(locked) != Environment.of(tmp_path / "another")


@pytest.mark.skipif(sys.platform != "linux", reason="system libraries are looked for on Linux")
def test_missing_libraries_are_reported_with_the_install_command(tmp_path: Path) -> None:
    for name in system.MANAGERS:
        tool = tmp_path / name
        tool.write_text("#!/bin/sh\n")
        tool.chmod(0o755)
        sonames = ["libxcb-icccm.so.4", "libGL.so.1"]
        code = f"from studio.launcher import system; print(*system.build_install_command({sonames}))"
        environ = {**os.environ, "PATH": str(tmp_path)}
        command = subprocess.check_output([sys.executable, "-c", code], cwd=ROOT, env=environ, text=True).split()
        assert command[0] == name
        assert len(command) == len(system.MANAGERS[name][1]) + 2
        tool.unlink()


@pytest.mark.skipif(sys.platform != "linux", reason="system libraries are looked for on Linux")
def test_the_libraries_for_offscreen_rendering_are_installed() -> None:
    assert system.find_missing(window=False) == []


def test_every_dependency_is_pinned_exactly() -> None:
    environment = Environment(ROOT, ROOT / ".venv")
    pinned = {
        line.partition("==")[0].lower()
        for line in environment.constraints.read_text().splitlines()
        if "==" in line and not line.startswith("#")
    }
    for extra in ("run", "test"):
        for wanted in environment.read_requirements(extra):
            name = wanted.replace("<", ">").partition(">")[0].lower()
            assert name in pinned


@pytest.mark.parametrize(
    ("arguments", "command"),
    [
        ([], None),
        (["--home", "test", "--json"], None),
        (["--home", "folder", "tools", "--json"], "tools"),
        (["--device=cpu", "test"], "test"),
        (["--version"], "--version"),
    ],
)
def test_the_command_is_found_among_the_options(arguments: list[str], command: str | None) -> None:
    assert next(start.skip_options(arguments), None) == command
