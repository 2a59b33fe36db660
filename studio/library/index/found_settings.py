"""What a file from outside carries for a form: another program's settings, a character card, or a lorebook."""

from __future__ import annotations

from pathlib import Path

from msgspec import Struct
from msgspec.structs import replace

from studio.core.card_texts import MAX_JSON, parse_json
from studio.core.character_cards import CharacterCard, find_card
from studio.core.lorebooks import Lorebook, parse_lorebook
from studio.core.untrusted_files import read_file, read_or_else
from studio.library.foreign.fields import list_fields
from studio.library.foreign.metadata import TEXT_FILE, ForeignMetadata, read_metadata
from studio.library.formats import detection
from studio.library.storage import recipe_embedding


class FoundSettings(Struct, frozen=True, kw_only=True):
    """At most one of `metadata`, `card` and `book` is set. `is_video` tells images from videos."""

    metadata: ForeignMetadata | None = None
    card: CharacterCard | None = None
    book: Lorebook | None = None
    is_video: bool = False


def find_settings(path: Path) -> FoundSettings:
    """Find what a file carries. One with a recipe of the studio carries nothing else. Raises OSError and BadInput."""
    format = detection.detect_format(path)
    is_video = format in detection.VIDEO_FORMATS
    if (is_video or format in detection.IMAGE_FORMATS) and recipe_embedding.read_recipe(path) is not None:
        return FoundSettings()
    if (card := read_or_else(None, find_card, path)) is not None:
        return FoundSettings(card=card)
    if path.suffix.lower() == ".json" and (book := read_or_else(None, _find_lorebook, path)) is not None:
        return FoundSettings(book=book)
    found = read_metadata(path)
    if found is None or _is_caption(found):
        return FoundSettings()
    return FoundSettings(metadata=replace(found, raw={}), is_video=is_video)


def _find_lorebook(path: Path) -> Lorebook | None:
    book = parse_lorebook(parse_json(read_file(path, MAX_JSON)))
    return book if book and book.entries else None


def _is_caption(found: ForeignMetadata) -> bool:
    """Check for a text without settings beside an image: a caption for training, which is not worth a question."""
    return found.source == TEXT_FILE and [field.name for field in list_fields(found)] == ["prompt"]
