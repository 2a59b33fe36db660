"""Rewrites of the selection, and suggestions for a gap."""

from __future__ import annotations

import pytest
from pytestqt.qtbot import QtBot

from studio.core.descriptor import Catalogue, PluginDescriptor
from studio.core.job import JobState
from studio.core.messages import PreviewFrame
from studio.core.page.edits import Author, StoredPage
from studio.core.page.revisions import RevisionTree
from studio.core.recipe import PluginRef, Recipe
from studio.library.storage import writer
from studio.state.page.selection_tools import Gap, SelectionTools, find_word_around, trim_spaces
from studio.state.session import Session
from tests.fixtures.engine import FakeEngine, make_property, make_tool

PROMPT = make_property("string", "prompt", default="")
PAGE = make_property("string", "page", default="")
REWRITE = make_tool("writer.rewrite", "Rewrite", {"text": PROMPT, "tone": PROMPT}, output="text", selection="replace")
SUGGEST = make_tool("writer.suggest", "Find a word", {"text": PROMPT}, output="text", selection="offer")
TALE = make_tool("writer.tale", "Write on", {"text": PAGE}, output="text")
TEXT = "A red fox ran.\n\nIt slept."


@pytest.fixture
def engine() -> FakeEngine:
    return FakeEngine(Catalogue((PluginDescriptor(name="writer", tools=(TALE, REWRITE, SUGGEST)),)))


@pytest.fixture
def selection_tools(qtbot: QtBot, session: Session) -> SelectionTools:
    session.workspace.choose("writer.tale")
    qtbot.waitUntil(lambda: session.page.is_ready)
    session.page.write(0, 0, TEXT)
    session.page.set_cursor(6)
    return session.selection_tools


def wait_for_job(qtbot: QtBot, engine: FakeEngine, count: int = 1) -> str:
    qtbot.waitUntil(lambda: len(engine.jobs()) == count)
    return engine.jobs()[-1].id


def finish(session: Session, engine: FakeEngine, job: str, text: str, **notes: object) -> None:
    recipe = Recipe(tool="writer.rewrite", plugin=PluginRef("writer", "1"), seed=1, notes=notes)
    engine.finish(job, session.library.add(writer.save_text(session.home, text, recipe)))


def test_a_rewrite_replaces_the_selection(
    qtbot: QtBot, session: Session, engine: FakeEngine, selection_tools: SelectionTools
) -> None:
    page = session.page
    session.workspace.set_value_of("writer.rewrite", "tone", "dry")
    selection_tools.rewrite(1, 10)
    job = wait_for_job(qtbot, engine)
    assert engine.jobs()[0].recipe.params == {"text": "red fox", "tone": "dry"}
    qtbot.waitUntil(lambda: page.jobs.is_writing)
    engine.run(job)
    engine.emit(PreviewFrame(job=job, text=" vixen, in"))
    qtbot.waitUntil(lambda: page.text == "A vixen, in ran.\n\nIt slept.")
    assert page.cursor == 11
    finish(session, engine, job, "vixen, in red,\n")
    qtbot.waitUntil(lambda: not page.jobs.is_writing and not page.tree.requests)
    assert page.text == "A vixen, in red, ran.\n\nIt slept."
    assert [run.author for run in page.runs] == [Author.HUMAN, Author.MACHINE, Author.HUMAN]
    assert session.variations.items == ()
    page.undo()
    assert page.text == TEXT


def test_regenerate_repeats_the_rewrite(
    qtbot: QtBot, session: Session, engine: FakeEngine, selection_tools: SelectionTools
) -> None:
    page = session.page
    assert not selection_tools.rewrite_again(4)
    selection_tools.rewrite(2, 9)
    job = wait_for_job(qtbot, engine)
    qtbot.waitUntil(lambda: page.jobs.is_writing)
    finish(session, engine, job, "owl")
    qtbot.waitUntil(lambda: page.text.startswith("A owl ran"))
    page.set_cursor(4)
    assert not page.jobs.write_again_next(), "to go on from there would keep what was rewritten"
    assert selection_tools.rewrite_again(4)
    other = wait_for_job(qtbot, engine, 2)
    assert [job.recipe.params["text"] for job in engine.jobs()] == ["red fox", "red fox"]
    qtbot.waitUntil(lambda: page.jobs.is_writing)
    finish(session, engine, other, "hen")
    qtbot.waitUntil(lambda: not page.jobs.is_writing and not page.tree.requests)
    assert {page.tree.text_of(id)[:6] for id in page.tree.list_generations()} == {"A owl ", "A hen "}
    assert page.text.startswith("A hen ran")
    assert page.alternatives == (2, 2)


def test_regenerate_requests_other_suggestions_at_a_filled_gap(
    qtbot: QtBot, session: Session, engine: FakeEngine, selection_tools: SelectionTools
) -> None:
    selection_tools.find_word(3, 3)
    selection_tools.use_word("grey")
    assert session.page.text == "A grey fox ran.\n\nIt slept."
    with qtbot.waitSignal(selection_tools.search_started) as looking:
        assert selection_tools.rewrite_again(4)
    assert looking.args[0] == Gap(2, 6, "grey")


def test_a_failure_outside_the_form_names_its_tool(
    qtbot: QtBot, session: Session, engine: FakeEngine, selection_tools: SelectionTools
) -> None:
    selection_tools.rewrite(2, 9)
    engine.fail(wait_for_job(qtbot, engine), "There is no model x.")
    qtbot.waitUntil(lambda: bool(session.notices.items))
    assert session.notices.items[-1].text == "Rewrite: There is no model x."


def test_text_typed_during_a_rewrite_stays_and_the_rewrite_is_a_branch(
    qtbot: QtBot, session: Session, engine: FakeEngine, selection_tools: SelectionTools
) -> None:
    page = session.page
    selection_tools.rewrite(2, 9)
    job = wait_for_job(qtbot, engine)
    qtbot.waitUntil(lambda: page.jobs.is_writing)
    page.write(len(page.text), 0, " Twice.")
    finish(session, engine, job, "owl")
    qtbot.waitUntil(lambda: not page.tree.requests)
    assert page.text == TEXT + " Twice."
    assert [page.tree.text_of(id) for id in page.tree.list_generations()] == ["A owl ran.\n\nIt slept."]


def test_a_stored_page_keeps_the_ranges_that_rewrites_replace() -> None:
    page = RevisionTree()
    page.write(0, 0, TEXT)
    page.request_text("j", page.current, 2, 7)
    stored = page.to_stored()
    assert isinstance(stored, StoredPage)
    again = RevisionTree(stored)
    again.set_generated_text("j", "owl")
    assert again.text == "A owl ran.\n\nIt slept."


def test_suggestions_are_offered_and_one_fills_the_gap(
    qtbot: QtBot, session: Session, engine: FakeEngine, selection_tools: SelectionTools
) -> None:
    page = session.page
    with qtbot.waitSignal(selection_tools.search_started) as looking:
        selection_tools.find_word(8, 8)
    assert looking.args[0] == Gap(6, 9, "fox")
    job = wait_for_job(qtbot, engine)
    assert engine.jobs()[0].recipe.params["text"] == "A red ___ ran.\n\nIt slept."
    with qtbot.waitSignal(selection_tools.words_found) as offered:
        finish(session, engine, job, "owl", words=[[" owl", 0.5], ["##s", 0.2], [" ", 0.1], [".", 0.1], ["hen", 0.05]])
    assert offered.args[0] == [("owl", 0.5), ("hen", 0.05)]
    assert session.variations.items == ()
    selection_tools.use_word("owl")
    assert page.text == "A red owl ran.\n\nIt slept."
    assert page.cursor == 9
    assert page.runs[1].author is Author.MACHINE
    selection_tools.use_word("hen")
    assert page.text.startswith("A red owl"), "a list that was used is gone"
    page.undo()
    assert page.text == TEXT


def test_a_word_inserted_between_words_gets_spaces(
    qtbot: QtBot, session: Session, engine: FakeEngine, selection_tools: SelectionTools
) -> None:
    page = session.page
    selection_tools.find_word(5, 6)
    job = wait_for_job(qtbot, engine)
    with qtbot.waitSignal(selection_tools.words_found):
        finish(session, engine, job, "x", words=[["old", 0.5]])
    selection_tools.use_word("old")
    assert page.text.startswith("A red old fox ran.")


def test_a_job_without_suggestions_closes_the_list(
    qtbot: QtBot, session: Session, engine: FakeEngine, selection_tools: SelectionTools
) -> None:
    selection_tools.find_word(8, 8)
    job = wait_for_job(qtbot, engine)
    with qtbot.waitSignal(selection_tools.words_found) as offered:
        engine.fail(job, "There is no model.")
    assert offered.args[0] == []
    selection_tools.find_word(8, 8)
    job = wait_for_job(qtbot, engine, 2)
    qtbot.waitUntil(lambda: selection_tools._job == job)
    selection_tools.stop_search()
    assert engine.jobs()[-1].state is JobState.CANCELLED


def test_an_empty_selection_is_reported(session: Session, engine: FakeEngine, selection_tools: SelectionTools) -> None:
    session.page.replace([(0, len(TEXT), "")])
    selection_tools.rewrite(0, 0)
    selection_tools.find_word(0, 0)
    engine.set_catalogue(Catalogue())
    assert len(session.notices.items) == 2
    assert engine.jobs() == []


def test_the_word_or_gap_at_a_position_is_found() -> None:
    text = "It's a ___ day"
    assert text[slice(*find_word_around(text, 2, 2))] == "It's"
    assert text[slice(*find_word_around(text, 7, 7))] == "___"
    assert text[slice(*find_word_around(text, 10, 10))] == "___"
    assert find_word_around("a  b", 2, 2) == (2, 2)
    assert trim_spaces(" a b ", 0, 5) == (1, 4)
    assert trim_spaces("  ", 0, 2) == (0, 2)
