"""Readers for the frames of animations: MP4 through ffmpeg, GIF and WebP through Qt."""

from __future__ import annotations

import os
import re
import subprocess
import threading
from collections.abc import Generator
from pathlib import Path
from typing import IO, NamedTuple, Protocol

from PySide6.QtGui import QImage, QImageReader

from studio.core.errors import BadInput, StudioError
from studio.core.untrusted_files import damage_as_bad_input, refuse_devices

MIN_DELAY = 0.02
"""Seconds. A shorter delay is replaced by `DEFAULT_DELAY`, as browsers do."""
DEFAULT_DELAY = 0.1
MAX_FRAME_PIXELS = 64 * 10**6
"""Largest number of pixels of a frame."""

_NO_WINDOW = getattr(subprocess, "CREATE_NO_WINDOW", 0)
"""Flag that keeps Windows from opening a console window for ffmpeg."""


class Frame(NamedTuple):
    """An image, and the seconds for which it is shown."""

    image: QImage
    seconds: float

    @property
    def size(self) -> int:
        return self.image.sizeInBytes()


class Clip(Protocol):
    """An animation file. All methods but `stop` are called on a thread."""

    def count(self) -> int:
        """Return the number of frames. Raises BadInput for a file that cannot be played."""

    def frames(self, start: int) -> Generator[Frame, None, None]:
        """Yield the frames from `start` to the end."""

    def stop(self) -> None:
        """End all reading, from any thread. Nothing can be read afterwards."""


def open_clip(path: Path) -> Clip:
    return QtClip(path) if path.suffix.lower() in (".gif", ".webp") else VideoClip(path)


def _refuse_devices(path: Path) -> None:
    with damage_as_bad_input(path):
        refuse_devices(path)


class QtClip:
    def __init__(self, path: Path) -> None:
        self._path = path
        self._stopped = False

    def count(self) -> int:
        _refuse_devices(self._path)
        reader = self._reader()
        size = reader.size()
        if not reader.canRead():
            raise BadInput(f"{self._path.name} is not a playable animation.")
        if size.width() * size.height() > MAX_FRAME_PIXELS:
            raise BadInput(f"{self._path.name} is too large to play.")
        return reader.imageCount() or sum(1 for _ in self.frames(0))

    def frames(self, start: int) -> Generator[Frame, None, None]:
        reader = self._reader()
        number = 0
        while not self._stopped and reader.canRead():
            image = reader.read()
            if image.isNull():
                break
            seconds = reader.nextImageDelay() / 1000
            if number >= start:
                yield Frame(image, seconds if seconds >= MIN_DELAY else DEFAULT_DELAY)
            number += 1
        if number == 0 and not self._stopped:
            raise BadInput(f"{self._path.name} is damaged and cannot be played.")

    def stop(self) -> None:
        self._stopped = True

    def _reader(self) -> QImageReader:
        reader = QImageReader(str(self._path))
        reader.setDecideFormatFromContent(True)
        return reader


class VideoClip:
    """A video. ffmpeg runs as a child process and writes each frame as a PPM, which contains its size."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._input = ("-protocol_whitelist", "file,pipe", "-i", f"file:{path.absolute()}")
        self._rate = 0.0
        self._lock = threading.Lock()
        self._child: subprocess.Popen[bytes] | None = None
        self._stopped = False

    def count(self) -> int:
        _refuse_devices(self._path)
        child = self._start(*self._input, "-map", "0:v:0", "-c", "copy", "-f", "null", "-")
        report = child.communicate()[1].decode(errors="replace")
        frames = re.findall(r"frame=\s*(\d+)", report)
        rate = re.search(r"Video:.*?([\d.]+) fps", report) or re.search(r"Video:.*?([\d.]+) tbr", report)
        size = re.search(r"Video:.*?\b(\d{2,5})x(\d{2,5})\b", report)
        if child.returncode or not frames or int(frames[-1]) == 0:
            raise BadInput(f"{self._path.name} is not a playable animation.")
        if size and int(size[1]) * int(size[2]) > MAX_FRAME_PIXELS:
            raise BadInput(f"{self._path.name} is too large to play.")
        self._rate = float(rate[1]) if rate and float(rate[1]) > 0 else 25.0
        return int(frames[-1])

    def frames(self, start: int) -> Generator[Frame, None, None]:
        rate = self._rate
        seek = ("-ss", f"{(start - 0.5) / rate:.6f}") if start else ()
        child = self._start(
            "-v", "error", *seek, *self._input, "-map", "0:v:0",
            "-fps_mode", "passthrough", "-f", "image2pipe", "-c:v", "ppm", "-",
        )  # fmt: skip
        assert child.stdout is not None
        try:
            while image := _read_ppm(child.stdout):
                yield Frame(image, 1 / rate)
        finally:
            self._stop_child(child)

    def stop(self) -> None:
        with self._lock:
            self._stopped = True
            if self._child is not None:
                self._child.kill()

    def _start(self, *arguments: str) -> subprocess.Popen[bytes]:
        import imageio_ffmpeg

        with self._lock:
            if self._stopped:
                raise StudioError("The animation was closed.")
            try:
                program = imageio_ffmpeg.get_ffmpeg_exe()
                self._child = subprocess.Popen(
                    [program, "-nostdin", "-hide_banner", *arguments],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.DEVNULL if "error" in arguments else subprocess.PIPE,
                    creationflags=_NO_WINDOW,
                    env={**os.environ, "AV_LOG_FORCE_NOCOLOR": "1"},
                )
            except (OSError, RuntimeError) as error:
                raise StudioError(
                    "Videos cannot be played because ffmpeg is missing.", "Install imageio-ffmpeg."
                ) from error
            return self._child

    def _stop_child(self, child: subprocess.Popen[bytes]) -> None:
        child.kill()
        if child.stdout is not None:
            child.stdout.close()
        child.wait()
        with self._lock:
            if self._child is child:
                self._child = None


def _read_ppm(stream: IO[bytes]) -> QImage | None:
    """Return the next frame, or None at the end."""
    if stream.readline() != b"P6\n":
        return None
    width, height = map(int, stream.readline().split())
    stream.readline()
    pixels = stream.read(width * height * 3)
    if len(pixels) < width * height * 3:
        return None
    return QImage(pixels, width, height, width * 3, QImage.Format.Format_RGB888)
