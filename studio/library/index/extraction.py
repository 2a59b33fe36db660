"""Extracts the index row of a creation from its file, its sidecar and its recipe."""

from __future__ import annotations

from pathlib import Path

from msgspec import Struct

from studio.core import edited_json
from studio.core.errors import BadInput
from studio.core.images import read_orientation
from studio.core.paths import Home
from studio.core.recipe import REFERENCE, Recipe
from studio.core.untrusted_files import (
    damage_as_bad_input,
    make_valid,
    name_for_display,
    open_file,
)
from studio.library.creation import MODEL_FILE, Creation, CreationKind
from studio.library.foreign.metadata import read_metadata
from studio.library.formats import detection, gif, markdown, matroska, mp4, pillow_guard, png, webp
from studio.library.index import timestamps
from studio.library.storage import model_names, recipe_embedding, sidecar, writer

TITLE_LENGTH = 300
TEXT_LENGTH = 100_000
"""Number of characters of a creation that are indexed."""
IMPORTED = "import"
MAX_SIDE, MAX_SECONDS = 2**31 - 1, 1e9
"""Larger sizes and durations are not believed, and count as unknown."""


class IndexEntry(Struct, frozen=True):
    """A creation as read from its files, and the text by which searches find it."""

    creation: Creation
    words: str


def extract(home: Home, path: Path, digest: str = "") -> IndexEntry:
    """Read a creation in the library, and hash it unless its `digest` is known.

    Raises BadInput, with a sentence that names it, for a file that is no creation or cannot be read for any reason.
    What is returned fits into the index: texts are valid Unicode, and numbers are in their ranges.
    """
    with damage_as_bad_input(path):
        return _extract(home, path, digest)


def hash_creation(path: Path) -> str:
    """Return the id of a file or a model's folder. Raises BadInput if it cannot be read."""
    with damage_as_bad_input(path):
        return writer.digest_of(path)


def _extract(home: Home, path: Path, digest: str) -> IndexEntry:
    if make_valid(path.name) != path.name:
        raise BadInput(f"The name of {name_for_display(path)} is not UTF-8.", "Rename the file.")
    format = detection.detect_format(path)
    beside = sidecar.read(path)
    kind, width, height, duration = _classify(path, format, beside)
    recipe = recipe_of(path)
    about = _read_model_file(path) if kind is CreationKind.MODEL else {}
    title, words = _extract_words(path, kind, recipe, beside, about)
    creation = Creation(
        id=digest or writer.digest_of(path),
        path=str(path),
        kind=kind,
        tool=recipe.tool if recipe else IMPORTED,
        title=make_valid(title),
        recipe=recipe,
        width=width if width <= MAX_SIDE else 0,
        height=height if height <= MAX_SIDE else 0,
        duration=round(duration, 3) if 0 <= duration <= MAX_SECONDS else 0.0,
        size=size_of(path),
        created=_find_creation_time(path, recipe, beside),
        star=beside.star,
        rating=beside.rating,
        tags=beside.tags,
        trashed=home.trash in path.parents,
        model_kind=_string(about.get("kind"))[:TITLE_LENGTH],
    )
    return IndexEntry(creation, make_valid(words))


def recipe_of(path: Path) -> Recipe | None:
    """Read the recipe of a creation. Return None if there is none or it cannot be read."""
    try:
        return recipe_embedding.read_recipe(path)
    except BadInput:
        return None


def size_of(path: Path) -> int:
    return (
        sum(file.stat().st_size for _, file in writer.list_model_files(path)) if path.is_dir() else path.stat().st_size
    )


def _classify(path: Path, format: str, beside: sidecar.Sidecar) -> tuple[CreationKind, int, int, float]:
    if format == "folder":
        if not (path / MODEL_FILE).is_file():
            raise BadInput(f"The folder {path.name} is not a trained model.")
        return CreationKind.MODEL, 0, 0, 0.0
    if format == "text":
        return CreationKind.TEXT, 0, 0, 0.0
    if format in detection.VIDEO_FORMATS:
        video = mp4.read(path) if format == "mp4" else matroska.read(path) if format == "matroska" else mp4.VideoInfo()
        return CreationKind.ANIMATION, video.width, video.height, video.seconds
    if format in detection.IMAGE_FORMATS:
        width, height = read_image_size(path)
        frames, seconds = _count_frames(path, format)
        if beside.hidden:
            return CreationKind.FILE, width, height, 0.0
        return (CreationKind.ANIMATION if frames > 1 else CreationKind.IMAGE), width, height, seconds
    if not beside.imported:
        raise BadInput(f"{path.name} is not a file of the studio.")
    return CreationKind.FILE, 0, 0, 0.0


def read_image_size(path: Path) -> tuple[int, int]:
    """Read width and height, as displayed, from the header. Raises BadInput if it cannot be read."""
    with open_file(path) as file:
        head = file.read(24)
    if head[:8] == png.SIGNATURE:
        return int.from_bytes(head[16:20], "big"), int.from_bytes(head[20:24], "big")
    with pillow_guard.open_header(path) as image:
        turned = read_orientation(image) in (5, 6, 7, 8)
        return (image.height, image.width) if turned else image.size


def _count_frames(path: Path, format: str) -> tuple[int, float]:
    match format:
        case "png":
            return png.read_animation(path)
        case "webp":
            return webp.read_animation(path)
        case "gif":
            info = gif.read(path)
            return info.frames, info.seconds if info.frames > 1 else 0.0
        case _:
            return 1, 0.0


def _read_model_file(folder: Path) -> dict[str, object]:
    return dict(edited_json.read(folder / MODEL_FILE).members)


def _extract_words(
    path: Path, kind: CreationKind, recipe: Recipe | None, beside: sidecar.Sidecar, about: dict[str, object]
) -> tuple[str, str]:
    parts = [beside.imported]
    title = beside.imported
    if recipe:
        texts = [
            value for value in recipe.params.values() if isinstance(value, str) and not value.startswith(REFERENCE)
        ]
        named = (_string(recipe.params.get(name)) for name in ("prompt", "text", "title"))
        title = next(filter(None, named), title)
        parts += [*texts, *(model.name for model in recipe.models)]
    else:
        foreign = read_metadata(path, search_pixels=False)
        parts += [foreign.prompt, foreign.model] if foreign else []
    if kind is CreationKind.TEXT:
        body = markdown.read_body(path)
        title = markdown.read_front_matter(path).get("title") or _first_line(body) or title
        parts += [title, body]
    elif kind is CreationKind.MODEL:
        title = model_names.read_name(path)
        parts += [title, _string(about.get("kind"))]
    return " ".join(title.split())[:TITLE_LENGTH], "\n".join(filter(None, parts))[:TEXT_LENGTH]


def _string(value: object) -> str:
    return value if isinstance(value, str) else ""


def _first_line(text: str) -> str:
    return next((line.lstrip("# ").strip() for line in text.split("\n", 100) if line.strip("# \t\r")), "")


def _find_creation_time(path: Path, recipe: Recipe | None, beside: sidecar.Sidecar) -> str:
    for written in (beside.created, recipe.created if recipe else ""):
        moment = timestamps.to_milliseconds(written)
        if moment is not None:
            return timestamps.to_iso(moment)
    return timestamps.to_iso(int(path.stat().st_mtime * 1000))
