"""The panel on the right: search, shelves, grid, and what is known of the chosen creation."""

from __future__ import annotations

from PySide6.QtCore import QPoint, Qt, Signal
from PySide6.QtGui import QDragEnterEvent, QDropEvent
from PySide6.QtWidgets import QButtonGroup, QHBoxLayout, QMenu, QPushButton, QSplitter, QVBoxLayout, QWidget

from studio.core.humanize import group_digits
from studio.library.creation import Creation
from studio.state.library.history_model import HistoryModel
from studio.state.undo_stack import UndoStack
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
    """Shows `model`, which belongs to whoever made it and is closed by them.

    `undo` takes what can be undone; without one the panel keeps its own.
    """

    activated = Signal(Creation)
    """To be shown on the canvas."""
    use_recipe = Signal(Creation)
    use_as_input = Signal(Creation)
    selected = Signal(object)
    """The current Creation, or None."""
    files_dropped = Signal(list)
    """Files to take in, as `list[Path]`."""

    def __init__(self, model: HistoryModel, undo: UndoStack | None = None, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.model = model
        self.setProperty("role", "panel")
        self.setAttribute(Qt.WidgetAttribute.WA_StyledBackground)
        self.setAccessibleName("History")
        self.setAcceptDrops(True)
        self.setMinimumWidth(216)
        self.search = SearchField()
        self.shelves = QButtonGroup(self)
        self.count = make_label(role="caption")
        self.grid = HistoryGrid(model)
        self.details = DetailsPanel(model)
        self.trash_bar = TrashBar()
        self.notice = UndoBar()
        self.operations = HistoryActions(model, undo or UndoStack(), self)
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
            self.shelves.addButton(chip, number)
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
        self._lower = lower
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
        model, grid, operations = self.model, self.grid, self.operations
        self.search.searched.connect(lambda _: self._search())
        self.search.left.connect(self._enter_grid)
        self.shelves.idClicked.connect(lambda _: self._search())
        grid.opened.connect(self.activated)
        grid.chosen.connect(self._show_chosen)
        grid.menu_requested.connect(self._show_menu)
        grid.star_requested.connect(lambda: operations.star(grid.chosen_creations()))
        grid.rating_requested.connect(lambda stars: operations.rate(grid.chosen_creations(), stars))
        grid.trash_requested.connect(self.trash_chosen)
        grid.copy_requested.connect(lambda: operations.copy(grid.chosen_creations()))
        self.details.rated.connect(lambda creation, stars: operations.rate([creation], stars))
        self.details.tagged.connect(operations.tag)
        self.details.use_requested.connect(self.use_recipe)
        self.details.input_requested.connect(self.use_as_input)
        self.details.lineage.chosen.connect(self._go_to)
        self.trash_bar.restore_requested.connect(lambda: operations.restore(grid.chosen_ids()))
        self.trash_bar.delete_chosen.clicked.connect(lambda: self.trash_bar.ask(grid.chosen_ids()))
        self.trash_bar.delete_requested.connect(model.delete)
        self.trash_bar.empty_requested.connect(model.empty_trash)
        self.trash_bar.answered.connect(grid.setFocus)
        grid.selectionModel().selectionChanged.connect(lambda *_: self.trash_bar.choice_changed())
        self.notice.undo_requested.connect(operations.undo)
        operations.told.connect(self.notice.tell)
        model.failed.connect(lambda sentence: self.notice.tell(sentence, False, wrong=True))
        model.changed.connect(lambda _: self._show_chosen())
        model.dataChanged.connect(lambda first, last: self._rows_changed(first.row(), last.row()))
        for signal in (model.modelReset, model.rowsInserted, model.rowsRemoved, model.searched):
            signal.connect(self._count)

    # What is shown
    def set_tool_title(self, tool_title: ToolTitle) -> None:
        """How tools are called, from their ids."""
        self.details.tool_title = tool_title
        self._show_chosen()

    @property
    def shelf(self) -> int:
        return self.shelves.checkedId()

    def _search(self) -> None:
        shelf = self.shelf
        self.model.search(self.search.text(), starred=shelf == STARRED, trashed=shelf == TRASH)
        self.trash_bar.setVisible(shelf == TRASH)
        self.trash_bar.keep()

    def _count(self) -> None:
        rows, known = self.model.rowCount(), self.model.standing
        self.count.setText(group_digits(rows) if known and rows else "")
        self.grid.sentence = self._why_empty() if known and not rows else ""
        self.trash_bar.show_count(rows)
        if not rows:
            self.grid.viewport().update()
            self._show_chosen()

    def _why_empty(self) -> str:
        if text := self.search.text().strip():
            return f"Nothing found for “{text[:60]}”.\nEsc clears the search."
        return (
            "What you make appears here.\nPictures that you drop here are kept too.",
            "What you star gathers here.\nThe key is “.”",
            "The trash is empty.",
        )[self.shelf]

    def _rows_changed(self, first: int, last: int) -> None:
        row = self.grid.currentIndex().row()
        if first <= row <= last:
            self._show_chosen()

    def _show_chosen(self) -> None:
        chosen = self.grid.current_creation() if self.grid.selectionModel().hasSelection() else None
        if chosen != self.details.creation:
            self.details.show_creation(chosen)
            self.selected.emit(chosen)
        self._lower.setVisible(chosen is not None)
        self.trash_bar.show_chosen(len(self.grid.selectionModel().selectedIndexes()))

    def _go_to(self, creation: Creation) -> None:
        """From the chain: shown on the canvas, and chosen in the grid if it is there."""
        if not self.grid.choose(creation.id):
            self.details.show_creation(creation)
            self._lower.show()
        self.activated.emit(creation)

    def _enter_grid(self) -> None:
        self.grid.setFocus()
        if not self.grid.currentIndex().isValid() and self.model.rowCount():
            self.grid.choose(self.model.id_at(0))

    # What is done
    def trash_chosen(self) -> None:
        """In the trash it asks first, since there it is for ever."""
        chosen = self.grid.chosen_ids()
        if self.shelf != TRASH:
            self.operations.trash(chosen)
        elif chosen:
            self.trash_bar.ask(chosen)

    def _show_menu(self, at: QPoint) -> None:
        menu = self.menu()
        menu.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        menu.popup(at)

    def menu(self) -> QMenu:
        """The context menu for what is chosen."""
        creations, ids = self.grid.chosen_creations(), self.grid.chosen_ids()
        menu, operations = QMenu(self), self.operations
        single = creations[0] if len(ids) == 1 and creations else None
        there = [creation for creation in creations if not creation.missing]
        if self.shelf == TRASH:
            menu.addAction("Restore").triggered.connect(lambda: operations.restore(ids))
            menu.addAction("Delete for ever…\tDel").triggered.connect(lambda: self.trash_bar.ask(ids))
            menu.addAction("Empty trash…").triggered.connect(lambda: self.trash_bar.ask())
            return menu
        if single is not None:
            menu.addAction("Open\tEnter").triggered.connect(lambda: self.activated.emit(single))
            if single.recipe is not None:
                menu.addAction("Use settings").triggered.connect(lambda: self.use_recipe.emit(single))
            if not single.missing:
                menu.addAction("Use as input").triggered.connect(lambda: self.use_as_input.emit(single))
            menu.addSeparator()
        starred = bool(creations) and all(creation.star for creation in creations)
        menu.addAction("Remove star\t." if starred else "Star\t.").triggered.connect(lambda: operations.star(creations))
        rating = menu.addMenu("Rating")
        for stars in range(6):
            words = f"{'★' * stars or 'None'}\t{stars}"
            rating.addAction(words).triggered.connect(lambda _=False, stars=stars: operations.rate(creations, stars))
        menu.addSeparator()
        if there:
            menu.addAction("Copy\tCtrl+C").triggered.connect(lambda: operations.copy(there))
        if single is not None and there:
            menu.addAction("Export…").triggered.connect(lambda: operations.export(single))
            menu.addAction("Show in folder").triggered.connect(lambda: operations.show_in_folder(single))
        menu.addSeparator()
        menu.addAction("Move to trash\tDel").triggered.connect(lambda: operations.trash(ids))
        return menu

    # Drops
    def dragEnterEvent(self, event: QDragEnterEvent) -> None:
        from_here = event.source() is self.grid
        if not from_here and mime_data.list_files(event.mimeData()):
            event.acceptProposedAction()

    def dropEvent(self, event: QDropEvent) -> None:
        self.files_dropped.emit(mime_data.list_files(event.mimeData()))
        event.acceptProposedAction()
