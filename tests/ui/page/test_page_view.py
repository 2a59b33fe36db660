"""The page view, used with keys."""

from __future__ import annotations

from pathlib import Path

import pytest
from PySide6.QtCore import QMimeData, Qt
from PySide6.QtGui import QColor, QGuiApplication, QTextCursor
from PySide6.QtWidgets import QApplication, QWidget
from pytestqt.qtbot import QtBot

from studio.core.descriptor import Catalogue, PluginDescriptor
from studio.core.messages import PreviewFrame
from studio.core.page.edits import Author
from studio.state.page.page import Page
from studio.ui.page import PageView
from studio.ui.page.author_runs import merge_runs, slice_runs, splice_runs
from studio.ui.page.editor import PageEditor
from studio.ui.theme import theme
from studio.ui.theme.colours import DARK, LIGHT
from studio.ui.window.window import Window
from tests.fixtures.engine import FakeEngine, make_catalogue, make_property, make_tool

CTRL, ALT, SHIFT = (
    Qt.KeyboardModifier.ControlModifier,
    Qt.KeyboardModifier.AltModifier,
    Qt.KeyboardModifier.ShiftModifier,
)
TALE = make_tool(
    "tales.tale",
    "Write on",
    {"text": make_property("string", "page", default=""), "heat": make_property("number", default=0.8)},
    output="text",
)


@pytest.fixture
def engine() -> FakeEngine:
    plugin = PluginDescriptor(name="tales", title="Tales", tools=(TALE,))
    return FakeEngine(Catalogue((plugin, *make_catalogue().plugins)))


@pytest.fixture
def view(page_view: PageView) -> PageView:
    return page_view


def press_generate(qtbot: QtBot, window: Window) -> str:
    with qtbot.waitSignal(window.session.generation.submitted) as submitted:
        qtbot.keyClick(window.central.page_view.editor, Qt.Key.Key_Return, CTRL)
    job: str = submitted.args[0][0].id
    return job


def stream(qtbot: QtBot, window: Window, engine: FakeEngine, job: str, text: str) -> None:
    engine.run(job)
    engine.emit(PreviewFrame(job=job, text=text))
    page = window.session.page
    qtbot.waitUntil(lambda: (node := page.tree.find_node_of_job(job)) is not None and text.endswith(node.text))


def colour(page_editor: PageEditor, at: int) -> str:
    cursor = QTextCursor(page_editor.document())
    cursor.setPosition(at + 1)
    return cursor.charFormat().foreground().color().name()


def agree(view: PageView, page: Page) -> bool:
    """Check whether the editor shows the stored text."""
    return view.editor.text == page.text == view.editor.document().toRawText().replace("\u2029", "\n")


def test_the_page_is_shown_while_a_writing_tool_is_chosen(qtbot: QtBot, window: Window, view: PageView) -> None:
    assert view.isVisible()
    assert view.editor.hint.isVisible()
    assert not window.canvas.isVisible()
    assert window.tool_panel.form is not None
    assert not window.tool_panel.form.has_field("text")
    window.session.workspace.choose("style.transfer")
    assert window.canvas.isVisible()
    assert not window.central.back.isVisible()


def test_back_to_page_returns_from_a_picture(qtbot: QtBot, window: Window, view: PageView, picture: Path) -> None:
    window.session.importer.import_files([picture])
    qtbot.waitUntil(lambda: window.canvas.isVisible())
    assert window.central.back.isVisible()
    window.central.back.click()
    assert view.isVisible()


def test_typed_and_generated_text_differ_in_colour(
    qtbot: QtBot, window: Window, view: PageView, engine: FakeEngine
) -> None:
    page, page_editor = window.session.page, view.editor
    qtbot.keyClicks(page_editor, "A fox")
    assert page.text == "A fox"
    assert not page_editor.hint.isVisible()
    job = press_generate(qtbot, window)
    assert engine.calls[-1][1].params["text"] == "A fox"
    stream(qtbot, window, engine, job, "A fox ran home.")
    assert agree(view, page)
    assert view.page_bar.stop_button.isVisible()
    assert colour(page_editor, 2) == theme.COLOURS.text
    assert colour(page_editor, 8) == theme.COLOURS.machine
    assert page_editor.cursor_position() == 15
    stream(qtbot, window, engine, job, "A fox ran home. It")
    assert page_editor.cursor_position() == 18
    qtbot.keyClick(page_editor, Qt.Key.Key_Escape)
    qtbot.waitUntil(lambda: not page.jobs.is_writing)
    assert ("cancel", job) in engine.calls
    assert page.text == "A fox ran home. It"


def test_text_typed_into_the_model_s_text_is_the_human_s(
    qtbot: QtBot, window: Window, view: PageView, engine: FakeEngine
) -> None:
    page, page_editor = window.session.page, view.editor
    job = press_generate(qtbot, window)
    stream(qtbot, window, engine, job, "The fox ran.")
    page_editor.put_cursor(4)
    qtbot.keyClicks(page_editor, "red ")
    assert page.text == "The red fox ran."
    assert [run.author for run in page.runs] == [Author.MACHINE, Author.HUMAN, Author.MACHINE]
    assert [colour(page_editor, at) for at in (1, 5, 10)] == [
        theme.COLOURS.machine,
        theme.COLOURS.text,
        theme.COLOURS.machine,
    ]


def test_undo_and_redo_by_keys_and_buttons(qtbot: QtBot, window: Window, view: PageView) -> None:
    page, page_editor = window.session.page, view.editor
    qtbot.keyClicks(page_editor, "One.")
    qtbot.keyClick(page_editor, Qt.Key.Key_Return)
    qtbot.keyClick(page_editor, Qt.Key.Key_Return)
    qtbot.keyClicks(page_editor, "Two.")
    assert page.text == "One.\n\nTwo."
    qtbot.keyClick(page_editor, Qt.Key.Key_Z, CTRL)
    assert agree(view, page)
    assert page.text == "One.\n\n"
    view.page_bar.undo.click()
    assert page.text == ""
    assert not view.page_bar.undo.isEnabled()
    qtbot.keyClick(page_editor, Qt.Key.Key_Z, CTRL | SHIFT)
    view.page_bar.redo.click()
    assert page.text == "One.\n\nTwo."
    assert agree(view, page)


def test_regenerate_and_step_through_alternatives(
    qtbot: QtBot, window: Window, view: PageView, engine: FakeEngine
) -> None:
    page, page_editor = window.session.page, view.editor
    qtbot.keyClicks(page_editor, "A")
    first = press_generate(qtbot, window)
    stream(qtbot, window, engine, first, "A fox")
    engine.fail(first, "Enough.")
    qtbot.waitUntil(lambda: view.page_bar.regenerate_button.isVisible())
    with qtbot.waitSignal(window.session.generation.submitted) as submitted:
        view.page_bar.regenerate_button.click()
    stream(qtbot, window, engine, submitted.args[0][0].id, "An owl")
    assert view.page_bar.position_label.text() == "2 of 2"
    qtbot.keyClick(page_editor, Qt.Key.Key_Left, ALT)
    assert page.text == "A fox"
    assert view.page_bar.position_label.text() == "1 of 2"
    view.page_bar.next_button.click()
    assert agree(view, page)


def test_find_and_replace(qtbot: QtBot, window: Window, view: PageView) -> None:
    page, page_editor, bar = window.session.page, view.editor, view.find_bar
    page_editor.insertPlainText("Fox and fox and 🦊 fox")
    page_editor.put_cursor(0)
    qtbot.keyClick(page_editor, Qt.Key.Key_F, CTRL)
    assert bar.isVisible()
    qtbot.keyClicks(bar.find_field, "fox")
    assert bar.count.text() == "1 of 3"
    assert len(page_editor.extraSelections()) == 3
    qtbot.keyClick(bar.find_field, Qt.Key.Key_Return)
    qtbot.keyClick(bar.find_field, Qt.Key.Key_Return)
    assert bar.count.text() == "3 of 3"
    assert page_editor.textCursor().selectedText() == "fox"
    bar.match_case.click()
    assert bar.count.text().endswith("of 2")
    bar.replace_field.setText("owl")
    bar.replace_all_button.click()
    assert page.text == "Fox and owl and 🦊 owl"
    assert bar.count.text() == "Not found"
    assert not bar.replace_all_button.isEnabled()
    page.undo()
    assert page.text == "Fox and fox and 🦊 fox"
    page_editor.put_cursor(0)
    bar._search(move=True)
    bar.replace_button.click()
    assert page.text == "Fox and owl and 🦊 fox"
    assert agree(view, page)
    qtbot.keyClick(bar.find_field, Qt.Key.Key_Escape)
    assert not bar.isVisible()
    assert page_editor.extraSelections() == []


def test_versions_are_searched_and_opened(qtbot: QtBot, window: Window, view: PageView, engine: FakeEngine) -> None:
    page = window.session.page
    job = press_generate(qtbot, window)
    stream(qtbot, window, engine, job, "A fox sang")
    engine.fail(job, "Enough.")
    qtbot.waitUntil(lambda: not page.jobs.is_writing)
    page.undo()
    qtbot.keyClicks(view.editor, "An owl")
    view.versions_button.click()
    panel = view.revisions_panel
    assert panel.isVisible()
    assert panel.list.count() == 1
    qtbot.keyClicks(panel.field, "SANG")
    qtbot.waitUntil(lambda: panel.list.count() == 1 and "sang" in panel.list.item(0).text())
    panel.list.itemActivated.emit(panel.list.item(0))
    assert page.text == "A fox sang"
    qtbot.waitUntil(lambda: "current" in panel.list.item(0).text())
    panel.field.setText("wolf")
    qtbot.waitUntil(lambda: panel.empty.isVisible())
    qtbot.keyClick(panel.field, Qt.Key.Key_Escape)
    assert not panel.isVisible()


@pytest.mark.parametrize(
    "text",
    ["🦊 and 👩‍🚀 👨‍👩‍👧", "שלום עולם, مرحبا", "狐が走った。", "a\u00a0b — “c”", "<b>no</b> &amp; <img src='x'>"],
)
def test_pasted_text_of_every_script_is_kept(qtbot: QtBot, window: Window, view: PageView, text: str) -> None:
    page, page_editor = window.session.page, view.editor
    data = QMimeData()
    data.setText(f"{text}\r\n")
    QGuiApplication.clipboard().setMimeData(data)
    page_editor.paste()
    assert page.text == f"{text}\n"
    qtbot.keyClicks(page_editor, "x")
    page_editor.put_cursor(1)
    qtbot.keyClick(page_editor, Qt.Key.Key_Backspace)
    assert page.text == f"{text[1:]}\nx"
    assert agree(view, page)
    page.undo()
    page.undo()
    assert agree(view, page)
    QGuiApplication.clipboard().clear()


def test_words_are_counted(qtbot: QtBot, view: PageView) -> None:
    qtbot.keyClicks(view.editor, "One two three")
    qtbot.waitUntil(lambda: view.page_bar.count.text() == "3 words")


@pytest.mark.parametrize("command", ["Show page", "New page"])
def test_an_opened_page_has_the_focus(qtbot: QtBot, window: Window, command: str) -> None:
    session = window.session
    qtbot.waitUntil(lambda: session.page.is_ready)
    session.workspace.choose("morph.between")
    assert not window.central.is_page
    next(one for one in window.commands.entries() if one.title == command).run()
    assert window.central.is_page
    assert session.workspace.tool.id == "tales.tale"
    qtbot.waitUntil(lambda: session.page.is_ready)
    press_generate(qtbot, window)
    assert window.central.is_page


def test_a_job_of_another_tool_never_takes_the_page(
    qtbot: QtBot, window: Window, view: PageView, engine: FakeEngine, picture: Path
) -> None:
    session = window.session
    session.workspace.choose("style.transfer")
    session.workspace.set_value("image", str(picture))
    with qtbot.waitSignal(session.generation.submitted) as submitted:
        session.generation.generate()
    job: str = submitted.args[0][0].id
    engine.run(job, 1, 9)
    window.central.open_page()
    window.activateWindow()
    qtbot.waitUntil(view.editor.hasFocus)
    qtbot.keyClicks(view.editor, "Once ")
    with qtbot.waitSignal(session.router.preview_ready):
        engine.send_preview(job, 64, 64)
    qtbot.keyClicks(view.editor, "more")
    assert window.central.is_page
    creation = session.library.import_file(picture)
    engine.finish(job, creation)
    qtbot.waitUntil(lambda: len(session.variations.items) == 1)
    assert window.central.is_page
    assert view.editor.hasFocus()
    assert view.editor.toPlainText() == "Once more"
    session.open(creation)
    assert not window.central.is_page


def test_a_new_page_and_back_to_the_last(qtbot: QtBot, window: Window, view: PageView) -> None:
    page = window.session.page
    qtbot.keyClicks(view.editor, "First")
    first = page.page_id
    page.new_page()
    assert view.editor.text == ""
    assert view.editor.hint.isVisible()
    with qtbot.waitSignal(page.opened):
        page.open_page(first)
    assert view.editor.text == "First"


def test_the_menu_of_pages_can_be_opened_twice_in_a_row(qtbot: QtBot, window: Window, view: PageView) -> None:
    qtbot.keyClicks(view.editor, "First")
    menu = view.pages_button.menu()
    for _ in range(2):
        menu.aboutToShow.emit()
    qtbot.waitUntil(lambda: "First" in [action.text() for action in menu.actions()])
    done: list[object] = []
    window.session.page.list_pages(done.append)
    qtbot.waitUntil(lambda: bool(done))
    assert [action.text() for action in menu.actions() if not action.isSeparator()] == ["New page", "First"]


def test_a_long_page_is_shown_and_typed_on(qtbot: QtBot, window: Window, view: PageView) -> None:
    page = window.session.page
    page.write(0, 0, "A line of words, as long as they are.\n" * 5000)
    assert agree(view, page)
    view.editor.put_cursor(100)
    qtbot.keyClicks(view.editor, "new")
    assert page.text[98:105] == view.editor.text[98:105]
    assert "new" in page.text[99:104]


def test_it_follows_the_theme(qapp: QApplication, qtbot: QtBot, window: Window, view: PageView) -> None:
    qtbot.keyClicks(view.editor, "Words")
    try:
        theme.apply(qapp, "light")
        assert colour(view.editor, 1) == QColor(LIGHT.text).name()
    finally:
        theme.apply(qapp, "dark")
    assert colour(view.editor, 1) == QColor(DARK.text).name()


def test_every_widget_that_takes_the_focus_has_a_name(view: PageView) -> None:
    view.toggle_find()
    view.toggle_versions()
    nameless = [
        widget
        for widget in view.findChildren(QWidget)
        if widget.focusPolicy() & Qt.FocusPolicy.TabFocus
        and not widget.accessibleName()
        and not widget.objectName().startswith("qt_")
    ]
    assert nameless == []


def test_author_runs_are_spliced() -> None:
    human, machine = Author.HUMAN, Author.MACHINE
    spans = merge_runs([(human, 3), (human, 0), (machine, 4), (machine, 1)])
    assert spans == [(human, 3), (machine, 5)]
    assert slice_runs(spans, 2, 5) == [(human, 1), (machine, 2)]
    assert splice_runs(spans, 4, 2, [(human, 1)]) == [(human, 3), (machine, 1), (human, 1), (machine, 2)]
    assert splice_runs(spans, 2, 6, []) == [(human, 2)]


def test_illustrate_and_update_by_keys(
    qtbot: QtBot, window: Window, view: PageView, engine: FakeEngine, pictures: list[Path]
) -> None:
    paint = make_tool("art.paint", "Paint", {"prompt": make_property("string", "prompt", default="")})
    plugins = (*engine.catalogue.plugins, PluginDescriptor(name="art", tools=(paint,)))
    engine.set_catalogue(Catalogue(plugins))
    qtbot.waitUntil(lambda: "art.paint" in window.session.workspace.catalogue.tools)
    art = window.session.illustrations
    qtbot.keyClicks(view.editor, "A red fox.")
    assert not view.illustrations_bar.isVisible()
    qtbot.keyClick(view.editor, Qt.Key.Key_I, ALT)
    qtbot.waitUntil(lambda: bool(art.list_pictures()) and bool(art.list_pictures()[0].anchor.job))
    assert view.illustrations_bar.isVisible()
    assert "generating" in view.illustrations_bar.tiles[0].accessibleName()
    engine.finish(art.list_pictures()[0].anchor.job, window.session.library.import_file(pictures[0]))
    qtbot.waitUntil(lambda: view.illustrations_bar.tiles[0].status == "up to date")
    assert view.isVisible(), "the page stays"
    view.editor.put_cursor(4)
    qtbot.keyClicks(view.editor, "dish")
    assert view.illustrations_bar.tiles[0].status.startswith("outdated")
    view.illustrations_bar.tiles[0].click()
    assert view.editor.textCursor().selectedText() == "A redishd fox."
    submitted = len(engine.calls)
    qtbot.keyClick(view.editor, Qt.Key.Key_P, ALT)
    qtbot.waitUntil(lambda: len(engine.calls) == submitted + 1)
    view.illustrations_bar.tiles[0].double_clicked.emit()
    assert window.canvas.isVisible()


def test_an_empty_page_describes_its_tool(qtbot: QtBot, window: Window, view: PageView, engine: FakeEngine) -> None:
    assert "The model continues" in view.editor.hint.text()
    asked = make_property("string", "page", default="", description="What you say is answered.")
    talk = make_tool("tales.talk", "Talk", {"text": asked}, output="text")
    engine.set_catalogue(Catalogue((PluginDescriptor(name="tales", title="Tales", tools=(TALE, talk)),)))
    qtbot.waitUntil(lambda: "tales.talk" in window.session.workspace.catalogue.tools)
    window.session.workspace.choose("tales.talk")
    assert view.isVisible()
    assert view.editor.hint.text().startswith("Write here. What you say is answered.")
    assert view.editor.hint.height() >= view.editor.hint.heightForWidth(view.editor.hint.width())


def test_a_chat_is_written_on_the_page(qtbot: QtBot, window: Window, view: PageView, engine: FakeEngine) -> None:
    page, page_editor = window.session.page, view.editor
    qtbot.keyClicks(page_editor, "Hello.")
    job = press_generate(qtbot, window)
    stream(qtbot, window, engine, job, "Hello.\n\nMuse: Hi.\n\nYou: ")
    engine.fail(job, "Enough.")
    qtbot.waitUntil(lambda: not page.jobs.is_writing)
    qtbot.keyClicks(page_editor, "Who are you?")
    press_generate(qtbot, window)
    assert engine.calls[-1][1].params["text"] == "Hello.\n\nMuse: Hi.\n\nYou: Who are you?"
    assert [run.author for run in page.runs] == [Author.HUMAN, Author.MACHINE, Author.HUMAN]


def test_a_narrow_page_shows_every_button(qtbot: QtBot, window: Window, view: PageView) -> None:
    qtbot.keyClicks(view.editor, "A fox.")
    window.resize(900, 700)
    view.toggle_find()
    bar = view.find_bar
    qtbot.waitUntil(
        lambda: bar.height() >= bar.minimumSizeHint().height() > bar.find_field.height() + bar.replace_field.height()
    )
    assert all(
        widget.width() >= widget.minimumSizeHint().width()
        for widget in (bar.replace_button, bar.replace_all_button, bar.find_field)
    )
    wide = view.editor.width()
    view.toggle_versions()
    qtbot.waitUntil(lambda: view.revisions_panel.geometry().right() == view.width() - 1)
    assert view.editor.width() == wide, "versions lie over the paper"
    window.resize(1440, 900)
    qtbot.waitUntil(lambda: view.editor.width() == view.width() - view.revisions_panel.width())
    qtbot.waitUntil(lambda: bar.height() < 2 * bar.find_field.height())
    view.toggle_versions()
    qtbot.waitUntil(lambda: view.editor.width() == view.width())


@pytest.mark.parametrize("lines", [1, 2, 3])
def test_the_view_follows_the_written_text(
    qtbot: QtBot, window: Window, view: PageView, engine: FakeEngine, lines: int
) -> None:
    job = press_generate(qtbot, window)
    for count in range(lines, 31, lines):
        stream(qtbot, window, engine, job, "\n".join(f"Line {n}" for n in range(count)))
        assert view.editor.cursorRect().bottom() <= view.editor.viewport().height()
    window.resize(1440, 700)
    qtbot.waitUntil(lambda: view.height() < 620)
    assert view.editor.cursorRect().bottom() <= view.editor.viewport().height()
