"""Encodes animations frame by frame: MP4 with ffmpeg, WebP and GIF with Pillow."""

from __future__ import annotations

import math
import subprocess
import tempfile
from collections.abc import Callable, Generator, Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from studio.core import files
from studio.core.errors import BadInput, StudioError
from studio.core.recipe import Recipe
from studio.library.foreign import a1111
from studio.library.formats import gif, pixels, webp, xmp
from studio.library.storage import recipe_embedding

if TYPE_CHECKING:
    from PIL.Image import Image

MAX_FPS = 240.0
MAX_COMMENT = 2**20
"""Maximum bytes of a recipe in an MP4's comment. A longer recipe goes into the sidecar."""
_NO_FFMPEG = "MP4 needs ffmpeg, which was not found."


class _FrameSourceError(Exception):
    """Wraps an OSError of the frame source, to tell it from errors of the file that is being written."""

    def __init__(self, error: OSError) -> None:
        self.error = error


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
    stream = _check_frames(frames, on_frame)
    try:
        first = next(stream, None)
        if first is None:
            raise StudioError("The animation has no frames.")
        match format:
            case "mp4":
                return _encode_mp4(path, first, stream, recipe, fps, sound)
            case "webp":
                return _encode_webp(path, first, stream, recipe, fps, loop)
            case _:
                return _encode_gif(path, first, stream, recipe, fps, loop)
    except _FrameSourceError as failed:
        raise failed.error from failed.error.__cause__
    except OSError as error:
        raise files.describe_write_error(path, error) from error
    finally:
        stream.close()


def _check_frames(frames: Iterable[Any], on_frame: Callable[[int], None] | None) -> Generator[Any, None, None]:
    """Yield the frames as images of one size. Closes the frame source at the end."""
    size: tuple[int, int] | None = None
    source = iter(frames)
    try:
        for count, frame in enumerate(source, 1):
            image = pixels.to_8_bit_image(frame)
            size = size or image.size
            if image.size != size:
                this, that = (f"{width} × {height}" for width, height in (image.size, size))
                raise StudioError(f"Frame {count} is {this}, but the first is {that}.")
            yield image
            if on_frame:
                on_frame(count)
    except OSError as error:
        raise _FrameSourceError(error) from error
    finally:
        close = getattr(source, "close", None)
        if close:
            close()


def _encode_webp(path: Path, first: Image, rest: Iterator[Any], recipe: Recipe | None, fps: float, loop: bool) -> bool:
    if max(first.size) > webp.MAX_SIDE:
        raise BadInput(f"A WebP holds at most {webp.MAX_SIDE:,} pixels a side.", "Use MP4.")
    marks = (
        recipe_embedding.build_metadata(recipe, first.size)
        if recipe
        else recipe_embedding.EmbeddedMetadata(b"", b"", True)
    )
    with webp.Writer(path, first.size, loop=loop, icc=pixels.srgb_profile()) as writer:
        for frame, milliseconds in zip(chain((first,), rest), _round_durations(1000 / fps), strict=False):
            writer.add(frame if frame.mode != "L" else frame.convert("RGB"), milliseconds)
        writer.finish(exif=marks.exif, xmp=marks.xmp)
    return marks.whole


def _encode_gif(path: Path, first: Image, rest: Iterator[Any], recipe: Recipe | None, fps: float, loop: bool) -> bool:
    if max(first.size) > 65_535:
        raise BadInput("A GIF holds at most 65,535 pixels a side.", "Use MP4.")
    more: dict[str, Any] = {"loop": 0} if loop else {}
    milliseconds = max(
        20, round(100 / fps) * 10
    )  # GIF counts hundredths, and players slow down frames shorter than two
    with path.open("wb") as file:
        first.save(file, "GIF", save_all=True, append_images=rest, duration=milliseconds, optimize=False, **more)
    if recipe:
        gif.insert_metadata(
            path, comment=a1111.format_recipe(recipe, first.size), xmp=xmp.build_packet(recipe.to_json())
        )
    return True


def _encode_mp4(
    path: Path, first: Image, rest: Iterator[Any], recipe: Recipe | None, fps: float, sound: Path | None
) -> bool:
    comment = recipe.to_json() if recipe else ""
    whole = len(comment.encode()) <= MAX_COMMENT
    with files.temporary_file(path.parent, ".txt") as about, tempfile.TemporaryFile() as errors:
        about.write_text(_format_ffmetadata(comment if whole else ""), "utf-8")
        command = _build_command(path, _pad_to_even(first).size, about, fps, sound)
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=errors)
        try:
            _feed_encoder(process, chain((first,), rest))
            status = process.wait()
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
        if status:
            errors.seek(0)
            raise _describe_ffmpeg_error(path, errors.read(65_536).decode("utf-8", "replace"))
    return whole


def _feed_encoder(process: subprocess.Popen[bytes], frames: Iterator[Image]) -> None:
    assert process.stdin is not None
    try:
        for frame in frames:
            process.stdin.write(_pad_to_even(frame).tobytes())
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


def _build_command(path: Path, size: tuple[int, int], about: Path, fps: float, sound: Path | None) -> list[str]:
    raw = ["-f", "rawvideo", "-pixel_format", "rgb24", "-video_size", f"{size[0]}x{size[1]}"]
    raw += ["-framerate", f"{fps:.6g}"]
    inputs = [*raw, "-i", "pipe:0", "-f", "ffmetadata", "-i", f"file:{about}"]
    maps = ["-map", "0:v:0", "-map_metadata", "1"]
    if sound is not None and _has_sound(sound):
        inputs += ["-protocol_whitelist", "file", "-i", f"file:{sound}"]
        maps += ["-map", "2:a:0", "-c:a", "aac", "-b:a", "192k", "-af", "apad", "-shortest"]
    coded = ["-c:v", "libx264", "-preset", "medium", "-crf", "17", "-pix_fmt", "yuv420p"]
    colours = ["-vf", "scale=out_color_matrix=bt709:out_range=tv", "-colorspace", "bt709", "-color_primaries", "bt709"]
    colours += ["-color_trc", "iec61966-2-1", "-color_range", "tv"]
    quiet = [find_ffmpeg(), "-hide_banner", "-nostdin", "-loglevel", "error", "-y"]
    return [*quiet, *inputs, *maps, *coded, *colours, "-movflags", "+faststart", "-f", "mp4", f"file:{path}"]


def find_ffmpeg() -> str:
    """Return the path of the ffmpeg executable. Raises StudioError if there is none."""
    import imageio_ffmpeg

    try:
        return str(imageio_ffmpeg.get_ffmpeg_exe())
    except RuntimeError as error:
        raise StudioError(_NO_FFMPEG, "Save as WebP or GIF, or install ffmpeg.") from error


def _has_sound(sound: Path) -> bool:
    command = [find_ffmpeg(), "-hide_banner", "-nostdin", "-protocol_whitelist", "file", "-i", f"file:{sound}"]
    output = subprocess.run(command, capture_output=True, check=False, timeout=60).stderr
    return b"Audio: " in output


def _describe_ffmpeg_error(path: Path, output: str) -> StudioError:
    import errno

    if "No space left on device" in output:
        return files.describe_write_error(path, OSError(errno.ENOSPC, "No space left on device"))
    last = next((line for line in reversed(output.splitlines()) if line.strip()), "it gave no reason")
    return StudioError(f"The video could not be encoded: {last.strip()}.")


def _format_ffmetadata(comment: str) -> str:
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


def _round_durations(step: float) -> Iterator[int]:
    """Yield frame durations in whole milliseconds whose sum does not drift from the true time."""
    count = 0
    while True:
        yield round((count + 1) * step) - round(count * step)
        count += 1
