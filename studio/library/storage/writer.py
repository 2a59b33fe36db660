"""Writes finished results: whole files that carry their recipe. Never touches the index."""

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

from studio.core import digests, files
from studio.core.errors import BadInput, StudioError
from studio.core.paths import Home
from studio.core.recipe import Recipe, now
from studio.library.creation import MODEL_FILE
from studio.library.formats import markdown, pixels, png
from studio.library.storage import recipe_embedding, sidecar, thumbnail_db

if TYPE_CHECKING:
    from PIL.Image import Image

IMAGE_FORMATS = ("png", "jpeg", "webp", "avif")
ANIMATION_FORMATS = ("mp4", "webp", "gif")
_ALIASES = {"jpg": "jpeg", "apng": "png", "m4v": "mp4"}
_MAX_SIDES = {"jpeg": 65_535, "webp": 16_383, "avif": 65_535}
_PAPER = (255, 255, 255)
"""What shows behind transparent pixels in a format that has none."""


def save_image(
    home: Home,
    picture: Any,
    recipe: Recipe,
    *,
    format: str = "png",
    name: str = "",
    notes: Mapping[str, Any] | None = None,
) -> Path:
    """Saves a picture (see `pixels.shallow`) and returns its path.

    PNG keeps 16 bits a channel, the others hold 8. Raises BadInput for a format or a size
    that cannot be, and StudioError when the file cannot be written; nothing partial stays.
    """
    recipe = stamped(recipe, notes)
    extension = image_format(format)
    image = pixels.shallow(picture)
    data, whole = encoded(image, recipe, extension, deep=pixels.deep(picture) if extension == "png" else None)
    digest = hashlib.sha256(data).hexdigest()
    path = day_folder(home) / file_name(recipe, name, digest, "jpg" if extension == "jpeg" else extension)
    if not whole:
        sidecar.write_recipe(path, recipe)
    files.write_bytes_atomically(path, data)
    digests.remember(path, digest)
    thumbnail_db.put(home.thumbs, digest, thumbnail_db.jpeg(image))
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
    """Encodes frames as they come, and returns the path of the animation.

    `on_frame` is told how many frames went in. Whatever `frames` or `on_frame` raises passes
    through, after the encoder has ended and its file is gone. Raises BadInput for a format or a
    rate that cannot be, and StudioError where there are no frames, their sizes differ, or the
    file cannot be written.
    """
    from studio.library.storage import animation_encoder, thumbnails

    extension = animation_format(format)
    recipe = stamped(recipe, notes)
    folder = day_folder(home)
    with files.temporary_file(folder, f".{extension}") as part:
        whole = animation_encoder.encode(
            part, frames, recipe, fps=fps, loop=loop, format=extension, sound=sound, on_frame=on_frame
        )
        digest = sha_of(part)
        path = folder / file_name(recipe, name, digest, extension)
        if not whole:
            sidecar.write_recipe(path, recipe)
        files.commit_file(part, path)
    digests.remember(path, digest)
    with contextlib.suppress(StudioError, OSError):
        if thumbnail := thumbnails.of_film(path) if extension == "mp4" else thumbnails.of_picture(path):
            thumbnail_db.put(home.thumbs, digest, thumbnail)
    return path


def save_text(
    home: Home, text: str, recipe: Recipe, *, title: str = "", name: str = "", notes: Mapping[str, Any] | None = None
) -> Path:
    """Saves a text as Markdown with front matter. Raises StudioError when it cannot be written."""
    recipe = stamped(recipe, notes)
    data = markdown.compose(text, title, recipe.to_json())
    digest = hashlib.sha256(data).hexdigest()
    path = day_folder(home) / file_name(recipe, name, digest, "md")
    files.write_bytes_atomically(path, data)
    digests.remember(path, digest)
    return path


def save_model(
    home: Home, folder: Path, recipe: Recipe, *, title: str, kind: str, notes: Mapping[str, Any] | None = None
) -> Path:
    """Moves a trained model's folder into the library, with a `studio.json` that says what it is.

    Raises StudioError when there is no such folder or it cannot be moved; then it stays where it was.
    """
    if not folder.is_dir():
        raise StudioError(f"There is no folder {folder} to take a model from.")
    recipe = stamped(recipe, notes)
    about = msgspec.json.decode(_content(folder / MODEL_FILE) or b"{}", type=dict[str, Any])
    about |= {"title": title, "kind": kind, "recipe": msgspec.Raw(recipe.to_json().encode())}
    files.write_bytes_atomically(folder / MODEL_FILE, msgspec.json.encode(about))
    path = day_folder(home) / file_name(recipe, "", sha_of(folder), "")
    _move_folder(folder, path)
    return path


def sha_of(path: Path) -> str:
    """A creation's id: SHA-256 of the file, or of a model's folder the names and digests of its files."""
    if not path.is_dir():
        return digests.sha256(path)
    whole = hashlib.sha256()
    for name, file in model_files(path):
        whole.update(f"{digests.sha256(file)}  {name}\n".encode("utf-8", "surrogateescape"))
    return whole.hexdigest()


def model_files(folder: Path) -> list[tuple[str, Path]]:
    """The files of a model by their names inside it, in order; hidden ones are no part of it."""
    found = ((file.relative_to(folder).as_posix(), file) for file in folder.rglob("*") if file.is_file())
    return sorted(pair for pair in found if not any(part.startswith(".") for part in pair[0].split("/")))


def encoded(image: Image, recipe: Recipe | None, format: str, *, deep: Any = None) -> tuple[bytes, bool]:
    """A picture of mode L, RGB or RGBA in one of IMAGE_FORMATS, and whether the recipe is in it.

    `deep` holds the same picture as uint16 and wins in a PNG. Raises BadInput for a picture
    that is too large for the format.
    """
    _check_size(image.size, format)
    colour = image.mode != "L"
    profile = pixels.srgb() if colour else b""
    packed = io.BytesIO()
    if format == "png":
        chunks = recipe_embedding.png_chunks(recipe, image.size) if recipe else []
        if not colour:
            chunks.insert(0, (b"sRGB", b"\0"))  # an RGB profile would not fit a grey picture; this says the same
        if deep is not None:
            return png.encode16(deep, [*([png.profile_chunk(profile)] if colour else []), *chunks]), True
        image.save(packed, "PNG", compress_level=1, pnginfo=png.info(chunks), icc_profile=profile or None)
        return packed.getvalue(), True
    marks = (
        recipe_embedding.marks(recipe, image.size, jpeg=format == "jpeg")
        if recipe
        else recipe_embedding.Marks(b"", b"", True)
    )
    more: dict[str, Any] = {"exif": marks.exif, "xmp": marks.xmp, "icc_profile": profile}
    more = {key: value for key, value in more.items() if value}
    match format:
        case "jpeg":
            flat = pixels.opaque(image, _PAPER) if image.mode == "RGBA" else image
            flat.save(packed, "JPEG", quality=95, subsampling=0, **more)
        case "webp":
            image.save(packed, "WEBP", quality=92, method=4, **more)
        case _:
            image.save(packed, "AVIF", quality=88, subsampling="4:4:4", **more)
    return packed.getvalue(), marks.whole


def image_format(format: str) -> str:
    return _known(format, IMAGE_FORMATS, "A picture")


def animation_format(format: str) -> str:
    return _known(format, ANIMATION_FORMATS, "An animation")


def stamped(recipe: Recipe, notes: Mapping[str, Any] | None = None) -> Recipe:
    """The recipe of a result that is made now, with its notes, holding nothing but JSON."""
    both = {**recipe.notes, **(notes or {})}
    return msgspec.structs.replace(recipe, created=now(), params=_plain(recipe.params), notes=_plain(both))


def day_folder(home: Home) -> Path:
    return home.library / time.strftime("%Y/%m/%d")


def file_name(recipe: Recipe, name: str, digest: str, extension: str) -> str:
    """``TOOL-SEED[-NAME]-ID10.EXT``."""
    parts = [recipe.tool, str(recipe.seed), *([safe_name(name)] if name else []), digest[:10]]
    return safe_name("-".join(parts)) + (f".{extension}" if extension else "")


def safe_name(name: str) -> str:
    """A name that every file system takes: no separators, control characters or dots at its ends, at most 120 bytes."""
    cleaned = re.sub(r'[\x00-\x1f\x7f<>:"/\\|?*\ud800-\udfff]+', "_", name).strip(" .")
    while len(cleaned.encode()) > 120:
        cleaned = cleaned[:-1]
    return cleaned or "untitled"


def _known(format: str, formats: tuple[str, ...], what: str) -> str:
    wanted = format.lower().lstrip(".")
    wanted = _ALIASES.get(wanted, wanted)
    if wanted not in formats:
        raise BadInput(f"{what} cannot be saved as {format!r}.", f"Choose one of: {', '.join(formats)}.")
    return wanted


def _check_size(size: tuple[int, int], format: str) -> None:
    most = _MAX_SIDES.get(format)
    if most and max(size) > most:
        width, height = size
        sentence = f"A {format} holds at most {most:,} pixels a side, and this is {width:,} × {height:,}."
        raise BadInput(sentence, "Use PNG.")


def _plain(value: Any) -> Any:
    match value:
        case None | bool() | int() | float():
            return value
        case str():
            return value.encode("utf-8", "replace").decode()
        case Mapping():
            return {str(key): _plain(item) for key, item in value.items()}
        case list() | tuple() | set() | frozenset():
            return [_plain(item) for item in value]
        case _:
            item = getattr(value, "tolist", None)
            return _plain(item()) if callable(item) else str(value)


def _content(file: Path) -> bytes:
    with contextlib.suppress(OSError, msgspec.MsgspecError):
        content = file.read_bytes()
        msgspec.json.decode(content, type=dict[str, Any])
        return content
    return b""


def _move_folder(folder: Path, path: Path) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        for _, file in model_files(folder):
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
    """To another file system: a hidden copy first, so that the name appears with all that belongs to it."""
    with files.temporary_file(path.parent, "") as part:
        part.unlink()
        try:
            shutil.copytree(folder, part)
            for _, file in model_files(part):
                with file.open("rb+") as opened:
                    os.fsync(opened.fileno())
            part.rename(path)
        finally:
            shutil.rmtree(part, ignore_errors=True)
