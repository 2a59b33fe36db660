"""Writes finished results as complete files that contain their recipe. Never touches the index."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import io
import os
import re
import shutil
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from studio.core import digests, files, private_paths
from studio.core.errors import BadInput, StudioError
from studio.core.paths import Home
from studio.core.recipe import Recipe, utc_now
from studio.library.creation import MODEL_FILE
from studio.library.formats import markdown, pixels, png
from studio.library.storage import model_folder, model_names, recipe_embedding, sidecar, thumbnail_db

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL.Image import Image

IMAGE_FORMATS = ("png", "jpeg", "webp", "avif")
ANIMATION_FORMATS = ("mp4", "webp", "gif", "png")
_ALIASES = {"jpg": "jpeg", "apng": "png", "m4v": "mp4"}
_MAX_SIDES = {"jpeg": 65_535, "webp": 16_383, "avif": 65_535}
_BACKGROUND = (255, 255, 255)
"""Colour behind transparent pixels in formats without alpha."""


def save_image(
    home: Home,
    picture: Any,
    recipe: Recipe,
    *,
    format: str = "png",
    name: str = "",
    notes: Mapping[str, Any] | None = None,
) -> Path:
    """Save an image (see `pixels.to_8_bit_image`) and return its path.

    PNG keeps 16 bits a channel; the other formats have 8. Raises BadInput for an unknown format or a size that the
    format cannot hold, and StudioError if the file cannot be written. No partial file remains.
    """
    recipe = finalize_recipe(recipe, notes)
    extension = resolve_image_format(format)
    image = pixels.to_8_bit_image(picture)
    data, whole = encode_image(
        image, recipe, extension, values_16_bit=pixels.to_16_bit(picture) if extension == "png" else None
    )
    digest = hashlib.sha256(data).hexdigest()
    path = get_day_folder(home) / build_file_name(recipe, name, digest, "jpg" if extension == "jpeg" else extension)
    if not whole:
        sidecar.write_recipe(path, recipe)
    files.write_bytes_atomically(path, data)
    digests.remember(path, digest)
    thumbnail_db.store_thumbnail(home.thumbs, digest, thumbnail_db.encode_thumbnail(image))
    return path


def save_animation(
    home: Home,
    frames: Iterable[Any],
    recipe: Recipe,
    *,
    fps: float,
    loop: bool,
    format: str = "mp4",
    name: str = "",
    notes: Mapping[str, Any] | None = None,
    sound: Path | None = None,
    on_frame: Callable[[int], None] | None = None,
) -> Path:
    """Encode frames as they arrive, and return the path of the animation.

    `on_frame` gets the number of frames encoded so far. An exception of `frames` or `on_frame` is passed on after
    the encoder has ended and its file is deleted. Raises BadInput for an unknown format or an invalid frame rate,
    and StudioError if there are no frames, their sizes differ, or the file cannot be written.
    """
    from studio.library.storage import animation_encoder, thumbnails

    extension = resolve_animation_format(format)
    recipe = finalize_recipe(recipe, notes)
    folder = get_day_folder(home)
    with files.temporary_file(folder, f".{extension}") as part:
        whole = animation_encoder.encode(
            part, frames, recipe, fps=fps, loop=loop, format=extension, sound=sound, on_frame=on_frame
        )
        digest = digest_of(part)
        path = folder / build_file_name(recipe, name, digest, extension)
        if not whole:
            sidecar.write_recipe(path, recipe)
        files.commit_file(part, path)
    digests.remember(path, digest)
    with contextlib.suppress(StudioError, OSError):
        if thumbnail := thumbnails.render_video(path) if extension == "mp4" else thumbnails.render_image(path):
            thumbnail_db.store_thumbnail(home.thumbs, digest, thumbnail)
    return path


def save_text(
    home: Home, text: str, recipe: Recipe, *, title: str = "", name: str = "", notes: Mapping[str, Any] | None = None
) -> Path:
    """Save a text as Markdown with front matter. Raises StudioError if it cannot be written."""
    recipe = finalize_recipe(recipe, notes)
    data = markdown.compose(text, title, recipe.to_json())
    digest = hashlib.sha256(data).hexdigest()
    path = get_day_folder(home) / build_file_name(recipe, name, digest, "md")
    files.write_bytes_atomically(path, data)
    digests.remember(path, digest)
    return path


def save_model(
    home: Home,
    folder: Path,
    recipe: Recipe,
    *,
    title: str,
    kind: str,
    notes: Mapping[str, Any] | None = None,
    licences: Iterable[str] = (),
    private: Iterable[str] = (),
) -> Path:
    """Move a trained model's folder into the library, with a `studio.json` that describes it.

    A title that another model has gets a number. `licences` are those that hold for it. `private` are paths of which
    its files keep the last part only.
    Raises StudioError if the folder does not exist or cannot be moved; it then stays in its place.
    """
    if not folder.is_dir():
        raise StudioError(f"The model folder {folder} does not exist.")
    recipe = finalize_recipe(recipe, notes)
    try:
        model_folder.remove_paths(folder, private)
    except OSError as error:
        raise files.describe_write_error(folder, error) from error
    about = msgspec.json.decode(_read_json(folder / MODEL_FILE) or b"{}", type=dict[str, Any])
    if known := dict.fromkeys(filter(None, licences)):
        about["licence"] = ", ".join(known)
    unique = model_names.choose_free_name(home, title)
    model_folder.replace_card_title(folder, title, unique)
    about |= {"title": unique, "kind": kind, "recipe": msgspec.Raw(recipe.to_json().encode())}
    files.write_bytes_atomically(folder / MODEL_FILE, msgspec.json.encode(about))
    path = get_day_folder(home) / build_file_name(recipe, "", digest_of(folder), "")
    _move_folder(folder, path)
    return path


def digest_of(path: Path) -> str:
    """Return the id of a creation: the SHA-256 of its file, or of the names and digests of a model's files."""
    if not path.is_dir():
        return digests.sha256(path)
    digest = hashlib.sha256()
    for name, file in list_model_files(path):
        digest.update(f"{digests.sha256(file)}  {name}\n".encode("utf-8", "surrogateescape"))
    return digest.hexdigest()


def list_model_files(folder: Path) -> list[tuple[str, Path]]:
    """Return the names and paths of a model's files, sorted by name. Hidden files are skipped."""
    model_files = ((file.relative_to(folder).as_posix(), file) for file in folder.rglob("*") if file.is_file())
    return sorted(pair for pair in model_files if not any(part.startswith(".") for part in pair[0].split("/")))


def encode_image(
    image: Image, recipe: Recipe | None, format: str, *, values_16_bit: NDArray[np.uint16] | None = None
) -> tuple[bytes, bool]:
    """Encode an image of mode L, RGB or RGBA. Return the bytes and whether they contain the whole recipe.

    `format` is one of IMAGE_FORMATS. `values_16_bit`, the same image as uint16, is preferred for a PNG. Raises
    BadInput for an image that is too large for the format.
    """
    _check_size(image.size, format)
    is_colour = image.mode != "L"
    profile = pixels.srgb_profile() if is_colour else b""
    encoded = io.BytesIO()
    if format == "png":
        chunks = recipe_embedding.build_png_chunks(recipe, image.size) if recipe else []
        if not is_colour:
            chunks.insert(0, (b"sRGB", b"\0"))  # an RGB profile does not suit a grey image; this means the same
        if values_16_bit is not None:
            return png.encode_16_bit(
                values_16_bit, [*([png.build_profile_chunk(profile)] if is_colour else []), *chunks]
            ), True
        image.save(encoded, "PNG", compress_level=1, pnginfo=png.to_png_info(chunks), icc_profile=profile or None)
        return encoded.getvalue(), True
    metadata = (
        recipe_embedding.build_metadata(recipe, image.size, jpeg=format == "jpeg")
        if recipe
        else recipe_embedding.EmbeddedMetadata(b"", b"", True)
    )
    more: dict[str, Any] = {"exif": metadata.exif, "xmp": metadata.xmp, "icc_profile": profile}
    more = {key: value for key, value in more.items() if value}
    match format:
        case "jpeg":
            flat = pixels.flatten_alpha(image, _BACKGROUND) if image.mode == "RGBA" else image
            flat.save(encoded, "JPEG", quality=95, subsampling=0, **more)
        case "webp":
            image.save(encoded, "WEBP", quality=92, method=4, **more)
        case _:
            image.save(encoded, "AVIF", quality=88, subsampling="4:4:4", **more)
    return encoded.getvalue(), metadata.whole


def resolve_image_format(format: str) -> str:
    """Return the canonical name of an image format or extension. Raises BadInput if it is unknown."""
    return _resolve_format(format, IMAGE_FORMATS, "An image")


def resolve_animation_format(format: str) -> str:
    """Return the canonical name of an animation format or extension. Raises BadInput if it is unknown."""
    return _resolve_format(format, ANIMATION_FORMATS, "An animation")


def finalize_recipe(recipe: Recipe, notes: Mapping[str, Any] | None = None) -> Recipe:
    """Return the recipe of a new result: with creation time and notes, only JSON values, and no paths."""
    both = {**recipe.notes, **(notes or {})}
    return private_paths.clean_recipe(
        msgspec.structs.replace(
            recipe, created=utc_now(), params=_to_json_value(recipe.params), notes=_to_json_value(both)
        )
    )


def get_day_folder(home: Home) -> Path:
    """Return the folder of today's creations, ``library/YYYY/MM/DD``."""
    return home.library / time.strftime("%Y/%m/%d")


def build_file_name(recipe: Recipe, name: str, digest: str, extension: str) -> str:
    """Build ``TOOL-SEED[-NAME]-ID10.EXT``."""
    parts = [recipe.tool, str(recipe.seed), *([sanitize_name(name)] if name else []), digest[:10]]
    return sanitize_name("-".join(parts)) + (f".{extension}" if extension else "")


def sanitize_name(name: str) -> str:
    """Make a name valid on every file system: no separators or control characters, at most 120 bytes."""
    cleaned = re.sub(r'[\x00-\x1f\x7f<>:"/\\|?*\ud800-\udfff]+', "_", name).strip(" .")
    while len(cleaned.encode()) > 120:
        cleaned = cleaned[:-1]
    return cleaned or "untitled"


def _resolve_format(format: str, formats: tuple[str, ...], subject: str) -> str:
    name = format.lower().lstrip(".")
    name = _ALIASES.get(name, name)
    if name not in formats:
        raise BadInput(f"{subject} cannot be saved as {format!r}.", f"Choose one of: {', '.join(formats)}.")
    return name


def _check_size(size: tuple[int, int], format: str) -> None:
    limit = _MAX_SIDES.get(format)
    if limit and max(size) > limit:
        width, height = size
        sentence = f"A {format} holds at most {limit:,} pixels a side, but this image has {width:,} × {height:,}."
        raise BadInput(sentence, "Use PNG.")


def _to_json_value(value: object) -> Any:
    """Convert containers and arrays to what JSON holds; other objects become strings."""
    match value:
        case None | bool() | int() | float():
            return value
        case str():
            return value.encode("utf-8", "replace").decode()
        case Mapping():
            return {str(key): _to_json_value(item) for key, item in value.items()}
        case list() | tuple() | set() | frozenset():
            return [_to_json_value(item) for item in value]
        case _:
            item = getattr(value, "tolist", None)
            return _to_json_value(item()) if callable(item) else str(value)


def _read_json(file: Path) -> bytes:
    with contextlib.suppress(OSError, msgspec.MsgspecError):
        content = file.read_bytes()
        msgspec.json.decode(content, type=dict[str, Any])
        return content
    return b""


def _move_folder(folder: Path, path: Path) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        for _, file in list_model_files(folder):
            with file.open("rb+") as opened:
                os.fsync(opened.fileno())
        try:
            folder.rename(path)
        except OSError as error:
            if error.errno != errno.EXDEV:
                raise
            _copy_folder(folder, path)
            shutil.rmtree(folder, ignore_errors=True)
        files.sync_folder(path.parent)
    except OSError as error:
        raise files.describe_write_error(path, error) from error


def _copy_folder(folder: Path, path: Path) -> None:
    """Copy to another file system under a hidden name first, so that the folder appears complete."""
    with files.temporary_file(path.parent, "") as part:
        part.unlink()
        try:
            shutil.copytree(folder, part)
            for _, file in list_model_files(part):
                with file.open("rb+") as opened:
                    os.fsync(opened.fileno())
            part.rename(path)
        finally:
            shutil.rmtree(part, ignore_errors=True)
