"""Character cards of SillyTavern, Chub and others: a character's texts in an image, a JSON file or an archive.

A card is a PNG with base64 JSON in the text chunk ``ccv3`` (version 3) or ``chara`` (1 and 2), the JSON itself, or a
``.charx`` archive with ``card.json``. Everything in it is untrusted text.
"""

from __future__ import annotations

import base64
import binascii
import re
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from msgspec import Struct

from studio.core.card_texts import MAX_JSON, clean_text, fill_macros, parse_json
from studio.core.errors import BadInput
from studio.core.lorebooks import Lorebook, parse_lorebook
from studio.core.untrusted_files import damage_as_bad_input, name_for_display, open_file, read_file

SUFFIXES = (".png", ".json", ".charx")
MAX_GREETINGS = 50
MAX_CHUNKS = 100_000
MAX_NAME = 100
"""Number of characters of a name that are read."""
_PNG = b"\x89PNG\r\n\x1a\n"
_CHUNKS = (b"ccv3", b"chara")
"""Keys of the text chunks of a card, the newest version first."""
_V1_TEXTS = ("description", "personality", "scenario", "first_mes", "mes_example")
_NO_SYSTEM_PROMPT = "Write {{char}}'s next message in a conversation between {{char}} and {{user}}."


class CardPart(Struct, frozen=True, kw_only=True):
    """A text of the card as the model reads it, with the title of the card's field."""

    name: str
    title: str
    text: str


class CharacterCard(Struct, frozen=True, kw_only=True):
    """The texts of a card as its author wrote them, with macros. `greetings` has the first message and the others."""

    name: str
    description: str = ""
    personality: str = ""
    scenario: str = ""
    examples: str = ""
    system_prompt: str = ""
    closing_instructions: str = ""
    greetings: tuple[str, ...] = ()
    creator: str = ""
    creator_notes: str = ""
    book: Lorebook = Lorebook()

    def list_parts(self, user: str) -> list[CardPart]:
        """List the parts of the system prompt in their order, without empty ones. `user` is the person's name."""
        examples = re.sub(r"<start>\s*", "\n", self.examples, flags=re.IGNORECASE).strip()
        texts = (
            ("system_prompt", "System prompt", self.system_prompt or _NO_SYSTEM_PROMPT),
            ("description", "Description", self.description),
            ("personality", "Personality", self.personality and f"Personality of {{{{char}}}}: {self.personality}"),
            ("scenario", "Scenario", self.scenario and f"Scenario: {self.scenario}"),
            ("examples", "Example messages", examples and f"Examples of how {{{{char}}}} writes:\n{examples}"),
            ("lore", "Constant lore", self.book.join_constant_texts(self.name, user)),
            ("closing", "Closing instructions", self.closing_instructions),
        )
        return [
            CardPart(name=name, title=title, text=filled)
            for name, title, text in texts
            if (filled := fill_macros(text, self.name, user))
        ]

    def list_greetings(self, user: str) -> list[str]:
        return [fill_macros(greeting, self.name, user) for greeting in self.greetings]

    def list_lore(self, user: str) -> list[str]:
        """List the entries of the book as lines of the writer's lorebook."""
        return self.book.list_lines(self.name, user)


def read_card(path: Path) -> CharacterCard:
    """Read a character card. Raises BadInput for another file."""
    with damage_as_bad_input(path):
        card = find_card(path)
    if card is None:
        raise BadInput(f"{name_for_display(path)} is not a character card.", "Choose a card of SillyTavern or Chub.")
    return card


def find_card(path: Path) -> CharacterCard | None:
    """Read the card in a file. Return None if it has none. Raises anything for a damaged one."""
    with open_file(path) as file:
        head = file.read(len(_PNG))
    if head == _PNG:
        content = _read_png(path)
    elif path.suffix.lower() == ".charx":
        content = _read_archive(path)
    elif path.suffix.lower() == ".json":
        content = read_file(path, MAX_JSON)
    else:
        return None
    return parse_card(parse_json(content)) if content else None


def parse_card(content: object) -> CharacterCard | None:
    """Parse a card of version 1, 2 or 3. Return None for anything else. Values of a wrong type are left out."""
    if not isinstance(content, dict):
        return None
    inner = content.get("data")
    data: Mapping[str, Any] = inner if isinstance(inner, dict) and "name" in inner else content
    name = " ".join(clean_text(data.get("name")).split())[:MAX_NAME]
    if not name or not any(clean_text(data.get(key)) for key in _V1_TEXTS):
        return None
    others = data.get("alternate_greetings")
    greetings = [data.get("first_mes"), *(others[:MAX_GREETINGS] if isinstance(others, list) else [])]
    return CharacterCard(
        name=name,
        description=clean_text(data.get("description")),
        personality=clean_text(data.get("personality")),
        scenario=clean_text(data.get("scenario")),
        examples=clean_text(data.get("mes_example")),
        system_prompt=clean_text(data.get("system_prompt")),
        closing_instructions=clean_text(data.get("post_history_instructions")),
        greetings=tuple(text for greeting in greetings if (text := clean_text(greeting))),
        creator=clean_text(data.get("creator")),
        creator_notes=clean_text(data.get("creator_notes")),
        book=parse_lorebook(data.get("character_book")) or Lorebook(),
    )


def _read_png(path: Path) -> bytes:
    """Return the JSON in the text chunks of a PNG; empty if there is none."""
    found: dict[bytes, bytes] = {}
    with open_file(path) as file:
        file.seek(len(_PNG))
        for _ in range(MAX_CHUNKS):
            head = file.read(8)
            length, kind = int.from_bytes(head[:4], "big"), head[4:]
            if len(head) < 8 or kind == b"IEND":
                break
            if kind != b"tEXt" or length > 2 * MAX_JSON:
                file.seek(length + 4, 1)
                continue
            key, _, text = file.read(length).partition(b"\0")
            file.seek(4, 1)
            if key in _CHUNKS:
                found.setdefault(key, text)
    for key in _CHUNKS:
        try:
            if content := base64.b64decode(found.get(key, b""))[:MAX_JSON]:
                return content
        except binascii.Error:
            continue
    return b""


def _read_archive(path: Path) -> bytes:
    with open_file(path) as file, zipfile.ZipFile(file) as archive, archive.open("card.json") as card:
        content = card.read(MAX_JSON + 1)
    return content if len(content) <= MAX_JSON else b""
