"""Exports creations to other folders, and converts them if the extension differs."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from studio.core import animations, files, private_paths
from studio.core.errors import BadInput
from studio.core.export_include import Include
from studio.core.images import open_picture
from studio.core.recipe import Recipe
from studio.core.training_record import MODEL_FOLDER
from studio.library.creation import MODEL_FILE, Creation, CreationKind
from studio.library.storage import (
    animation_encoder,
    export_contents,
    model_archive,
    model_folder,
    sidecar,
    writer,
)

_ALIASES = {".jpeg": ".jpg", ".markdown": ".md", ".m4v": ".mp4", ".apng": ".png"}


def export(creation: Creation, to: Path, include: Include = Include.EVERYTHING) -> Path:
    """Copy or convert a creation (see `Library.export`)."""
    recipe = export_contents.choose_recipe(creation.recipe, include)
    source = Path(creation.path)
    if not source.exists():
        raise BadInput(f"The file of {source.name} is missing.")
    if creation.kind is CreationKind.MODEL:
        return _export_model(creation, source, to, recipe, include)
    target = to / source.name if to.is_dir() else to
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


def _export_model(creation: Creation, source: Path, to: Path, recipe: Recipe | None, include: Include) -> Path:
    """Copy a model under its name, as a folder, or as one file where `to` has the extension of archives."""
    target = to / writer.sanitize_name(creation.title) if to.is_dir() else to
    if target.suffix.lower() == model_archive.SUFFIX:
        with files.atomic_write(target) as part:
            _pack_model(creation, source, part, target.stem, recipe, include)
        return target
    if target.exists():
        raise BadInput(f"{target} already exists.", "Choose another name.")
    try:
        shutil.copytree(source, target)
        export_contents.rewrite_model(creation, target, recipe, include)
    except OSError as error:
        shutil.rmtree(target, ignore_errors=True)
        raise files.describe_write_error(target, error) from error
    return target


def _pack_model(
    creation: Creation, source: Path, part: Path, name: str, recipe: Recipe | None, include: Include
) -> None:
    """Pack a model's files from where they are. Only those that say something about it are copied and rewritten."""
    has_paths = bool(creation.recipe and private_paths.find_paths(creation.recipe))
    packed = dict(writer.list_model_files(source))
    with tempfile.TemporaryDirectory(dir=part.parent, prefix=files.PART) as folder:
        copy = Path(folder, "model")
        for relative, path in packed.items():
            if has_paths or relative in (MODEL_FILE, model_folder.CARD):
                (copy / relative).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(path, copy / relative)
                packed[relative] = copy / relative
        export_contents.rewrite_model(creation, copy, recipe, include)
        if include is Include.NOTHING:
            packed = {name: path for name, path in packed.items() if not name.startswith(f"{MODEL_FOLDER}/")}
        kept = [(relative, path) for relative, path in packed.items() if path.exists()]
        model_archive.pack(kept, writer.sanitize_name(name), part)


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
