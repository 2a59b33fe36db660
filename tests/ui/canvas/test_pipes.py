"""A pipe or a device is refused by everything that the canvas opens, before it is read."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from studio.core.errors import BadInput
from studio.ui.canvas.frame_reader import QtClip, VideoClip
from studio.ui.canvas.image_pyramid import read_pyramid
from studio.ui.canvas.placeholder_views import read_text_file

READERS: list[Callable[[Path], object]] = [
    read_pyramid,
    read_text_file,
    lambda path: QtClip(path).count(),
    lambda path: VideoClip(path).count(),
]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such files")
@pytest.mark.parametrize("read", READERS)
@pytest.mark.parametrize("kind", ["pipe", "device"])
def test_pipes_and_devices_are_refused(tmp_path: Path, read: Callable[[Path], object], kind: str) -> None:
    path = Path("/dev/zero") if kind == "device" else tmp_path / "a.gif"
    if kind == "pipe":
        os.mkfifo(path)
    with pytest.raises(BadInput, match=r"cannot be read: it is a pipe or a device and no file\.$"):
        read(path)
