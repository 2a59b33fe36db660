"""Character cards and lorebooks are offered to the writer."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from pytestqt.qtbot import QtBot

from studio.state.library.settings_reader import SettingsOffer
from studio.state.session import Session
from tests.fixtures.cards import V2, WORLD, write_card_image
from tests.fixtures.engine import FakeEngine
from tests.fixtures.offers import CHAT, STORY, add_writer


@pytest.fixture
def writing(qtbot: QtBot, session: Session, engine: FakeEngine) -> Session:
    """A session with a writer and an open page."""
    session.workspace.set_catalogue(add_writer(engine.catalogue))
    qtbot.waitUntil(lambda: session.page.is_ready)
    return session


def open_file(qtbot: QtBot, session: Session, path: Path) -> SettingsOffer:
    with qtbot.waitSignal(session.settings_offers.offered) as offered:
        session.settings_offers.open_files([path])
    offer = offered.args[0]
    assert isinstance(offer, SettingsOffer)
    return offer


def test_a_card_fills_the_chat_and_begins_a_page(qtbot: QtBot, writing: Session, tmp_path: Path) -> None:
    writing.workspace.set_value_of(CHAT.id, "name", "Otto")
    writing.page.write(0, 0, "A story.")
    story = writing.page.page_id
    offer = open_file(qtbot, writing, write_card_image(tmp_path / "mira.png", chara=V2))
    assert (offer.title, offer.tool, offer.can_import) == ("Character card of Mira", CHAT, True)
    assert offer.choices == ["greeting1", "greeting2"]
    writing.settings_offers.use(offer, {"name", "system_prompt", "scenario", "lorebook", "greeting2"})
    assert writing.workspace.tool == CHAT
    assert writing.workspace.values() == {
        "name": "Otto",
        "persona": "Mira",
        "system": "Stay in the valley.\n\nScenario: A mill in winter.",
        "lorebook": ["river north, a b: It freezes early.", "mill, old mill: The mill of Mira stands still."],
    }
    assert writing.page.text == "Mira: You are late, Otto.\n\nOtto: "
    assert writing.page.page_id != story
    assert writing.library.search("") == []
    writing.undo.undo()
    assert writing.workspace.values() == {"name": "Otto"}


def test_an_empty_page_takes_the_first_message(qtbot: QtBot, writing: Session, tmp_path: Path) -> None:
    page = writing.page.page_id
    path = tmp_path / "mira.json"
    path.write_text(json.dumps(V2))
    offer = open_file(qtbot, writing, path)
    assert not offer.can_import
    writing.settings_offers.use(offer, {"greeting1"})
    assert writing.page.page_id == page
    assert writing.page.text.startswith("Mira: *<b>Mira</b> looks up.*")


def test_a_lorebook_goes_to_the_tool_in_the_form_or_to_the_story(
    qtbot: QtBot, writing: Session, tmp_path: Path
) -> None:
    path = tmp_path / "world.json"
    path.write_text(json.dumps(WORLD))
    writing.workspace.choose("style.transfer")
    offer = open_file(qtbot, writing, path)
    assert offer.tool == STORY
    writing.settings_offers.use(offer, {"lorebook"})
    assert writing.workspace.value("lorebook") == ["mill: It stands still."]
    writing.workspace.choose(CHAT.id)
    assert open_file(qtbot, writing, path).tool == CHAT


def test_a_damaged_card_costs_one_sentence(qtbot: QtBot, writing: Session, tmp_path: Path) -> None:
    path = tmp_path / "mira.charx"
    path.write_bytes(b"PK\x03\x04 nothing")
    with qtbot.waitSignal(writing.notices.changed):
        writing.settings_offers.open_files([path])
    assert [notice.text for notice in writing.notices.items] == ["mira.charx has no settings that can be used here."]


def test_an_image_with_a_damaged_card_is_imported(qtbot: QtBot, writing: Session, tmp_path: Path) -> None:
    path = write_card_image(tmp_path / "mira.png", chara=[["deep"] * 3])
    with qtbot.waitSignal(writing.show):
        writing.settings_offers.open_files([path])
