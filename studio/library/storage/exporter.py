"""Exports creations to other folders, and converts them if the extension differs."""

from __future__ import annotations

import shutil
from pathlib import Path

from studio.core import animations, files
from studio.core.errors import BadInput
from studio.core.images import open_picture
from studio.library.creation import Creation, CreationKind
from studio.library.formats import markdown
from studio.library.storage import animation_encoder, sidecar, writer

_ALIASES = {".jpeg": ".jpg", ".markdown": ".md", ".m4v": ".mp4", ".apng": ".png"}


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
    """Convert an animation. Each frame keeps its time."""
    format = writer.resolve_animation_format(target.suffix)
    animation = animations.open_animation(source)
    with files.temporary_file(target.parent, target.suffix) as part:
        whole = animation_encoder.encode(
            part,
            animation.decode(),
            creation.recipe,
            fps=min(float(animation.rate), animation_encoder.MAX_FPS),
            loop=True,
            format=format,
            sound=animation.sound,
        )
        files.commit_file(part, target)
    if creation.recipe and not whole:
        sidecar.write_recipe(target, creation.recipe)
    return target
