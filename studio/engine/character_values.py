"""Fits character cards and lorebooks to the parameters of the writer's tools."""

from __future__ import annotations

from collections.abc import Sequence

from studio.core import params_schema
from studio.core.character_cards import CharacterCard
from studio.core.descriptor import ToolDescriptor
from studio.core.lorebooks import Lorebook
from studio.engine.foreign_values import FittedField
from studio.library.foreign.fields import ForeignField

CHAT, STORY = "writer.chat", "writer.continue"
"""Ids of the tools for a character, and for a lorebook alone."""
GREETING = "greeting"


def fit_card(card: CharacterCard, tool: ToolDescriptor, user: str) -> list[FittedField]:
    """Fit the parts of a card to a chat: texts of the system prompt, which belong together, greetings and lore.

    A greeting is the beginning of a page. What is not sent to a model is only shown.
    """
    fitted = [_make("name", "Character name", card.name, {"persona": card.name})]
    fitted += [_make(part.name, part.title, part.text, {"system": part.text}) for part in card.list_parts(user)]
    for number, greeting in enumerate(card.list_greetings(user), 1):
        title = "First message" if number == 1 else f"Other greeting {number - 1}"
        fitted.append(_make(f"{GREETING}{number}", title, greeting, {"text": f"{card.name}: {greeting}\n\n{user}: "}))
    if card.book.entries or card.book.ignored:
        fitted.append(_fit_lore(card.list_lore(user), card.book.ignored, tool))
    shown = (("creator", "Creator", card.creator), ("creator_notes", "Creator's notes", card.creator_notes))
    return fitted + [_make(name, title, text) for name, title, text in shown if text]


def fit_lorebook(book: Lorebook, tool: ToolDescriptor, character: str, user: str) -> list[FittedField]:
    """Fit a lorebook to a chat or a story."""
    fitted = [_fit_lore(book.list_lines(character, user), book.ignored, tool)]
    if constant := book.join_constant_texts(character, user):
        values = {"system" if tool.id == CHAT else "memory": constant}
        fitted.append(_make("lore", "Constant lore", constant, values))
    return fitted


def _fit_lore(lines: Sequence[str], ignored: int, tool: ToolDescriptor) -> FittedField:
    field = next(field for field in params_schema.read_fields(tool.schema) if field.name == "lorebook")
    used = list(lines[: field.max_items])
    notes = []
    if len(used) < len(lines):
        notes.append(f"Only the first {len(used)} of {len(lines)} entries are used.")
    if ignored:
        notes.append(
            f"{ignored} {'entry has' if ignored == 1 else 'entries have'} no plain keyword and cannot be used."
        )
    return FittedField(
        field=_describe("lorebook", "Lorebook", "\n".join(used)),
        values={"lorebook": used} if used else {},
        note=" ".join(notes),
    )


def _make(name: str, title: str, text: str, values: dict[str, str] | None = None) -> FittedField:
    return FittedField(field=_describe(name, title, text), values=dict(values or {}))


def _describe(name: str, title: str, text: str) -> ForeignField:
    return ForeignField(name=name, title=title, value=text, text=text)
