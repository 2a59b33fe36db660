"""`doctor`: checks the environment, and shows how to fix problems."""

from __future__ import annotations

import argparse
import os
import platform
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from time import monotonic

from studio.cli.app_context import AppContext, open_app
from studio.cli.console import Console
from studio.cli.reproducibility import find_version
from studio.core import paths, settings
from studio.core.descriptor import DeviceReport
from studio.core.errors import StudioError
from studio.core.humanize import format_memory, format_size
from studio.engine.interface import MemoryChanged
from studio.launcher import packages
from studio.library.models import external_folders, hub_cache, offers

PACKAGES = (
    "torch", "diffusers", "transformers", "safetensors", "numpy", "pillow",
    "opencv-python-headless", "PySide6-Essentials",
)  # fmt: skip
REPAIR = "Run `python3 main.py repair`, or `studio repair` where the studio is installed as a package."
MIN_FREE = 2 * 2**30
"""Bytes of free disk space below which a finding is a fault, since one model or video may need as much."""
_DEVICE_TIMEOUT = 60.0
"""Seconds to wait until torch has reported the device."""


@dataclass(frozen=True)
class Finding:
    """The result of a check. A finding with a `fix` is a fault unless it is `optional`."""

    name: str
    value: str
    fix: str = ""
    optional: bool = False

    @property
    def mark(self) -> str:
        if not self.fix:
            return "ok"
        return "note" if self.optional else "MISSING"


def doctor(options: argparse.Namespace, console: Console) -> int:
    faults = 0
    with open_app(options, console) as app:
        for finding in _collect_findings(app):
            faults += finding.mark == "MISSING"
            state = finding.mark.lower()
            console.emit({"name": finding.name, "state": state, "value": finding.value, "fix": finding.fix})
            console.print_line(f"{finding.mark:8}{finding.name:24}{finding.value}")
            if finding.fix:
                console.print_line(f"{'':32}{finding.fix}")
    return 1 if faults else 0


def _collect_findings(app: AppContext) -> Iterator[Finding]:
    yield Finding("studio", find_version("studio"))
    yield Finding("python", f"{platform.python_version()} ({sys.executable})")
    yield Finding("system", platform.platform())
    yield from _check_packages()
    yield from _check_folders(app)
    for problem in settings.load_with_problems(app.home.settings)[1]:
        yield Finding("settings", problem, f"Correct {app.home.settings}.")
    yield _check_ffmpeg()
    yield from _check_qt()
    yield from _check_worker(app)
    yield from _check_models(app)
    for name in app.settings.disabled_plugins:
        yield Finding("plugin", f"{name} is disabled", "Enable it in the Plugins dialog.", optional=True)


def _check_packages() -> Iterator[Finding]:
    """Compare the packages with the versions that the studio was tested with."""
    pins = paths.find_constraints()
    problems = packages.find_problems(packages.read_packages(), packages.read_pins(pins)) if pins else []
    fixes = {problem.package: problem for problem in problems}
    for name in PACKAGES:
        if name.lower() not in fixes:
            version = find_version(name)
            yield Finding(name, version or "not installed", "" if version else REPAIR)
    for problem in problems:
        yield Finding(problem.package, problem.describe(), REPAIR)
    yield Finding("pins", str(pins or "not found: versions are not compared"))


def _check_folders(app: AppContext) -> Iterator[Finding]:
    home = app.home
    folders = {"home": home.root, "library": home.library, "plugins": home.plugins, "models": home.models}
    for name, folder in folders.items():
        writable = os.access(folder, os.W_OK)
        yield Finding(name, str(folder), "" if writable else "It is write-protected: change its permissions.")
    free = shutil.disk_usage(home.root).free
    fix = "" if free >= MIN_FREE else "Free some space: results cannot be saved on a full disk."
    yield Finding("disk", f"{format_size(free)} free", fix)


def _check_ffmpeg() -> Finding:
    try:
        import imageio_ffmpeg

        return Finding("ffmpeg", str(imageio_ffmpeg.get_ffmpeg_exe()))
    except (ImportError, RuntimeError):
        return Finding("ffmpeg", "not found", f"{REPAIR} It is needed to save videos as MP4.")


def _check_qt() -> Iterator[Finding]:
    from studio.launcher import system

    absent = system.find_missing(window=True)
    fix = " ".join(system.build_install_command(absent)) or "Install them with the system's package manager."
    yield Finding("Qt libraries", ", ".join(absent) or "all present", fix if absent else "")
    if sys.platform == "linux" and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        yield Finding("display", "none", "The window needs a display; the command line does not.", optional=True)


def _check_worker(app: AppContext) -> Iterator[Finding]:
    try:
        device = app.wait_until_ready() or DeviceReport()
        device = _await_device(app) or device
    except StudioError as error:
        log = app.home.logs / "worker-interactive.log"
        yield Finding("worker", str(error), f"See its log: {log}")
        return
    name = f"{device.kind}: {device.name}" if device.name else device.kind
    yield Finding("device", f"{name}, {device.dtype}")
    yield Finding("memory", f"{format_memory(device.memory_free)} of {format_memory(device.memory_total)} free")
    for plugin in app.engine.catalogue.plugins:
        value = plugin.error or f"{plugin.name}: {len(plugin.tools)} tools"
        yield Finding(
            "plugin", value, f"Run `studio plugins`, or look into its folder {plugin.path}." if plugin.error else ""
        )


def _await_device(app: AppContext) -> DeviceReport | None:
    """Wait for the report of torch, which the worker imports after it is ready. Return None if it takes too long."""
    until = monotonic() + _DEVICE_TIMEOUT
    while monotonic() < until:
        match app.events.get():
            case MemoryChanged(device=DeviceReport() as device):
                return device
    return None


def _check_models(app: AppContext) -> Iterator[Finding]:
    starters = sorted(path.parent.name for path in offers.starters_folder().glob("*/studio.json"))
    fix = "" if starters else f"{offers.starters_folder()} is missing or empty: download the whole repository."
    yield Finding("starters", ", ".join(starters) or "none", fix, optional=True)
    cache = hub_cache.cache_folder()
    known = [name for name, _ in hub_cache.list_models(cache)]
    yield Finding("hub cache", f"{cache}: {', '.join(known) or 'no models'}")
    external_folders.refresh(app.home, app.settings.model_folders)
    for folder in external_folders.load(app.home):
        fix = "" if folder.connected else "Connect its drive, or remove it in the settings."
        yield Finding("model folder", f"{folder.path}: {folder.summary}", fix, optional=True)
