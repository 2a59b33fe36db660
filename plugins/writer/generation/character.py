"""The character of a chat: from the form, or from a character card, with the lore that the conversation touches."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from studio import api

from .context_window import find_active_entries, parse_lorebook

MAX_LORE = 500
"""Number of entries of a lorebook file that are used."""


@dataclass(frozen=True)
class Character:
    """`lore` has lines as the form's lorebook, `greeting` the character's first message."""

    name: str
    system_prompt: str
    lore: Sequence[str] = ()
    greeting: str = ""

    def build_system_prompt(self, conversation: str) -> str:
        """Return the system prompt with the entries of the lorebook whose keywords occur in the conversation."""
        entries = find_active_entries(conversation, parse_lorebook(self.lore))
        return "\n\n".join(part for part in (self.system_prompt.strip(), *entries) if part)


def load_character(
    name: str, system_prompt: str, lore: Sequence[str], card: Path | None, book: Path | None, user: str
) -> Character:
    """Return the character of the form with the lore of a lorebook file; a card replaces name and system prompt.

    Raises BadInput for a file of another kind.
    """
    greeting = ""
    if card is not None:
        read = api.characters.read_card(card)
        name, system_prompt = read.name, "\n\n".join(part.text for part in read.list_parts(user))
        greeting = next(iter(read.list_greetings(user)), "")
        lore = [*lore, *read.list_lore(user)[:MAX_LORE]]
    more, constant = load_lorebook(book, name, user)
    return Character(name, "\n\n".join(filter(None, (system_prompt.strip(), constant))), [*lore, *more], greeting)


def load_lorebook(book: Path | None, character: str, user: str) -> tuple[list[str], str]:
    """Return the lines of a lorebook file, and the texts that are always told. Raises BadInput for another file."""
    if book is None:
        return [], ""
    read = api.characters.read_lorebook(book)
    return read.list_lines(character, user)[:MAX_LORE], read.join_constant_texts(character, user)
