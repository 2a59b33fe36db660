"""Character cards and lorebooks of other programs, such as SillyTavern."""

from studio.core.character_cards import SUFFIXES as CARD_SUFFIXES
from studio.core.character_cards import CardPart, CharacterCard, read_card
from studio.core.lorebooks import Lorebook, LoreEntry, read_lorebook

__all__ = [
    "CARD_SUFFIXES",
    "CardPart",
    "CharacterCard",
    "LoreEntry",
    "Lorebook",
    "read_card",
    "read_lorebook",
]
