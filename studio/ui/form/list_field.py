"""Lists of pictures, files, folders and models: dropped, pasted or added, put in order, taken out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from msgspec.structs import replace
from PySide6.QtCore import QPoint, QRect, Qt
from PySide6.QtGui import QIcon, QPainter, QPixmap
from PySide6.QtWidgets import QFileDialog, QHBoxLayout, QPushButton, QVBoxLayout, QWidget

from studio.core.descriptor import Field, Widget
from studio.library.storage import sidecar
from studio.ui.form.base import Editor, FormServices, ModelOption, while_alive
from studio.ui.form.image_field import caption
from studio.ui.form.path_field import ModelEditor
from studio.ui.form.path_list import ROW, ListContent, PathList, Role
from studio.ui.theme import icons
from studio.ui.widgets import labels, mime_data
from studio.ui.widgets.thumbnail_loader import Thumbnail

SHOWN = 5
"""The list is at most this many rows high, then it scrolls."""


def list_editor(field: Field, services: FormServices) -> ListEditor:
    """For fields of many pictures, masks, files, folders or models."""
    match field.widget:
        case Widget.FILE:
            return FilesEditor(field, services, ListContent.FILES)
        case Widget.FOLDER:
            return FoldersEditor(field, services, ListContent.FOLDERS)
        case Widget.MODEL:
            return ModelsEditor(field, services, ListContent.MODELS)
        case _:
            return PicturesEditor(field, services, ListContent.PICTURES)


class ListEditor(Editor):
    """The value is a list of strings: paths, or names of models."""

    def __init__(self, field: Field, services: FormServices, holds: ListContent, parent: QWidget | None = None) -> None:
        super().__init__(field, parent)
        self._services = services
        self.list = PathList(holds)
        labels.describe(self.list, field.title, field.help)
        noun = holds.value
        self._empty = labels.make_label(self._invitation(noun), "dim")
        self._empty.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self.add = self._adder(noun)
        self.remove = QPushButton("Remove")
        labels.describe(self.remove, f"Remove the chosen {noun} from {field.title.lower()}")
        self._count = labels.make_label("", "dim")
        self._lay_out()
        self.list.given.connect(self._given)
        self.list.reordered.connect(self.edited)
        self.list.removed.connect(self._take_out)
        self.list.itemSelectionChanged.connect(self._update)
        self.remove.clicked.connect(self._take_out)

    # What differs
    def _invitation(self, noun: str) -> str:
        return f"Drop {noun} here, or add them"

    def _adder(self, noun: str) -> QWidget:
        """What stands below the list to add to it."""
        button = QPushButton(f"Add {noun}…")
        button.setIcon(icons.icon("plus"))
        labels.describe(button, f"Add {noun} to {self.field.title.lower()}")
        button.clicked.connect(self._browse)
        return button

    def _browse(self) -> None:
        raise NotImplementedError

    def _put(self, value: str) -> None:
        path = Path(value)
        icon = "folder-outline" if self.field.widget is Widget.FOLDER else "file-outline"
        self.list.put(value, path.name or value, str(path.parent), icons.icon(icon))

    # As an editor
    def head(self) -> QWidget | None:
        return self._count

    def value(self) -> Any:
        return self.list.values()

    def show_value(self, value: Any) -> None:
        values = [str(one) for one in value or []]
        if values != self.list.values():
            self.list.clear()
            for one in values:
                self._put(one)
            self._update()

    def set_wrong(self, wrong: bool) -> None:
        labels.set_flag(self.list, "wrong", wrong)

    # What all share
    def _lay_out(self) -> None:
        inside = QVBoxLayout(self.list)
        inside.addWidget(self._empty)
        self._empty.setAttribute(Qt.WidgetAttribute.WA_TransparentForMouseEvents)
        row = QHBoxLayout()
        row.setSpacing(8)
        wide = not isinstance(self.add, QPushButton)
        row.addWidget(self.add, 1 if wide else 0)
        row.addWidget(self.remove)
        if not wide:
            row.addStretch(1)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(8)
        column.addWidget(self.list)
        column.addLayout(row)
        self.setFocusProxy(self.list)
        self._update()

    def _given(self, values: list[str]) -> None:
        room = None if self.field.max_items is None else max(0, self.field.max_items - self.list.count())
        for value in values[:room]:
            self._put(value)
        self._update()
        self.edited.emit()

    def _take_out(self) -> None:
        chosen = {self.list.row(item) for item in self.list.selectedItems()}
        if chosen:
            left = [value for row, value in enumerate(self.list.values()) if row not in chosen]
            self._services.clear_value(self.field.name, left)

    def _update(self) -> None:
        count = self.list.count()
        self._empty.setVisible(count == 0)
        self.remove.setVisible(count > 0)
        self.remove.setEnabled(bool(self.list.selectedItems()))
        most = self.field.max_items
        self.add.setEnabled(most is None or count < most)
        self._count.setText(f"{count} of {most}" if most is not None and count else str(count) if count else "")
        self.list.setFixedHeight(min(max(count, 1), SHOWN) * ROW + (8 if count else 36))


class PicturesEditor(ListEditor):
    def __init__(self, field: Field, services: FormServices, holds: ListContent, parent: QWidget | None = None) -> None:
        super().__init__(field, services, holds, parent)
        taken = while_alive(self, lambda path: self._given([str(path)]))
        self.list.pasted.connect(lambda image: services.save_image(image, taken))
        services.thumbnails.ready.connect(self._thumbnail_ready)

    def _invitation(self, noun: str) -> str:
        return f"Drop {noun} here, paste, or add them"

    def _put(self, value: str) -> None:
        self.list.put(value, sidecar.own_name(Path(value)), "Opening…", QIcon())
        self._services.thumbnails.request(value)

    def _browse(self) -> None:
        title = self.field.title
        paths, _ = QFileDialog.getOpenFileNames(self, title, "", mime_data.make_name_filter(mime_data.PICTURES, title))
        if paths:
            self._given(paths)

    def _thumbnail_ready(self, thumbnail: Thumbnail) -> None:
        for item in self.list.items_of(thumbnail.path):
            item.setIcon(QIcon(_framed(thumbnail)))
            item.setData(Role.CAPTION, thumbnail.error or caption(thumbnail))
            item.setData(Role.WRONG, bool(thumbnail.error))


class FilesEditor(ListEditor):
    def _browse(self) -> None:
        title = self.field.title
        paths, _ = QFileDialog.getOpenFileNames(self, title, "", mime_data.make_name_filter(self.field.accepts, title))
        if paths:
            self._given(paths)


class FoldersEditor(ListEditor):
    def _browse(self) -> None:
        """One at a time: the systems' choosers of folders take no more."""
        last = self.list.values()[-1:]
        path = QFileDialog.getExistingDirectory(self, self.field.title, str(Path(last[0]).parent) if last else "")
        if path:
            self._given([path])


class ModelsEditor(ListEditor):
    """A model is added as one is chosen where there is only one; it moves up into the list."""

    def __init__(self, field: Field, services: FormServices, holds: ListContent, parent: QWidget | None = None) -> None:
        self._titles: dict[str, str] = {}
        super().__init__(field, services, holds, parent)
        services.models_changed.connect(self._ask)
        self._ask()

    def _invitation(self, noun: str) -> str:
        return f"Drop {noun} here, or choose below"

    def _adder(self, noun: str) -> QWidget:
        one = replace(self.field, many=False, title=f"Add {noun} to {self.field.title.lower()}")
        self.chooser = ModelEditor(one, self._services)
        self.chooser.edited.connect(self._chosen)
        return self.chooser

    def _chosen(self) -> None:
        value = self.chooser.value()
        self.chooser.show_value(None)
        if value:
            self._given([value])

    def _put(self, value: str) -> None:
        path = Path(value)
        title = self._titles.get(value) or path.name or value
        self.list.put(value, title, value if title != value else "", icons.icon("cube-outline"))

    def _ask(self) -> None:
        self._services.list_models(self.field.model, while_alive(self, self._offered))

    def _offered(self, offers: Sequence[ModelOption]) -> None:
        self._titles = {offer.name: offer.title for offer in offers}
        values = self.list.values()
        self.list.clear()
        for value in values:
            self._put(value)
        self._update()


def _framed(thumbnail: Thumbnail) -> QPixmap:
    """The middle of the picture in the list's shape, so that all names stand below each other."""
    ratio, size = 2, ListContent.PICTURES.icon_size
    frame = QPixmap(size * ratio)
    frame.fill(Qt.GlobalColor.transparent)
    if not thumbnail.image.isNull():
        whole = thumbnail.image.size().scaled(frame.size(), Qt.AspectRatioMode.KeepAspectRatioByExpanding)
        target = QRect(QPoint(0, 0), whole)
        target.moveCenter(frame.rect().center())
        painter = QPainter(frame)
        painter.setRenderHint(QPainter.RenderHint.SmoothPixmapTransform)
        painter.drawImage(target, thumbnail.image)
        painter.end()
    frame.setDevicePixelRatio(ratio)
    return frame
