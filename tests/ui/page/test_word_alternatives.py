"""Alternatives of the model's words, and suggested words, with pointer and keys."""

from __future__ import annotations

import pytest
from PySide6.QtCore import QEvent, QPoint, Qt
from PySide6.QtGui import QHelpEvent
from PySide6.QtWidgets import QApplication
from pytestqt.qtbot import QtBot

from studio.core.descriptor import Catalogue, PluginDescriptor
from studio.core.page.token_budget import TokenBudget
from studio.core.recipe import PluginRef, Recipe
from studio.engine.interface import EstimateReady
from studio.library.storage import writer
from studio.ui.page import PageView
from studio.ui.page.suggestion_list import format_percent, show_invisible
from studio.ui.window.window import Window
from tests.fixtures.engine import FakeEngine, make_property, make_tool

TALE = make_tool("tales.tale", "Write on", {"text": make_property("string", "page", default="")}, output="text")
CHOICES = [[" fox", [[" fox", 0.5], [" owl", 0.25]]], [" ran", [[" sang", 0.4], [" ran", 0.3]]]]
ALT = Qt.KeyboardModifier.AltModifier


@pytest.fixture
def engine() -> FakeEngine:
    return FakeEngine(Catalogue((PluginDescriptor(name="tales", title="Tales", tools=(TALE,)),)))


@pytest.fixture
def view(qtbot: QtBot, window: Window, engine: FakeEngine, page_view: PageView) -> PageView:
    """A page on which the artist wrote "A red" and a model " fox ran"."""
    session, view = window.session, page_view
    qtbot.keyClicks(view.editor, "A red")
    with qtbot.waitSignal(session.generation.submitted) as submitted:
        session.generation.generate()
    job = submitted.args[0][0].id
    recipe = Recipe(tool="tales.tale", plugin=PluginRef("tales", "1"), seed=1, notes={"choices": CHOICES})
    engine.run(job)
    engine.finish(job, session.library.add(writer.save_text(session.home, "A red fox ran", recipe)))
    qtbot.waitUntil(lambda: view.editor.text == "A red fox ran" and not session.page.jobs.is_writing)
    return view


def rest_on(view: PageView, at: int) -> QPoint:
    viewport = view.editor.viewport()
    point = view.editor.rect_of(at, 1).center()
    QApplication.sendEvent(viewport, QHelpEvent(QEvent.Type.ToolTip, point, viewport.mapToGlobal(point)))
    return point


def test_hovering_over_a_word_shows_alternatives(qtbot: QtBot, window: Window, view: PageView) -> None:
    rest_on(view, 2)
    assert view.word_list.isHidden()
    point = rest_on(view, 7)
    qtbot.waitUntil(lambda: view.word_list.isVisible())
    assert view.word_list.title.text() == "Replace “fox”"
    shown = [view.word_list.list.item(row).text() for row in range(view.word_list.list.count())]
    assert shown == ["fox", "owl"]
    assert view.word_list.list.currentItem().text() == "fox"
    assert len(view.editor.extraSelections()) == 1
    assert view.editor.hasFocus()
    qtbot.mouseMove(view.editor.viewport(), point + QPoint(2, 0))
    assert view.word_list.isVisible()
    qtbot.mouseMove(view.editor.viewport(), QPoint(view.editor.viewport().width() - 2, 2))
    qtbot.waitUntil(lambda: view.word_list.isHidden())
    assert view.editor.extraSelections() == []


def test_a_click_chooses_another_word(qtbot: QtBot, window: Window, view: PageView, engine: FakeEngine) -> None:
    rest_on(view, 7)
    qtbot.waitUntil(lambda: view.word_list.isVisible())
    row = view.word_list.list.visualItemRect(view.word_list.list.item(1)).center()
    with qtbot.waitSignal(window.session.generation.submitted):
        qtbot.mouseClick(view.word_list.list.viewport(), Qt.MouseButton.LeftButton, pos=row)
    assert view.editor.text == "A red owl"
    assert engine.calls[-1][1].params["text"] == "A red owl"
    assert view.word_list.isHidden()


def test_word_alternatives_by_keys(qtbot: QtBot, window: Window, view: PageView, engine: FakeEngine) -> None:
    assert view.editor.cursor_position() == 13
    qtbot.keyClick(view.editor, Qt.Key.Key_A, ALT)
    qtbot.waitUntil(lambda: view.word_list.isVisible())
    assert view.word_list.title.text() == "Replace “ran”"
    qtbot.keyClick(view.word_list.list, Qt.Key.Key_Left)
    assert view.word_list.title.text() == "Replace “fox”"
    qtbot.keyClick(view.word_list.list, Qt.Key.Key_Left)
    assert view.word_list.title.text() == "Replace “fox”", "what a human wrote has no other words"
    qtbot.keyClick(view.word_list.list, Qt.Key.Key_Right)
    qtbot.keyClick(view.word_list.list, Qt.Key.Key_Escape)
    assert view.word_list.isHidden()
    assert view.editor.hasFocus()
    qtbot.keyClick(view.editor, Qt.Key.Key_A, ALT)
    qtbot.keyClick(view.word_list.list, Qt.Key.Key_Up)
    with qtbot.waitSignal(window.session.generation.submitted):
        qtbot.keyClick(view.word_list.list, Qt.Key.Key_Return)
    assert view.editor.text == "A red fox sang"


def test_a_human_s_word_has_no_alternatives(qtbot: QtBot, window: Window, view: PageView) -> None:
    view.editor.put_cursor(1)
    view.word_alternatives.open()
    assert view.word_list.isHidden()
    notices = window.session.notices
    assert any("no alternatives for this word" in notice.text for notice in notices.items)


def test_typing_closes_the_word_list(qtbot: QtBot, view: PageView) -> None:
    rest_on(view, 7)
    qtbot.waitUntil(lambda: view.word_list.isVisible())
    qtbot.keyClicks(view.editor, "x")
    assert view.word_list.isHidden()


def test_percent_and_invisible_characters_are_formatted() -> None:
    assert [format_percent(share) for share in (0.5, 0.123, 0.0123, 0.00001)] == ["50%", "12%", "1.2%", "<0.1%"]
    assert [show_invisible(word) for word in (" fox", "\n\n", " ")] == ["fox", "↵↵", "space"]


def with_tools(qtbot: QtBot, window: Window, engine: FakeEngine) -> None:
    prompt = make_property("string", "prompt", default="")
    rewrite = make_tool("tales.rewrite", "Rewrite", {"text": prompt}, output="text", selection="replace")
    suggest = make_tool("tales.suggest", "Find a word", {"text": prompt}, output="text", selection="offer")
    engine.set_catalogue(Catalogue((PluginDescriptor(name="tales", title="Tales", tools=(TALE, rewrite, suggest)),)))
    qtbot.waitUntil(lambda: window.session.selection_tools.find_tool("offer") is not None)


def test_a_suggested_word_is_inserted_by_keys(qtbot: QtBot, window: Window, view: PageView, engine: FakeEngine) -> None:
    with_tools(qtbot, window, engine)
    view.editor.put_cursor(4)
    count = len(engine.jobs())
    qtbot.keyClick(view.editor, Qt.Key.Key_W, ALT)
    assert view.gap_list.isVisible()
    assert view.gap_list.title.text() == "Looking for words…"
    qtbot.waitUntil(lambda: len(engine.jobs()) > count)
    job = engine.jobs()[-1]
    assert job.recipe.params["text"] == "A ___ fox ran"
    recipe = Recipe(
        tool="tales.suggest", plugin=PluginRef("t", "1"), seed=0, notes={"words": [[" grey", 0.4], [" red", 0.2]]}
    )
    engine.finish(job.id, window.session.library.add(writer.save_text(window.session.home, "grey", recipe)))
    qtbot.waitUntil(lambda: view.gap_list.list.count() == 2)
    assert view.gap_list.list.currentItem().text() == "red"
    qtbot.keyClick(view.gap_list.list, Qt.Key.Key_Up)
    qtbot.keyClick(view.gap_list.list, Qt.Key.Key_Return)
    assert view.editor.text == "A grey fox ran"
    assert view.gap_list.isHidden()
    assert view.editor.hasFocus()


def test_escape_stops_the_search_for_words(qtbot: QtBot, window: Window, view: PageView, engine: FakeEngine) -> None:
    with_tools(qtbot, window, engine)
    qtbot.keyClick(view.editor, Qt.Key.Key_W, ALT)
    assert view.gap_list.isVisible()
    qtbot.keyClick(view.editor, Qt.Key.Key_Escape)
    assert view.gap_list.isHidden()


def test_the_selection_is_rewritten(qtbot: QtBot, window: Window, view: PageView, engine: FakeEngine) -> None:
    with_tools(qtbot, window, engine)
    view.editor.put_cursor(2, select=7)
    count = len(engine.jobs())
    qtbot.keyClick(view.editor, Qt.Key.Key_R, ALT)
    qtbot.waitUntil(lambda: len(engine.jobs()) > count and window.session.page.jobs.is_writing)
    assert engine.jobs()[-1].recipe.params["text"] == "red fox"
    recipe = Recipe(tool="tales.rewrite", plugin=PluginRef("t", "1"), seed=0)
    saved = window.session.library.add(writer.save_text(window.session.home, "small owl", recipe))
    engine.finish(engine.jobs()[-1].id, saved)
    qtbot.waitUntil(lambda: view.editor.text == "A small owl ran")


def test_the_page_stays_while_its_tools_are_changed(
    qtbot: QtBot, window: Window, view: PageView, engine: FakeEngine
) -> None:
    with_tools(qtbot, window, engine)
    window.session.workspace.choose("tales.rewrite")
    assert view.isVisible()
    window.central.show_canvas()
    assert window.central.back.isVisible()
    window.session.page.new_page()
    assert window.canvas.isVisible(), "on an empty page there is nothing to rewrite"
    assert not window.session.page.has_tool


def test_the_page_s_context_menu_shows_commands_with_keys(qtbot: QtBot, window: Window, view: PageView) -> None:
    keys = {action.text(): action.shortcut().toString() for action in view.actions()}
    assert keys == {
        "Alternatives side by side": "Alt+S",
        "Rewrite": "Alt+R",
        "Find a word": "Alt+W",
        "Word alternatives": "Alt+A",
        "Illustrate": "Alt+I",
    }
    titles = [entry.title for entry in window.commands.entries()]
    assert {*keys} <= {*titles}


def test_the_bar_shows_the_token_budget(qtbot: QtBot, window: Window, view: PageView, engine: FakeEngine) -> None:
    assert not view.token_budget_bar.isVisible()
    with qtbot.waitSignal(window.session.worker_status.changed):
        engine.report_ready()
    qtbot.waitUntil(
        lambda: bool(engine.estimate_requests) and engine.estimate_requests[-1][1].get("text") == "A red fox ran"
    )
    budget = TokenBudget(100, {"memory": 10, "text": 30, "new tokens": 20}, 40)
    engine.emit(EstimateReady(f"e{len(engine.estimate_requests)}", budget=budget))
    qtbot.waitUntil(lambda: view.token_budget_bar.isVisible())
    assert (
        view.token_budget_bar.accessibleDescription() == "Memory 10, text 30, new tokens 20 of 100 tokens, 40 left out"
    )
    view.token_budget_bar.grab()
    asked = len(engine.estimate_requests)
    qtbot.keyClicks(view.editor, " on")
    qtbot.waitUntil(
        lambda: len(engine.estimate_requests) > asked and engine.estimate_requests[-1][1]["text"] == "A red fox ran on"
    )
    engine.emit(EstimateReady(f"e{len(engine.estimate_requests)}", budget=TokenBudget(10, {"text": 30})))
    qtbot.waitUntil(lambda: "20 too many" in view.token_budget_bar.accessibleDescription())
    view.token_budget_bar.grab()
