"""What a file in the library says of itself: all that its row is made from."""

from __future__ import annotations

from pathlib import Path

import msgspec
from msgspec import Struct

from studio.core.errors import BadInput
from studio.core.paths import Home
from studio.core.recipe import REFERENCE, Recipe
from studio.library.creation import MODEL_FILE, Creation, CreationKind
from studio.library.formats import detection, gif, markdown, matroska, mp4, pillow_guard, png, webp
from studio.library.index import timestamps
from studio.library.storage import recipe_embedding, sidecar, writer

TITLE_LENGTH = 300
TEXT_LENGTH = 100_000
"""Characters of one creation that are searched."""
IMPORTED = "import"


class IndexEntry(Struct, frozen=True):
    """A creation as its files tell it, and the words by which it is found."""

    creation: Creation
    words: str


def extract(home: Home, path: Path, digest: str = "") -> IndexEntry:
    """Reads a creation that lies in the library, and hashes it unless its `digest` is known.

    Raises BadInput for what is no creation, or a picture whose header cannot be read; OSError
    when the file goes away meanwhile.
    """
    format = detection.sniff(path)
    beside = sidecar.read(path)
    kind, width, height, duration = _classify(path, format, beside)
    recipe = recipe_of(path)
    about = _read_model_file(path) if kind is CreationKind.MODEL else {}
    title, words = _extract_words(path, kind, recipe, beside, about)
    creation = Creation(
        id=digest or writer.sha_of(path),
        path=str(path),
        kind=kind,
        tool=recipe.tool if recipe else IMPORTED,
        title=title,
        recipe=recipe,
        width=width,
        height=height,
        duration=round(duration, 3),
        size=size_of(path),
        created=_find_creation_time(path, recipe, beside),
        star=beside.star,
        rating=beside.rating,
        tags=beside.tags,
        trashed=home.trash in path.parents,
        model_kind=str(about.get("kind", "")),
    )
    return IndexEntry(creation, words)


def recipe_of(path: Path) -> Recipe | None:
    """As `embed.read_recipe`, but a recipe that cannot be read counts as none."""
    try:
        return recipe_embedding.read_recipe(path)
    except BadInput:
        return None


def size_of(path: Path) -> int:
    return sum(file.stat().st_size for _, file in writer.model_files(path)) if path.is_dir() else path.stat().st_size


def _classify(path: Path, format: str, beside: sidecar.Sidecar) -> tuple[CreationKind, int, int, float]:
    if format == "folder":
        if not (path / MODEL_FILE).is_file():
            raise BadInput(f"{path.name} is a folder, and no trained model.")
        return CreationKind.MODEL, 0, 0, 0.0
    if format == "text":
        return CreationKind.TEXT, 0, 0, 0.0
    if format in detection.FILMS:
        film = mp4.read(path) if format == "mp4" else matroska.read(path) if format == "matroska" else mp4.Film()
        return CreationKind.ANIMATION, film.width, film.height, film.seconds
    if format in detection.PICTURES:
        width, height = read_image_size(path)
        frames, seconds = _count_frames(path, format)
        if beside.aside:
            return CreationKind.FILE, width, height, 0.0
        return (CreationKind.ANIMATION if frames > 1 else CreationKind.IMAGE), width, height, seconds
    if not beside.imported:
        raise BadInput(f"{path.name} is no creation.")
    return CreationKind.FILE, 0, 0, 0.0


def read_image_size(path: Path) -> tuple[int, int]:
    """Width and height as shown, from the header alone. Raises BadInput where it cannot be read."""
    with path.open("rb") as file:
        head = file.read(24)
    if head[:8] == png.SIGNATURE:
        return int.from_bytes(head[16:20], "big"), int.from_bytes(head[20:24], "big")
    with pillow_guard.opened(path) as image:
        turned = image.getexif().get(0x0112, 1) in (5, 6, 7, 8)
        return (image.height, image.width) if turned else image.size


def _count_frames(path: Path, format: str) -> tuple[int, float]:
    match format:
        case "png":
            return png.frames(path)
        case "webp":
            return webp.frames(path)
        case "gif":
            found = gif.read(path)
            return found.frames, found.seconds if found.frames > 1 else 0.0
        case _:
            return 1, 0.0


def _read_model_file(folder: Path) -> dict[str, object]:
    try:
        content = (folder / MODEL_FILE).read_bytes()
        return msgspec.json.decode(content, type=dict[str, object])
    except (OSError, msgspec.MsgspecError, UnicodeError, RecursionError):
        return {}


def _extract_words(
    path: Path, kind: CreationKind, recipe: Recipe | None, beside: sidecar.Sidecar, about: dict[str, object]
) -> tuple[str, str]:
    parts = [beside.imported]
    title = beside.imported
    if recipe:
        said = [value for value in recipe.params.values() if isinstance(value, str) and not value.startswith(REFERENCE)]
        named = (_string(recipe.params.get(name)) for name in ("prompt", "text", "title"))
        title = next(filter(None, named), title)
        parts += [*said, *(model.name for model in recipe.models)]
    else:
        foreign = recipe_embedding.read_foreign(path, hidden=False)
        parts += [foreign.prompt, foreign.model] if foreign else []
    if kind is CreationKind.TEXT:
        body = markdown.body(path)
        title = markdown.front_matter(path).get("title") or _first_line(body) or title
        parts += [title, body]
    elif kind is CreationKind.MODEL:
        title = str(about.get("title") or path.name)
        parts += [title, str(about.get("kind", ""))]
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
