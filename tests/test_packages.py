"""Packages compared with the pins: `doctor`, `repair` and `plugins install` on folders with packages' metadata."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from studio.cli import main
from studio.launcher import packages
from studio.launcher.packages import Problem

PINS = """# run
colorama==0.4.6; sys_platform == "no such system"
numpy==2.4.6
opencv-python-headless==5.0.0.93
pillow==13.0.0
pyside6-essentials==6.11.3
torch==2.13.0

# test
ruff==0.17.6
"""
GOOD = {
    "numpy": "2.4.6",
    "opencv-python-headless": "5.0.0.93",
    "pillow": "13.0.0",
    "PySide6_Essentials": "6.11.3",
    "torch": "2.13.0+cpu",
}


@pytest.fixture
def site(tmp_path: Path) -> Path:
    folder = tmp_path / "site"
    for name, version in GOOD.items():
        write_package(folder, name, version)
    return folder


def write_package(site: Path, name: str, version: str, *, requires: Sequence[str] = (), plugin: bool = False) -> None:
    for old in site.glob(f"{name}-[0-9]*.dist-info/METADATA"):
        old.unlink()
        old.parent.rmdir()
    info = site / f"{name}-{version}.dist-info"
    info.mkdir(parents=True)
    lines = [
        "Metadata-Version: 2.1",
        f"Name: {name}",
        f"Version: {version}",
        *(f"Requires-Dist: {r}" for r in requires),
    ]
    (info / "METADATA").write_text("\n".join(lines) + "\n")
    if plugin:
        (info / "entry_points.txt").write_text(f"[studio.plugins]\n{name} = {name}\n")


def find(site: Path, tmp_path: Path) -> list[Problem]:
    pins = tmp_path / "constraints.txt"
    pins.write_text(PINS)
    return packages.find_problems(packages.read_packages([str(site)]), packages.read_pins(pins))


def test_pinned_packages_and_builds_for_other_hardware_are_no_problem(site: Path, tmp_path: Path) -> None:
    write_package(site, "something-else", "1.0", requires=["numpy<2"])
    write_package(site, "ruff", "0.1")
    assert find(site, tmp_path) == []


@pytest.mark.parametrize(
    ("name", "version", "requires", "reason", "damages"),
    [
        ("torchvision", "0.28.0", ["torch==2.13.0"], "is not built for torch 2.13.0+cpu", ""),
        ("torchvision", "0.20.0+cpu", ["numpy", "torch (==2.5.0)"], "is not built for torch 2.13.0+cpu", ""),
        ("torchaudio", "2.5.0", ["torch==2.5.0"], "is not built for torch 2.13.0+cpu", ""),
        ("xformers", "0.0.30", ["torch==2.7.0"], "is not built for torch 2.13.0+cpu", ""),
        ("opencv-python", "4.10.0.84", [], "overwrites the files of", "opencv-python-headless"),
        ("opencv_contrib_python", "4.10.0.84", [], "overwrites the files of", "opencv-python-headless"),
        ("Pillow-SIMD", "9.5.0", [], "overwrites the files of", "pillow"),
        ("PyQt5", "5.15.11", [], "is a second Qt", ""),
        ("PyQt6", "6.8.0", [], "is a second Qt", ""),
        ("PySide6", "6.8.0", ["PySide6_Essentials==6.8.0"], "does not fit PySide6 6.11.3", "pyside6-essentials"),
        ("PySide6_Addons", "6.8.0", [], "does not fit PySide6 6.11.3", "pyside6-essentials"),
    ],
)
def test_a_stranger_that_breaks_the_studio_is_named_with_the_plugin_that_asked_for_it(
    site: Path, tmp_path: Path, name: str, version: str, requires: list[str], reason: str, damages: str
) -> None:
    write_package(site, name, version, requires=requires)
    write_package(site, "between", "1", requires=[f"{name}>=0"])
    write_package(site, "studio-old", "0.3", requires=["between", "pillow"], plugin=True)
    (problem,) = find(site, tmp_path)
    assert (problem.wanted, problem.damages, problem.requested_by) == ("", damages, ("studio-old 0.3",))
    assert reason in problem.describe()
    assert problem.describe().endswith("; studio-old 0.3 asked for it")
    assert packages.list_removals([problem]) == sorted({problem.package, damages} - {""})


@pytest.mark.parametrize(
    ("name", "version", "requires"),
    [
        ("torchvision", "0.28.0+cpu", ["torch==2.13.0"]),
        ("torchaudio", "2.13.0+cpu", ["torch==2.13.0"]),
        ("xformers", "0.0.40", ["torch>=2.8"]),
        ("PySide6", "6.11.3", ["PySide6_Essentials==6.11.3"]),
    ],
)
def test_a_companion_that_fits_is_no_problem(
    site: Path, tmp_path: Path, name: str, version: str, requires: list[str]
) -> None:
    write_package(site, name, version, requires=requires)
    assert find(site, tmp_path) == []


def test_replaced_and_missing_packages_are_named(site: Path, tmp_path: Path) -> None:
    write_package(site, "numpy", "1.26.4")
    write_package(site, "torch", "2.5.0")
    write_package(site, "studio-old", "0.3", requires=["numpy<2", "torch==2.5.0; extra == 'gpu'"], plugin=True)
    (site / "pillow-13.0.0.dist-info" / "METADATA").unlink()
    (site / "pillow-13.0.0.dist-info").rmdir()
    problems = find(site, tmp_path)
    assert [(problem.package, problem.version, problem.wanted, problem.requested_by) for problem in problems] == [
        ("numpy", "1.26.4", "2.4.6", ("studio-old 0.3",)),
        ("pillow", "", "13.0.0", ()),
        ("torch", "2.5.0", "2.13.0", ()),
    ]
    assert problems[1].describe() == "not installed: the studio needs 13.0.0"
    assert packages.list_removals(problems) == []


def test_overwritten_packages_are_installed_again(site: Path, tmp_path: Path) -> None:
    write_package(site, "opencv-python", "4.10.0.84")
    write_package(site, "numpy", "1.26.4")
    problems = find(site, tmp_path)
    pins = packages.read_pins(tmp_path / "constraints.txt")
    assert packages.list_removals(problems) == ["opencv-python", "opencv-python-headless"]
    assert packages.list_installations(problems, pins) == ["numpy==2.4.6", "opencv-python-headless==5.0.0.93"]


def test_the_pins_of_this_checkout_are_read() -> None:
    pins = packages.read_pins(Path(__file__).parents[1] / "constraints.txt")
    assert {"torch", "numpy", "pillow", "pyside6-essentials", "opencv-python-headless"} <= pins.keys()
    assert ("colorama" in pins) == (sys.platform == "win32")
    assert "pytest" not in pins


def test_doctor_names_strangers_with_the_repair(tmp_path: Path) -> None:
    site = tmp_path / "site"
    write_package(site, "torchvision", "0.20.0", requires=["torch==2.5.0"])
    write_package(site, "studio-old", "0.3", requires=["torchvision"])
    root = Path(__file__).parents[1]
    environment = {**os.environ, "PYTHONPATH": f"{root}{os.pathsep}{site}", "STUDIO_HOME": str(tmp_path / "home")}
    done = subprocess.run(
        [sys.executable, "-m", "studio.cli", "doctor"], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    (line,) = [line for line in done.stdout.splitlines() if " torchvision " in line]
    assert line.startswith("MISSING")
    assert "studio-old 0.3 asked for it" in line
    assert "python3 main.py repair" in done.stdout


@pytest.fixture
def pip(monkeypatch: pytest.MonkeyPatch, site: Path) -> list[list[str]]:
    """Commands for pip, which is not run; the environment is the one in `site`."""
    commands: list[list[str]] = []
    installed = packages.read_packages([str(site)])
    pins = packages.read_pins(Path(__file__).parents[1] / "constraints.txt")
    for name, version in pins.items():
        installed.setdefault(name, packages.Package(name, version))
    installed["opencv-python"] = packages.Package("opencv-python", "4.10.0.84")
    installed["numpy"] = packages.Package("numpy", "1.26.4")
    monkeypatch.setattr(packages, "read_packages", lambda: installed)

    def note(command: list[str]) -> int:
        commands.append(command[4:])
        return 0

    monkeypatch.setattr(subprocess, "call", note)
    return commands


def test_repair_removes_strangers_and_installs_the_pins(
    pip: list[list[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    pins = packages.read_pins(Path(__file__).parents[1] / "constraints.txt")
    assert main(["repair"]) == 0
    opencv = f"opencv-python-headless=={pins['opencv-python-headless']}"
    assert pip == [
        ["uninstall", "--yes", "opencv-python", "opencv-python-headless"],
        ["install", "--no-deps", f"numpy=={pins['numpy']}", opencv],
    ]
    assert "opencv-python 4.10.0.84: it overwrites the files of opencv-python-headless." in capsys.readouterr().out


def test_a_plugin_is_installed_by_the_pins_and_what_it_broke_is_named(
    pip: list[list[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["plugins", "install", "studio-old", "studio-new>=1"]) == 1
    pins = str(Path(__file__).parents[1] / "constraints.txt")
    assert pip == [["install", "-c", pins, "studio-old", "studio-new>=1"]]
    assert "`studio repair` removes or replaces it" in capsys.readouterr().err
