"""Frames keep their time, transparency, proportions and sound through every format of animations."""

from __future__ import annotations

import subprocess
from fractions import Fraction
from itertools import accumulate
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from studio.core import animations
from studio.core.animations import Frame
from studio.library.formats import mp4, png
from studio.library.library import Library
from studio.library.storage import animation_encoder

FORMATS = ("gif", "webp", "png", "mp4")
UNEVEN = tuple(Fraction(milliseconds, 1000) for milliseconds in (100, 50, 200, 30, 120, 300))
NTSC = Fraction(1001, 30_000)


def make_moving_square(number: int, *, alpha: bool = True) -> NDArray[np.uint8]:
    """Return a transparent picture with a square that moves by its own width in each frame."""
    frame = np.zeros((24, 64, 4), np.uint8)
    frame[8:16, 8 * number : 8 * number + 8] = (200, 40, 40 + 20 * number, 255)
    if not alpha:
        frame[frame[..., 3] == 0] = (20, 60, 90, 255)
    return frame


def encode(path: Path, times: tuple[Fraction, ...], *, alpha: bool = True, sound: Path | None = None) -> Path:
    frames = (Frame(make_moving_square(number % 8, alpha=alpha), seconds) for number, seconds in enumerate(times))
    animation_encoder.encode(path, frames, None, fps=10, loop=True, format=path.suffix[1:], sound=sound)
    return path


def decode(path: Path) -> list[Frame]:
    return list(animations.open_animation(path).decode())


def list_ends(frames: list[Frame]) -> list[Fraction]:
    return list(accumulate(frame.seconds for frame in frames))


def run_ffmpeg(*options: str) -> None:
    subprocess.run([animations.find_ffmpeg(), "-v", "error", "-y", *options], check=True)


def write_video(path: Path, *options: str) -> Path:
    """Write a video of 64 × 48 with 30 frames at NTSC's rate and a tone of the same length."""
    sources = ["-f", "lavfi", "-i", "testsrc=size=64x48:rate=30000/1001:duration=1.001"]
    sources += ["-f", "lavfi", "-i", "sine=frequency=440:duration=1.001"]
    run_ffmpeg(*sources, "-pix_fmt", "yuv420p", *options, str(path))
    return path


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("alpha", [True, False])
def test_unequal_times_are_kept(tmp_path: Path, format: str, alpha: bool) -> None:
    frames = decode(encode(tmp_path / f"a.{format}", UNEVEN, alpha=alpha))
    assert [frame.seconds for frame in frames] == list(UNEVEN)


@pytest.mark.parametrize("format", ["gif", "webp", "png"])
def test_what_moves_on_leaves_nothing_behind(tmp_path: Path, format: str) -> None:
    path = encode(tmp_path / f"a.{format}", UNEVEN)
    with Image.open(path) as image:
        for number in range(len(UNEVEN)):
            image.seek(number)
            pixels = np.asarray(image.convert("RGBA"))
            assert np.array_equal(pixels[..., 3] > 0, make_moving_square(number)[..., 3] > 0)
    for number, frame in enumerate(decode(path)):
        opaque = make_moving_square(number)[..., 3] > 0
        shown = np.asarray(frame.picture.convert("RGBA"))
        assert np.abs(shown[opaque].astype(int) - make_moving_square(number)[opaque]).mean() <= 12


def test_a_gif_with_random_transparency_is_shown_as_it_was(tmp_path: Path) -> None:
    chance = np.random.default_rng(0)
    colours = np.array([(0, 0, 0, 0), (250, 0, 0, 255), (0, 250, 0, 255), (0, 0, 250, 255)], np.uint8)
    pictures = [colours[chance.integers(0, 4, (9, 11))] for _ in range(12)]
    pictures[5] = pictures[4]
    pictures[7] = np.zeros_like(pictures[4])
    animation_encoder.encode(tmp_path / "a.gif", pictures, None, fps=10, loop=False, format="gif")
    shown = [np.asarray(frame.picture.convert("RGBA")) for frame in decode(tmp_path / "a.gif")]
    assert len(shown) == 12
    for picture, pixels in zip(pictures, shown, strict=True):
        assert np.array_equal(picture[..., 3], pixels[..., 3])
        assert np.array_equal(picture[picture[..., 3] > 0], pixels[picture[..., 3] > 0])


@pytest.mark.parametrize(("format", "unit"), [("gif", 100), ("webp", 1000), ("png", 10**6), ("mp4", 300_000)])
@pytest.mark.parametrize("seconds", [NTSC, Fraction(1001, 24_000), Fraction(1, 7), Fraction(1, 30)])
def test_rounding_does_not_add_up(tmp_path: Path, format: str, unit: int, seconds: Fraction) -> None:
    ends = list_ends(decode(encode(tmp_path / f"a.{format}", (seconds,) * 100)))
    assert len(ends) == 100
    assert all(abs(end - seconds * number) <= Fraction(1, unit) for number, end in enumerate(ends, 1))


def test_a_gif_leaves_out_frames_that_players_would_slow_down(tmp_path: Path) -> None:
    frames = decode(encode(tmp_path / "a.gif", (Fraction(1, 60),) * 60))
    assert all(frame.seconds >= Fraction(2, 100) for frame in frames)
    assert len(frames) == 50
    assert list_ends(frames)[-1] == 1


def test_a_long_frame_fits_a_gif(tmp_path: Path) -> None:
    assert list_ends(decode(encode(tmp_path / "a.gif", (Fraction(1500), Fraction(1)))))[-1] == 1501


def test_times_that_players_do_not_follow_count_as_they_are_shown(tmp_path: Path) -> None:
    first, *rest = (Image.fromarray(make_moving_square(number, alpha=False)) for number in range(4))
    first.save(tmp_path / "a.gif", save_all=True, append_images=rest, duration=[0, 10, 20, 30])
    assert [frame.seconds for frame in decode(tmp_path / "a.gif")] == [
        Fraction(1, 10), Fraction(1, 10), Fraction(2, 100), Fraction(3, 100)
    ]  # fmt: skip


@pytest.mark.parametrize("format", FORMATS)
def test_an_export_keeps_times_and_turns_a_video_upright(library: Library, tmp_path: Path, format: str) -> None:
    write_video(tmp_path / "plain.mov", "-c:v", "libx264")
    turned = tmp_path / "turned.mov"
    run_ffmpeg("-display_rotation", "90", "-i", str(tmp_path / "plain.mov"), "-c", "copy", str(turned))
    creation = library.import_file(turned)
    path = library.export(creation.id, tmp_path / f"a.{format}")
    frames = decode(path)
    assert frames[0].picture.size == (48, 64)
    assert len(frames) == 30
    assert abs(list_ends(frames)[-1] - Fraction(1001, 1000)) <= Fraction(1, 100)


@pytest.mark.parametrize(("aspect", "size"), [("2/1", (128, 48)), ("1/2", (64, 96)), ("1/1", (64, 48))])
def test_pixels_become_square(tmp_path: Path, aspect: str, size: tuple[int, int]) -> None:
    path = write_video(tmp_path / "a.mp4", "-c:v", "libx264", "-vf", f"setsar={aspect}")
    assert {frame.picture.size for frame in decode(path)} == {size}


def test_the_rate_of_a_video_is_exact(tmp_path: Path) -> None:
    video = animations.open_animation(write_video(tmp_path / "a.mp4", "-c:v", "libx264"))
    assert (video.rate, video.count, video.sound) == (Fraction(30_000, 1001), 30, tmp_path / "a.mp4")
    assert {frame.seconds for frame in video.decode()} == {NTSC}


@pytest.mark.parametrize("late", ["0:v:0", "0:a:0"])
def test_sound_stays_in_step_where_one_track_begins_later(library: Library, tmp_path: Path, late: str) -> None:
    whole = write_video(tmp_path / "whole.mkv", "-c:v", "libx264", "-c:a", "flac")
    other = "0:a:0" if late == "0:v:0" else "0:v:0"
    shifted = tmp_path / "shifted.mkv"
    maps = ["-map", f"{late}".replace("0:", "1:", 1), "-map", other]
    run_ffmpeg("-i", str(whole), "-itsoffset", "0.4", "-i", str(whole), *maps, "-c", "copy", str(shifted))
    path = library.export(library.import_file(shifted).id, tmp_path / "a.mp4")
    frames = decode(path)
    tone = subprocess.run(
        [*animations.build_input(path), "-v", "error", "-map", "0:a:0", "-ac", "1", "-ar", "8000", "-f", "s16le", "-"],
        capture_output=True,
        check=True,
    ).stdout
    loud = np.flatnonzero(np.abs(np.frombuffer(tone, np.int16).astype(int)) > 500)
    begin = 0.4 if late == "0:a:0" else 0.0
    assert loud[0] / 8000 == pytest.approx(begin, abs=0.05)
    first = 0.0 if late == "0:a:0" else 0.4
    assert float(frames[0].seconds) == pytest.approx(float(NTSC) + first, abs=0.01)


def test_an_apng_holds_the_recipe_and_plays_on(library: Library, tmp_path: Path) -> None:
    made = library.import_file(encode(tmp_path / "a.webp", UNEVEN))
    path = library.export(made.id, tmp_path / "b.apng")
    count, seconds = png.read_animation(path)
    assert count == 6
    assert seconds == pytest.approx(0.8)
    with Image.open(path) as image:
        assert image.info["loop"] == 0


def test_a_video_of_unequal_times_tells_its_length(tmp_path: Path) -> None:
    assert mp4.read(encode(tmp_path / "a.mp4", UNEVEN)).seconds == pytest.approx(0.8, abs=0.001)
