"""`style.video` as the studio runs it, and its temporal filter."""

from __future__ import annotations

import io
import subprocess
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import imageio_ffmpeg
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from plugins.style_transfer.image_io import frames as frame_io
from plugins.style_transfer.inference.temporal_consistency import TemporalFilter
from plugins.style_transfer.tools.style_video import StyleVideo
from studio import api, testing
from tests.plugins.style_transfer.conftest import make_photo
from tests.plugins.style_transfer.fixtures.colour_profiles import ADOBE, build_display_profile
from tests.plugins.style_transfer.fixtures.results import get_notices, get_result

FRAMES = 5


def make_frames(count: int = FRAMES, width: int = 64, height: int = 48) -> list[NDArray[np.uint8]]:
    """Make frames of an image that moves by 2 px a frame."""
    wide = make_photo(width + 2 * count, height)
    return [np.ascontiguousarray(wide[:, 2 * number : 2 * number + width]) for number in range(count)]


def write_video(path: Path, count: int = FRAMES) -> Path:
    if path.suffix == ".mp4":
        writer = imageio_ffmpeg.write_frames(str(path), (64, 48), fps=12, macro_block_size=1, quality=9)
        writer.send(None)
        for frame in make_frames(count):
            writer.send(frame.tobytes())
        writer.close()
        return path
    first, *rest = (Image.fromarray(frame) for frame in make_frames(count))
    first.save(path, save_all=True, append_images=rest, duration=80, loop=0)
    return path


def stylize(ctx: testing.FakeContext | None = None, **values: Any) -> api.Animation:
    return get_result(testing.run(StyleVideo, ctx, **values), api.Animation)


def get_frames(animation: api.Animation) -> list[NDArray[Any]]:
    return [np.asarray(api.animations.image_of(frame)) for frame in animation.frames]


def test_the_tool_conforms(style: Path, tmp_path: Path) -> None:
    testing.check_tool(StyleVideo, {"video": write_video(tmp_path / "a.gif", 2), "style": str(style)})


@pytest.mark.parametrize(("name", "fps"), [("a.gif", 12.5), ("a.webp", 12.5), ("a.png", 12.5), ("a.mp4", 12)])
def test_the_frame_rate_is_kept(name: str, fps: float, style: Path, tmp_path: Path) -> None:
    path = write_video(tmp_path / name)
    animation = stylize(video=path, style=str(style))
    assert [frame.shape for frame in get_frames(animation)] == [(48, 64, 3)] * FRAMES
    assert animation.fps == pytest.approx(fps, abs=0.1)
    assert animation.sound == (path if name == "a.mp4" else None)


def test_frames_of_a_folder_are_in_natural_order(style: Path, tmp_path: Path) -> None:
    folder = tmp_path / "frames"
    folder.mkdir()
    one, two, ten = make_frames(3)
    for number, frame in ((1, one), (2, two), (10, ten)):
        Image.fromarray(frame).save(folder / f"frame{number}.png")
    (folder / "frame3.png").write_bytes(b"broken")
    (folder / "._frame1.png").write_bytes(b"a file of another system")
    ctx = testing.FakeContext()
    stylized = get_frames(stylize(ctx, folder=folder, fps=8, style=str(style), strength=0, steadiness=0))
    expected = [one, two, two, ten]
    assert all(np.array_equal(first, second) for first, second in zip(stylized, expected, strict=True))
    assert any("frame3.png" in text for text in get_notices(ctx.events))


def test_a_stopped_video_resumes_with_the_same_result(style: Path, tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.gif")
    whole = get_frames(stylize(video=path, style=str(style)))
    folder = tmp_path / "job"
    values: dict[str, Any] = {"video": path, "style": str(style)}
    with pytest.raises(api.Cancelled):
        StoppedContext(folder=folder).run(values)
    count = len(list((folder / "keep").iterdir()))
    assert 0 < count < FRAMES
    again = get_frames(stylize(testing.FakeContext(folder=folder), **values))
    assert all(np.array_equal(first, second) for first, second in zip(whole, again, strict=True))
    with pytest.raises(api.Paused):
        testing.run(StyleVideo, testing.FakeContext(pause_requested=True), **values)


def test_frames_with_a_profile_give_the_same_result_after_a_stop(style: Path, tmp_path: Path) -> None:
    folder = tmp_path / "frames"
    folder.mkdir()
    profile = build_display_profile(ADOBE, 2.19921875)
    for number, frame in enumerate(make_frames()):
        Image.fromarray(frame).save(folder / f"{number}.png", icc_profile=profile)
    values: dict[str, Any] = {"folder": folder, "style": str(style)}
    whole = get_frames(stylize(**values))
    with pytest.raises(api.Cancelled):
        StoppedContext(folder=tmp_path / "job").run(values)
    again = get_frames(stylize(testing.FakeContext(folder=tmp_path / "job"), **values))
    assert all(np.array_equal(first, second) for first, second in zip(whole, again, strict=True))


def test_a_variable_frame_rate_keeps_the_duration(style: Path, tmp_path: Path) -> None:
    write_video(tmp_path / "even.mp4", 48)
    uneven = tmp_path / "uneven.mp4"
    options = ["-vf", "select=lt(n\\,24)+not(mod(n\\,6))", "-fps_mode", "vfr"]
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-i", str(tmp_path / "even.mp4"), *options, str(uneven)]
    subprocess.run(command, check=True, capture_output=True)
    video = frame_io.open_video(uneven)
    times = [frame.seconds for frame in video.frames()]
    assert times[:24] == [Fraction(1, 12)] * 24
    assert times[24:-1] == [Fraction(6, 12)] * (len(times) - 25)


class StoppedContext(testing.FakeContext):
    """Cancelled after the third frame."""

    def run(self, values: dict[str, Any]) -> None:
        testing.run(StyleVideo, self, **values)

    def emit(self, event: api.Event) -> None:
        if isinstance(event, api.Progress) and event.text == "Frame 3":
            raise api.Cancelled
        super().emit(event)


def test_an_input_without_frames_raises_bad_input(style: Path, photo: Path, tmp_path: Path) -> None:
    whole = write_video(tmp_path / "a.mp4").read_bytes()
    (tmp_path / "cut.mp4").write_bytes(whole[:300])
    (tmp_path / "empty.mp4").touch()
    (tmp_path / "words.mp4").write_text("no film")
    (tmp_path / "none").mkdir()
    inputs: tuple[tuple[dict[str, Any], str], ...] = (
        ({"video": tmp_path / "cut.mp4"}, "cannot be read as a video"),
        ({"video": tmp_path / "empty.mp4"}, "cannot be read as a video"),
        ({"video": tmp_path / "words.mp4"}, "cannot be read as a video"),
        ({"video": tmp_path / "missing.mp4"}, "There is no file"),
        ({"video": photo}, "is not animated"),
        ({"folder": tmp_path / "none"}, "no images"),
        ({}, "Either a video or a folder"),
        ({"video": photo, "folder": tmp_path}, "Either a video or a folder"),
    )
    for values, sentence in inputs:
        with pytest.raises(api.BadInput, match=sentence):
            stylize(style=str(style), **values)


def test_a_truncated_video_gives_the_frames_that_it_has(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    first, *rest = (Image.fromarray(frame) for frame in make_frames())
    first.save(buffer, "GIF", save_all=True, append_images=rest, duration=80)
    (tmp_path / "cut.gif").write_bytes(buffer.getvalue()[: int(len(buffer.getvalue()) * 0.7)])
    video = frame_io.open_video(tmp_path / "cut.gif")
    assert 2 <= video.count < FRAMES
    assert len(list(video.frames())) == video.count


def test_flicker_is_reduced_and_motion_followed() -> None:
    rng = np.random.default_rng(0)
    frames = make_frames(8, 128, 96)
    stylized = [np.clip(255.0 - frame + rng.normal(0, 20, (1, 1, 3)), 0, 255).astype(np.uint8) for frame in frames]
    temporal_filter = TemporalFilter(0.8)
    filtered = [temporal_filter.filter_frame(frame, image) for frame, image in zip(frames, stylized, strict=True)]

    def compute_flicker(video: list[NDArray[np.uint8]]) -> float:
        """Compute the mean change of a point of the moving image from frame to frame."""
        pairs = pairwise(video)
        return float(
            np.mean(
                [np.abs(frame[8:-8, 8:-18].astype(float) - previous[8:-8, 10:-16]).mean() for previous, frame in pairs]
            )
        )

    assert compute_flicker(filtered) < 0.5 * compute_flicker(stylized)
    sharp = [float(np.abs(np.diff(video[-1].astype(float), axis=1)).mean()) for video in (filtered, stylized)]
    assert sharp[0] > 0.85 * sharp[1]


def test_after_a_cut_the_new_frame_is_used_unchanged() -> None:
    first, second = make_photo(96, 64, seed=1), make_photo(96, 64, seed=2)
    dark, light = np.full_like(first, 20), np.full_like(first, 220)
    temporal_filter = TemporalFilter(1.0)
    temporal_filter.filter_frame(first, dark)
    assert np.median(temporal_filter.filter_frame(second, light)) > 210
