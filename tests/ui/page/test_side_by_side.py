"""Alternatives side by side, with pointer and keys."""

from __future__ import annotations

from itertools import pairwise

import pytest
from PySide6.QtCore import Qt
from PySide6.QtWidgets import QApplication
from pytestqt.qtbot import QtBot

from studio.core.descriptor import Catalogue, PluginDescriptor
from studio.core.messages import PreviewFrame
from studio.core.page.edits import Author
from studio.core.page.revisions import AuthorRun
from studio.ui.page import PageView
from studio.ui.page.alternative_card import MAX_CHARACTERS, AlternativeCard, shorten_runs
from studio.ui.page.side_by_side import MIN_WIDTH, SideBySide
from studio.ui.theme import theme
from studio.ui.theme.colours import DARK, LIGHT
from studio.ui.window.window import Window
from tests.fixtures.engine import FakeEngine, make_property, make_tool

TALE = make_tool("tales.tale", "Write on", {"text": make_property("string", "page", default="")}, output="text")
ALT, CTRL = Qt.KeyboardModifier.AltModifier, Qt.KeyboardModifier.ControlModifier
KEY = Qt.Key
EVERY_KIND = [
    " ran home.\nAnd slept.",
    " went on." * 400,
    "\n",
    "狐が走った。" * 40,
    " مرحبا بالعالم.\nوسطر آخر.",
    " שלום עולם",
    " 🦊👩‍🚀 <b>no</b> &amp;",
    "x" * 300,
    " sat.",
]


@pytest.fixture
def engine() -> FakeEngine:
    return FakeEngine(Catalogue((PluginDescriptor(name="tales", title="Tales", tools=(TALE,)),)))


@pytest.fixture
def view(qtbot: QtBot, page_view: PageView) -> PageView:
    """A page with the words "A fox"."""
    qtbot.keyClicks(page_view.editor, "A fox")
    return page_view


def ask(qtbot: QtBot, window: Window, count: int) -> list[str]:
    """Generate, and return the ids of the jobs."""
    window.session.workspace.set_count(count)
    with qtbot.waitSignal(window.session.generation.submitted) as submitted:
        window.session.generation.generate()
    return [job.id for job in submitted.args[0]]


def stream(qtbot: QtBot, window: Window, engine: FakeEngine, job: str, text: str) -> None:
    """Let a job write a text after "A fox"."""
    engine.run(job)
    engine.emit(PreviewFrame(job=job, text=f"A fox{text}"))
    book = window.session.page.tree
    qtbot.waitUntil(lambda: (node := book.find_node_of_job(job)) is not None and node.text == text)


def write_alternatives(qtbot: QtBot, window: Window, engine: FakeEngine, *texts: str) -> None:
    """Write finished alternatives, the first of them on the page."""
    for job, text in zip(ask(qtbot, window, len(texts)), texts, strict=True):
        stream(qtbot, window, engine, job, text)
        engine.fail(job, "Enough.")
    qtbot.waitUntil(lambda: not window.session.page.jobs.is_writing)


def open_alternatives(qtbot: QtBot, view: PageView) -> SideBySide:
    qtbot.keyClick(view.editor, KEY.Key_S, ALT)
    assert view.side_by_side.isVisible()
    return view.side_by_side


def press(qtbot: QtBot, key: Qt.Key) -> None:
    """Press a key in the focused widget."""
    focused = QApplication.focusWidget()
    assert focused is not None
    qtbot.keyClick(focused, key)


def find_focused(cards: SideBySide) -> int:
    """Return the number of the focused card."""
    return next(card.number for card in cards.cards if card.hasFocus())


def words_on(card: AlternativeCard) -> str:
    return card._text.toPlainText()


def test_a_number_key_chooses_an_alternative_and_keeps_the_others(
    qtbot: QtBot, window: Window, view: PageView, engine: FakeEngine
) -> None:
    assert not view.page_bar.side_by_side_button.isVisible()
    write_alternatives(qtbot, window, engine, " ran.", " sat.", " sang.")
    assert view.page_bar.side_by_side_button.isVisible()
    cards = open_alternatives(qtbot, view)
    assert cards.title.text() == "3 alternatives"
    assert cards.context_label.text() == "after “A fox”"
    assert [words_on(card) for card in cards.cards] == ["ran.", "sat.", "sang."]
    assert [card.passage.is_current for card in cards.cards] == [True, False, False]
    press(qtbot, KEY.Key_4)
    assert cards.isVisible()
    press(qtbot, KEY.Key_3)
    assert cards.isHidden()
    assert view.editor.text == "A fox sang."
    assert view.editor.hasFocus()
    assert view.editor.cursor_position() == len("A fox sang.")
    assert view.page_bar.position_label.text() == "3 of 3"
    qtbot.keyClick(view.editor, KEY.Key_Z, CTRL)
    assert view.editor.text == "A fox ran."


def test_arrows_and_enter_choose_an_alternative(
    qtbot: QtBot, window: Window, view: PageView, engine: FakeEngine
) -> None:
    write_alternatives(qtbot, window, engine, " ran.", " sat.", " sang.")
    cards = open_alternatives(qtbot, view)
    assert find_focused(cards) == 1
    for key in (KEY.Key_Left, KEY.Key_Right, KEY.Key_Right, KEY.Key_Right, KEY.Key_Left):
        press(qtbot, key)
    assert find_focused(cards) == 2
    press(qtbot, KEY.Key_Return)
    assert view.editor.text == "A fox sat."


def test_a_click_chooses_an_alternative(qtbot: QtBot, window: Window, view: PageView, engine: FakeEngine) -> None:
    write_alternatives(qtbot, window, engine, " ran.", " sat.")
    view.page_bar.side_by_side_button.click()
    assert view.page_bar.side_by_side_button.isChecked()
    qtbot.mouseClick(view.side_by_side.cards[1], Qt.MouseButton.LeftButton)
    assert view.editor.text == "A fox sat."
    assert not view.page_bar.side_by_side_button.isChecked()


def test_escape_closes_without_a_change(qtbot: QtBot, window: Window, view: PageView, engine: FakeEngine) -> None:
    write_alternatives(qtbot, window, engine, " ran.", " sat.")
    view.editor.put_cursor(7)
    nodes = dict(window.session.page.tree.nodes)
    cards = open_alternatives(qtbot, view)
    press(qtbot, KEY.Key_Right)
    press(qtbot, KEY.Key_Escape)
    assert cards.isHidden()
    assert view.editor.text == "A fox ran."
    assert view.editor.cursor_position() == 7
    assert view.editor.hasFocus()
    assert window.session.page.tree.nodes == nodes
    cards = open_alternatives(qtbot, view)
    press(qtbot, KEY.Key_1)
    assert cards.isHidden()
    assert window.session.page.tree.nodes == nodes


def test_cards_grow_while_text_is_written(qtbot: QtBot, window: Window, view: PageView, engine: FakeEngine) -> None:
    first, second = ask(qtbot, window, 2)
    assert view.page_bar.side_by_side_button.isVisible()
    cards = open_alternatives(qtbot, view)
    assert [words_on(card) for card in cards.cards] == ["Waiting…"] * 2
    press(qtbot, KEY.Key_2)
    assert cards.isVisible()
    stream(qtbot, window, engine, first, " ran")
    assert "writing" in cards.cards[0].accessibleName()
    stream(qtbot, window, engine, first, " ran home")
    engine.fail(first, "Enough.")
    stream(qtbot, window, engine, second, " sat")
    assert [words_on(card) for card in cards.cards] == ["ran home", "sat"]
    assert view.page_bar.state.text() == "Writing an alternative…"
    press(qtbot, KEY.Key_2)
    assert view.editor.text == "A fox sat"
    stream(qtbot, window, engine, second, " sat down")
    assert view.editor.text == "A fox sat down"
    qtbot.keyClick(view.editor, KEY.Key_Left, ALT)
    assert view.editor.text == "A fox ran home"
    stream(qtbot, window, engine, second, " sat down there")
    assert ("cancel", second) not in engine.calls
    qtbot.keyClick(view.editor, KEY.Key_Right, ALT)
    assert view.editor.text == "A fox sat down there"


def test_regenerate_adds_a_card(qtbot: QtBot, window: Window, view: PageView, engine: FakeEngine) -> None:
    write_alternatives(qtbot, window, engine, " ran.", " sat.")
    window.session.workspace.set_count(1)
    cards = open_alternatives(qtbot, view)
    with qtbot.waitSignal(window.session.generation.submitted) as submitted:
        view.page_bar.regenerate_button.click()
    assert [words_on(card) for card in cards.cards] == ["ran.", "sat.", "Waiting…"]
    stream(qtbot, window, engine, submitted.args[0][0].id, " sang.")
    assert cards.isVisible()
    assert cards.cards[2].passage.is_current


def test_alternatives_close_when_a_job_writes_elsewhere(
    qtbot: QtBot, window: Window, view: PageView, engine: FakeEngine
) -> None:
    write_alternatives(qtbot, window, engine, " ran.", " sat.")
    cards = open_alternatives(qtbot, view)
    (job,) = ask(qtbot, window, 1)
    assert cards.isVisible()
    engine.run(job)
    engine.emit(PreviewFrame(job=job, text="A fox ran. It"))
    qtbot.waitUntil(lambda: view.editor.text == "A fox ran. It")
    assert cards.isHidden()


def test_the_text_before_the_passage_is_elided(
    qtbot: QtBot, window: Window, view: PageView, engine: FakeEngine
) -> None:
    qtbot.keyClicks(view.editor, " that had a long way to go before it came home in the evening of a day in May" * 2)
    text = view.editor.text
    for job in ask(qtbot, window, 2):
        engine.run(job)
        engine.emit(PreviewFrame(job=job, text=f"{text} ran"))
    qtbot.waitUntil(lambda: window.session.page.has_alternatives and view.editor.text.endswith("ran"))
    before = open_alternatives(qtbot, view).context_label
    assert before.text().startswith("after “…")
    assert before.text().endswith("in May”")
    assert before.fontMetrics().horizontalAdvance(before.text()) <= before.width()


def test_alternatives_close_when_another_page_opens(
    qtbot: QtBot, window: Window, view: PageView, engine: FakeEngine
) -> None:
    write_alternatives(qtbot, window, engine, " ran.", " sat.")
    cards = open_alternatives(qtbot, view)
    window.session.page.new_page()
    assert cards.isHidden()


@pytest.mark.parametrize("place", [0, 2])
def test_a_passage_without_alternatives_is_not_shown_side_by_side(
    qtbot: QtBot, window: Window, view: PageView, engine: FakeEngine, place: int
) -> None:
    write_alternatives(qtbot, window, engine, " ran.")
    view.editor.put_cursor(place)
    qtbot.keyClick(view.editor, KEY.Key_S, ALT)
    assert view.side_by_side.isHidden()
    assert any("no alternatives here" in notice.text for notice in window.session.notices.items)


@pytest.mark.parametrize("count", [2, 9])
@pytest.mark.parametrize("width", [900, 1440])
def test_cards_do_not_overlap(
    qtbot: QtBot, window: Window, view: PageView, engine: FakeEngine, count: int, width: int
) -> None:
    window.resize(width, 700)
    write_alternatives(qtbot, window, engine, *EVERY_KIND[:count])
    cards = open_alternatives(qtbot, view)
    places = [card.geometry() for card in cards.cards]
    assert all(a.right() < b.left() for a, b in pairwise(places))
    assert all(place.width() >= MIN_WIDTH for place in places)
    for _ in range(count):
        press(qtbot, KEY.Key_Right)
    last = cards.cards[-1]
    seen = last.visibleRegion().boundingRect()
    assert last.hasFocus()
    assert seen.width() == last.width()
    press(qtbot, KEY.Key_Down)
    cards.grab()
    again = view.page_bar.regenerate_button
    qtbot.waitUntil(lambda: again.width() >= again.minimumSizeHint().width())


def test_cards_show_every_script_and_empty_alternatives(
    qtbot: QtBot, window: Window, view: PageView, engine: FakeEngine
) -> None:
    write_alternatives(qtbot, window, engine, *EVERY_KIND)
    cards = open_alternatives(qtbot, view).cards
    for card, text in zip(cards, EVERY_KIND, strict=True):
        shown = "".join(run.text for run in shorten_runs([AuthorRun(text, Author.MACHINE)]))
        assert words_on(card) == (shown or "Empty")
    assert words_on(cards[1]).endswith("…")
    hebrew = cards[5]._text.firstBlock()
    assert hebrew.textDirection() == Qt.LayoutDirection.RightToLeft


def test_accessible_names_number_the_alternatives(
    qtbot: QtBot, window: Window, view: PageView, engine: FakeEngine
) -> None:
    write_alternatives(qtbot, window, engine, " ran.", " sat\ndown.")
    cards = open_alternatives(qtbot, view).cards
    assert [card.accessibleName() for card in cards] == [
        "Alternative 1 of 2, on the page: ran.",
        "Alternative 2 of 2: sat down.",
    ]
    assert cards[1].accessibleDescription() == "2 words"


def test_edited_words_have_the_human_s_colour_on_the_card(
    qapp: QApplication, qtbot: QtBot, window: Window, view: PageView, engine: FakeEngine
) -> None:
    write_alternatives(qtbot, window, engine, " ran.", " sat.")
    view.editor.put_cursor(8)
    qtbot.keyClicks(view.editor, "u")
    card = open_alternatives(qtbot, view).cards[0]
    assert words_on(card) == "raun."

    def colours() -> list[str]:
        parts = card._text.firstBlock().textFormats()
        return [part.format.foreground().color().name() for part in parts]

    assert colours() == [DARK.machine, DARK.text, DARK.machine]
    try:
        theme.apply(qapp, "light")
        assert colours() == [LIGHT.machine, LIGHT.text, LIGHT.machine]
    finally:
        theme.apply(qapp, "dark")


def test_find_closes_the_alternatives(qtbot: QtBot, window: Window, view: PageView, engine: FakeEngine) -> None:
    write_alternatives(qtbot, window, engine, " ran.", " sat.")
    cards = open_alternatives(qtbot, view)
    view.toggle_find()
    assert cards.isHidden()
    assert view.find_bar.find_field.hasFocus()


def test_runs_are_shortened() -> None:
    human, machine = Author.HUMAN, Author.MACHINE
    assert shorten_runs([]) == []
    assert shorten_runs([AuthorRun(" \n", machine), AuthorRun(" ", human)]) == []
    assert shorten_runs([AuthorRun(" a ", machine), AuthorRun("b", human), AuthorRun("\n", machine)]) == [
        AuthorRun("a ", machine),
        AuthorRun("b", human),
    ]
    assert shorten_runs([AuthorRun(" ab", machine), AuthorRun(" cd", human)], limit=3) == [AuthorRun("ab…", machine)]
    assert len("".join(run.text for run in shorten_runs([AuthorRun("x" * 9000, machine)]))) == MAX_CHARACTERS + 1
