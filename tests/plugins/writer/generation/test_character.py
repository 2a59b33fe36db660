"""A chat speaks as the character of a card, and knows the lore that the conversation touches."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from plugins.writer.generation.character import load_character
from plugins.writer.tools.chat import WriterChat
from plugins.writer.tools.continue_text import WriterContinue
from studio import api
from tests.fixtures.cards import V2, WORLD, write_card_image
from tests.plugins.writer.conftest import run_text


@pytest.fixture
def card(tmp_path: Path) -> Path:
    return write_card_image(tmp_path / "mira.png", chara=V2)


@pytest.fixture
def world(tmp_path: Path) -> Path:
    path = tmp_path / "world.json"
    path.write_text(json.dumps(WORLD))
    return path


def test_a_card_replaces_name_and_system_prompt(card: Path) -> None:
    character = load_character("Muse", "Be kind.", ["moon: It is full."], card, None, "Otto")
    assert character.name == "Mira"
    assert character.system_prompt.startswith("Stay in the valley.\n\nMira is a miller who never hurries Otto.")
    assert "Be kind." not in character.system_prompt
    assert character.lore[0] == "moon: It is full."
    assert character.greeting == "*<b>Mira</b> looks up.* Come in, Otto."


def test_lore_is_told_when_its_keyword_occurs(world: Path) -> None:
    character = load_character("Muse", "Be kind.", [], None, world, "You")
    assert character.build_system_prompt("Hello.") == "Be kind."
    assert character.build_system_prompt("Where is the MILL?") == "Be kind.\n\nIt stands still."


def test_a_chat_begins_with_the_greeting_of_the_card(card: Path) -> None:
    text = run_text(WriterChat, card=str(card), name="Otto", text=" ")
    assert text.text == "Mira: *<b>Mira</b> looks up.* Come in, Otto.\n\nOtto: "


def test_a_chat_with_a_card_answers_as_the_character(card: Path, causal_model: Path) -> None:
    text = run_text(WriterChat, card=str(card), text="Hello.", model=str(causal_model), length=8)
    assert text.text.startswith("Hello.\n\nMira:")


def test_a_lorebook_file_is_told_to_the_story(world: Path, causal_model: Path) -> None:
    def count_seen(text: str) -> int:
        made = run_text(WriterContinue, text=text, model=str(causal_model), length=4, lorebook_file=str(world))
        return int(made.notes["seen"])

    assert count_seen("The mill and the fog.") > count_seen("The hill and the fog.") + 2


@pytest.mark.parametrize("name", ["card", "lorebook_file"])
def test_a_file_of_another_kind_is_named(tmp_path: Path, causal_model: Path, name: str) -> None:
    path = tmp_path / "odd.json"
    path.write_text("[1]")
    values = {"text": "Hello.", "model": str(causal_model), name: str(path)}
    with pytest.raises(api.BadInput, match=r"odd\.json is not a"):
        run_text(WriterChat, **values)
