"""Encodes animations frame by frame: MP4 with ffmpeg, WebP, APNG and GIF with Pillow.

Every frame keeps its time, and rounding to the units of a format does not add up.
"""

from __future__ import annotations

import math
import subprocess
import tempfile
from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from studio.core import animations, files
from studio.core.animations import Frame
from studio.core.errors import BadInput, StudioError
from studio.core.recipe import Recipe
from studio.library.foreign import a1111
from studio.library.formats import apng, gif, pixels, png, raw_matroska, webp
from studio.library.formats.frame_times import TimeRounder
from studio.library.storage import recipe_embedding

if TYPE_CHECKING:
    from PIL.Image import Image

MAX_FPS = 240.0
TIME_SCALE = 360_000
"""Units a second in which the times of frames at 24, 25, 30, 60 and NTSC's rates, and milliseconds, are exact."""
_MAX_TIME_SCALE = 2**26
MAX_COMMENT = 2**20
"""Maximum bytes of a recipe in an MP4's comment. A longer recipe goes into the sidecar."""


class _FramesError(Exception):
    """Wraps an OSError of the frame source, to tell it from errors of the file that is being written."""

    def __init__(self, error: OSError) -> None:
        self.error = error


@dataclass(frozen=True)
class _Checked(Frame):
    """A frame whose picture is an image of mode L, RGB or RGBA."""

    has_own_time: bool


def encode(
    path: Path,
    frames: Iterable[Any],
    recipe: Recipe | None,
    *,
    fps: float,
    loop: bool,
    format: str,
    sound: Path | None = None,
    on_frame: Callable[[int], None] | None = None,
) -> bool:
    """Write the animation to `path`, in place. Return whether the file contains the whole recipe.

    Raises the errors of `writer.save_animation`.
    """
    if not (math.isfinite(fps) and 0 < fps <= MAX_FPS):
        raise BadInput(f"An animation cannot have {fps:g} frames a second.", f"Choose up to {MAX_FPS:g}.")
    rate = animations.to_rate(fps)
    stream = _check_frames(frames, 1 / rate, on_frame)
    try:
        first = next(stream, None)
        if first is None:
            raise StudioError("The animation has no frames.")
        every = chain((first,), stream)
        match format:
            case "mp4":
                return _encode_mp4(path, first, every, recipe, rate, sound)
            case "webp":
                return _encode_webp(path, first, every, recipe, loop)
            case "png":
                return _encode_apng(path, first, every, recipe, loop)
            case _:
                return _encode_gif(path, first, every, recipe, loop)
    except _FramesError as failed:
        raise failed.error from failed.error.__cause__
    except OSError as error:
        raise files.describe_write_error(path, error) from error
    finally:
        stream.close()


def _check_frames(
    frames: Iterable[Any], seconds: Fraction, on_frame: Callable[[int], None] | None
) -> Generator[_Checked, None, None]:
    """Yield the frames as images of one size, each with its time. Closes the frame source at the end.

    `seconds` is the time of frames that have none of their own.
    """
    size: tuple[int, int] | None = None
    source = iter(frames)
    try:
        for count, item in enumerate(source, 1):
            frame = item if isinstance(item, Frame) else Frame(item, seconds)
            image = pixels.to_8_bit_image(frame.picture)
            size = size or image.size
            if image.size != size:
                this, that = (f"{width} × {height}" for width, height in (image.size, size))
                raise StudioError(f"Frame {count} is {this}, but the first is {that}.")
            if frame.seconds <= 0:
                raise StudioError(f"Frame {count} is shown for {float(frame.seconds):g} seconds.")
            yield _Checked(image, frame.seconds, frame is item)
            if on_frame:
                on_frame(count)
    except OSError as error:
        raise _FramesError(error) from error
    finally:
        close = getattr(source, "close", None)
        if close:
            close()


def _encode_webp(path: Path, first: _Checked, frames: Iterator[_Checked], recipe: Recipe | None, loop: bool) -> bool:
    size = first.picture.size
    if max(size) > webp.MAX_SIDE:
        raise BadInput(f"A WebP holds at most {webp.MAX_SIDE:,} pixels a side.", "Use MP4.")
    marks = (
        recipe_embedding.build_metadata(recipe, size) if recipe else recipe_embedding.EmbeddedMetadata(b"", b"", True)
    )
    milliseconds = TimeRounder(Fraction(1, 1000))
    with webp.Writer(path, size, loop=loop, icc=pixels.srgb_profile()) as writer:
        for frame in frames:
            image = frame.picture if frame.picture.mode != "L" else frame.picture.convert("RGB")
            writer.add(image, milliseconds.round(frame.seconds))
        writer.finish(exif=marks.exif, xmp=marks.xmp)
    return marks.whole


def _encode_apng(path: Path, first: _Checked, frames: Iterator[_Checked], recipe: Recipe | None, loop: bool) -> bool:
    size = first.picture.size
    chunks = [png.build_profile_chunk(pixels.srgb_profile())]
    chunks += recipe_embedding.build_png_chunks(recipe, size) if recipe else []
    with apng.Writer(path, size, loop=loop, chunks=chunks) as writer:
        for frame in frames:
            writer.add(frame.picture, frame.seconds)
        writer.finish()
    return True


def _encode_gif(path: Path, first: _Checked, frames: Iterator[_Checked], recipe: Recipe | None, loop: bool) -> bool:
    size = first.picture.size
    if max(size) > gif.MAX_SIDE:
        raise BadInput(f"A GIF holds at most {gif.MAX_SIDE:,} pixels a side.", "Use MP4.")
    with gif.Writer(path, size, loop=loop) as writer:
        for frame in frames:
            writer.add(frame.picture, frame.seconds)
        writer.finish()
    if recipe:
        gif.insert_metadata(path, comment=a1111.format_recipe(recipe, size), xmp=recipe_embedding.build_xmp(recipe))
    return True


def _encode_mp4(
    path: Path,
    first: _Checked,
    frames: Iterator[_Checked],
    recipe: Recipe | None,
    rate: Fraction,
    sound: Path | None,
) -> bool:
    comment = recipe.to_json() if recipe else ""
    whole = len(comment.encode()) <= MAX_COMMENT
    with files.temporary_file(path.parent, ".txt") as about, tempfile.TemporaryFile() as errors:
        about.write_text(format_ffmetadata(comment if whole else ""), "utf-8")
        command = _build_command(path, about, rate, sound, is_even=not first.has_own_time)
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=errors)
        try:
            _feed_encoder(process, first, frames)
            status = process.wait()
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
        if status:
            errors.seek(0)
            raise _describe_ffmpeg_error(path, errors.read(65_536).decode("utf-8", "replace"))
    return whole


def _feed_encoder(process: subprocess.Popen[bytes], first: _Checked, frames: Iterator[_Checked]) -> None:
    assert process.stdin is not None
    begin = Fraction(0)
    try:
        process.stdin.write(raw_matroska.pack_header(_pad_to_even(first.picture).size, first.seconds))
        for frame in frames:
            end = begin + frame.seconds
            process.stdin.write(raw_matroska.pack_frame(_pad_to_even(frame.picture).tobytes(), begin, end))
            begin = end
        process.stdin.close()
    except OSError:
        process.wait()  # it ended early; its error output says why
    except BaseException:
        process.kill()
        raise
    finally:
        try:
            process.stdin.close()
        except OSError:
            process.wait()


def _build_command(path: Path, about: Path, rate: Fraction, sound: Path | None, *, is_even: bool) -> list[str]:
    """Build the command. Frames of different times are coded without B-frames, whose order hides the last one's end."""
    inputs = ["-f", "matroska", "-i", "pipe:0", "-f", "ffmetadata", "-i", f"file:{about}"]
    maps = ["-map", "0:v:0", "-map_metadata", "1"]
    if sound is not None and _has_sound(sound):
        inputs += ["-protocol_whitelist", "file", "-i", f"file:{sound}"]
        maps += ["-map", "2:a:0", "-c:a", "aac", "-b:a", "192k"]
        maps += ["-af", "aresample=async=1:first_pts=0,apad", "-shortest"]
    scale = _choose_time_scale(rate)
    times = ["-fps_mode", "passthrough", "-enc_time_base", f"1/{scale}", "-video_track_timescale", f"{scale}"]
    coded = ["-c:v", "libx264", "-preset", "medium", "-crf", "17", "-pix_fmt", "yuv420p", *times]
    coded += [] if is_even else ["-bf", "0"]
    colours = ["-vf", "scale=out_color_matrix=bt709:out_range=tv", "-colorspace", "bt709", "-color_primaries", "bt709"]
    colours += ["-color_trc", "iec61966-2-1", "-color_range", "tv"]
    quiet = [animations.find_ffmpeg(), "-hide_banner", "-nostdin", "-loglevel", "error", "-y"]
    return [*quiet, *inputs, *maps, *coded, *colours, "-movflags", "+faststart", "-f", "mp4", f"file:{path}"]


def _choose_time_scale(rate: Fraction) -> int:
    """Return units a second in which the usual times are exact, and if possible the time of a frame at `rate`."""
    scale = math.lcm(TIME_SCALE, rate.numerator)
    return scale if scale <= _MAX_TIME_SCALE else TIME_SCALE


def _has_sound(sound: Path) -> bool:
    command = [
        animations.find_ffmpeg(),
        "-hide_banner",
        "-nostdin",
        "-protocol_whitelist",
        "file",
        "-i",
        f"file:{sound}",
    ]
    output = subprocess.run(command, capture_output=True, check=False, timeout=60).stderr
    return b"Audio: " in output


def _describe_ffmpeg_error(path: Path, output: str) -> StudioError:
    import errno

    if "No space left on device" in output:
        return files.describe_write_error(path, OSError(errno.ENOSPC, "No space left on device"))
    last = next((line for line in reversed(output.splitlines()) if line.strip()), "it gave no reason")
    return StudioError(f"The video could not be encoded: {last.strip()}.")


def format_ffmetadata(comment: str) -> str:
    """Format ffmpeg's metadata file. Unlike the command line it has no length limit."""
    escaped = "".join(f"\\{letter}" if letter in "=;#\\\n" else letter for letter in comment)
    return f";FFMETADATA1\ncomment={escaped}\n" if comment else ";FFMETADATA1\n"


def _pad_to_even(frame: Image) -> Image:
    """Convert a frame to RGB with even sides, which H.264 needs, by repeating the last row or column."""
    import numpy as np
    import PIL.Image

    flat = pixels.flatten_alpha(frame, (0, 0, 0))
    width, height = flat.size
    if width % 2 == 0 and height % 2 == 0:
        return flat
    return PIL.Image.fromarray(np.pad(np.asarray(flat), ((0, height % 2), (0, width % 2), (0, 0)), mode="edge"))
