"""Animations are encoded frame by frame, and a cancelled one leaves no file."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import psutil
import pytest
from numpy.typing import NDArray
from PIL import Image

from studio.core import animations
from studio.core.errors import BadInput, StudioError
from studio.core.paths import Home
from studio.library.foreign import a1111
from studio.library.formats import exif, gif, mp4, webp, xmp
from studio.library.storage import animation_encoder, recipe_embedding, sidecar, writer
from tests.library import factories

FORMATS = ("mp4", "webp", "gif")


class Stop(Exception):
    """As a cancel passes through."""


def list_files(home: Home) -> list[Path]:
    return [path for path in home.library.rglob("*") if path.is_file()]


def read_pixels(path: Path, number: int) -> np.ndarray:
    """One frame as RGB."""
    command = [
        animations.find_ffmpeg(),
        "-v",
        "error",
        "-i",
        str(path),
        "-f",
        "rawvideo",
        "-pix_fmt",
        "rgb24",
        "-",
    ]
    raw = subprocess.run(command, capture_output=True, check=True).stdout
    size = mp4.read(path)
    frames = np.frombuffer(raw, np.uint8).reshape(-1, size.height, size.width, 3)
    frame: NDArray[np.uint8] = frames[number]
    return frame


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("words", factories.HOSTILE_WORDS)
def test_a_recipe_comes_back(home: Home, format: str, words: str) -> None:
    path = writer.save_animation(
        home, factories.make_frames(2), factories.make_recipe(words), fps=12, loop=True, format=format
    )
    found = recipe_embedding.read_recipe(path)
    assert found
    assert found.params == factories.make_recipe(words).params
    assert list_files(home) == [path]


def test_an_mp4_plays_anywhere_and_shows_its_colours(home: Home) -> None:
    colour = (200, 80, 30)
    frames = [np.full((33, 47, 3), colour, np.uint8)] * 6
    path = writer.save_animation(home, frames, factories.make_recipe(), fps=12, loop=True)
    video = mp4.read(path)
    assert (video.width, video.height, video.seconds) == (48, 34, 0.5)
    assert np.abs(read_pixels(path, 5).reshape(-1, 3).astype(int) - colour).max() <= 4
    content = path.read_bytes()
    assert content.index(b"moov") < content.index(b"mdat")


def test_a_recipe_too_long_for_an_mp4_is_in_the_sidecar(home: Home) -> None:
    recipe = factories.make_recipe("word " * 300_000)
    path = writer.save_animation(home, factories.make_frames(2), recipe, fps=12, loop=True)
    found = recipe_embedding.read_recipe(path)
    assert found
    assert found.params == recipe.params
    assert sidecar.sidecar_path(path).exists()


def test_a_webp_holds_every_frame_and_its_time(home: Home) -> None:
    frames = [np.full((33, 47, 4), value, np.uint8) for value in (10, 120, 250)]
    path = writer.save_animation(home, frames, factories.make_recipe("fox"), fps=30, loop=False, format="webp")
    assert webp.read_animation(path) == (3, 0.1)
    with Image.open(path) as image:
        assert (image.size, factories.count_frames(image), image.info["loop"]) == ((47, 33), 3, 1)
        for number, value in enumerate((10, 120, 250)):
            image.seek(number)
            image.load()
            assert abs(int(np.asarray(image.convert("RGBA"))[20, 20, 3]) - value) <= 2
    header = exif.read(path)
    assert a1111.parse(header.texts["UserComment"]).prompt == "fox"
    assert xmp.MADE_BY_MODEL.encode() in header.xmp


def test_a_gif_has_parameters_for_other_tools(home: Home) -> None:
    path = writer.save_animation(
        home, factories.make_frames(4), factories.make_recipe("fox"), fps=10, loop=True, format="gif"
    )
    found = gif.read(path)
    assert (found.frames, found.seconds) == (4, 0.4)
    assert a1111.parse(found.comment).prompt == "fox"
    assert xmp.MADE_BY_MODEL.encode() in found.xmp
    with Image.open(path) as image:
        assert (factories.count_frames(image), image.info["loop"]) == (4, 0)


@pytest.mark.parametrize("format", FORMATS)
def test_one_frame_is_enough(home: Home, format: str) -> None:
    path = writer.save_animation(
        home, factories.make_frames(1), factories.make_recipe(), fps=12, loop=True, format=format
    )
    assert recipe_embedding.read_recipe(path)


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("error", [Stop, KeyboardInterrupt, FileNotFoundError("frame 3"), StudioError("no")])
def test_exceptions_of_frames_pass_and_leave_no_file(
    home: Home, format: str, error: type[BaseException] | BaseException
) -> None:
    def frames() -> Iterator[np.ndarray]:
        yield from factories.make_frames(3)
        raise error

    with pytest.raises(error if isinstance(error, type) else type(error)):
        writer.save_animation(home, frames(), factories.make_recipe(), fps=12, loop=True, format=format)
    assert list_files(home) == []
    assert psutil.Process().children() == []


@pytest.mark.parametrize("format", FORMATS)
def test_a_cancel_in_on_frame_closes_the_frames(home: Home, format: str) -> None:
    closed = []

    def frames() -> Iterator[np.ndarray]:
        try:
            yield from factories.make_frames(50)
        finally:
            closed.append(True)

    def on_frame(count: int) -> None:
        if count == 3:
            raise Stop

    with pytest.raises(Stop):
        writer.save_animation(
            home, frames(), factories.make_recipe(), fps=12, loop=True, format=format, on_frame=on_frame
        )
    assert closed == [True]
    assert list_files(home) == []
    assert psutil.Process().children() == []


def test_frames_are_counted(home: Home) -> None:
    counts: list[int] = []
    writer.save_animation(
        home, factories.make_frames(4), factories.make_recipe(), fps=12, loop=True, on_frame=counts.append
    )
    assert counts == [1, 2, 3, 4]


@pytest.mark.parametrize("format", FORMATS)
def test_frames_of_different_sizes(home: Home, format: str) -> None:
    frames = [factories.make_picture(size=(8, 8)), factories.make_picture(size=(9, 8))]
    with pytest.raises(StudioError, match="Frame 2 is 9 × 8, but the first is 8 × 8"):
        writer.save_animation(home, frames, factories.make_recipe(), fps=12, loop=True, format=format)
    assert list_files(home) == []


@pytest.mark.parametrize("format", FORMATS)
def test_no_frames(home: Home, format: str) -> None:
    with pytest.raises(StudioError, match="no frames"):
        writer.save_animation(home, [], factories.make_recipe(), fps=12, loop=True, format=format)


@pytest.mark.parametrize("fps", [0, -1, float("nan"), float("inf"), 1000])
def test_an_invalid_frame_rate_is_refused(home: Home, fps: float) -> None:
    with pytest.raises(BadInput, match="frames a second"):
        writer.save_animation(home, factories.make_frames(), factories.make_recipe(), fps=fps, loop=True)


def test_sound_is_copied_if_there_is_any(home: Home, tmp_path: Path) -> None:
    sound = tmp_path / "tone.wav"
    tone = [animations.find_ffmpeg(), "-v", "error", "-f", "lavfi", "-i", "sine=duration=0.2", str(sound)]
    subprocess.run(tone, check=True)
    path = writer.save_animation(
        home, factories.make_frames(24), factories.make_recipe(), fps=24, loop=True, sound=sound
    )
    told = subprocess.run([animations.find_ffmpeg(), "-i", str(path)], capture_output=True, check=False).stderr
    assert b"Audio: aac" in told
    assert abs(mp4.read(path).seconds - 1.0) < 0.1
    silent = writer.save_animation(
        home, factories.make_frames(4), factories.make_recipe(), fps=24, loop=True, sound=path.parent
    )
    assert mp4.read(silent).width == 48


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
@pytest.mark.parametrize("format", FORMATS)
def test_a_full_disk_is_reported(tmp_path: Path, format: str) -> None:
    full = tmp_path / f"full.{format}"
    full.symlink_to("/dev/full")
    with pytest.raises(StudioError, match="disk is full"):
        animation_encoder.encode(full, factories.make_frames(30), None, fps=12, loop=True, format=format)
