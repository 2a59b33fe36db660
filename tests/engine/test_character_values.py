"""Cards and lorebooks become values of the writer's tools."""

from __future__ import annotations

from plugins.writer.tools.chat import WriterChat
from plugins.writer.tools.continue_text import WriterContinue
from studio import api
from studio.core import params_schema
from studio.core.character_cards import parse_card
from studio.core.descriptor import ToolDescriptor
from studio.core.lorebooks import Lorebook, LoreEntry
from studio.engine.character_values import CHAT, STORY, fit_card, fit_lorebook
from tests.fixtures.cards import V2


def describe(tool: type[api.Tool]) -> ToolDescriptor:
    return ToolDescriptor(id=tool.id, title=tool.title, plugin="writer", schema=tool.Params.model_json_schema())


def test_the_tools_are_those_of_the_writer() -> None:
    assert (WriterChat.id, WriterContinue.id) == (CHAT, STORY)


def test_the_parts_of_a_card_are_values_of_the_chat() -> None:
    tool, card = describe(WriterChat), parse_card(V2)
    assert card is not None
    fitted = {one.field.name: one for one in fit_card(card, tool, "Otto")}
    assert fitted["name"].values == {"persona": "Mira"}
    assert fitted["description"].values == {"system": "Mira is a miller who never hurries Otto."}
    assert fitted["greeting1"].values == {"text": "Mira: *<b>Mira</b> looks up.* Come in, Otto.\n\nOtto: "}
    assert fitted["greeting2"].field.title == "Other greeting 1"
    assert len(fitted["lorebook"].values["lorebook"]) == 2
    assert fitted["lorebook"].note == "1 entry has no plain keyword and cannot be used."
    assert not fitted["creator_notes"].is_usable
    for one in fitted.values():
        assert params_schema.find_errors(tool, one.values) == {}


def test_a_lorebook_is_cut_to_what_the_story_takes() -> None:
    tool = describe(WriterContinue)
    entries = [LoreEntry(keywords=(f"word{number}",), text="a") for number in range(250)]
    book = Lorebook(entries=(*entries, LoreEntry(text="Always {{char}}.", is_constant=True)))
    lore, constant = fit_lorebook(book, tool, "Mira", "Otto")
    assert len(lore.values["lorebook"]) == 200
    assert lore.note == "Only the first 200 of 250 entries are used."
    assert constant.values == {"memory": "Always Mira."}
