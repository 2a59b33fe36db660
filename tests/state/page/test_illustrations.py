"""Illustrations of the page: an image is anchored to its text, and stale once the text changes."""

from __future__ import annotations

from pathlib import Path

import pytest
from pytestqt.qtbot import QtBot

from studio.core.descriptor import Catalogue, PluginDescriptor
from studio.core.job import JobState
from studio.core.page.plain_text import trim_selection
from studio.core.paths import Home
from studio.core.settings import Settings
from studio.library.library import Library
from studio.state.page.illustrations import Illustrations, find_painter
from studio.state.session import Session
from tests.fixtures.engine import FakeEngine, make_catalogue, make_property, make_tool

PAINT = make_tool(
    "diffusion.paint",
    "Paint",
    {
        "prompt": make_property("string", "prompt", default=""),
        "steps": make_property("integer", default=20, minimum=1, maximum=100),
    },
)


@pytest.fixture
def engine() -> FakeEngine:
    return FakeEngine(Catalogue((*make_catalogue().plugins, PluginDescriptor(name="diffusion", tools=(PAINT,)))))


@pytest.fixture
def art(qtbot: QtBot, session: Session) -> Illustrations:
    qtbot.waitUntil(lambda: session.page.is_ready)
    session.page.write(0, 0, "A red fox.\n  It ran home.  \nThe end.")
    return session.illustrations


def wait_for_job(qtbot: QtBot, art: Illustrations, engine: FakeEngine) -> str:
    qtbot.waitUntil(lambda: bool(art.list_pictures()) and bool(art.list_pictures()[0].anchor.job))
    return art.list_pictures()[0].anchor.job


def test_the_painter_is_a_tool_that_needs_only_a_prompt(art: Illustrations, session: Session) -> None:
    assert find_painter(session.workspace) == PAINT
    assert art.can_paint


def test_the_selection_or_the_paragraph_is_painted() -> None:
    text = "A red fox.\n  It ran home.  \nThe end."
    assert text[slice(*trim_selection(text, 0, 5))] == "A red"
    assert text[slice(*trim_selection(text, 15, 15))] == "It ran home."
    assert text[slice(*trim_selection(text, 10, 13))] == ""
    assert trim_selection("", 0, 0) == (0, 0)


def test_an_illustration_is_anchored_and_repainted_with_the_same_seed(
    qtbot: QtBot, session: Session, engine: FakeEngine, art: Illustrations, pictures: list[Path]
) -> None:
    session.workspace.set_value_of("diffusion.paint", "steps", 7)
    art.paint(0, 0)
    job = wait_for_job(qtbot, art, engine)
    recipe = engine.calls[-1][1]
    assert recipe.params == {"prompt": "A red fox.", "steps": 7}
    engine.finish(job, session.library.import_file(pictures[0]))
    qtbot.waitUntil(lambda: not art.list_pictures()[0].is_busy)
    (one,) = art.list_pictures()
    assert not one.is_stale
    assert one.creation is not None
    assert session.variations.items == ()

    session.page.write(2, 3, "grey")
    assert art.list_pictures()[0].is_stale
    session.page.undo()
    assert not art.list_pictures()[0].is_stale, "the words are as they were"
    session.page.redo()

    art.repaint_nearest(30)
    qtbot.waitUntil(lambda: len([call for call in engine.calls if call[0] == "submit"]) == 2)
    assert engine.calls[-1][1].params["prompt"] == "A grey fox."
    assert engine.calls[-1][1].seed == recipe.seed
    qtbot.waitUntil(lambda: bool(art.list_pictures()[0].anchor.job))
    engine.finish(art.list_pictures()[0].anchor.job, session.library.import_file(pictures[1]))
    qtbot.waitUntil(lambda: not art.list_pictures()[0].is_busy)
    assert not art.list_pictures()[0].is_stale
    assert art.list_pictures()[0].creation != one.creation


def test_a_failed_illustration_leaves_none_or_the_one_before(
    qtbot: QtBot, session: Session, engine: FakeEngine, art: Illustrations, pictures: list[Path]
) -> None:
    art.paint(0, 0)
    engine.fail(wait_for_job(qtbot, art, engine), "Out of memory.")
    qtbot.waitUntil(lambda: art.list_pictures() == [])
    art.paint(0, 0)
    engine.finish(wait_for_job(qtbot, art, engine), session.library.import_file(pictures[0]))
    qtbot.waitUntil(lambda: not art.list_pictures()[0].is_busy)
    art.repaint_nearest(0)
    engine.set_state(wait_for_job(qtbot, art, engine), JobState.CANCELLED)
    qtbot.waitUntil(lambda: not art.list_pictures()[0].is_busy)
    assert art.list_pictures()[0].creation is not None
    art.remove(art.list_pictures()[0].anchor.id)
    assert art.list_pictures() == []


def test_a_missing_text_or_painter_is_reported(session: Session, engine: FakeEngine, art: Illustrations) -> None:
    end = len("A red fox.\n  It ran home.  \n")
    art.paint(end - 3, end)
    art.repaint_nearest(0)
    session.workspace.set_catalogue(make_catalogue())
    art.paint(0, 5)
    said = [notice.text for notice in session.notices.items]
    assert any("Select the words" in text for text in said)
    assert any("no illustration yet" in text for text in said)


def test_illustrations_survive_a_restart(
    qtbot: QtBot, session: Session, engine: FakeEngine, art: Illustrations, pictures: list[Path], home: Home
) -> None:
    art.paint(0, 0)
    job = wait_for_job(qtbot, art, engine)
    creation = session.library.import_file(pictures[0])
    session.close()
    engine.finish(job, creation)
    other = Session(home, engine, Library(home), Settings())
    other.begin()
    with qtbot.waitSignal(other.library_ready):
        other.start()
    qtbot.waitUntil(lambda: [one.creation for one in other.illustrations.list_pictures()] == [creation])
    assert not other.illustrations.list_pictures()[0].is_busy
    other.close()


def test_a_page_is_exported_with_its_illustrations(
    qtbot: QtBot, session: Session, engine: FakeEngine, art: Illustrations, pictures: list[Path], tmp_path: Path
) -> None:
    art.paint(0, 0)
    engine.finish(wait_for_job(qtbot, art, engine), session.library.import_file(pictures[0]))
    qtbot.waitUntil(lambda: not art.list_pictures()[0].is_busy)
    art.export(tmp_path / "tale.md")
    qtbot.waitUntil(lambda: any("Exported to tale.md" in notice.text for notice in session.notices.items))
    assert (tmp_path / "tale.md").read_text().startswith("A red fox.\n\n![A red fox.](<tale%20images/")
