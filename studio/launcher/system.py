"""System requirements of Qt: libraries on Linux, and a display."""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

from studio.launcher.console import Console
from studio.launcher.errors import LaunchError

# soname: package of Debian and Ubuntu, of Fedora, of Arch
BASE = {
    "libEGL.so.1": ("libegl1", "libglvnd-egl", "libglvnd"),
    "libGL.so.1": ("libgl1", "libglvnd-glx", "libglvnd"),
    "libX11.so.6": ("libx11-6", "libX11", "libx11"),
    "libdbus-1.so.3": ("libdbus-1-3", "dbus-libs", "dbus"),
    "libfontconfig.so.1": ("libfontconfig1", "fontconfig", "fontconfig"),
    "libfreetype.so.6": ("libfreetype6", "freetype", "freetype2"),
    "libglib-2.0.so.0": ("libglib2.0-0", "glib2", "glib2"),
    "libgthread-2.0.so.0": ("libglib2.0-0", "glib2", "glib2"),
    "libxkbcommon.so.0": ("libxkbcommon0", "libxkbcommon", "libxkbcommon"),
}
X11 = {
    "libX11-xcb.so.1": ("libx11-xcb1", "libX11-xcb", "libx11"),
    "libxcb-cursor.so.0": ("libxcb-cursor0", "xcb-util-cursor", "xcb-util-cursor"),
    "libxcb-icccm.so.4": ("libxcb-icccm4", "xcb-util-wm", "xcb-util-wm"),
    "libxcb-image.so.0": ("libxcb-image0", "xcb-util-image", "xcb-util-image"),
    "libxcb-keysyms.so.1": ("libxcb-keysyms1", "xcb-util-keysyms", "xcb-util-keysyms"),
    "libxcb-randr.so.0": ("libxcb-randr0", "libxcb", "libxcb"),
    "libxcb-render-util.so.0": ("libxcb-render-util0", "xcb-util-renderutil", "xcb-util-renderutil"),
    "libxcb-render.so.0": ("libxcb-render0", "libxcb", "libxcb"),
    "libxcb-shape.so.0": ("libxcb-shape0", "libxcb", "libxcb"),
    "libxcb-shm.so.0": ("libxcb-shm0", "libxcb", "libxcb"),
    "libxcb-sync.so.1": ("libxcb-sync1", "libxcb", "libxcb"),
    "libxcb-xfixes.so.0": ("libxcb-xfixes0", "libxcb", "libxcb"),
    "libxcb-xkb.so.1": ("libxcb-xkb1", "libxcb", "libxcb"),
    "libxcb.so.1": ("libxcb1", "libxcb", "libxcb"),
    "libxkbcommon-x11.so.0": ("libxkbcommon-x11-0", "libxkbcommon-x11", "libxkbcommon-x11"),
}
WAYLAND = {
    "libwayland-client.so.0": ("libwayland-client0", "libwayland-client", "wayland"),
    "libwayland-cursor.so.0": ("libwayland-cursor0", "libwayland-cursor", "wayland"),
    "libwayland-egl.so.1": ("libwayland-egl1", "libwayland-egl", "wayland"),
}
MANAGERS = {
    "apt-get": (0, ["apt-get", "install", "-y", "--no-install-recommends"]),
    "dnf": (1, ["dnf", "install", "-y"]),
    "pacman": (2, ["pacman", "-S", "--needed", "--noconfirm"]),
}


def list_libraries(*, window: bool) -> dict[str, tuple[str, str, str]]:
    """Return the libraries, by soname, that Qt loads for a window or for offscreen rendering."""
    if sys.platform != "linux":
        return {}
    if not window:
        return BASE
    return {**BASE, **(WAYLAND if os.environ.get("WAYLAND_DISPLAY") and not os.environ.get("DISPLAY") else X11)}


def find_missing(*, window: bool) -> list[str]:
    """Return the sonames of libraries that cannot be loaded."""
    return [soname for soname in list_libraries(window=window) if not _can_load(soname)]


def build_install_command(sonames: Iterable[str]) -> list[str]:
    """Return the install command of this system's package manager; empty if it is unknown."""
    for name, (column, command) in MANAGERS.items():
        if shutil.which(name):
            known = {**BASE, **X11, **WAYLAND}
            return [*command, *sorted({known[soname][column] for soname in sonames})]
    return []


def ensure_libraries(log: str, *, window: bool) -> None:
    """Install missing libraries of Qt as root. Raises LaunchError with the command for other users."""
    absent = find_missing(window=window)
    if not absent:
        return
    command = build_install_command(absent)
    sentence = f"Qt needs system libraries that are not installed: {', '.join(absent)}."
    if not command:
        raise LaunchError(f"{sentence} Install them with your system's package manager.")
    if os.geteuid() == 0:
        Console().print_line(f"Installing the system libraries of Qt: {' '.join(command)}")
        _run_logged(command, Path(log))
        absent = find_missing(window=window)
        if not absent:
            return
        raise LaunchError(f"{sentence} This command did not install them (see {log}):\n  {' '.join(command)}")
    raise LaunchError(f"{sentence} Install them with:\n  sudo {' '.join(command)}")


def find_display_problem() -> str:
    """Return a sentence if no window can be opened here, else an empty string."""
    if sys.platform != "linux" or os.environ.get("QT_QPA_PLATFORM", "xcb").partition(":")[0] not in ("xcb", "wayland"):
        return ""
    if _has_wayland() or _can_connect_x11():
        return ""
    hint = "Start it from a desktop session, or use the command line: studio --help."
    if name := os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"):
        return f"The display {name} cannot be reached, but the window needs one. {hint}"
    return f"There is no display, but the window needs one. {hint}"


def _has_wayland() -> bool:
    name = os.environ.get("WAYLAND_DISPLAY")
    return bool(name and (Path(os.environ.get("XDG_RUNTIME_DIR", "/")) / name).is_socket())


def _can_connect_x11() -> bool:
    if not os.environ.get("DISPLAY"):
        return False
    try:
        xcb = ctypes.CDLL("libxcb.so.1")
    except OSError:
        return True  # the display is set; a missing library is reported elsewhere
    xcb.xcb_connect.restype = ctypes.c_void_p
    connection = ctypes.c_void_p(xcb.xcb_connect(None, None))
    failed = xcb.xcb_connection_has_error(connection)
    xcb.xcb_disconnect(connection)
    return not failed


def _can_load(soname: str) -> bool:
    try:
        ctypes.CDLL(soname)
    except OSError:
        return False
    return True


def _run_logged(command: list[str], log: Path) -> None:
    steps = [["apt-get", "update"], command] if command[0] == "apt-get" else [command]
    with log.open("a", encoding="utf-8") as file:
        for step in steps:
            subprocess.run(
                step,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=file,
                check=False,
                env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"},
            )
