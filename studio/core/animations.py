"""Reads the frames of animated images and videos, each with the time for which it is shown.

Animated images are read with Pillow, videos with ffmpeg. Frames are upright and have square pixels.
"""

from __future__ import annotations

import queue
import re
import subprocess
import threading
import warnings
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from studio.core import images
from studio.core.errors import BadInput, StudioError
from studio.core.image_limits import check_image
from studio.core.untrusted_files import damage_as_bad_input, open_file, read_or_else

if TYPE_CHECKING:
    from PIL.Image import Image

DEFAULT_RATE = Fraction(24)
DEFAULT_SECONDS = Fraction(1, 10)
"""Time of a frame of an animated image that has none, in all players."""
MAX_SECONDS = Fraction(3600)
"""Longest time of one frame."""
MIN_GIF_SECONDS = Fraction(2, 100)
"""Players show frames of a GIF that are shorter than this for `DEFAULT_SECONDS`."""
_PROBE_TIMEOUT = 60
_TIME_TIMEOUT = 30
"""Seconds to wait for the time of a frame after the frame itself."""
SQUARE_PIXELS = r"scale=w='max(1\,round(iw*max(1\,sar)))':h='max(1\,round(ih/min(1\,sar)))',setsar=1"
"""A filter of ffmpeg that shows each frame in its proportions."""
_TIME_BASE = re.compile(rb"config in time_base: (\d+)/(\d+)")
_FRAME_TIME = re.compile(rb"\bn: *\d+ pts: *(-?\d+|NOPTS) .*?duration: *(\d+)")
_NTSC_RATES = tuple(Fraction(whole * 1000, 1001) for whole in (24, 30, 48, 60, 120, 240))


@dataclass(frozen=True)
class Frame:
    """A frame of an animation, and the seconds for which it is shown."""

    picture: Any
    seconds: Fraction


@dataclass(frozen=True)
class AnimationReader:
    """An animated image or a video, whose frames are decoded on demand; all have one size."""

    decode: Callable[[], Generator[Frame]]
    """Returns the frames from the beginning, as PIL images of mode RGB or RGBA. Close it if it is not used up."""
    count: int
    """Number of frames; an estimate for a video, and 0 where it is not known."""
    rate: Fraction
    """Frames a second, on average."""
    sound: Path | None = None
    """The file, if it may have a sound track."""


def image_of(frame: Any) -> Any:
    """Return the picture of a `Frame`; a picture is returned as it is."""
    return frame.picture if isinstance(frame, Frame) else frame


def find_ffmpeg() -> str:
    """Return the path of the ffmpeg executable. Raises StudioError if there is none."""
    import imageio_ffmpeg

    try:
        return str(imageio_ffmpeg.get_ffmpeg_exe())
    except RuntimeError as error:
        raise StudioError(
            "Videos need ffmpeg, which was not found.", "Install ffmpeg, or use WebP or GIF instead of a video."
        ) from error


def build_input(path: Path) -> list[str]:
    """Return the start of an ffmpeg command that reads a file and opens no other, whatever the file refers to."""
    quiet = [find_ffmpeg(), "-hide_banner", "-nostdin", "-nostats"]
    return [*quiet, "-protocol_whitelist", "file,pipe", "-i", f"file:{path.absolute()}"]


def to_rate(fps: float) -> Fraction:
    """Return a frame rate as a fraction. Rates of NTSC that were rounded become exact: 29.97 is 30,000 / 1,001."""
    rate = Fraction(fps)
    nearest = min(_NTSC_RATES, key=lambda exact: abs(exact - rate))
    return nearest if abs(nearest - rate) < Fraction(6, 1000) else rate.limit_denominator(1001)


def open_animation(path: Path) -> AnimationReader:
    """Open an animated image or a video. Raises BadInput for a file that cannot be read or has only one frame."""
    with damage_as_bad_input(path), open_file(path) as file:
        head = file.read(16)
    is_image = head.startswith((b"\x89PNG", b"GIF8")) or head[8:12] == b"WEBP" or head[4:12] == b"ftypavis"
    return _open_animated_image(path) if is_image else _open_video(path)


def _open_animated_image(path: Path) -> AnimationReader:
    images.open_picture(path)
    seconds, count = Fraction(0), 0
    for frame in _decode_image(path):
        seconds, count = seconds + frame.seconds, count + 1
    if count < 2:
        raise BadInput(f"{path.name} is not animated: it has one frame.", "Choose an animation or a video.")
    return AnimationReader(partial(_decode_image, path), count, count / seconds)


def _decode_image(path: Path) -> Generator[Frame]:
    """Decode an animated image up to the first damaged frame."""
    with images.open_undecoded(path) as image:
        orientation = images.read_orientation(image)
        is_gif = image.format == "GIF"
        for number in range(int(getattr(image, "n_frames", 1))):
            if not read_or_else(False, _load_frame, image, number):
                return
            picture = image.convert("RGBA" if image.has_transparency_data else "RGB")
            seconds = _to_seconds(image.info.get("duration", 0), is_gif=is_gif)
            yield Frame(images.apply_orientation(picture, orientation), seconds)


def _load_frame(image: Image, number: int) -> bool:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        image.seek(number)
        check_image(image, "A frame")
        image.load()
    return True


def _to_seconds(milliseconds: object, *, is_gif: bool) -> Fraction:
    try:
        seconds = Fraction(milliseconds).limit_denominator(10**7) / 1000  # type: ignore[call-overload]
    except (TypeError, ValueError, OverflowError):
        return DEFAULT_SECONDS
    if seconds <= 0 or (is_gif and seconds < MIN_GIF_SECONDS):
        return DEFAULT_SECONDS
    return min(Fraction(seconds), MAX_SECONDS)


def _open_video(path: Path) -> AnimationReader:
    unreadable = BadInput(f"{path.name} cannot be read as a video, or has no frames.", "Choose another file.")
    try:
        finished = subprocess.run(build_input(path), capture_output=True, check=False, timeout=_PROBE_TIMEOUT)
    except subprocess.TimeoutExpired as error:
        raise unreadable from error
    report = finished.stderr.decode(errors="replace")
    found = re.search(r"Video: .*?([\d.]+) fps", report)
    rate = (to_rate(float(found[1])) if found else DEFAULT_RATE) or DEFAULT_RATE
    decode = partial(_decode_video, path)
    with closing(decode()) as frames:
        if next(frames, None) is None:
            raise unreadable
    duration = re.search(r"Duration: (\d+):(\d+):([\d.]+)", report)
    seconds = int(duration[1]) * 3600 + int(duration[2]) * 60 + float(duration[3]) if duration else 0.0
    return AnimationReader(decode, round(rate * Fraction(seconds)), rate, path)


def _decode_video(path: Path) -> Generator[Frame]:
    """Decode a video. Ends with the file, even in the middle of a frame.

    The first frame is shown from the beginning of the file, so that a sound that begins earlier stays in step.
    """
    command = [*build_input(path), "-map", "0:v:0", "-vf", f"{SQUARE_PIXELS},showinfo=checksum=0"]
    command += ["-fps_mode", "passthrough", "-f", "image2pipe", "-c:v", "ppm", "pipe:1"]
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stderr is not None
    times: queue.Queue[tuple[Fraction, Fraction] | None] = queue.Queue()
    reader = threading.Thread(target=_read_times, args=(process.stderr, times), daemon=True)
    reader.start()
    try:
        yield from _measure_frames(_read_pixmaps(process.stdout), _list_times(times))
    finally:
        process.kill()
        process.wait()
        reader.join()
        process.stdout.close()
        process.stderr.close()


def _measure_frames(pictures: Iterable[Image], times: Iterator[tuple[Fraction, Fraction]]) -> Generator[Frame]:
    """Yield each picture with the time until the next one. One whose time is not later than that before is skipped."""
    shown: Image | None = None
    begin = end = Fraction(0)
    for picture in pictures:
        time, duration = next(times, (end, Fraction(0)))
        if shown is None:
            shown = picture
        elif time > begin:
            yield Frame(shown, min(time - begin, MAX_SECONDS))
            shown, begin = picture, time
        else:
            shown = picture
            continue
        end = max(time, begin) + (duration or 1 / DEFAULT_RATE)
    if shown is not None:
        yield Frame(shown, min(end - begin, MAX_SECONDS))


def _read_pixmaps(stream: IO[bytes]) -> Iterator[Image]:
    """Yield the pictures of a stream of portable pixmaps: size, highest value, pixels."""
    import PIL.Image

    while stream.readline().strip() == b"P6":
        width, height = map(int, stream.readline().split())
        stream.readline()
        values = stream.read(3 * width * height)
        if len(values) < 3 * width * height:
            return
        yield PIL.Image.frombytes("RGB", (width, height), values)


def _read_times(log: IO[bytes], times: queue.Queue[tuple[Fraction, Fraction] | None]) -> None:
    """Put (time, duration) of each frame into the queue, in seconds, as ffmpeg's filter `showinfo` reports them."""
    unit = Fraction(1, 90_000)
    for line in log:
        if found := _TIME_BASE.search(line):
            unit = Fraction(int(found[1]), int(found[2]) or 1)
        elif (found := _FRAME_TIME.search(line)) and found[1] != b"NOPTS":
            times.put((int(found[1]) * unit, int(found[2]) * unit))
    times.put(None)


def _list_times(times: queue.Queue[tuple[Fraction, Fraction] | None]) -> Iterator[tuple[Fraction, Fraction]]:
    while True:
        try:
            time = times.get(timeout=_TIME_TIMEOUT)
        except queue.Empty:
            return
        if time is None:
            return
        yield time
