"""Exports creations to other folders, and converts them if the extension differs."""

from __future__ import annotations

import shutil
from pathlib import Path

from studio.core import animations, files
from studio.core.errors import BadInput
from studio.core.export_include import Include
from studio.core.images import open_picture
from studio.core.recipe import Recipe
from studio.library.creation import Creation, CreationKind
from studio.library.storage import animation_encoder, export_contents, sidecar, writer

_ALIASES = {".jpeg": ".jpg", ".markdown": ".md", ".m4v": ".mp4", ".apng": ".png"}


def export(creation: Creation, to: Path, include: Include = Include.EVERYTHING) -> Path:
    """Copy or convert a creation (see `Library.export`)."""
    recipe = export_contents.choose_recipe(creation.recipe, include)
    source = Path(creation.path)
    if not source.exists():
        raise BadInput(f"The file of {source.name} is missing.")
    target = to / source.name if to.is_dir() and creation.kind is not CreationKind.MODEL else to
    if creation.kind is CreationKind.MODEL:
        target = _copy_folder(source, to / source.name if to.is_dir() else to)
        export_contents.rewrite_model(creation, target, recipe, include)
        return target
    if _extension_of(target) == _extension_of(source) or not target.suffix:
        target = target if target.suffix else target.with_name(target.name + source.suffix)
        return _copy_file(creation, source, target, recipe, include)
    match creation.kind:
        case CreationKind.IMAGE:
            return _convert_image(recipe, source, target)
        case CreationKind.ANIMATION:
            return _convert_animation(recipe, source, target)
        case CreationKind.TEXT if _extension_of(target) == ".txt":
            files.write_bytes_atomically(
                target, export_contents.read_clean_body(creation, source).encode("utf-8", "replace")
            )
            return target
    raise BadInput(f"{source.name} cannot be converted to {target.suffix}.", f"Keep {source.suffix}.")


def _extension_of(path: Path) -> str:
    suffix = path.suffix.lower()
    return _ALIASES.get(suffix, suffix)


def _copy_file(creation: Creation, source: Path, target: Path, recipe: Recipe | None, include: Include) -> Path:
    """Copy a file byte for byte, or without what is not included."""
    with files.temporary_file(target.parent, target.suffix) as part:
        if export_contents.is_rewritten(creation, recipe, include):
            is_whole = export_contents.rewrite(creation, source, part, recipe)
        else:
            shutil.copyfile(source, part)
            is_whole = sidecar.read(source).read_recipe() is None
        files.commit_file(part, target)
    _write_sidecar(target, None if is_whole else recipe)
    return target


def _write_sidecar(target: Path, recipe: Recipe | None) -> None:
    """Write a recipe that the file does not hold; without one, remove that of an earlier export to this name."""
    if recipe:
        sidecar.write_recipe(target, recipe)
    elif sidecar.sidecar_path(target).exists():
        sidecar.update(target, recipe=None)


def _copy_folder(source: Path, target: Path) -> Path:
    if target.exists():
        raise BadInput(f"{target} already exists.", "Choose another name.")
    try:
        shutil.copytree(source, target)
    except OSError as error:
        shutil.rmtree(target, ignore_errors=True)
        raise files.describe_write_error(target, error) from error
    return target


def _convert_image(recipe: Recipe | None, source: Path, target: Path) -> Path:
    format = writer.resolve_image_format(target.suffix)
    data, whole = writer.encode_image(open_picture(source), recipe, format)
    files.write_bytes_atomically(target, data)
    _write_sidecar(target, None if whole else recipe)
    return target


def _convert_animation(recipe: Recipe | None, source: Path, target: Path) -> Path:
    """Convert an animation. Each frame keeps its time."""
    format = writer.resolve_animation_format(target.suffix)
    animation = animations.open_animation(source)
    with files.temporary_file(target.parent, target.suffix) as part:
        whole = animation_encoder.encode(
            part,
            animation.decode(),
            recipe,
            fps=min(float(animation.rate), animation_encoder.MAX_FPS),
            loop=True,
            format=format,
            sound=animation.sound,
        )
        files.commit_file(part, target)
    _write_sidecar(target, None if whole else recipe)
    return target
