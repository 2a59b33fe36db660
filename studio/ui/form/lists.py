"""Lists of files and pictures: dropped, pasted or added, put in order, taken out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from PySide6.QtCore import QEvent, QPoint, QRect, QSize, Qt, Signal
from PySide6.QtGui import (
    QDragEnterEvent,
    QDragMoveEvent,
    QDropEvent,
    QGuiApplication,
    QIcon,
    QKeyEvent,
    QKeySequence,
    QPainter,
    QPixmap,
)
from PySide6.QtWidgets import (
    QAbstractItemView,
    QFileDialog,
    QHBoxLayout,
    QListWidget,
    QListWidgetItem,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from studio.core.descriptor import Field, Widget
from studio.ui import dropping, icons, words
from studio.ui.form.editor import Editor, Surroundings, while_alive
from studio.ui.form.wells import caption
from studio.ui.thumbnails import Thumbnail

ROW = 52
PICTURE = QSize(56, 42)
SHOWN = 5
"""The list is at most this many rows high, then it scrolls."""
_PATH = Qt.ItemDataRole.UserRole


class FileList(QListWidget):
    """Drag or Alt+↑ and Alt+↓ put the rows in order, Delete takes one out."""

    given = Signal(list)
    pasted = Signal(object)
    reordered = Signal()
    removed = Signal()

    def __init__(self, pictures: bool) -> None:
        super().__init__()
        self._pictures = pictures
        self.setProperty("role", "card")
        self.setAcceptDrops(True)
        self.setDragEnabled(True)
        self.setDragDropMode(QAbstractItemView.DragDropMode.DragDrop)
        self.setDefaultDropAction(Qt.DropAction.MoveAction)
        self.setSelectionMode(QAbstractItemView.SelectionMode.ExtendedSelection)
        self.setIconSize(PICTURE if pictures else QSize(20, 20))
        self.setTextElideMode(Qt.TextElideMode.ElideMiddle)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setUniformItemSizes(True)
        self.setSpacing(0)

    def paths(self) -> list[str]:
        return [str(self.item(row).data(_PATH)) for row in range(self.count())]

    def dragEnterEvent(self, event: QDragEnterEvent) -> None:  # noqa: N802
        if event.source() is self or self._wanted(event):
            event.acceptProposedAction()

    def dragMoveEvent(self, event: QDragMoveEvent) -> None:  # noqa: N802
        if event.source() is self:
            super().dragMoveEvent(event)
        elif self._wanted(event):
            event.acceptProposedAction()

    def dropEvent(self, event: QDropEvent) -> None:  # noqa: N802
        if event.source() is self:
            super().dropEvent(event)
            self.reordered.emit()
        elif self._take(event.mimeData()):
            event.acceptProposedAction()

    def event(self, event: QEvent) -> bool:
        """Paste is meant for it while it has the focus, not for the window."""
        asks = event.type() == QEvent.Type.ShortcutOverride
        if asks and isinstance(event, QKeyEvent) and event.matches(QKeySequence.StandardKey.Paste):
            event.accept()
            return True
        return super().event(event)

    def keyPressEvent(self, event: QKeyEvent) -> None:  # noqa: N802
        alt = event.modifiers() & Qt.KeyboardModifier.AltModifier
        if event.matches(QKeySequence.StandardKey.Paste):
            self._take(QGuiApplication.clipboard().mimeData())
        elif event.key() in (Qt.Key.Key_Delete, Qt.Key.Key_Backspace) and self.selectedItems():
            self.removed.emit()
        elif alt and event.key() in (Qt.Key.Key_Up, Qt.Key.Key_Down):
            self._shift(-1 if event.key() == Qt.Key.Key_Up else 1)
        else:
            super().keyPressEvent(event)

    def _shift(self, by: int) -> None:
        row, to = self.currentRow(), self.currentRow() + by
        if row >= 0 and 0 <= to < self.count():
            self.insertItem(to, self.takeItem(row))
            self.setCurrentRow(to)
            self.reordered.emit()

    def _wanted(self, event: QDropEvent) -> bool:
        data = event.mimeData()
        return dropping.has_picture(data) if self._pictures else bool(dropping.files(data))

    def _take(self, data: Any) -> bool:
        found = dropping.picture_files(data) if self._pictures else dropping.files(data)
        if found:
            self.given.emit([str(path) for path in found])
        elif self._pictures and (image := dropping.image(data)) is not None:
            self.pasted.emit(image)
            return True
        return bool(found)


class FilesEditor(Editor):
    """For many pictures, masks or files. The value is a list of paths."""

    def __init__(self, field: Field, around: Surroundings, parent: QWidget | None = None) -> None:
        super().__init__(field, parent)
        self._around = around
        self._pictures = field.widget in (Widget.IMAGE, Widget.MASK)
        noun = "pictures" if self._pictures else "files"
        self.list = FileList(self._pictures)
        words.name(self.list, field.title, field.help)
        self._empty = words.label(f"Drop {noun} here, paste, or add them", "dim")
        self._empty.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self._add = QPushButton(f"Add {noun}…")
        self._add.setIcon(icons.icon("plus"))
        words.name(self._add, f"Add {noun} to {field.title.lower()}")
        self._remove = QPushButton("Remove")
        words.name(self._remove, f"Remove the chosen {noun} from {field.title.lower()}")
        self._count = words.label("", "dim")
        self._lay_out()
        self.list.given.connect(self._given)
        taken = while_alive(self, lambda path: self._given([str(path)]))
        self.list.pasted.connect(lambda image: around.take_picture(image, taken))
        self.list.reordered.connect(self.edited)
        self.list.removed.connect(self._take_out)
        self.list.itemSelectionChanged.connect(self._update)
        self._add.clicked.connect(self._browse)
        self._remove.clicked.connect(self._take_out)
        around.thumbnails.ready.connect(self._thumbnail_ready)

    def _lay_out(self) -> None:
        inside = QVBoxLayout(self.list)
        inside.addWidget(self._empty)
        self._empty.setAttribute(Qt.WidgetAttribute.WA_TransparentForMouseEvents)
        row = QHBoxLayout()
        row.setSpacing(8)
        row.addWidget(self._add)
        row.addWidget(self._remove)
        row.addStretch(1)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(8)
        column.addWidget(self.list)
        column.addLayout(row)
        self.setFocusProxy(self.list)
        self._update()

    def head(self) -> QWidget | None:
        return self._count

    def value(self) -> Any:
        return self.list.paths()

    def show_value(self, value: Any) -> None:
        paths = [str(path) for path in value or []]
        if paths != self.list.paths():
            self.list.clear()
            for path in paths:
                self._put(path)
            self._update()

    def set_wrong(self, wrong: bool) -> None:
        words.set_flag(self.list, "wrong", wrong)

    def _put(self, path: str) -> None:
        item = QListWidgetItem(Path(path).name)
        item.setData(_PATH, path)
        item.setToolTip(words.tip(path))
        item.setSizeHint(QSize(10, ROW if self._pictures else 28))
        item.setFlags(item.flags() & ~Qt.ItemFlag.ItemIsDropEnabled)
        self.list.addItem(item)
        if self._pictures:
            self._around.thumbnails.ask(path)
        else:
            item.setIcon(icons.icon("file-outline"))

    def _given(self, paths: list[str]) -> None:
        room = None if self.field.most is None else max(0, self.field.most - self.list.count())
        for path in paths[:room]:
            self._put(path)
        self._update()
        self.edited.emit()

    def _take_out(self) -> None:
        chosen = {self.list.row(item) for item in self.list.selectedItems()}
        if chosen:
            self._around.clear(self.field.name, [p for row, p in enumerate(self.list.paths()) if row not in chosen])

    def _browse(self) -> None:
        extensions = dropping.PICTURES if self._pictures else self.field.accepts
        title = self.field.title
        paths, _ = QFileDialog.getOpenFileNames(self, title, "", dropping.pattern(extensions, title))
        if paths:
            self._given(paths)

    def _update(self) -> None:
        count = self.list.count()
        self._empty.setVisible(count == 0)
        self._remove.setVisible(count > 0)
        self._remove.setEnabled(bool(self.list.selectedItems()))
        most = self.field.most
        self._add.setEnabled(most is None or count < most)
        self._count.setText(f"{count} of {most}" if most is not None and count else str(count) if count else "")
        row = ROW if self._pictures else 28
        self.list.setFixedHeight(min(max(count, 1), SHOWN) * row + (8 if count else 36))

    def _thumbnail_ready(self, thumbnail: Thumbnail) -> None:
        for row in range(self.list.count()):
            item = self.list.item(row)
            if item.data(_PATH) == thumbnail.path:
                item.setIcon(QIcon(_framed(thumbnail)))
                item.setText(f"{Path(thumbnail.path).name}\n{thumbnail.error or caption(thumbnail)}")


def _framed(thumbnail: Thumbnail) -> QPixmap:
    """The middle of the picture in the list's shape, so that all names stand below each other."""
    ratio = 2
    frame = QPixmap(PICTURE * ratio)
    frame.fill(Qt.GlobalColor.transparent)
    if not thumbnail.image.isNull():
        size = thumbnail.image.size().scaled(frame.size(), Qt.AspectRatioMode.KeepAspectRatioByExpanding)
        target = QRect(QPoint(0, 0), size)
        target.moveCenter(frame.rect().center())
        painter = QPainter(frame)
        painter.setRenderHint(QPainter.RenderHint.SmoothPixmapTransform)
        painter.drawImage(target, thumbnail.image)
        painter.end()
    frame.setDevicePixelRatio(ratio)
    return frame
