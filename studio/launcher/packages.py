"""Installed packages compared with the pins: what differs, and what is known to break the studio.

The launcher reads the environment from outside, so this module needs the standard library only.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import Distribution, distributions
from pathlib import Path

PLUGINS = "studio.plugins"
"""Entry point group of plugins."""
_SAME_FILES = {
    "opencv-python": "opencv-python-headless",
    "opencv-contrib-python": "opencv-python-headless",
    "opencv-contrib-python-headless": "opencv-python-headless",
    "pillow-simd": "pillow",
}
"""Packages that overwrite the files of another."""
_BUILT_FOR_TORCH = ("torchvision", "torchaudio", "torchtext", "xformers")
"""Packages with compiled code that only one build of torch can load."""
_BUILT_FOR_QT = ("pyside6", "pyside6-addons")
_OTHER_QT = ("pyqt5", "pyqt6", "pyside2")


@dataclass(frozen=True)
class Package:
    """An installed distribution. `name` is normalised; `requires` are its requirements as they are written."""

    name: str
    version: str
    requires: tuple[str, ...] = ()
    is_plugin: bool = False


@dataclass(frozen=True)
class Problem:
    """A package that differs from its pin, or a stranger that breaks the studio.

    `version` is empty where it is missing. `wanted` is the version to install, and empty where it has to be removed.
    `damages` names a package whose files it overwrites. `requested_by` names what asked for it.
    """

    package: str
    version: str
    reason: str
    wanted: str = ""
    damages: str = ""
    requested_by: tuple[str, ...] = ()

    def describe(self) -> str:
        asked = f"; {' and '.join(self.requested_by)} asked for it" if self.requested_by else ""
        return f"{self.version or 'not installed'}: {self.reason}{asked}"


def read_packages(folders: list[str] | None = None) -> dict[str, Package]:
    """Read the packages in folders, by default those that this Python imports. The first of a name counts."""
    found: dict[str, Package] = {}
    for distribution in distributions(path=sys.path if folders is None else folders):
        name = distribution.metadata["Name"]
        if name and _normalise(name) not in found:
            found[_normalise(name)] = _read_package(distribution, _normalise(name))
    return found


def read_pins(constraints: Path) -> dict[str, str]:
    """Read the versions of the packages that the studio runs with on this system, by normalised name."""
    text = constraints.read_text("utf-8").partition("\n# test\n")[0]
    lines = re.findall(r"^([\w.-]+)==([^\s;]+)[^\S\n]*(?:;(.*))?$", text, re.MULTILINE)
    return {_normalise(name): version for name, version, marker in lines if not marker or sys.platform in marker}


def find_problems(packages: Mapping[str, Package], pins: Mapping[str, str]) -> list[Problem]:
    """Compare packages with the pins. Builds of a pinned version for other hardware (``+cu130``) count as equal."""
    return [*_find_differences(packages, pins), *_find_strangers(packages, pins)]


def list_removals(problems: list[Problem]) -> list[str]:
    """Return the packages to remove before the pinned ones are installed, with those whose files they overwrote."""
    strangers = [problem for problem in problems if not problem.wanted]
    return sorted({problem.package for problem in strangers} | {problem.damages for problem in strangers} - {""})


def list_installations(problems: list[Problem], pins: Mapping[str, str]) -> list[str]:
    """Return what pip has to install after the removals, such as ``numpy==2.4.6``."""
    names = {problem.package for problem in problems if problem.wanted} | {*list_removals(problems)} & pins.keys()
    return [f"{name}=={pins[name]}" for name in sorted(names)]


def _find_differences(packages: Mapping[str, Package], pins: Mapping[str, str]) -> Iterator[Problem]:
    for name, pin in pins.items():
        package = packages.get(name)
        if package is None:
            yield Problem(name, "", f"the studio needs {pin}", pin)
        elif package.version.partition("+")[0] != pin:
            asked = _find_requesters(name, packages, pins)
            yield Problem(name, package.version, f"the studio was tested with {pin}", pin, requested_by=asked)


def _find_strangers(packages: Mapping[str, Package], pins: Mapping[str, str]) -> Iterator[Problem]:
    torch = packages.get("torch")
    for name, package in packages.items():
        reason = damages = ""
        if name in _SAME_FILES:
            damages = _SAME_FILES[name]
            reason = f"it overwrites the files of {damages}"
        elif name in _BUILT_FOR_TORCH and torch is not None and not _fits_torch(package, torch, pins.get("torch", "")):
            reason = f"it is not built for torch {torch.version}, and breaks what imports it"
        elif name in _BUILT_FOR_QT and package.version != pins.get("pyside6-essentials", package.version):
            damages, reason = "pyside6-essentials", f"it does not fit PySide6 {pins['pyside6-essentials']}"
        elif name in _OTHER_QT:
            reason = "it is a second Qt, and the window may load its libraries"
        if reason:
            yield Problem(name, package.version, reason, "", damages, _find_requesters(name, packages, pins))


def _fits_torch(package: Package, torch: Package, pin: str) -> bool:
    """Check that a package names the pinned torch and is built for the same hardware."""
    built_for = [match[1] for line in package.requires if (match := re.match(r"torch\s*\(?==\s*([\w.]+)", line))]
    is_same_build = package.name == "xformers" or _build(package.version) == _build(torch.version)
    return is_same_build and all(version == (pin or torch.version.partition("+")[0]) for version in built_for)


def _build(version: str) -> str:
    return version.partition("+")[2]


def _find_requesters(name: str, packages: Mapping[str, Package], pins: Mapping[str, str]) -> tuple[str, ...]:
    """Find the plugins that require a package, also through others; without any, the packages that name it."""
    foreign = [package for package in packages.values() if package.name not in pins and package.name != "studio-local"]
    direct = [package for package in foreign if name in _required_names(package)]
    seen, waiting = {name}, [name]
    plugins = []
    while waiting:
        wanted = waiting.pop()
        for package in foreign:
            if package.name not in seen and wanted in _required_names(package):
                seen.add(package.name)
                waiting.append(package.name)
                plugins += [package] if package.is_plugin else []
    return tuple(sorted(f"{package.name} {package.version}" for package in plugins or direct))


def _required_names(package: Package) -> set[str]:
    """Return the names of what a package always needs, without its extras."""
    plain = [line for line in package.requires if not re.search(r";.*\bextra\b", line)]
    return {_normalise(match[0]) for line in plain if (match := re.match(r"[\w.-]+", line))}


def _read_package(distribution: Distribution, name: str) -> Package:
    is_plugin = any(entry.group == PLUGINS for entry in distribution.entry_points)
    return Package(name, distribution.version or "", tuple(distribution.requires or ()), is_plugin)


def _normalise(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
