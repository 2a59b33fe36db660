"""The history panel: search, selection, stars, trash, undo, dragging and lineage."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image
from PySide6.QtCore import QMimeData, QPoint, QPointF, Qt, QUrl
from PySide6.QtGui import QDropEvent, QImage
from PySide6.QtWidgets import QApplication, QFileDialog, QInputDialog, QMenu, QMessageBox, QWidget
from pytestqt.qtbot import QtBot

from studio.core.export_include import Include
from studio.core.recipe import PluginRef, Recipe
from studio.library.creation import Creation, CreationKind
from studio.library.storage import writer
from studio.library.storage.recipe_embedding import read_recipe
from studio.state.library.history_model import HistoryModel
from studio.state.undo_stack import UndoStack
from studio.ui.history import HistoryPanel
from studio.ui.history.descriptions import describe_creation, format_local_time, name_of
from studio.ui.history.details import split_tags
from studio.ui.history.drag_mime import CreationMimeData
from studio.ui.history.export_dialog import ExportDialog
from studio.ui.history.lineage_view import StepButton
from studio.ui.history.panel import STARRED, TRASH
from tests.ui.history.sample_library import SampleLibrary


@pytest.fixture
def undo(qapp: QApplication) -> UndoStack:
    return UndoStack()


@pytest.fixture
def panel(searched: HistoryModel, undo: UndoStack, qtbot: QtBot) -> Iterator[HistoryPanel]:
    panel = HistoryPanel(searched, undo)
    qtbot.addWidget(panel)
    panel.resize(300, 800)
    panel.show()
    panel.grid.setFocus()
    yield panel
    panel.close()


def ids(panel: HistoryPanel) -> list[str]:
    return [panel.model.id_at(row) for row in range(panel.model.rowCount())]


def select_creation(panel: HistoryPanel, *rows: int) -> None:
    panel.grid.select_creation(panel.model.id_at(rows[0]))
    for row in rows[1:]:
        selection = panel.grid.selectionModel()
        selection.select(panel.model.index(row), selection.SelectionFlag.Select)


def press(panel: HistoryPanel, qtbot: QtBot, key: str | Qt.Key) -> None:
    qtbot.keyClick(panel.grid, key)


def cell(panel: HistoryPanel, row: int) -> QPoint:
    return panel.grid.visualRect(panel.model.index(row)).center()


def go_to_shelf(panel: HistoryPanel, sample: int, qtbot: QtBot) -> None:
    with qtbot.waitSignal(panel.model.searched):
        panel.filters.button(sample).click()


def entries(menu: QMenu) -> list[str]:
    return [action.text().partition("\t")[0] for action in menu.actions() if action.text()]


def test_typing_searches(panel: HistoryPanel, sample: SampleLibrary, qtbot: QtBot) -> None:
    with qtbot.waitSignal(panel.model.searched):
        qtbot.keyClicks(panel.search, "lantern")
    assert ids(panel) == [sample.tale.id]
    with qtbot.waitSignal(panel.model.searched):
        qtbot.keyClick(panel.search, Qt.Key.Key_Escape)
    assert len(ids(panel)) == 4
    assert panel.count.text() == "4"


def test_an_empty_search_names_the_words_and_how_to_clear_them(panel: HistoryPanel, qtbot: QtBot) -> None:
    with qtbot.waitSignal(panel.model.searched):
        panel.search.setText("<b>zebra")
    assert "Nothing matches “<b>zebra”" in panel.grid.empty_text
    panel.grab()


def test_empty_filters_describe_their_content(panel: HistoryPanel, qtbot: QtBot) -> None:
    go_to_shelf(panel, STARRED, qtbot)
    assert "star" in panel.grid.empty_text
    go_to_shelf(panel, TRASH, qtbot)
    assert panel.grid.empty_text == "The trash is empty."
    assert not panel.trash_bar.empty.isEnabled()


def test_search_help_lists_the_syntax(panel: HistoryPanel, qtbot: QtBot) -> None:
    panel.search.show_help()
    (menu,) = panel.search.findChildren(QMenu)
    assert "tool:style" in entries(menu)
    next(action for action in menu.actions() if action.text().startswith("tag:")).trigger()
    assert panel.search.text() == "tag:portrait"
    assert panel.search.selectedText() == "portrait"
    menu.close()


def test_a_click_opens(panel: HistoryPanel, sample: SampleLibrary, qtbot: QtBot) -> None:
    with qtbot.waitSignal(panel.activated) as opened:
        qtbot.mouseClick(panel.grid.viewport(), Qt.MouseButton.LeftButton, pos=cell(panel, 2))
    assert opened.args[0].id == sample.painted.id


def test_arrows_choose_and_enter_opens(panel: HistoryPanel, sample: SampleLibrary, qtbot: QtBot) -> None:
    select_creation(panel, 0)
    with qtbot.assertNotEmitted(panel.activated):
        press(panel, qtbot, Qt.Key.Key_Right)
        press(panel, qtbot, Qt.Key.Key_Down)
        press(panel, qtbot, Qt.Key.Key_Left)
        press(panel, qtbot, Qt.Key.Key_End)
    assert panel.grid.currentIndex().row() == 3
    press(panel, qtbot, Qt.Key.Key_Home)
    with qtbot.waitSignal(panel.activated) as opened:
        press(panel, qtbot, Qt.Key.Key_Return)
    assert opened.args[0].id == sample.tale.id


def test_the_down_key_moves_from_search_to_results(panel: HistoryPanel, qtbot: QtBot) -> None:
    panel.search.setFocus()
    qtbot.keyClick(panel.search, Qt.Key.Key_Down)
    assert panel.grid.hasFocus()
    assert panel.grid.currentIndex().row() == 0


def test_the_dot_key_toggles_the_star(panel: HistoryPanel, qtbot: QtBot) -> None:
    select_creation(panel, 1, 2)
    press(panel, qtbot, ".")
    assert all(creation.star for creation in panel.grid.list_selected_creations())
    assert entries(panel.make_menu())[3] == "Remove star" or "Remove star" in entries(panel.make_menu())
    press(panel, qtbot, ".")
    assert not any(creation.star for creation in panel.grid.list_selected_creations())


def test_digits_and_stars_rate(panel: HistoryPanel, qtbot: QtBot) -> None:
    select_creation(panel, 1)
    press(panel, qtbot, "4")
    assert panel.grid.list_selected_creations()[0].rating == 4
    qtbot.mouseClick(panel.details.rating, Qt.MouseButton.LeftButton, pos=QPoint(3 * 18 + 4, 8))
    assert panel.grid.list_selected_creations()[0].rating == 0, "a click on the star that is set takes it back"
    qtbot.keyClick(panel.details.rating, Qt.Key.Key_Right)
    assert panel.grid.list_selected_creations()[0].rating == 1


def test_delete_moves_to_the_trash_and_undo_brings_back(
    panel: HistoryPanel, sample: SampleLibrary, undo: UndoStack, qtbot: QtBot
) -> None:
    select_creation(panel, 1, 2)
    with qtbot.waitSignal(panel.model.searched):
        press(panel, qtbot, Qt.Key.Key_Delete)
    assert ids(panel) == [sample.tale.id, sample.photo.id]
    assert panel.notice.sentence.text() == "Moved 2 creations to the trash."
    assert undo.undoText() == "moving 2 creations to the trash"
    assert panel.grid.currentIndex().row() == 1, "the next one is chosen"
    with qtbot.waitSignal(panel.model.searched):
        panel.notice.undo.click()
    assert ids(panel) == [sample.tale.id, sample.morph.id, sample.painted.id, sample.photo.id]
    with qtbot.waitSignal(panel.model.searched):
        undo.redo()
    assert len(ids(panel)) == 2


def test_the_trash_restores_and_asks_before_it_deletes(
    panel: HistoryPanel, sample: SampleLibrary, qtbot: QtBot
) -> None:
    select_creation(panel, 0, 3)
    with qtbot.waitSignal(panel.model.searched):
        panel.trash_selected()
    go_to_shelf(panel, TRASH, qtbot)
    assert ids(panel) == [sample.tale.id, sample.photo.id]
    select_creation(panel, 0)
    with qtbot.waitSignal(panel.model.searched):
        panel.trash_bar.restore.click()
    assert ids(panel) == [sample.photo.id]
    panel.trash_bar.empty.click()
    assert "cannot be undone" in panel.trash_bar.question.text()
    panel.trash_bar.keep_button.click()
    assert ids(panel) == [sample.photo.id]
    panel.trash_bar.empty.click()
    with qtbot.waitSignal(panel.model.searched):
        panel.trash_bar.delete.click()
    assert ids(panel) == []
    assert sample.library.get(sample.photo.id) is None


def test_a_selection_in_the_trash_is_deleted_after_confirmation(
    panel: HistoryPanel, sample: SampleLibrary, undo: UndoStack, qtbot: QtBot
) -> None:
    select_creation(panel, 0, 2, 3)
    with qtbot.waitSignal(panel.model.searched):
        panel.trash_selected()
    go_to_shelf(panel, TRASH, qtbot)
    trash_bar = panel.trash_bar
    assert not trash_bar.delete_chosen.isEnabled()
    select_creation(panel, 0, 1)
    with qtbot.assertNotEmitted(panel.model.rowsRemoved):
        press(panel, qtbot, Qt.Key.Key_Delete)
    assert trash_bar.question.text() == "Delete 2 creations permanently? This cannot be undone."
    qtbot.keyClick(trash_bar.keep_button, Qt.Key.Key_Escape)
    assert not trash_bar.question.isVisible()
    trash_bar.delete_chosen.click()
    select_creation(panel, 2)
    assert not trash_bar.question.isVisible(), "what is chosen now is not what was asked about"
    assert entries(panel.make_menu()) == ["Restore", "Delete permanently…", "Empty trash…"]
    trash_bar.delete_chosen.click()
    with qtbot.waitSignal(panel.model.searched):
        trash_bar.delete.click()
    assert ids(panel) == [sample.tale.id, sample.painted.id]
    assert sample.library.get(sample.photo.id) is None
    assert sample.library.get(sample.tale.id) is not None
    assert not Path(sample.photo.path).exists()


def test_the_context_menu_has_the_possible_actions(panel: HistoryPanel, qtbot: QtBot) -> None:
    select_creation(panel, 2)
    assert entries(panel.make_menu()) == [
        "Open", "Use settings", "Use as input", "Star", "Rating", "Copy", "Export…", "Show in folder", "Move to trash",
    ]  # fmt: skip
    select_creation(panel, 1, 2)
    assert entries(panel.make_menu()) == ["Star", "Rating", "Copy", "Move to trash"]


def test_details_show_prompt_and_facts(panel: HistoryPanel, sample: SampleLibrary, qtbot: QtBot) -> None:
    assert not panel.details.isVisible()
    select_creation(panel, 2)
    assert panel.details.title.text() == "Impressionist"
    told = panel.details.facts.text().replace("\u00a0", " ")
    assert told.startswith("Style transfer · 48 × 32 · ")
    assert "Seed 41\u202f882" in told
    with qtbot.waitSignal(panel.use_recipe) as used:
        panel.details.use.click()
    assert used.args[0].id == sample.painted.id
    with qtbot.waitSignal(panel.use_as_input) as used:
        panel.details.input.click()


def test_a_step_of_the_lineage_opens_its_creation(panel: HistoryPanel, sample: SampleLibrary, qtbot: QtBot) -> None:
    def visible_steps() -> list[StepButton]:
        return [button for button in panel.details.lineage.findChildren(StepButton) if not button.isHidden()]

    select_creation(panel, 1)
    qtbot.waitUntil(lambda: len(visible_steps()) == 3)  # Qt shows new children of a layout later
    steps = visible_steps()
    assert [button.creation.id for button in steps] == [sample.photo.id, sample.painted.id, sample.morph.id]
    with qtbot.waitSignal(panel.activated) as opened:
        qtbot.mouseClick(steps[0], Qt.MouseButton.LeftButton)
    assert opened.args[0].id == sample.photo.id
    assert panel.grid.currentIndex().row() == 3


def test_tags_are_edited_and_undone(panel: HistoryPanel, undo: UndoStack, qtbot: QtBot) -> None:
    select_creation(panel, 2)
    qtbot.keyClicks(panel.details.tags, "cup, red  cup, cup")
    qtbot.keyClick(panel.details.tags, Qt.Key.Key_Return)
    assert panel.grid.list_selected_creations()[0].tags == ("cup", "red cup")
    undo.undo()
    assert panel.grid.list_selected_creations()[0].tags == ()


def test_typed_tags_are_saved_when_the_selection_changes(
    panel: HistoryPanel, sample: SampleLibrary, qtbot: QtBot
) -> None:
    select_creation(panel, 2)
    qtbot.keyClicks(panel.details.tags, "cup")
    select_creation(panel, 1)
    panel.model.close()
    assert sample.read(sample.painted).tags == ("cup",)
    assert sample.read(sample.morph).tags == ()


def test_a_drag_carries_the_file_and_the_picture(sample: SampleLibrary, qtbot: QtBot) -> None:
    carried = CreationMimeData([sample.painted])
    assert carried.urls() == [QUrl.fromLocalFile(sample.painted.path)]
    assert carried.hasFormat("image/png")
    assert bytes(carried.data("image/png").data()) == Path(sample.painted.path).read_bytes()
    assert QImage.fromData(carried.data("image/png")).width() == 48
    assert not CreationMimeData([sample.painted, sample.photo]).hasFormat("image/png")
    assert not CreationMimeData([sample.tale]).hasFormat("image/png")


def test_copy_puts_it_on_the_clipboard(panel: HistoryPanel, sample: SampleLibrary, qtbot: QtBot) -> None:
    select_creation(panel, 2)
    qtbot.keyClick(panel.grid, Qt.Key.Key_C, Qt.KeyboardModifier.ControlModifier)
    assert QApplication.clipboard().mimeData().urls() == [QUrl.fromLocalFile(sample.painted.path)]
    QApplication.clipboard().clear()


def test_export_reports_the_file(panel: HistoryPanel, sample: SampleLibrary, tmp_path: Path, qtbot: QtBot) -> None:
    with qtbot.waitSignal(panel.history_actions.notified) as told:
        panel.history_actions._export_to(sample.painted, tmp_path / "out.jpg")
    assert told.args[0] == "Exported to out.jpg."
    assert (tmp_path / "out.jpg").exists()
    with qtbot.waitSignal(panel.model.failed):
        panel.history_actions._export_to(sample.painted, tmp_path / "out.xyz")
    assert panel.notice.sentence.text()


def test_files_can_be_dropped_on_the_history(panel: HistoryPanel, tmp_path: Path, qtbot: QtBot) -> None:
    data = QMimeData()
    data.setUrls([QUrl.fromLocalFile(str(tmp_path / "a.png"))])
    event = QDropEvent(
        QPointF(9, 300), Qt.DropAction.CopyAction, data, Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier
    )
    with qtbot.waitSignal(panel.files_dropped) as dropped:
        panel.dropEvent(event)
    assert dropped.args == [[tmp_path / "a.png"]]


def test_shift_click_chooses_a_block(panel: HistoryPanel, qtbot: QtBot) -> None:
    select_creation(panel, 0)
    viewport = panel.grid.viewport()
    qtbot.mouseClick(viewport, Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier, cell(panel, 0))
    qtbot.mouseClick(viewport, Qt.MouseButton.LeftButton, Qt.KeyboardModifier.ShiftModifier, cell(panel, 2))
    assert len(panel.grid.list_selected_ids()) == 3
    qtbot.mouseClick(viewport, Qt.MouseButton.LeftButton, Qt.KeyboardModifier.ControlModifier, cell(panel, 1))
    assert len(panel.grid.list_selected_ids()) == 2


def test_every_widget_that_takes_the_focus_has_a_name(panel: HistoryPanel) -> None:
    nameless = [
        widget for widget in panel.findChildren(QWidget)
        if widget.focusPolicy() & Qt.FocusPolicy.TabFocus and not widget.accessibleName()
        and not widget.objectName().startswith("qt_") and type(widget).__name__ != "QLineEditIconButton"
    ]  # fmt: skip
    assert nameless == []


def test_the_grid_paints_missing_files_and_stars(panel: HistoryPanel, sample: SampleLibrary, qtbot: QtBot) -> None:
    from msgspec.structs import replace

    panel.model._cache([replace(sample.painted, missing=True, star=True), replace(sample.tale, star=True)])
    qtbot.waitUntil(lambda: panel.model.get_thumbnail(sample.painted.id) is not None)
    select_creation(panel, 0)
    picture = panel.grid.grab().toImage()
    assert len({picture.pixelColor(x, 40).name() for x in range(0, picture.width(), 3)}) > 3


def test_creations_are_described() -> None:
    creation = Creation(
        id="0" * 64,
        path="a.png",
        kind=CreationKind.ANIMATION,
        tool="import",
        title="a.png",
        duration=75,
        size=3_400_000,
    )
    assert describe_creation(creation) == ["Imported", "1 min 15 s", "3.4 MB"]
    assert name_of(creation) == "a.png, imported"
    assert format_local_time("no date") == ""
    assert format_local_time("2026-01-02T03:04:05.000Z")
    assert split_tags(" a b ,, a  b,c") == ["a b", "c"]


def test_the_export_asks_what_to_include_and_keeps_the_choice(
    panel: HistoryPanel, sample: SampleLibrary, tmp_path: Path, qtbot: QtBot
) -> None:
    panel.history_actions.export(sample.painted)
    dialog = panel.findChild(ExportDialog)
    assert dialog is not None
    assert dialog.include is Include.EVERYTHING
    assert dialog.contents.text().startswith("Included: prompt and settings, seed")
    dialog.buttons[Include.NOTHING].click()
    assert dialog.contents.text() == "Included: nothing but the image itself."
    with qtbot.waitSignal(panel.history_actions.include_chosen) as chosen:
        dialog.accept_button.click()
    assert chosen.args == ["nothing"]
    file_dialog = panel.findChild(QFileDialog)
    assert file_dialog is not None
    with qtbot.waitSignal(panel.history_actions.notified):
        file_dialog.fileSelected.emit(str(tmp_path / "out.png"))
    assert read_recipe(tmp_path / "out.png") is None
    file_dialog.reject()
    panel.history_actions.export(sample.painted)
    again = next(one for one in panel.findChildren(ExportDialog) if one.isVisible())
    assert again.include is Include.NOTHING
    again.reject()
    assert not again.isVisible()


@pytest.fixture
def trained(panel: HistoryPanel, sample: SampleLibrary, tmp_path: Path, qtbot: QtBot) -> Creation:
    """A trained model, selected in the panel."""
    folder = tmp_path / "trained"
    folder.mkdir()
    (folder / "model.safetensors").write_bytes(b"weights")
    recipe = Recipe(tool="vae.train", plugin=PluginRef("vae"))
    saved = writer.save_model(sample.library.home, folder, recipe, title="Fox", kind="autoencoder")
    model = sample.library.add(saved)
    panel.model.insert(model)
    qtbot.waitUntil(lambda: panel.grid.select_creation(model.id))
    return model


def test_a_model_is_renamed_and_undone(
    panel: HistoryPanel, trained: Creation, undo: UndoStack, sample: SampleLibrary, qtbot: QtBot
) -> None:
    def shown_title() -> str:
        return panel.details.title.text()

    assert "Rename…" in entries(panel.make_menu())
    press(panel, qtbot, Qt.Key.Key_F2)
    dialog = panel.findChild(QInputDialog)
    assert dialog is not None
    assert dialog.textValue() == "Fox"
    dialog.setTextValue("Red fox")
    with qtbot.waitSignal(panel.model.renamed):
        dialog.accept()
    qtbot.waitUntil(lambda: shown_title() == "Red fox")
    assert sample.library.list_models()[0].title == "Red fox"
    assert undo.undoText() == "renaming a model"
    undo.undo()
    qtbot.waitUntil(lambda: shown_title() == "Fox")
    undo.redo()
    qtbot.waitUntil(lambda: shown_title() == "Red fox")


def test_a_name_of_another_model_is_refused_in_the_window(
    panel: HistoryPanel, trained: Creation, undo: UndoStack, qtbot: QtBot
) -> None:
    with qtbot.waitSignal(panel.model.failed) as failed:
        panel.history_actions.rename(trained, "Ink wash")
    assert failed.args[0].startswith("There is already a model Ink wash.")
    assert not undo.canUndo()


def test_the_trash_says_what_was_made_with_a_model(
    panel: HistoryPanel, trained: Creation, sample: SampleLibrary, qtbot: QtBot
) -> None:
    recipe = Recipe(tool="vae.morph", plugin=PluginRef("vae"), params={"model": trained.id})
    sample.library.add(writer.save_image(sample.library.home, Image.new("RGB", (8, 8)), recipe))
    press(panel, qtbot, Qt.Key.Key_Delete)
    qtbot.waitUntil(lambda: "1 image was made with it" in panel.notice.sentence.text())
    go_to_shelf(panel, TRASH, qtbot)
    qtbot.waitUntil(lambda: ids(panel) == [trained.id])
    select_creation(panel, 0)
    qtbot.waitUntil(lambda: panel.grid.current_creation() is not None)
    press(panel, qtbot, Qt.Key.Key_Delete)
    qtbot.waitUntil(lambda: "1 image was made with it" in panel.trash_bar.question.text())


@pytest.mark.parametrize("answer", ["Keep it", "Move to trash"])
def test_a_model_that_jobs_need_is_moved_only_when_asked(
    panel: HistoryPanel, trained: Creation, qtbot: QtBot, answer: str
) -> None:
    panel.history_actions.count_jobs = lambda targets: 2 if trained.id in targets else 0
    press(panel, qtbot, Qt.Key.Key_Delete)
    (box,) = panel.findChildren(QMessageBox)
    assert box.text() == "2 jobs in the queue need it."
    next(button for button in box.buttons() if button.text() == answer).click()
    if answer == "Keep it":
        assert trained.id in ids(panel)
    else:
        qtbot.waitUntil(lambda: trained.id not in ids(panel))
