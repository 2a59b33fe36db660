"""`style.video` as the studio runs it, and what holds its frames steady."""

from __future__ import annotations

import io
import subprocess
from itertools import pairwise
from pathlib import Path
from typing import Any

import imageio_ffmpeg
import numpy as np
import pytest
from PIL import Image

from plugins.style_transfer.image_io import frames as films
from plugins.style_transfer.inference.temporal_consistency import Steadied
from plugins.style_transfer.tools.style_video import StyleVideo
from studio import api, testing
from tests.plugins.style_transfer.conftest import photograph
from tests.plugins.style_transfer.fixtures.colour_profiles import ADOBE, display_profile

FRAMES = 5


def moving(count: int = FRAMES, width: int = 64, height: int = 48) -> list[np.ndarray]:
    """A picture that is moved by 2 px a frame."""
    wide = photograph(width + 2 * count, height)
    return [np.ascontiguousarray(wide[:, 2 * number : 2 * number + width]) for number in range(count)]


def film(path: Path, count: int = FRAMES) -> Path:
    if path.suffix == ".mp4":
        writer = imageio_ffmpeg.write_frames(str(path), (64, 48), fps=12, macro_block_size=1, quality=9)
        writer.send(None)
        for frame in moving(count):
            writer.send(frame.tobytes())
        writer.close()
        return path
    first, *rest = (Image.fromarray(frame) for frame in moving(count))
    first.save(path, save_all=True, append_images=rest, duration=80, loop=0)
    return path


def painted(ctx: testing.FakeContext | None = None, **values: Any) -> api.Animation:
    (animation,) = testing.results(testing.run(StyleVideo, ctx, **values))
    assert isinstance(animation, api.Animation)
    return animation


def test_keeps_the_rules(style: Path, tmp_path: Path) -> None:
    testing.check_tool(StyleVideo, {"video": film(tmp_path / "a.gif", 2), "style": str(style)})


@pytest.mark.parametrize(("name", "fps"), [("a.gif", 12.5), ("a.webp", 12.5), ("a.png", 12.5), ("a.mp4", 12)])
def test_frames_are_painted_at_their_own_pace(name: str, fps: float, style: Path, tmp_path: Path) -> None:
    path = film(tmp_path / name)
    made = painted(video=path, style=str(style))
    assert [frame.shape for frame in made.frames] == [(48, 64, 3)] * FRAMES
    assert made.fps == pytest.approx(fps, abs=0.1)
    assert made.sound == (path if name == "a.mp4" else None)


def test_a_folder_of_frames_goes_by_their_numbers(style: Path, tmp_path: Path) -> None:
    folder = tmp_path / "frames"
    folder.mkdir()
    for number, frame in zip((1, 2, 10), moving(3), strict=True):
        Image.fromarray(frame).save(folder / f"frame{number}.png")
    (folder / "frame3.png").write_bytes(b"broken")
    (folder / "._frame1.png").write_bytes(b"what another system keeps beside it")
    ctx = testing.FakeContext()
    made = list(painted(ctx, folder=folder, fps=8, style=str(style), strength=0, steadiness=0).frames)
    assert [
        np.array_equal(one, other) for one, other in zip(made, [*moving(2), moving(3)[1], moving(3)[2]], strict=True)
    ]
    assert np.array_equal(made[2], made[1])
    assert np.array_equal(made[3], moving(3)[2])
    assert any("frame3.png" in event.text for event in ctx.events if isinstance(event, api.Notice))


def test_a_stopped_video_goes_on_and_ends_alike(style: Path, tmp_path: Path) -> None:
    path = film(tmp_path / "a.gif")
    whole = list(painted(video=path, style=str(style)).frames)
    folder = tmp_path / "job"
    values = {"video": path, "style": str(style)}
    with pytest.raises(api.Cancelled):
        Stopped(folder=folder).run(values)
    kept = len(list((folder / "keep").iterdir()))
    assert 0 < kept < FRAMES
    again = list(painted(testing.FakeContext(folder=folder), **values).frames)
    assert all(np.array_equal(one, other) for one, other in zip(whole, again, strict=True))
    with pytest.raises(api.Paused):
        testing.run(StyleVideo, testing.FakeContext(pause_requested=True), **values)


def test_frames_with_a_profile_of_their_own_end_alike(style: Path, tmp_path: Path) -> None:
    folder = tmp_path / "frames"
    folder.mkdir()
    profile = display_profile(ADOBE, 2.19921875)
    for number, frame in enumerate(moving()):
        Image.fromarray(frame).save(folder / f"{number}.png", icc_profile=profile)
    values = {"folder": folder, "style": str(style)}
    whole = list(painted(**values).frames)
    with pytest.raises(api.Cancelled):
        Stopped(folder=tmp_path / "job").run(values)
    again = list(painted(testing.FakeContext(folder=tmp_path / "job"), **values).frames)
    assert all(np.array_equal(one, other) for one, other in zip(whole, again, strict=True))


def test_frames_that_last_differently_long_keep_the_length_of_the_film(style: Path, tmp_path: Path) -> None:
    film(tmp_path / "even.mp4", 48)
    uneven = tmp_path / "uneven.mp4"
    thinned = ["-vf", "select=lt(n\\,24)+not(mod(n\\,6))", "-fps_mode", "vfr"]
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-i", str(tmp_path / "even.mp4"), *thinned, str(uneven)]
    subprocess.run(command, check=True, capture_output=True)
    found = films.opened(uneven)
    assert found.fps < 11.5
    assert len(list(found.frames())) / found.fps == pytest.approx(3.6, abs=0.3)


class Stopped(testing.FakeContext):
    """Cancelled once the third frame is done."""

    def run(self, values: dict[str, Any]) -> None:
        testing.run(StyleVideo, self, **values)

    def emit(self, event: api.Event) -> None:
        if isinstance(event, api.Progress) and event.text == "Frame 3":
            raise api.Cancelled
        super().emit(event)


def test_what_has_no_frames_gets_one_sentence(style: Path, photo: Path, tmp_path: Path) -> None:
    whole = film(tmp_path / "a.mp4").read_bytes()
    (tmp_path / "cut.mp4").write_bytes(whole[:300])
    (tmp_path / "empty.mp4").touch()
    (tmp_path / "words.mp4").write_text("no film")
    (tmp_path / "none").mkdir()
    for values, sentence in (
        ({"video": tmp_path / "cut.mp4"}, "no video that can be read"),
        ({"video": tmp_path / "empty.mp4"}, "no video that can be read"),
        ({"video": tmp_path / "words.mp4"}, "no video that can be read"),
        ({"video": tmp_path / "missing.mp4"}, "There is no file"),
        ({"video": photo}, "does not move"),
        ({"folder": tmp_path / "none"}, "no pictures"),
        ({}, "Either a video or a folder"),
        ({"video": photo, "folder": tmp_path}, "Either a video or a folder"),
    ):
        with pytest.raises(api.BadInput, match=sentence):
            painted(style=str(style), **values)


def test_a_film_that_ends_too_early_gives_the_frames_that_it_has(tmp_path: Path) -> None:
    packed = io.BytesIO()
    first, *rest = (Image.fromarray(frame) for frame in moving())
    first.save(packed, "GIF", save_all=True, append_images=rest, duration=80)
    (tmp_path / "cut.gif").write_bytes(packed.getvalue()[: int(len(packed.getvalue()) * 0.7)])
    found = films.opened(tmp_path / "cut.gif")
    assert 2 <= found.count < FRAMES
    assert len(list(found.frames())) == found.count


def test_flicker_is_lowered_where_nothing_changes_and_movement_is_followed() -> None:
    chance = np.random.default_rng(0)
    frames = moving(8, 128, 96)
    paintings = [np.clip(255.0 - frame + chance.normal(0, 20, (1, 1, 3)), 0, 255).astype(np.uint8) for frame in frames]
    steadied = Steadied(0.8)
    steady = [steadied.next(frame, painting) for frame, painting in zip(frames, paintings, strict=True)]

    def flicker(film: list[np.ndarray]) -> float:
        """How much a place of the moving picture changes from frame to frame."""
        pairs = pairwise(film)
        return float(np.mean([np.abs(two[8:-8, 8:-18].astype(float) - one[8:-8, 10:-16]).mean() for one, two in pairs]))

    assert flicker(steady) < 0.5 * flicker(paintings)
    sharp = [float(np.abs(np.diff(one[-1].astype(float), axis=1)).mean()) for one in (steady, paintings)]
    assert sharp[0] > 0.85 * sharp[1]


def test_after_a_cut_the_new_painting_is_taken_as_it_is() -> None:
    one, other = photograph(96, 64, seed=1), photograph(96, 64, seed=2)
    dark, light = np.full_like(one, 20), np.full_like(one, 220)
    steadied = Steadied(1.0)
    steadied.next(one, dark)
    assert np.median(steadied.next(other, light)) > 210
