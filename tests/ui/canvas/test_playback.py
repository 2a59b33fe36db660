"""Animations: frames, loops, steps, seeking, memory and clean-up."""

from __future__ import annotations

import subprocess
from collections.abc import Generator, Iterator, Sequence
from functools import partial
from pathlib import Path

import pytest
from PIL import Image
from PySide6.QtGui import QImage
from pytestqt.qtbot import QtBot

from studio.core.errors import BadInput, StudioError
from studio.ui.canvas.frame_cache import FrameCache
from studio.ui.canvas.frame_reader import Frame, VideoClip, open_clip
from studio.ui.canvas.player import Player

FRAMES = 12


def shade(number: int) -> int:
    return 20 * number


def number_of(image: QImage) -> int:
    """Return the number of a frame, which is its grey."""
    return round(image.pixelColor(20, 20).red() / 20)


@pytest.fixture(scope="module")
def movies(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with twelve frames of rising grey as MP4, GIF and WebP."""
    import imageio_ffmpeg

    folder = tmp_path_factory.mktemp("movies")
    frames = [Image.new("RGB", (64, 48), (shade(n),) * 3) for n in range(FRAMES)]
    for name in ("a.gif", "a.webp"):
        frames[0].save(folder / name, save_all=True, append_images=frames[1:], duration=50, loop=0, lossless=True)
    raw = b"".join(frame.tobytes() for frame in frames)
    form = ["-f", "rawvideo", "-pix_fmt", "rgb24", "-s", "64x48", "-r", "20", "-i", "-"]
    arguments = ["-v", "error", *form, "-pix_fmt", "yuv420p", "-crf", "1"]
    program = imageio_ffmpeg.get_ffmpeg_exe()
    subprocess.run([program, *arguments, str(folder / "a.mp4")], input=raw, check=True)
    return folder


@pytest.mark.parametrize("name", ["a.mp4", "a.gif", "a.webp"])
def test_frames_are_counted_and_read_in_order(movies: Path, name: str) -> None:
    clip = open_clip(movies / name)
    assert clip.count() == FRAMES
    frames = list(clip.frames(0))
    assert [number_of(frame.image) for frame in frames] == list(range(FRAMES))
    assert all(frame.seconds == pytest.approx(0.05) for frame in frames)


@pytest.mark.parametrize("name", ["a.mp4", "a.gif"])
@pytest.mark.parametrize("start", [1, 7, 11])
def test_reading_starts_at_any_frame(movies: Path, name: str, start: int) -> None:
    clip = open_clip(movies / name)
    clip.count()
    assert [number_of(frame.image) for frame in clip.frames(start)] == list(range(start, FRAMES))


def test_a_file_that_is_no_video_is_reported(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_bytes(b"no movie")
    with pytest.raises(BadInput, match=r"a\.mp4 is not a playable animation"):
        VideoClip(tmp_path / "a.mp4").count()
    (tmp_path / "a.gif").write_bytes(b"no movie")
    with pytest.raises(BadInput, match=r"a\.gif is not a playable animation"):
        open_clip(tmp_path / "a.gif").count()


def test_closing_a_reader_ends_its_process(movies: Path) -> None:
    clip = VideoClip(movies / "a.mp4")
    clip.count()
    frames = clip.frames(0)
    next(frames)
    frames.close()
    clip.stop()
    with pytest.raises(StudioError, match="closed"):
        next(clip.frames(0))


class Endless:
    """A clip of many generated frames, which counts those that are read."""

    def __init__(self, count: int) -> None:
        self._count = count
        self.read: list[int] = []

    def count(self) -> int:
        return self._count

    def frames(self, start: int) -> Generator[Frame, None, None]:
        for number in range(start, self._count):
            self.read.append(number)
            image = QImage(10, 10, QImage.Format.Format_RGB32)
            image.fill(number)
            yield Frame(image, 0.001)

    def stop(self) -> None:
        pass


@pytest.fixture
def players() -> Iterator[list[Player]]:
    opened: list[Player] = []
    yield opened
    for player in opened:
        player.close()


def _has_frame(cache: FrameCache, number: int) -> bool:
    return cache.frame(number) is not None


def _is_longer(numbers: Sequence[int], than: int) -> bool:
    return len(numbers) > than


def test_the_frame_cache_keeps_to_its_budget(qtbot: QtBot) -> None:
    cache = FrameCache(Endless(1000), lambda: None, budget=20 * 400)
    try:
        for number in (0, 500, 990, 3):
            qtbot.waitUntil(partial(_has_frame, cache, number))
            assert cache.size_in_bytes <= 20 * 400
    finally:
        cache.close()
    assert cache.size_in_bytes == 0


def test_frames_within_the_budget_are_read_once(qtbot: QtBot, players: list[Player]) -> None:
    clip = Endless(5)
    player = Player(clip)
    players.append(player)
    shown: list[int] = []
    player.frame_shown.connect(lambda number, _: shown.append(number))
    player.play()
    qtbot.waitUntil(lambda: len(shown) >= 12)
    assert shown[:12] == [0, 1, 2, 3, 4, 0, 1, 2, 3, 4, 0, 1]
    assert clip.read == [0, 1, 2, 3, 4]


def test_without_loop_it_ends_and_starts_again(qtbot: QtBot, players: list[Player]) -> None:
    player = Player(Endless(4))
    players.append(player)
    player.loop = False
    player.play()
    qtbot.waitUntil(lambda: player.count == 4 and not player.playing)
    assert player.position == 3
    with qtbot.waitSignal(player.frame_shown, check_params_cb=lambda number, _: number == 0):
        player.play()


def test_stepping_wraps_around(qtbot: QtBot, players: list[Player], movies: Path) -> None:
    player = Player(open_clip(movies / "a.mp4"))
    players.append(player)
    with qtbot.waitSignal(player.count_known):
        pass
    seen: list[int] = []
    player.frame_shown.connect(lambda _, image: seen.append(number_of(image)))
    for by in (-1, 1, 1):
        before = len(seen)
        player.step(by)
        qtbot.waitUntil(partial(_is_longer, seen, before))
    assert seen == [11, 0, 1]
    assert not player.playing


def test_seeking_is_clamped_to_the_clip(qtbot: QtBot, players: list[Player]) -> None:
    player = Player(Endless(30))
    players.append(player)
    qtbot.waitUntil(lambda: player.count == 30)
    player.seek(1000)
    assert player.position == 29
    player.seek(-5)
    assert player.position == 0


def test_a_failing_clip_reports_once(qtbot: QtBot, players: list[Player], tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_bytes(b"")
    player = Player(open_clip(tmp_path / "a.mp4"))
    players.append(player)
    with qtbot.waitSignal(player.failed) as failure:
        player.play()
    assert "a.mp4 is not a playable animation" in str(failure.args[0])
    assert not player.playing


def test_closing_while_reading_leaves_nothing(movies: Path, qtbot: QtBot) -> None:
    for _ in range(3):
        player = Player(open_clip(movies / "a.mp4"))
        player.play()
        player.close()
        assert not player.running
