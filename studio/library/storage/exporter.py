"""Exports creations to other folders, and converts them if the extension differs."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from studio.core import files
from studio.core.errors import BadInput, StudioError
from studio.core.images import open_picture
from studio.library.creation import Creation, CreationKind
from studio.library.formats import detection, markdown, pillow_guard
from studio.library.storage import animation_encoder, sidecar, writer

if TYPE_CHECKING:
    from PIL.Image import Image

_ALIASES = {".jpeg": ".jpg", ".markdown": ".md", ".m4v": ".mp4"}


def export(creation: Creation, to: Path) -> Path:
    """Copy or convert a creation (see `Library.export`)."""
    source = Path(creation.path)
    if not source.exists():
        raise BadInput(f"The file of {source.name} is missing.")
    target = to / source.name if to.is_dir() and creation.kind is not CreationKind.MODEL else to
    if creation.kind is CreationKind.MODEL:
        return _copy_folder(source, to / source.name if to.is_dir() else to)
    if _extension_of(target) == _extension_of(source) or not target.suffix:
        return _copy_file(source, target if target.suffix else target.with_name(target.name + source.suffix))
    match creation.kind:
        case CreationKind.IMAGE:
            return _convert_image(creation, source, target)
        case CreationKind.ANIMATION:
            return _convert_animation(creation, source, target)
        case CreationKind.TEXT if _extension_of(target) == ".txt":
            files.write_bytes_atomically(target, markdown.read_body(source).encode("utf-8", "replace"))
            return target
    raise BadInput(f"{source.name} cannot be converted to {target.suffix}.", f"Keep {source.suffix}.")


def _extension_of(path: Path) -> str:
    suffix = path.suffix.lower()
    return _ALIASES.get(suffix, suffix)


def _copy_file(source: Path, target: Path) -> Path:
    with files.atomic_write(target) as part:
        shutil.copyfile(source, part)
    recipe = sidecar.read(source).read_recipe()
    if recipe:
        sidecar.write_recipe(target, recipe)
    return target


def _copy_folder(source: Path, target: Path) -> Path:
    if target.exists():
        raise BadInput(f"{target} already exists.", "Choose another name.")
    try:
        shutil.copytree(source, target)
    except OSError as error:
        shutil.rmtree(target, ignore_errors=True)
        raise files.describe_write_error(target, error) from error
    return target


def _convert_image(creation: Creation, source: Path, target: Path) -> Path:
    format = writer.resolve_image_format(target.suffix)
    data, whole = writer.encode_image(open_picture(source), creation.recipe, format)
    files.write_bytes_atomically(target, data)
    if creation.recipe and not whole:
        sidecar.write_recipe(target, creation.recipe)
    return target


def _convert_animation(creation: Creation, source: Path, target: Path) -> Path:
    """Convert an animation at its average frame rate; durations of single frames may change."""
    format = writer.resolve_animation_format(target.suffix)
    if detection.detect_format(source) in detection.VIDEO_FORMATS:
        frames, fps = _decode_video_frames(source), _read_frame_rate(source)
    else:
        with pillow_guard.open_header(source) as image:
            count = getattr(image, "n_frames", 1)
        frames = _read_image_frames(source)
        fps = min(count / creation.duration if creation.duration else 10.0, animation_encoder.MAX_FPS)
    with files.temporary_file(target.parent, target.suffix) as part:
        whole = animation_encoder.encode(part, frames, creation.recipe, fps=fps, loop=True, format=format, sound=source)
        files.commit_file(part, target)
    if creation.recipe and not whole:
        sidecar.write_recipe(target, creation.recipe)
    return target


def _read_image_frames(path: Path) -> Iterator[Image]:
    with pillow_guard.open_header(path) as image:
        for number in range(getattr(image, "n_frames", 1)):
            image.seek(number)
            yield image.convert("RGBA" if image.has_transparency_data else "RGB")


def _decode_video_frames(path: Path) -> Iterator[Image]:
    """Decode and rotate a video with ffmpeg, which writes each frame as a portable pixmap: size, then pixels."""
    import PIL.Image

    command = [*_build_ffmpeg_input(path), "-f", "image2pipe", "-c:v", "ppm", "pipe:1"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    assert process.stdout is not None
    try:
        while process.stdout.readline() == b"P6\n":
            width, height = (int(side) for side in process.stdout.readline().split())
            process.stdout.readline()  # the highest value, 255
            yield PIL.Image.frombytes("RGB", (width, height), process.stdout.read(width * height * 3))
        if process.wait():
            raise StudioError(f"{path.name} could not be decoded to its end.")
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def _read_frame_rate(path: Path) -> float:
    """Return the frames per second that ffmpeg reports, or 24 if it reports none."""
    done = subprocess.run(_build_ffmpeg_input(path), capture_output=True, check=False, timeout=60)
    found = re.search(r"([\d.]+) fps", done.stderr.decode("utf-8", "replace"))
    return min(float(found[1]), animation_encoder.MAX_FPS) if found and float(found[1]) > 0 else 24.0


def _build_ffmpeg_input(path: Path) -> list[str]:
    return [
        animation_encoder.find_ffmpeg(),
        "-hide_banner",
        "-nostdin",
        "-protocol_whitelist",
        "file,pipe",
        "-i",
        f"file:{path}",
    ]
