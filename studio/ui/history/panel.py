"""The history panel: search, filters, grid and details."""

from __future__ import annotations

from pathlib import Path

from PySide6.QtCore import QPoint, Qt, Signal
from PySide6.QtGui import QDragEnterEvent, QDropEvent
from PySide6.QtWidgets import QButtonGroup, QHBoxLayout, QMenu, QPushButton, QSplitter, QVBoxLayout, QWidget

from studio.core import training_record
from studio.core.humanize import group_digits
from studio.library.creation import Creation, CreationKind
from studio.state.library.history_model import HistoryModel
from studio.state.library.image_uses import ImageUses
from studio.state.library.model_uses import ModelUses
from studio.state.undo_stack import UndoStack
from studio.ui.canvas.model_card import fill_use_menu
from studio.ui.history.actions import HistoryActions
from studio.ui.history.descriptions import ToolTitle
from studio.ui.history.details import DetailsPanel
from studio.ui.history.footer_bars import TrashBar, UndoBar
from studio.ui.history.grid import HistoryGrid
from studio.ui.history.search_field import SearchField
from studio.ui.theme import theme
from studio.ui.widgets import mime_data
from studio.ui.widgets.labels import describe, make_label, make_line

ALL, STARRED, TRASH = range(3)


class HistoryPanel(QWidget):
    """The history of a model, which its owner closes.

    `undo` takes the undo commands; without one, the panel has its own stack.
    """

    activated = Signal(Creation)
    """Emitted with a creation to show on the canvas."""
    use_recipe = Signal(Creation)
    offer_settings = Signal(Creation)
    """Emitted with an imported creation whose settings of another program are wanted."""
    use_as_input = Signal(Creation)
    training_requested = Signal(Creation)
    """Emitted with a model whose training is to be shown."""
    selected = Signal(object)
    """Emitted with the current Creation, or None."""
    files_dropped = Signal(list)
    """Emitted with dropped files to import, as `list[Path]`."""

    def __init__(self, model: HistoryModel, undo: UndoStack | None = None, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.model = model
        self.model_uses: ModelUses | None = None
        self.image_uses: ImageUses | None = None
        """The tools to offer for models; None for none."""
        self.setProperty("role", "panel")
        self.setAttribute(Qt.WidgetAttribute.WA_StyledBackground)
        self.setAccessibleName("History")
        self.setAcceptDrops(True)
        self.setMinimumWidth(216)
        self.search = SearchField()
        self.filters = QButtonGroup(self)
        self.count = make_label(role="caption")
        self.grid = HistoryGrid(model)
        self.details = DetailsPanel(model)
        self.trash_bar = TrashBar()
        self.notice = UndoBar()
        self.history_actions = HistoryActions(model, undo or UndoStack(), self)
        self._lay_out()
        self._connect()
        self.details.show_creation(None)

    def _lay_out(self) -> None:
        edge = 3 * theme.SPACE
        chips = QHBoxLayout()
        chips.setSpacing(2 * theme.SPACE)
        for number, words in enumerate(("All", "Starred", "Trash")):
            chip = QPushButton(words)
            chip.setCheckable(True)
            chip.setChecked(number == ALL)
            describe(chip, f"Show: {words}")
            self.filters.addButton(chip, number)
            chips.addWidget(chip)
        chips.addStretch()
        chips.addWidget(self.count)
        upper = QWidget()
        top = QVBoxLayout(upper)
        top.setContentsMargins(edge, edge, 0, 0)
        top.setSpacing(edge - theme.SPACE)
        for part in (self.search, chips):
            row = QHBoxLayout()
            row.setContentsMargins(0, 0, edge, 0)
            row.addWidget(part) if isinstance(part, QWidget) else row.addLayout(part)
            top.addLayout(row)
        top.addWidget(self.grid, 1)
        top.addWidget(self.trash_bar)
        top.addWidget(self.notice)
        lower = QWidget()
        bottom = QVBoxLayout(lower)
        bottom.setContentsMargins(0, 0, 0, 0)
        bottom.setSpacing(0)
        bottom.addWidget(make_line())
        bottom.addWidget(self.details)
        self._details_area = lower
        split = QSplitter(Qt.Orientation.Vertical)
        split.addWidget(upper)
        split.addWidget(lower)
        split.setStretchFactor(0, 1)
        split.setSizes([460, 300])
        split.setCollapsible(0, False)
        split.setHandleWidth(1)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(split)

    def _connect(self) -> None:
        model, grid, history_actions = self.model, self.grid, self.history_actions
        self.search.searched.connect(lambda _: self._search())
        self.search.down_pressed.connect(self._enter_grid)
        self.filters.idClicked.connect(lambda _: self._search())
        grid.opened.connect(self.activated)
        grid.chosen.connect(self._show_selection)
        grid.menu_requested.connect(self._show_menu)
        grid.star_requested.connect(lambda: history_actions.star(grid.list_selected_creations()))
        grid.rating_requested.connect(lambda stars: history_actions.rate(grid.list_selected_creations(), stars))
        grid.trash_requested.connect(self.trash_selected)
        grid.rename_requested.connect(self.rename_selected)
        grid.copy_requested.connect(lambda: history_actions.copy(grid.list_selected_creations()))
        self.details.rated.connect(lambda creation, stars: history_actions.rate([creation], stars))
        self.details.tagged.connect(history_actions.tag)
        self.details.use_requested.connect(self.use_recipe)
        self.details.input_requested.connect(self.use_as_input)
        self.details.lineage.chosen.connect(self._open_from_lineage)
        self.trash_bar.restore_requested.connect(lambda: history_actions.restore(grid.list_selected_ids()))
        self.trash_bar.delete_chosen.clicked.connect(lambda: self._ask_to_delete(grid.list_selected_ids()))
        self.trash_bar.delete_requested.connect(model.delete)
        self.trash_bar.empty_requested.connect(model.empty_trash)
        self.trash_bar.answered.connect(grid.setFocus)
        grid.selectionModel().selectionChanged.connect(lambda *_: self.trash_bar.cancel_question_about_selection())
        self.notice.undo_requested.connect(history_actions.undo)
        history_actions.notified.connect(self.notice.show_message)
        model.failed.connect(lambda sentence: self.notice.show_message(sentence, False, is_error=True))
        model.changed.connect(lambda _: self._show_selection())
        model.dataChanged.connect(lambda first, last: self._on_rows_changed(first.row(), last.row()))
        for signal in (model.modelReset, model.rowsInserted, model.rowsRemoved, model.searched):
            signal.connect(self._show_count)

    # What is shown
    def set_tool_title(self, tool_title: ToolTitle) -> None:
        """Set the function that returns tool titles."""
        self.details.tool_title = tool_title
        self._show_selection()

    @property
    def current_filter(self) -> int:
        return self.filters.checkedId()

    def _search(self) -> None:
        shelf = self.current_filter
        self.model.search(self.search.text(), starred=shelf == STARRED, trashed=shelf == TRASH)
        self.trash_bar.setVisible(shelf == TRASH)
        self.trash_bar.cancel_question()

    def _show_count(self) -> None:
        rows, known = self.model.rowCount(), self.model.is_complete
        self.count.setText(group_digits(rows) if known and rows else "")
        self.grid.empty_text = self._describe_empty() if known and not rows else ""
        self.trash_bar.show_count(rows)
        if not rows:
            self.grid.viewport().update()
            self._show_selection()

    def _describe_empty(self) -> str:
        if text := self.search.text().strip():
            return f"Nothing matches “{text[:60]}”.\nPress Esc to clear the search."
        return (
            "Results appear here.\nDrop images here to import them.",
            "Starred creations appear here.\nPress “.” to star one.",
            "The trash is empty.",
        )[self.current_filter]

    def _on_rows_changed(self, first: int, last: int) -> None:
        row = self.grid.currentIndex().row()
        if first <= row <= last:
            self._show_selection()

    def _show_selection(self) -> None:
        selected = self.grid.current_creation() if self.grid.selectionModel().hasSelection() else None
        if selected != self.details.creation:
            self.details.show_creation(selected)
            self.selected.emit(selected)
        self._details_area.setVisible(selected is not None)
        self.trash_bar.show_selection(len(self.grid.selectionModel().selectedIndexes()))

    def _open_from_lineage(self, creation: Creation) -> None:
        """Show a creation of the lineage on the canvas, and select it in the grid if it is listed."""
        if not self.grid.select_creation(creation.id):
            self.details.show_creation(creation)
            self._details_area.show()
        self.activated.emit(creation)

    def _enter_grid(self) -> None:
        self.grid.setFocus()
        if not self.grid.currentIndex().isValid() and self.model.rowCount():
            self.grid.select_creation(self.model.id_at(0))

    # What is done
    def trash_selected(self) -> None:
        """Move the selection to the trash; in the trash, ask whether to delete it permanently."""
        selected = self.grid.list_selected_ids()
        if self.current_filter != TRASH:
            self.history_actions.trash(selected)
        elif selected:
            self._ask_to_delete(selected)

    def _ask_to_delete(self, ids: list[str]) -> None:
        self.model.describe_model_users(ids, lambda users: self.trash_bar.ask(ids, users))

    def rename_selected(self) -> None:
        """Ask for another name of the selected model."""
        selected = self.grid.list_selected_creations()
        if len(selected) == 1 and is_usable_model(selected[0]):
            self.history_actions.ask_for_name(selected[0])

    def _show_menu(self, at: QPoint) -> None:
        menu = self.make_menu()
        menu.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        menu.popup(at)

    def make_menu(self) -> QMenu:
        """Return the context menu of the selection."""
        creations, ids = self.grid.list_selected_creations(), self.grid.list_selected_ids()
        menu, history_actions = QMenu(self), self.history_actions
        single = creations[0] if len(ids) == 1 and creations else None
        available = [creation for creation in creations if not creation.missing]
        if self.current_filter == TRASH:
            menu.addAction("Restore").triggered.connect(lambda: history_actions.restore(ids))
            menu.addAction("Delete permanently…\tDel").triggered.connect(lambda: self._ask_to_delete(ids))
            menu.addAction("Empty trash…").triggered.connect(lambda: self.trash_bar.ask())
            return menu
        if single is not None:
            menu.addAction("Open\tEnter").triggered.connect(lambda: self.activated.emit(single))
            if single.recipe is not None:
                menu.addAction("Use settings").triggered.connect(lambda: self.use_recipe.emit(single))
            elif single.kind in (CreationKind.IMAGE, CreationKind.ANIMATION) and not single.missing:
                menu.addAction("Use settings…").triggered.connect(lambda: self.offer_settings.emit(single))
            if not single.missing and single.kind is not CreationKind.MODEL:
                menu.addAction("Use as input").triggered.connect(lambda: self.use_as_input.emit(single))
            if self.image_uses and single.kind is CreationKind.IMAGE and not single.missing:
                self._add_image_uses(menu, single, self.image_uses)
            if is_usable_model(single):
                menu.addAction("Rename…\tF2").triggered.connect(lambda: history_actions.ask_for_name(single))
            if self.model_uses and is_usable_model(single):
                self._add_model_actions(menu, single, self.model_uses)
            if single.kind is CreationKind.MODEL and training_record.of_model(Path(single.path)).exists():
                menu.addAction("Show training").triggered.connect(lambda: self.training_requested.emit(single))
            menu.addSeparator()
        starred = bool(creations) and all(creation.star for creation in creations)
        menu.addAction("Remove star\t." if starred else "Star\t.").triggered.connect(
            lambda: history_actions.star(creations)
        )
        rating = menu.addMenu("Rating")
        for stars in range(6):
            words = f"{'★' * stars or 'No rating'}\t{stars}"
            rating.addAction(words).triggered.connect(
                lambda _=False, stars=stars: history_actions.rate(creations, stars)
            )
        menu.addSeparator()
        if available:
            menu.addAction("Copy\tCtrl+C").triggered.connect(lambda: history_actions.copy(available))
        if single is not None and available:
            menu.addAction("Export…").triggered.connect(lambda: history_actions.export(single))
            menu.addAction("Show in folder").triggered.connect(lambda: history_actions.show_in_folder(single))
        menu.addSeparator()
        menu.addAction("Move to trash\tDel").triggered.connect(lambda: history_actions.trash(ids))
        return menu

    def _add_image_uses(self, menu: QMenu, image: Creation, uses: ImageUses) -> None:
        fitting = uses.list_uses()
        if not fitting:
            return
        submenu = menu.addMenu("Use in")
        for use in fitting:
            action = submenu.addAction(use.title.replace("&", "&&"))
            action.triggered.connect(lambda _=False, use=use: uses.use(image, use))

    def _add_model_actions(self, menu: QMenu, model: Creation, uses: ModelUses) -> None:
        if fitting := uses.list_uses(model.model_kind):
            fill_use_menu(menu.addMenu("Use in"), fitting, model, uses.use)
        if uses.can_train_further(model):
            menu.addAction("Train further…").triggered.connect(lambda: uses.train_further(model))

    # Drops
    def dragEnterEvent(self, event: QDragEnterEvent) -> None:
        from_here = event.source() is self.grid
        if not from_here and mime_data.list_files(event.mimeData()):
            event.acceptProposedAction()

    def dropEvent(self, event: QDropEvent) -> None:
        self.files_dropped.emit(mime_data.list_files(event.mimeData()))
        event.acceptProposedAction()


def is_usable_model(creation: Creation) -> bool:
    """Check whether a creation is a trained model whose folder exists."""
    return creation.kind is CreationKind.MODEL and not creation.missing and not creation.trashed
