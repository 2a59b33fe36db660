"""A grid of the files of a data report, with their thumbnails and problems."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from PySide6.QtCore import QAbstractListModel, QModelIndex, QObject, QPersistentModelIndex, QRect, QSize, Qt
from PySide6.QtGui import QColor, QImage, QPainter, QPen
from PySide6.QtWidgets import QStyle, QStyledItemDelegate, QStyleOptionViewItem

from studio.core.data_report import DataFile, DataFolder, Fault
from studio.core.untrusted_files import make_printable
from studio.state.jobs.caption_edits import CaptionEdits
from studio.ui.history.uniform_grid import UniformGrid
from studio.ui.theme import theme
from studio.ui.widgets.thumbnail_loader import Thumbnail, ThumbnailLoader

CELL = 132
MAX_THUMBNAILS = 600
"""Number of thumbnails that are kept; about forty are visible."""
GAP, STRIP, MARGIN = 4, 34, 4
EntryRole, ImageRole = Qt.ItemDataRole.UserRole, Qt.ItemDataRole.UserRole + 1


@dataclass(frozen=True)
class Entry:
    """A file with its folder."""

    folder: DataFolder
    file: DataFile

    @cached_property
    def path(self) -> Path:
        return Path(self.folder.path) / self.file.name


class FileModel(QAbstractListModel):
    """The files that a filter lets through. Thumbnails are requested when they are painted."""

    def __init__(self, thumbnails: ThumbnailLoader, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.entries: list[Entry] = []
        self._images: OrderedDict[str, QImage] = OrderedDict()
        self._requested: set[str] = set()
        self._loader = thumbnails
        self._loader.ready.connect(self._add_thumbnail)

    def show_entries(self, entries: list[Entry]) -> None:
        if entries == self.entries:  # so that the place in a long list is not lost
            if entries:
                self.dataChanged.emit(self.index(0), self.index(len(entries) - 1), [ImageRole])
            return
        self.beginResetModel()
        self.entries = entries
        self.endResetModel()

    def rowCount(self, parent: QModelIndex | QPersistentModelIndex | None = None) -> int:
        return 0 if parent is not None and parent.isValid() else len(self.entries)

    def data(self, index: QModelIndex | QPersistentModelIndex, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        entry = self.entries[index.row()]
        if role == EntryRole:
            return entry
        if role == ImageRole:
            return self._find_image(entry)
        if role in (Qt.ItemDataRole.DisplayRole, Qt.ItemDataRole.AccessibleTextRole):
            return make_printable(entry.file.name)
        return None

    def _find_image(self, entry: Entry) -> QImage | None:
        path = str(entry.path)
        image = self._images.get(path)
        if image is None and path not in self._requested and not entry.file.texts:
            self._requested.add(path)
            self._loader.request(path)
        return image

    def _add_thumbnail(self, thumbnail: Thumbnail) -> None:
        if thumbnail.path not in self._requested:
            return
        self._requested.discard(thumbnail.path)
        self._images[thumbnail.path] = thumbnail.image
        while len(self._images) > MAX_THUMBNAILS:
            self._images.popitem(last=False)
        if self.entries:
            self.dataChanged.emit(self.index(0), self.index(len(self.entries) - 1), [ImageRole])


class FileDelegate(QStyledItemDelegate):
    """Paints a thumbnail, and below it the problem or the caption."""

    def __init__(
        self, is_excluded: Callable[[Entry], bool], captions: CaptionEdits, parent: QObject | None = None
    ) -> None:
        super().__init__(parent)
        self._is_excluded, self._captions = is_excluded, captions

    def sizeHint(self, option: QStyleOptionViewItem, index: QModelIndex | QPersistentModelIndex) -> QSize:
        return option.rect.size()

    def paint(
        self, painter: QPainter, option: QStyleOptionViewItem, index: QModelIndex | QPersistentModelIndex
    ) -> None:
        entry: Entry = index.data(EntryRole)
        cell = QRect(option.rect).adjusted(0, 0, -GAP, -GAP)
        colours, is_excluded = theme.COLOURS, self._is_excluded(entry)
        painter.save()
        painter.setRenderHint(QPainter.RenderHint.SmoothPixmapTransform)
        painter.fillRect(cell, QColor(colours.field))
        room = cell.adjusted(MARGIN, MARGIN, -MARGIN, -STRIP)
        painter.setOpacity(0.3 if is_excluded else 1.0)
        self._draw_content(painter, room, entry, index.data(ImageRole))
        painter.setOpacity(1.0)
        caption = self._captions.caption_of(entry.path)
        is_proposed = entry.path in self._captions.proposed
        faults = [finding.fault for finding in entry.file.findings]
        shown = [fault.label for fault in faults if not (caption and fault is Fault.NO_CAPTION)]
        problem = ("excluded", colours.dim) if is_excluded else (", ".join(shown), colours.warning)
        lines = [problem, (caption or entry.file.name, colours.accent if is_proposed else colours.dim)]
        bottom = cell.adjusted(MARGIN, cell.height() - STRIP + 2, -MARGIN, -2)
        for number, (text, colour) in enumerate(line for line in lines if line[0]):
            painter.setPen(QColor(colour))
            line = QRect(bottom.left(), bottom.top() + number * STRIP // 2 - 1, bottom.width(), STRIP // 2)
            elided = painter.fontMetrics().elidedText(make_printable(text), Qt.TextElideMode.ElideRight, line.width())
            painter.drawText(line, Qt.AlignmentFlag.AlignVCenter, elided)
        if option.state & (QStyle.StateFlag.State_Selected | QStyle.StateFlag.State_HasFocus):
            is_selected = bool(option.state & QStyle.StateFlag.State_Selected)
            painter.setPen(QPen(QColor(colours.accent if is_selected else colours.dim), 2 if is_selected else 1))
            painter.drawRect(cell.adjusted(1, 1, -1, -1))
        painter.restore()

    def _draw_content(self, painter: QPainter, room: QRect, entry: Entry, image: QImage | None) -> None:
        if entry.file.excerpt:
            painter.setPen(QColor(theme.COLOURS.text))
            painter.drawText(room, Qt.TextFlag.TextWordWrap, entry.file.excerpt)
        elif image is not None and not image.isNull():
            size = image.size().scaled(room.size(), Qt.AspectRatioMode.KeepAspectRatio)
            target = QRect(room.topLeft(), size)
            target.moveCenter(room.center())
            painter.drawImage(target, image)
        elif image is not None:
            painter.setPen(QColor(theme.COLOURS.faint))
            painter.drawText(room, Qt.AlignmentFlag.AlignCenter, "no image")


class FileGrid(UniformGrid):
    """Shows the files; several can be selected."""

    def __init__(self, model: FileModel, delegate: FileDelegate) -> None:
        super().__init__(CELL)
        self.setModel(model)
        self.setItemDelegate(delegate)
        self.setSelectionMode(UniformGrid.SelectionMode.ExtendedSelection)
        self.setAccessibleName("Files")
        model.dataChanged.connect(lambda *_: self.viewport().update())
        model.modelReset.connect(self.doItemsLayout)

    def selected_entries(self) -> list[Entry]:
        rows = sorted(index.row() for index in self.selectionModel().selectedIndexes())
        return [self.model().index(row, 0).data(EntryRole) for row in rows]
