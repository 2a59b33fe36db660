"""The window, used with keys."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec
import pytest
from PySide6.QtCore import QMimeData, QObject, QPointF, Qt, QUrl, Slot
from PySide6.QtGui import QDesktopServices, QDropEvent, QGuiApplication, QImage
from PySide6.QtWidgets import QAbstractScrollArea, QLabel, QPlainTextEdit, QWidget
from pytestqt.qtbot import QtBot

from studio.core.descriptor import Catalogue
from studio.core.job import JobState
from studio.core.messages import PreviewFrame
from studio.core.recipe import PluginRef, Recipe
from studio.library.creation import Creation
from studio.library.storage import writer
from studio.state.notices import Notice
from studio.ui.dialogs.plugins_dialog import PluginsDialog
from studio.ui.dialogs.queue_popup import QueuePanel
from studio.ui.theme import theme
from studio.ui.theme.colours import LIGHT
from studio.ui.tool_panel.licence_notice import LicenceNotice
from studio.ui.window.command_palette import CommandPalette
from studio.ui.window.window import Window
from tests.fixtures.engine import BROKEN, WORDS, FakeEngine, make_catalogue

CTRL, ALT, SHIFT = (
    Qt.KeyboardModifier.ControlModifier,
    Qt.KeyboardModifier.AltModifier,
    Qt.KeyboardModifier.ShiftModifier,
)


def generate(qtbot: QtBot, window: Window, picture: Path, count: int = 1) -> list[str]:
    window.session.workspace.choose("style.transfer")
    window.session.workspace.set_value("image", str(picture))
    window.session.workspace.set_count(count)
    with qtbot.waitSignal(window.session.generation.submitted) as submitted:
        qtbot.keyClick(window, Qt.Key.Key_Return, CTRL)
    return [job.id for job in submitted.args[0]]


def test_plugin_buttons_open_the_form_of_a_tool(qtbot: QtBot, window: Window) -> None:
    buttons = window.rail._group.buttons()
    assert [button.text() for button in buttons] == ["Style", "GAN", "Morph", "Write"]
    buttons[3].click()
    assert window.tool_panel._title.text() == "Continue a story"
    assert buttons[3].isChecked()
    assert window.tool_panel.form is not None
    assert isinstance(window.tool_panel.form.editor("prompt"), QWidget)


def test_generate_by_key_while_the_prompt_has_the_focus(qtbot: QtBot, window: Window, engine: FakeEngine) -> None:
    window.session.workspace.choose("writer.continue")
    assert window.tool_panel.form is not None
    page = window.tool_panel.form.editor("prompt").focusProxy()
    assert isinstance(page, QPlainTextEdit)
    page.setFocus()
    qtbot.keyClicks(page, "X.c")
    with qtbot.waitSignal(window.session.generation.submitted):
        qtbot.keyClick(page, Qt.Key.Key_Return, CTRL)
    assert engine.calls[-1][1].params["prompt"] == "X.c"


def test_a_missing_picture_is_reported_below_its_field(qtbot: QtBot, window: Window) -> None:
    window.tool_panel.generate.click()
    assert window.tool_panel.form is not None
    row = window.tool_panel.form._rows["image"]
    assert row._error.isVisible()
    assert row._error.text() == "Image is missing."


def test_a_refused_job_is_reported_above_generate(qtbot: QtBot, window: Window, tmp_path: Path) -> None:
    window.session.workspace.set_value("image", str(tmp_path / "gone.png"))
    with qtbot.waitSignal(window.session.generation.refused):
        window.tool_panel.generate.click()
    assert window.tool_panel._refusal.isVisible()
    assert "gone.png" in window.tool_panel._refusal.text()


@pytest.fixture
def licence_notice(qtbot: QtBot, window: Window, pictures: list[Path]) -> LicenceNotice:
    """The licence notice after Generate with a model whose licence was not accepted."""
    model = window.session.home.models / "pretty"
    model.mkdir()
    (model / "README.md").write_text(
        "---\nlicense: other\nlicense_name: cc-by-nc-4.0\nlicense_link: https://example.org/terms\n---\n"
    )
    workspace = window.session.workspace
    workspace.choose("morph.between")
    workspace.set_value("images", [str(path) for path in pictures[:2]])
    workspace.set_value("model", "pretty")
    with qtbot.waitSignal(window.session.generation.licence_required):
        qtbot.keyClick(window, Qt.Key.Key_Return, CTRL)
    return window.tool_panel.licence


def test_a_licence_is_shown_before_a_model_is_used(
    qtbot: QtBot, window: Window, engine: FakeEngine, licence_notice: LicenceNotice
) -> None:
    assert licence_notice.isVisible()
    assert licence_notice.sentence.text() == "pretty is under CC BY-NC 4.0, not for commercial use."
    assert engine.calls == []
    assert licence_notice.read_button.hasFocus()
    qtbot.keyClick(licence_notice.read_button, Qt.Key.Key_Tab)
    with qtbot.waitSignal(window.session.generation.submitted):
        qtbot.keyClick(licence_notice.use_button, Qt.Key.Key_Space)
    assert not licence_notice.isVisible()
    assert window.session.settings.accepted_licences == ("pretty | cc-by-nc-4.0",)
    with qtbot.waitSignal(window.session.generation.submitted):
        window.tool_panel.generate.click()
    assert len(engine.calls) == 2


def test_a_licence_can_be_read_and_dismissed(qtbot: QtBot, window: Window, licence_notice: LicenceNotice) -> None:
    class Opener(QObject):
        @Slot(QUrl)
        def open(self, url: QUrl) -> None:
            opened.append(url.toString())

    opened: list[str] = []
    opener = Opener()
    QDesktopServices.setUrlHandler("https", opener, "open")  # type: ignore[arg-type]  # PySide wants a str
    qtbot.keyClick(licence_notice.read_button, Qt.Key.Key_Space)
    QDesktopServices.unsetUrlHandler("https")
    assert opened == ["https://example.org/terms"]
    qtbot.keyClick(licence_notice.read_button, Qt.Key.Key_Escape)
    assert not licence_notice.isVisible()
    assert window.tool_panel.generate.hasFocus()
    assert window.session.settings.accepted_licences == ()


def test_choosing_another_model_hides_the_licence_question(window: Window, licence_notice: LicenceNotice) -> None:
    window.session.workspace.set_value("model", "vae-spatial")
    assert not licence_notice.isVisible()


def test_a_model_without_a_licence_is_reported_once(
    qtbot: QtBot, window: Window, engine: FakeEngine, pictures: list[Path]
) -> None:
    (window.session.home.models / "quiet").mkdir()
    workspace = window.session.workspace
    workspace.choose("morph.between")
    workspace.set_value("images", [str(path) for path in pictures[:2]])
    workspace.set_value("model", "quiet")
    for _ in range(2):
        with qtbot.waitSignal(window.session.generation.submitted):
            window.tool_panel.generate.click()
        told = [notice.text for notice in window.session.notices.items]
        window.session.notices.clear()
        if len(engine.calls) == 1:
            assert told == ["quiet does not state its licence."]
    assert told == []


def test_progress_time_left_and_cancel(qtbot: QtBot, window: Window, engine: FakeEngine, picture: Path) -> None:
    jobs = generate(qtbot, window, picture, count=2)
    engine.run(jobs[0], 62, 100, 0.9)
    status = window.status
    qtbot.waitUntil(lambda: status._progress_text.text() == "62 % · 0.9 s left")
    assert status._task.text() == "Style transfer 1 of 2"
    assert status.queue_button.text() == "1 waiting"
    window.canvas.setFocus()
    qtbot.keyClick(window, Qt.Key.Key_X, SHIFT)
    qtbot.waitUntil(lambda: ("cancel", jobs[0]) in engine.calls)
    qtbot.waitUntil(lambda: not status.bar.isVisible())


def test_the_time_from_the_mouse_to_the_paint_of_a_live_draft_is_shown(
    qtbot: QtBot, window: Window, engine: FakeEngine
) -> None:
    engine.report_ready()
    window.session.workspace.choose("gan.explore")
    window.session.workspace.set_value("truncation", 0.3)
    qtbot.waitUntil(lambda: len(engine.drafts) == 1)
    window.session.tasks.run(lambda: None, lambda _: engine.emit(make_preview("d1", "Preview at 64 px")))
    qtbot.waitUntil(lambda: re.fullmatch(r"Ready · mouse to paint \d+ ms", window.status._task.text()) is not None)
    assert window.canvas.image_view.caption == "Preview at 64 px"


def make_preview(job: str, label: str) -> PreviewFrame:
    return PreviewFrame(job=job, width=64, height=64, pixels=bytes(64 * 64 * 3), label=label)


def test_generate_queues_before_the_worker_is_ready(
    qtbot: QtBot, window: Window, engine: FakeEngine, picture: Path
) -> None:
    assert window.status._task.text() == "Starting…"
    generate(qtbot, window, picture)
    assert "Then your job runs" in window.status._task.text()
    engine.report_ready()
    qtbot.waitUntil(lambda: window.status._device.isVisible())
    assert window.status._device.text() == "CPU · 2 cores"


def test_variations_are_kept_and_discarded(
    qtbot: QtBot, window: Window, engine: FakeEngine, picture: Path, pictures: list[Path]
) -> None:
    jobs = generate(qtbot, window, picture, count=3)
    for job, path in zip(jobs, pictures, strict=False):
        engine.finish(job, window.session.library.import_file(path))
    qtbot.waitUntil(lambda: len(window.variations_strip.tiles()) == 3)
    qtbot.waitUntil(lambda: not any(tile._pixmap.isNull() for tile in window.variations_strip.tiles()))
    variations = window.session.variations
    window.variations_strip.setFocus()
    window.variations_strip.tiles()[2].setFocus()
    qtbot.keyClick(window.variations_strip.tiles()[2], Qt.Key.Key_Left)
    assert variations.chosen is variations.items[1]
    qtbot.keyClick(window.variations_strip.tiles()[1], Qt.Key.Key_Return)
    assert variations.is_kept(variations.items[1])
    assert variations.chosen is variations.items[2]
    qtbot.keyClick(window, Qt.Key.Key_Backspace, ALT)
    assert len(variations.items) == 2
    qtbot.keyClick(window, Qt.Key.Key_Z, CTRL)
    assert len(variations.items) == 3


def test_a_drop_on_the_canvas_opens_and_offers_the_recipe(qtbot: QtBot, window: Window, picture: Path) -> None:
    data = QMimeData()
    data.setUrls([QUrl.fromLocalFile(str(picture))])
    event = QDropEvent(
        QPointF(9, 9), Qt.DropAction.CopyAction, data, Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier
    )
    with qtbot.waitSignal(window.session.show) as shown:
        window.canvas.dropEvent(event)
    assert isinstance(shown.args[0], Creation)
    recipe = Recipe(tool="style.transfer", plugin=PluginRef("style"), seed=7)
    window.session.importer._offer_settings(msgspec.structs.replace(shown.args[0], recipe=recipe))
    (notice,) = window.session.notices.items
    assert notice.action_label == "Use settings"


def test_a_picture_is_pasted(qtbot: QtBot, window: Window) -> None:
    image = QImage(8, 6, QImage.Format.Format_RGB32)
    image.fill(Qt.GlobalColor.red)
    QGuiApplication.clipboard().setImage(image)
    window.canvas.setFocus()
    with qtbot.waitSignal(window.session.show):
        qtbot.keyClick(window, Qt.Key.Key_V, CTRL)


def test_paste_goes_to_the_focused_field(qtbot: QtBot, window: Window) -> None:
    image = QImage(8, 6, QImage.Format.Format_RGB32)
    image.fill(Qt.GlobalColor.green)
    QGuiApplication.clipboard().setImage(image)
    assert window.tool_panel.form is not None
    well = window.tool_panel.form.editor("image").focusProxy()
    assert well is not None
    well.setFocus()
    with qtbot.waitSignal(window.session.workspace.value_changed):
        qtbot.keyClick(well, Qt.Key.Key_V, CTRL)
    assert Path(window.session.workspace.value("image")).is_file()


def test_a_drop_on_the_tool_panel_is_an_input_and_elsewhere_is_opened(
    qtbot: QtBot, window: Window, picture: Path
) -> None:
    data = QMimeData()
    data.setUrls([QUrl.fromLocalFile(str(picture))])

    def drop_at(widget: QWidget) -> None:
        place = QPointF(widget.mapTo(window, widget.rect().center()))
        copy, left, plain = Qt.DropAction.CopyAction, Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier
        window.dropEvent(QDropEvent(place, copy, data, left, plain))

    drop_at(window.tool_panel)
    assert window.session.workspace.value("image") == str(picture)
    with qtbot.waitSignal(window.session.show):
        drop_at(window.status)


def test_the_palette_finds_commands_and_tools(qtbot: QtBot, window: Window) -> None:
    window.dialogs.open_palette()
    palette = window.dialogs.palette
    assert isinstance(palette, CommandPalette)
    qtbot.keyClicks(palette.search, "story write")
    assert palette._matches.rowCount() == 1
    qtbot.keyClick(palette.search, Qt.Key.Key_Return)
    assert window.session.workspace.tool == WORDS
    titles = {entry.title: entry.key for entry in window.commands.entries()}
    assert titles["Generate"] == "Ctrl+Return"
    assert titles["Cancel"] == "Shift+X"


def test_no_key_belongs_to_two_commands(window: Window) -> None:
    keys = [key.toString() for action in window.commands.actions() for key in action.shortcuts()]
    assert len(keys) == len(set(keys))


def test_the_queue_is_reordered_paused_and_cleared(
    qtbot: QtBot, window: Window, engine: FakeEngine, picture: Path
) -> None:
    jobs = generate(qtbot, window, picture, count=3)
    qtbot.keyClick(window, Qt.Key.Key_J, CTRL)
    panel = window.dialogs.queue_panel
    assert isinstance(panel, QueuePanel)
    qtbot.waitUntil(lambda: len(panel.rows()) == 3)
    panel.list.setCurrentRow(2)
    qtbot.keyClick(panel.list, Qt.Key.Key_Up, ALT)
    assert ("move", jobs[2], jobs[1]) in engine.calls
    qtbot.waitUntil(lambda: [row.job.id for row in panel.rows()] == [jobs[0], jobs[2], jobs[1]])
    panel.pause_button.click()
    assert engine.queue_paused
    engine.fail(jobs[0], "No.")
    qtbot.waitUntil(lambda: window.session.queue.status().failed == 1)
    panel.cancel_all.click()
    qtbot.waitUntil(lambda: all(row.job.state.ended for row in panel.rows()))
    panel.clear.click()
    qtbot.waitUntil(lambda: panel.rows() == [])
    assert panel._empty.isVisible()


def test_a_failed_plugin_is_shown_with_its_reason(qtbot: QtBot, window: Window, engine: FakeEngine) -> None:
    assert window.rail.plugins_button.badge
    window.dialogs.open_plugins()
    dialog = window.dialogs.plugins_dialog
    assert isinstance(dialog, PluginsDialog)
    first = dialog.cards()[0]
    assert first.plugin == BROKEN
    texts = [label.text() for label in first.findChildren(QLabel)]
    assert BROKEN.error in texts
    first.details_button.click()
    assert first.details.isVisible()
    dialog.reload.click()
    assert ("reload_plugins",) in engine.calls
    dialog.cards()[1].switch.click()
    assert engine.settings is not None
    assert engine.settings.disabled_plugins == ("style",)


def test_user_text_is_never_rich_text(qtbot: QtBot, window: Window, engine: FakeEngine) -> None:
    evil = "<img src='file:///etc/passwd'><b>bold</b>"
    window.session.notices.add(Notice(evil, details=evil))
    window.session.workspace.choose("writer.continue")
    window.session.workspace.set_value("prompt", evil)
    qtbot.waitUntil(lambda: len(window.notice_bar.rows()) == 1)
    labels = [label for label in window.findChildren(QLabel) if label.text()]
    assert any(label.text() == evil for label in labels)
    assert [label.text() for label in labels if label.textFormat() is not Qt.TextFormat.PlainText] == []


def test_every_widget_that_takes_the_focus_has_a_name(qtbot: QtBot, window: Window) -> None:
    for tool in window.session.workspace.catalogue.tools:
        window.session.workspace.choose(tool)
        assert list_unnamed_widgets(window) == []
    window.dialogs.open_plugins()
    window.dialogs.open_queue()
    window.dialogs.open_palette()
    assert list_unnamed_widgets(window) == []


def _class_name(widget: QWidget | None) -> str:
    return widget.metaObject().className() if widget is not None else ""


def list_unnamed_widgets(window: Window) -> list[str]:
    inside = ("qt_", "ScrollBar")
    return [
        f"{type(widget).__name__} in {type(widget.parentWidget()).__name__}"
        for widget in window.findChildren(QWidget)
        if widget.focusPolicy() & Qt.FocusPolicy.TabFocus
        and not widget.accessibleName()
        and not widget.objectName().startswith(inside)
        and _class_name(widget.parentWidget()) != "QComboBoxPrivateContainer"
        and not (isinstance(widget, QAbstractScrollArea) and widget.focusPolicy() is Qt.FocusPolicy.NoFocus)
    ]


def test_tab_goes_through_the_form_to_generate(qtbot: QtBot, window: Window) -> None:
    assert window.tool_panel.form is not None
    window.tool_panel.form.editor("image").setFocus()
    seen: list[QWidget | None] = []
    for _ in range(40):
        window.focusNextChild()
        seen.append(window.focusWidget())
    assert window.tool_panel.generate in seen
    strength = window.tool_panel.form.editor("strength").focusProxy()
    assert seen.index(strength) < seen.index(window.tool_panel.generate)


def test_the_layout_is_saved(qtbot: QtBot, window: Window) -> None:
    window.splitter.setSizes([400, 600, 300])
    window._save_layout()
    draft = window.session.workspace.draft
    assert draft.layout
    assert draft.geometry


@pytest.mark.parametrize("name", ["light", "dark"])
def test_the_theme_changes_while_the_window_is_open(qtbot: QtBot, window: Window, name: str) -> None:
    window.set_theme(name)
    assert (theme.COLOURS is LIGHT) == (name == "light")
    assert window.session.settings.theme == name


def test_without_plugins_the_tool_panel_says_that_they_are_loading(
    qtbot: QtBot, window: Window, engine: FakeEngine
) -> None:
    engine.set_catalogue(Catalogue())
    qtbot.waitUntil(lambda: window.tool_panel._title.text() == "Looking for plugins…")
    assert not window.tool_panel.generate.isEnabled()
    engine.set_catalogue(make_catalogue())
    qtbot.waitUntil(lambda: window.tool_panel._title.text() == "Style transfer")


def test_a_flood_of_events_leaves_the_window_responsive(
    qtbot: QtBot, window: Window, engine: FakeEngine, picture: Path
) -> None:
    (job,) = generate(qtbot, window, picture)
    for step in range(5_000):
        engine.run(job, step, 5_000)
        if step % 10 == 0:
            engine.send_preview(job, 64, 64)
    engine.set_state(job, JobState.DONE)
    qtbot.waitUntil(lambda: not window.status.bar.isVisible())


def test_the_page_view_is_built_at_first_use(window: Window) -> None:
    assert "page_view" not in vars(window.central)
    window.central.open_page()
    view = window.central.page_view
    assert window.central.is_page
    assert view.isVisibleTo(window)
    assert "Illustrate" in [action.text() for action in view.actions()]


def test_the_focus_follows_the_central_view(qtbot: QtBot, window: Window) -> None:
    window.activateWindow()
    qtbot.waitUntil(window.isActiveWindow)
    window.canvas.setFocus()
    window.central.show_page()
    assert window.focusWidget() is window.central.page_view.editor
    window.central.show_canvas()
    assert window.canvas.isAncestorOf(window.focusWidget())  # which gives it to what it shows
    window.rail.setFocus()
    window.central.open_page()
    assert window.focusWidget() is window.central.page_view.editor


def test_a_click_in_the_history_leaves_the_keys_to_it(qtbot: QtBot, window: Window, tmp_path: Path) -> None:
    session, panel = window.session, window.history_panel
    assert panel is not None
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "model.safetensors").write_bytes(b"weights")
    recipe = Recipe(tool="gan.train", plugin=PluginRef("gan"))
    saved = writer.save_model(session.home, folder, recipe, title="Fox", kind="autoencoder")
    session.router.add_creation(session.library.add(saved))
    qtbot.waitUntil(lambda: panel.model.rowCount() == 1)
    window.activateWindow()
    at = panel.grid.visualRect(panel.model.index(0)).center()
    qtbot.mouseClick(panel.grid.viewport(), Qt.MouseButton.LeftButton, pos=at)
    qtbot.waitUntil(window.canvas.model_card.isVisible)
    card = window.canvas.model_card
    assert (card.title.text(), card.use_button.isVisible(), card.further.isVisible()) == ("Fox", True, False)
    assert 'studio run morph.between --set model="Fox"' in card.command.text()
    assert panel.grid.hasFocus()
    card.use_menu.aboutToShow.emit()
    card.use_menu.actions()[0].trigger()
    assert session.workspace.value("model") == session.library.list_models()[0].id
    session.undo.undo()
    assert session.workspace.value("model") == "vae-spatial"
    qtbot.keyClick(panel.grid, Qt.Key.Key_Delete)
    qtbot.waitUntil(lambda: panel.model.rowCount() == 0)
