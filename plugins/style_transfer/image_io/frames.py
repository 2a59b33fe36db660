"""Reads the frames of videos, animated images and folders of numbered images."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from studio import api

from . import image16
from .image16 import RasterImage

if TYPE_CHECKING:
    from PIL import Image

ANIMATION_SUFFIXES = (".gif", ".webp", ".png", ".apng")
VIDEO_SUFFIXES = (".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi")
FRAME_SUFFIXES = api.images.IMAGE_SUFFIXES - {".gif"}
DEFAULT_FPS = 24.0
MAX_FPS = 240.0
_PROBE_TIMEOUT = 60
"""Seconds that ffmpeg may take to probe a file."""
_UNREADABLE = (OSError, EOFError, ValueError, SyntaxError)
"""Errors that Pillow raises for damaged animations."""


@dataclass(frozen=True)
class Video:
    """A video whose frames are decoded on demand; all have one size."""

    frames: Callable[[], Iterator[RasterImage]]
    count: int
    """Number of frames; 0 where it is not known before they are decoded."""
    fps: float
    sound: Path | None = None


def open_video(path: Path) -> Video:
    """Open a video, GIF, WebP or APNG. Raises BadInput for a file that cannot be read or has no frames."""
    if path.suffix.lower() in ANIMATION_SUFFIXES:
        return _open_animation(path)
    return _open_video_file(path)


def open_frame_folder(folder: Path, fps: float, warn: Callable[[str], None]) -> Video:
    """Open the images of a folder in natural order (2 before 10), at the size of the first.

    An image that cannot be read is replaced by the frame before it, and `warn` gets a sentence. Raises BadInput where
    there are no images.
    """
    try:
        paths = [path for path in folder.iterdir() if path.suffix.lower() in FRAME_SUFFIXES and path.name[0] != "."]
    except OSError as error:
        raise api.BadInput(f"The folder {folder.name} cannot be read: {error.strerror or error}.") from error
    if not paths:
        raise api.BadInput(f"There are no pictures in {folder.name}.", "Choose a folder of frames.")
    paths.sort(key=_natural_sort_key)

    def decode() -> Iterator[RasterImage]:
        previous: RasterImage | None = None
        for path in paths:
            try:
                image = image16.open_image(path)
                previous = image.resize(previous.size) if previous else image
            except api.BadInput as error:
                if previous is None:
                    raise
                warn(f"{error} The previous frame is used instead.")
            yield previous

    return Video(decode, len(paths), fps)


def _open_animation(path: Path) -> Video:
    """Open an animated image. Frames of different durations are all shown for the average."""
    from PIL import Image

    api.images.open_picture(path)
    seconds, count = 0.0, 0
    with Image.open(path) as image:
        for count in range(1, int(getattr(image, "n_frames", 1)) + 1):
            try:
                image.seek(count - 1)
                image.load()
            except _UNREADABLE:
                count -= 1
                break
            seconds += float(image.info.get("duration", 0) or 0) / 1000
    if count < 2:
        raise api.BadInput(f"{path.name} is not animated: it has one frame.", "Use “Style transfer” for pictures.")

    def decode() -> Iterator[RasterImage]:
        with Image.open(path) as image:
            for number in range(count):
                image.seek(number)
                yield _to_raster(image.convert("RGBA" if image.has_transparency_data else "RGB"))

    return Video(decode, count, min(MAX_FPS, count / seconds) if seconds > 0 else 10.0)


def _open_video_file(path: Path) -> Video:
    """Probe a video with ffmpeg, which may open files only, whatever the video refers to."""
    if not path.is_file():
        raise api.BadInput(f"There is no file {path}.", "Check the path.")
    unreadable = api.BadInput(f"{path.name} is no video that can be read, or has no frames.", "Choose another file.")
    command = [*_build_ffmpeg_command(), "-i", f"file:{path.absolute()}"]
    try:
        finished = subprocess.run(command, capture_output=True, check=False, timeout=_PROBE_TIMEOUT)
    except subprocess.TimeoutExpired as error:
        raise unreadable from error
    report = finished.stderr.decode(errors="replace")
    rate = re.search(r"Video: .*?([\d.]+) fps", report)
    fps = min(MAX_FPS, _to_broadcast_rate(float(rate[1])) if rate else DEFAULT_FPS)
    decode = partial(_decode, path, fps)
    with closing(decode()) as frames:
        if next(frames, None) is None:
            raise unreadable
    duration = re.search(r"Duration: (\d+):(\d+):([\d.]+)", report)
    seconds = int(duration[1]) * 3600 + int(duration[2]) * 60 + float(duration[3]) if duration else 0.0
    return Video(decode, round(fps * seconds), fps, path)


def _decode(path: Path, fps: float) -> Generator[RasterImage, None, None]:
    """Decode a video as PPM, in which each frame has its size. Ends with the file, even in the middle of a frame.

    Frames of variable rate, as phones record them, are resampled to a constant one, so that the sound stays in sync.
    """
    import numpy as np

    options = ["-loglevel", "quiet", "-i", f"file:{path.absolute()}", "-map", "0:v:0", "-f", "image2pipe"]
    command = [*_build_ffmpeg_command(), *options, "-r", f"{fps}", "-c:v", "ppm", "pipe:1"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL)
    assert process.stdout is not None
    try:
        while process.stdout.readline().strip() == b"P6":
            width, height = map(int, process.stdout.readline().split())
            process.stdout.readline()
            values = process.stdout.read(3 * width * height)
            if len(values) < 3 * width * height:
                return
            yield RasterImage(np.frombuffer(values, np.uint8).reshape(height, width, 3))
    finally:
        process.kill()
        process.stdout.close()
        process.wait()


def _build_ffmpeg_command() -> list[str]:
    import imageio_ffmpeg

    try:
        program = imageio_ffmpeg.get_ffmpeg_exe()
    except RuntimeError as error:
        raise api.BadInput(
            "Videos need ffmpeg, which is not installed.",
            "Install ffmpeg, or use a GIF, a WebP or a folder of frames.",
        ) from error
    return [program, "-hide_banner", "-nostdin", "-protocol_whitelist", "file,pipe"]


def _to_broadcast_rate(fps: float) -> float:
    """Restore an NTSC rate, which ffmpeg prints with two digits: 23.98 is 24,000 / 1,001."""
    return next((rate for rate in (whole * 1000 / 1001 for whole in (24, 30, 60, 120)) if abs(rate - fps) < 0.006), fps)


def _to_raster(frame: Image.Image) -> RasterImage:
    import numpy as np

    pixels = np.asarray(frame)
    if pixels.shape[2] == 3:
        return RasterImage(pixels)
    return RasterImage(np.ascontiguousarray(pixels[..., :3]), np.ascontiguousarray(pixels[..., 3]))


def _natural_sort_key(path: Path) -> list[tuple[int, str]]:
    return [(int(part), "") if part.isdecimal() else (-1, part.lower()) for part in re.split(r"(\d+)", path.name)]
