"""The frames of what moves: GIF and WebP, films, and folders of pictures in order."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from studio import api

from . import image16
from .image16 import Picture

MOVING = (".gif", ".webp", ".png", ".apng")
FILMS = (".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi")
STILLS = (".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".bmp", ".avif")
FPS = 24.0
MOST_FPS = 240.0
_PATIENCE = 60
"""Seconds that ffmpeg may take to look into a file."""
_GARBLED = (OSError, EOFError, ValueError, SyntaxError)


@dataclass(frozen=True)
class Film:
    """Frames that are read as they are asked for, all of one size."""

    frames: Callable[[], Iterator[Picture]]
    count: int
    """How many there are; 0 where that is not known before they are read."""
    fps: float
    sound: Path | None = None


def opened(path: Path) -> Film:
    """A GIF, WebP or film. Raises BadInput for what cannot be read, or has no frames."""
    if path.suffix.lower() in MOVING:
        return _moving(path)
    return _film(path)


def of_folder(folder: Path, fps: float, tell: Callable[[str], None]) -> Film:
    """The pictures of a folder by their names, numbers by their value (2 before 10), at the size of the first.

    In place of one that is broken the one before it is shown again, and `tell` gets a sentence. Raises BadInput
    where there are no pictures.
    """
    try:
        inside = [path for path in folder.iterdir() if path.suffix.lower() in STILLS and not path.name.startswith(".")]
    except OSError as error:
        raise api.BadInput(f"The folder {folder.name} cannot be read: {error.strerror or error}.") from error
    if not inside:
        raise api.BadInput(f"There are no pictures in {folder.name}.", "Choose a folder of frames.")
    found = sorted(inside, key=_natural)

    def frames() -> Iterator[Picture]:
        latest: Picture | None = None
        for path in found:
            try:
                picture = image16.opened(path)
                latest = picture.scaled(latest.size) if latest else picture
            except api.BadInput as error:
                if latest is None:
                    raise
                tell(f"{error} The frame before it is shown instead.")
            yield latest

    return Film(frames, len(found), fps)


def _moving(path: Path) -> Film:
    """Where frames last differently long, each lasts as long as they do on average."""
    from PIL import Image

    api.images.open_picture(path)
    seconds, count = 0.0, 0
    with Image.open(path) as image:
        for count in range(1, int(getattr(image, "n_frames", 1)) + 1):
            try:
                image.seek(count - 1)
                image.load()
            except _GARBLED:
                count -= 1
                break
            seconds += float(image.info.get("duration", 0) or 0) / 1000
    if count < 2:
        raise api.BadInput(f"{path.name} does not move: it has one frame.", "“Style transfer” paints pictures.")

    def frames() -> Iterator[Picture]:
        with Image.open(path) as image:
            for number in range(count):
                image.seek(number)
                yield _picture(image.convert("RGBA" if image.has_transparency_data else "RGB"))

    return Film(frames, count, min(MOST_FPS, count / seconds) if seconds > 0 else 10.0)


def _film(path: Path) -> Film:
    """Through ffmpeg, which is let open nothing but files, whatever the film names."""
    if not path.is_file():
        raise api.BadInput(f"There is no file {path}.", "Check the path.")
    garbled = api.BadInput(f"{path.name} is no video that can be read, or has no frames.", "Choose another.")
    asked = [*_ffmpeg(), "-i", f"file:{path.absolute()}"]
    try:
        told = subprocess.run(asked, capture_output=True, check=False, timeout=_PATIENCE).stderr.decode(
            errors="replace"
        )
    except subprocess.TimeoutExpired as error:
        raise garbled from error
    rate = re.search(r"Video: .*?([\d.]+) fps", told)
    fps = min(MOST_FPS, _exact(float(rate[1])) if rate else FPS)
    frames = partial(_decoded, path, fps)
    with closing(frames()) as few:
        if next(few, None) is None:
            raise garbled
    lasts = re.search(r"Duration: (\d+):(\d+):([\d.]+)", told)
    seconds = int(lasts[1]) * 3600 + int(lasts[2]) * 60 + float(lasts[3]) if lasts else 0.0
    return Film(frames, round(fps * seconds), fps, path)


def _decoded(path: Path, fps: float) -> Generator[Picture, None, None]:
    """As PPM, in which each frame says its own size. Ends where the file does, also in the middle of a frame.

    Frames that last differently long, as telephones film them, come evenly, so that the sound fits.
    """
    import numpy as np

    more = ["-loglevel", "quiet", "-i", f"file:{path.absolute()}", "-map", "0:v:0", "-f", "image2pipe"]
    command = [*_ffmpeg(), *more, "-r", f"{fps}", "-c:v", "ppm", "pipe:1"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL)
    assert process.stdout is not None
    try:
        while process.stdout.readline().strip() == b"P6":
            width, height = map(int, process.stdout.readline().split())
            process.stdout.readline()
            values = process.stdout.read(3 * width * height)
            if len(values) < 3 * width * height:
                return
            yield Picture(np.frombuffer(values, np.uint8).reshape(height, width, 3))
    finally:
        process.kill()
        process.stdout.close()
        process.wait()


def _ffmpeg() -> list[str]:
    import imageio_ffmpeg

    try:
        program = imageio_ffmpeg.get_ffmpeg_exe()
    except RuntimeError as error:
        raise api.BadInput(
            "Films need ffmpeg, which is not there.", "Use a GIF, a WebP or a folder of frames, or install ffmpeg."
        ) from error
    return [program, "-hide_banner", "-nostdin", "-protocol_whitelist", "file,pipe"]


def _exact(fps: float) -> float:
    """The rates of television, which ffmpeg tells with two digits: 23.98 is 24,000 / 1,001."""
    return next((rate for rate in (whole * 1000 / 1001 for whole in (24, 30, 60, 120)) if abs(rate - fps) < 0.006), fps)


def _picture(frame: Any) -> Picture:
    import numpy as np

    values = np.asarray(frame)
    if values.shape[2] == 3:
        return Picture(values)
    return Picture(np.ascontiguousarray(values[..., :3]), np.ascontiguousarray(values[..., 3]))


def _natural(path: Path) -> list[tuple[int, str]]:
    return [(int(part), "") if part.isdecimal() else (-1, part.lower()) for part in re.split(r"(\d+)", path.name)]
