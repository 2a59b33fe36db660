"""Copies of creations elsewhere, converted where another extension is asked for."""

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

_SAME = {".jpeg": ".jpg", ".markdown": ".md", ".m4v": ".mp4"}


def export(creation: Creation, to: Path) -> Path:
    """See `Library.export`."""
    source = Path(creation.path)
    if not source.exists():
        raise BadInput(f"The file of {source.name} is missing.")
    target = to / source.name if to.is_dir() and creation.kind is not CreationKind.MODEL else to
    if creation.kind is CreationKind.MODEL:
        return _folder(source, to / source.name if to.is_dir() else to)
    if _extension(target) == _extension(source) or not target.suffix:
        return _copy(source, target if target.suffix else target.with_name(target.name + source.suffix))
    match creation.kind:
        case CreationKind.IMAGE:
            return _picture(creation, source, target)
        case CreationKind.ANIMATION:
            return _animation(creation, source, target)
        case CreationKind.TEXT if _extension(target) == ".txt":
            files.write_bytes_atomically(target, markdown.body(source).encode("utf-8", "replace"))
            return target
    raise BadInput(f"{source.name} cannot be turned into {target.suffix}.", f"Keep {source.suffix}.")


def _extension(path: Path) -> str:
    suffix = path.suffix.lower()
    return _SAME.get(suffix, suffix)


def _copy(source: Path, target: Path) -> Path:
    with files.atomic_write(target) as part:
        shutil.copyfile(source, part)
    recipe = sidecar.read(source).read_recipe()
    if recipe:
        sidecar.write_recipe(target, recipe)
    return target


def _folder(source: Path, target: Path) -> Path:
    if target.exists():
        raise BadInput(f"{target} is there already.", "Choose another name.")
    try:
        shutil.copytree(source, target)
    except OSError as error:
        shutil.rmtree(target, ignore_errors=True)
        raise files.describe_write_error(target, error) from error
    return target


def _picture(creation: Creation, source: Path, target: Path) -> Path:
    format = writer.image_format(target.suffix)
    data, whole = writer.encoded(open_picture(source), creation.recipe, format)
    files.write_bytes_atomically(target, data)
    if creation.recipe and not whole:
        sidecar.write_recipe(target, creation.recipe)
    return target


def _animation(creation: Creation, source: Path, target: Path) -> Path:
    """Keeps the mean rate; the length of single frames may differ from it."""
    format = writer.animation_format(target.suffix)
    if detection.sniff(source) in detection.FILMS:
        frames, fps = _film_frames(source), _film_rate(source)
    else:
        with pillow_guard.opened(source) as image:
            count = getattr(image, "n_frames", 1)
        frames = _picture_frames(source)
        fps = min(count / creation.duration if creation.duration else 10.0, animation_encoder.MAX_FPS)
    with files.temporary_file(target.parent, target.suffix) as part:
        whole = animation_encoder.encode(part, frames, creation.recipe, fps=fps, loop=True, format=format, sound=source)
        files.commit_file(part, target)
    if creation.recipe and not whole:
        sidecar.write_recipe(target, creation.recipe)
    return target


def _picture_frames(path: Path) -> Iterator[Image]:
    with pillow_guard.opened(path) as image:
        for number in range(getattr(image, "n_frames", 1)):
            image.seek(number)
            yield image.convert("RGBA" if image.has_transparency_data else "RGB")


def _film_frames(path: Path) -> Iterator[Image]:
    """Decoded by ffmpeg, turned as the film says, each as a portable pixmap: its size, then its pixels."""
    import PIL.Image

    command = [*_reading(path), "-f", "image2pipe", "-c:v", "ppm", "pipe:1"]
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


def _film_rate(path: Path) -> float:
    """Frames a second as ffmpeg names them; 24 where it does not."""
    done = subprocess.run(_reading(path), capture_output=True, check=False, timeout=60)
    found = re.search(r"([\d.]+) fps", done.stderr.decode("utf-8", "replace"))
    return min(float(found[1]), animation_encoder.MAX_FPS) if found and float(found[1]) > 0 else 24.0


def _reading(path: Path) -> list[str]:
    return [
        animation_encoder.ffmpeg(),
        "-hide_banner",
        "-nostdin",
        "-protocol_whitelist",
        "file,pipe",
        "-i",
        f"file:{path}",
    ]
