"""What an exported file says about how it was made, and files rewritten accordingly."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import msgspec
from msgspec.structs import replace

from studio.core import edited_json, files, private_paths
from studio.core.errors import BadInput
from studio.core.export_include import Include
from studio.core.recipe import Recipe
from studio.core.training_record import MODEL_FOLDER
from studio.core.untrusted_files import read_file, read_or_else
from studio.library.creation import MODEL_FILE, Creation, CreationKind
from studio.library.foreign import a1111
from studio.library.formats import detection, gif, markdown, metadata_stripping, pillow_guard
from studio.library.storage import animation_encoder, model_folder, recipe_embedding


def choose_recipe(recipe: Recipe | None, include: Include) -> Recipe | None:
    """Return the recipe for an export, without paths; None for none."""
    if recipe is None or include is Include.NOTHING:
        return None
    clean = private_paths.clean_recipe(recipe)
    return replace(clean, created="", notes={}, parents=[]) if include is Include.RECIPE else clean


def describe_contents(creation: Creation, include: Include) -> str:
    """Return a line that says what an export of a creation will include."""
    if include is Include.NOTHING:
        return f"Included: nothing but the {creation.kind.value} itself."
    recipe = choose_recipe(creation.recipe, include)
    if recipe is None:
        came_with = "the metadata that the file came with" if include is Include.EVERYTHING else "nothing"
        return f"Included: {came_with}. It was not made here."
    inputs = len(set(recipe.inputs.values()))
    parts = ["prompt and settings", "seed"]
    parts += [", ".join(model.name for model in recipe.models)] if recipe.models else []
    parts += [f"hash{'es' if inputs > 1 else ''} of {inputs} input{'s' if inputs > 1 else ''}"] if inputs else []
    parts += ["versions"] if recipe.versions else []
    parts += ["time"] if recipe.created else []
    parts += [f"notes ({', '.join(recipe.notes)})"] if recipe.notes else []
    parts += ["model card", "record of the training"] if creation.kind is CreationKind.MODEL else []
    return f"Included: {', '.join(parts)}. No paths of this computer."


def rewrite(creation: Creation, source: Path, target: Path, recipe: Recipe | None) -> bool:
    """Copy a file to `target` with this recipe, or none, as its only metadata. Return whether it holds the recipe.

    Pixels and sound are not encoded anew. Raises BadInput for a format whose metadata cannot be removed.
    """
    format = detection.detect_format(source)
    size = (creation.width, creation.height)
    if format in detection.VIDEO_FORMATS:
        comment = recipe.to_json() if recipe and format == "mp4" else ""
        is_whole = len(comment.encode()) <= animation_encoder.MAX_COMMENT
        tags = animation_encoder.format_ffmetadata(comment if is_whole else "")
        metadata_stripping.strip_video(source, target, metadata=tags)
        return recipe is None or bool(comment and is_whole)
    if format == "text":
        return _rewrite_text(creation, source, target, recipe)
    data = metadata_stripping.strip_image(source)
    if recipe is None or format == "avif":
        target.write_bytes(data)
        return recipe is None
    metadata = recipe_embedding.build_metadata(recipe, size, jpeg=format == "jpeg")
    exif = metadata.exif.removeprefix(b"Exif\0\0")
    match format:
        case "png":
            chunks = recipe_embedding.build_png_chunks(recipe, size)
            target.write_bytes(metadata_stripping.join_png(metadata_stripping.read_png_chunks(data), chunks))
            return True
        case "gif":
            target.write_bytes(data)
            comment = a1111.format_recipe(recipe, size)
            gif.insert_metadata(target, comment=comment, xmp=recipe_embedding.build_xmp(recipe))
            return True
        case "jpeg":
            target.write_bytes(metadata_stripping.insert_in_jpeg(data, exif, metadata.xmp))
        case _:
            chunks = metadata_stripping.read_webp_chunks(data)
            target.write_bytes(metadata_stripping.join_webp(chunks, exif, metadata.xmp))
    return metadata.whole


def read_without_paths(path: Path) -> bytes:
    """Return the bytes of an image; with a clean recipe, where that of an earlier version names paths."""
    recipe = read_or_else(None, recipe_embedding.read_recipe, path)
    if recipe is None or not private_paths.find_paths(recipe):
        return path.read_bytes()
    with pillow_guard.open_header(path) as image:
        width, height = image.size
    creation = Creation(
        id="", path=str(path), kind=CreationKind.IMAGE, tool=recipe.tool, recipe=recipe, width=width, height=height
    )
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder, path.name)
        rewrite(creation, path, target, choose_recipe(recipe, Include.EVERYTHING))
        return target.read_bytes()


def read_clean_body(creation: Creation, source: Path) -> str:
    """Return a text without front matter, and without the paths that an old recipe names."""
    body = markdown.read_body(source)
    paths = private_paths.find_paths(creation.recipe) if creation.recipe else ()
    return private_paths.clean_text(body, paths) if paths else body


def _rewrite_text(creation: Creation, source: Path, target: Path, recipe: Recipe | None) -> bool:
    body = read_clean_body(creation, source)
    title = markdown.read_front_matter(source).get("title", "")
    data = markdown.compose(body, title, recipe.to_json()) if recipe else body.encode("utf-8", "replace")
    target.write_bytes(data)
    return True


def rewrite_model(creation: Creation, folder: Path, recipe: Recipe | None, include: Include) -> None:
    """Write a recipe, or none, and the present name into the copy of a trained model's folder.

    Its id changes with that, so the copy says which one it was. Without any recipe, the card and the record of the
    training are left out, too.
    """
    if creation.recipe and (paths := private_paths.find_paths(creation.recipe)):
        model_folder.remove_paths(folder, paths)
    about = msgspec.json.decode(read_file(folder / MODEL_FILE), type=dict[str, msgspec.Raw])
    before = edited_json.read(folder / MODEL_FILE).members.get("title")
    if recipe != creation.recipe or creation.title != before:
        about.pop("recipe", None)
        about["title"] = msgspec.Raw(msgspec.json.encode(creation.title))
        if recipe:
            about |= {
                "recipe": msgspec.Raw(recipe.to_json().encode()),
                "exported_from": msgspec.Raw(msgspec.json.encode(creation.id)),
            }
        files.write_bytes_atomically(folder / MODEL_FILE, msgspec.json.encode(about))
    if include is Include.NOTHING:
        (folder / model_folder.CARD).unlink(missing_ok=True)
        shutil.rmtree(folder / MODEL_FOLDER, ignore_errors=True)
    elif isinstance(before, str):
        model_folder.replace_card_title(folder, before, creation.title)


def parse_include(text: str) -> Include:
    """Return the choice of this name. Raises BadInput for another one."""
    try:
        return Include(text)
    except ValueError:
        names = ", ".join(one.value for one in Include)
        raise BadInput(f"An export cannot include {text!r}.", f"Choose one of: {names}.") from None


def is_rewritten(creation: Creation, recipe: Recipe | None, include: Include) -> bool:
    """Check whether a copy of the bytes would hold more than was chosen."""
    is_text = creation.kind is CreationKind.TEXT
    if include is Include.EVERYTHING:
        return recipe != creation.recipe
    return creation.recipe is not None or not is_text
