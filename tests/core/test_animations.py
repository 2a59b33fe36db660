"""Animations of strangers give frames, or one sentence at once."""

from __future__ import annotations

import os
import struct
import sys
from pathlib import Path

import pytest
from PIL import GifImagePlugin, Image

from studio.core import animations
from studio.core.errors import BadInput


@pytest.mark.skipif(sys.platform == "win32", reason="there are no named pipes in folders")
def test_a_pipe_is_refused_before_it_is_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.mp4")
    with pytest.raises(BadInput, match=r"a\.mp4 cannot be read: it is a pipe or a device"):
        animations.open_animation(tmp_path / "a.mp4")


@pytest.mark.parametrize("error", [struct.error("cut"), ZeroDivisionError(), OSError("broken"), KeyError("tag")])
def test_decoding_ends_at_a_damaged_frame(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    frames = [Image.new("RGB", (8, 8), (shade, 0, 0)) for shade in (10, 90, 200)]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:], duration=100)
    seek = GifImagePlugin.GifImageFile.seek

    def fail_at_the_last(image: GifImagePlugin.GifImageFile, number: int) -> None:
        if number == 2:
            raise error
        seek(image, number)

    reader = animations.open_animation(tmp_path / "a.gif")
    monkeypatch.setattr(GifImagePlugin.GifImageFile, "seek", fail_at_the_last)
    assert len(list(reader.decode())) == 2
