"""`doctor`: what the studio stands on, what is missing, and how to get it."""

from __future__ import annotations

import argparse
import os
import platform
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from time import monotonic

from studio.cli.app_context import Place, opened
from studio.cli.console import Console
from studio.cli.reproducibility import installed
from studio.core.descriptor import DeviceReport
from studio.core.errors import StudioError
from studio.core.humanize import format_memory, format_size
from studio.engine.interface import MemoryChanged
from studio.library.models import external_folders, hub_cache, offers

PACKAGES = (
    "torch", "diffusers", "transformers", "safetensors", "numpy", "pillow",
    "opencv-python-headless", "PySide6-Essentials",
)  # fmt: skip
LEAST_FREE = 2 * 2**30
"""Bytes of disk below which the doctor speaks up: a model or a film may take as much."""
_PATIENCE = 60.0
"""Seconds for torch to say which device there is."""


@dataclass(frozen=True)
class Finding:
    """`fix` says how to get what is missing; a finding with one that is not `optional` is a fault."""

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
    with opened(options) as place:
        for finding in _findings(place):
            faults += finding.mark == "MISSING"
            state = finding.mark.lower()
            console.emit({"name": finding.name, "state": state, "value": finding.value, "fix": finding.fix})
            console.say(f"{finding.mark:8}{finding.name:24}{finding.value}")
            if finding.fix:
                console.say(f"{'':32}{finding.fix}")
    return 1 if faults else 0


def _findings(place: Place) -> Iterator[Finding]:
    yield Finding("studio", installed("studio"))
    yield Finding("python", f"{platform.python_version()} ({sys.executable})")
    yield Finding("system", platform.platform())
    yield from _packages()
    yield from _folders(place)
    yield _ffmpeg()
    yield from _qt()
    yield from _worker(place)
    yield from _models(place)
    for name in place.settings.disabled_plugins:
        yield Finding("plugin", f"{name} is switched off", "Switch it on in the list of plugins.", optional=True)


def _packages() -> Iterator[Finding]:
    for name in PACKAGES:
        version = installed(name)
        yield Finding(name, version or "not installed", "" if version else f"{sys.executable} -m pip install {name}")


def _folders(place: Place) -> Iterator[Finding]:
    home = place.home
    places = {"home": home.root, "library": home.library, "plugins": home.plugins, "models": home.models}
    for name, folder in places.items():
        writable = os.access(folder, os.W_OK)
        yield Finding(name, str(folder), "" if writable else "It is write-protected: change its permissions.")
    free = shutil.disk_usage(home.root).free
    fix = "" if free >= LEAST_FREE else "Free some space: results are lost when the disk is full."
    yield Finding("disk", f"{format_size(free)} free", fix)


def _ffmpeg() -> Finding:
    try:
        import imageio_ffmpeg

        return Finding("ffmpeg", str(imageio_ffmpeg.get_ffmpeg_exe()))
    except (ImportError, RuntimeError):
        return Finding("ffmpeg", "not found", f"{sys.executable} -m pip install imageio-ffmpeg, for films as MP4")


def _qt() -> Iterator[Finding]:
    from studio.launcher import system

    absent = system.missing(window=True)
    fix = " ".join(system.how_to_install(absent)) or "Install them with the system's package manager."
    yield Finding("Qt libraries", ", ".join(absent) or "all there", fix if absent else "")
    if sys.platform == "linux" and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        yield Finding("display", "none", "The window needs one; the command line does not.", optional=True)


def _worker(place: Place) -> Iterator[Finding]:
    try:
        device = place.wait_until_ready() or DeviceReport()
        device = _device(place) or device
    except StudioError as error:
        log = place.home.logs / "worker-interactive.log"
        yield Finding("worker", str(error), f"Its log says more: {log}")
        return
    name = f"{device.kind}: {device.name}" if device.name else device.kind
    yield Finding("device", f"{name}, {device.dtype}")
    yield Finding("memory", f"{format_memory(device.memory_free)} of {format_memory(device.memory_total)} free")
    for plugin in place.engine.catalogue.plugins:
        value = plugin.error or f"{plugin.name}: {len(plugin.tools)} tools"
        yield Finding("plugin", value, f"See `studio plugins`, or its folder {plugin.path}." if plugin.error else "")


def _device(place: Place) -> DeviceReport | None:
    """What torch reports, which the worker imports only after it is ready."""
    until = monotonic() + _PATIENCE
    while monotonic() < until:
        match place.events.get():
            case MemoryChanged(device=DeviceReport() as device):
                return device
    return None


def _models(place: Place) -> Iterator[Finding]:
    starters = sorted(path.parent.name for path in offers.starters_folder().glob("*/studio.json"))
    fix = "" if starters else f"{offers.starters_folder()} is missing or empty: fetch the whole repository."
    yield Finding("starters", ", ".join(starters) or "none", fix, optional=True)
    cache = hub_cache.cache_folder()
    known = [name for name, _ in hub_cache.list_models(cache)]
    yield Finding("hub cache", f"{cache}: {', '.join(known) or 'no models'}")
    external_folders.refresh(place.home, place.settings.model_folders)
    for folder in external_folders.load(place.home):
        fix = "" if folder.connected else "Connect its drive, or take it out of the settings."
        yield Finding("model folder", f"{folder.path}: {folder.summary}", fix, optional=True)
