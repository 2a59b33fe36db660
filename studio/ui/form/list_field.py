"""Editors for lists of pictures, files, folders and models."""

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
from studio.ui.form.base import Editor, FormServices, ModelOption, guard_callback
from studio.ui.form.image_field import format_caption
from studio.ui.form.path_field import ModelEditor
from studio.ui.form.path_list import ROW_HEIGHT, ListContent, PathList, Role
from studio.ui.theme import icons
from studio.ui.widgets import labels, mime_data
from studio.ui.widgets.thumbnail_loader import Thumbnail

MAX_ROWS = 5
"""Height of the list in rows; a longer list scrolls."""


def make_list_editor(field: Field, services: FormServices) -> ListEditor:
    """Return the editor for a field of several pictures, masks, files, folders or models."""
    match field.widget:
        case Widget.FILE:
            return FilesEditor(field, services, ListContent.FILES)
        case Widget.FOLDER:
            return FoldersEditor(field, services, ListContent.FOLDERS)
        case Widget.MODEL:
            return ModelsEditor(field, services, ListContent.MODELS)
        case _:
            return PicturesEditor(field, services, ListContent.IMAGES)


class ListEditor(Editor):
    """An editor for a list of strings: paths, or names of models."""

    def __init__(self, field: Field, services: FormServices, holds: ListContent, parent: QWidget | None = None) -> None:
        super().__init__(field, parent)
        self._services = services
        self.list = PathList(holds)
        labels.describe(self.list, field.title, field.help)
        noun = holds.value
        self._empty = labels.make_label(self._placeholder(noun), "dim", wrap=True)
        self._empty.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self.adder = self._make_adder(noun)
        self.remove = QPushButton("Remove")
        labels.describe(self.remove, f"Remove the selected {noun} from {field.title.lower()}")
        self._count = labels.make_label("", "dim")
        self._lay_out()
        self.list.paths_added.connect(self._add_values)
        self.list.reordered.connect(self.edited)
        self.list.removed.connect(self._remove_selected)
        self.list.itemSelectionChanged.connect(self._update)
        self.remove.clicked.connect(self._remove_selected)

    # What differs
    def _placeholder(self, noun: str) -> str:
        return f"Drop {noun} here, or add them"

    def _make_adder(self, noun: str) -> QWidget:
        """Return the widget below the list that adds to it."""
        button = QPushButton(f"Add {noun}…")
        button.setIcon(icons.icon("plus"))
        labels.describe(button, f"Add {noun} to {self.field.title.lower()}")
        button.clicked.connect(self._browse)
        return button

    def _browse(self) -> None:
        raise NotImplementedError

    def _add_row(self, value: str) -> None:
        path = Path(value)
        icon = "folder-outline" if self.field.widget is Widget.FOLDER else "file-outline"
        self.list.add_row(value, path.name or value, str(path.parent), icons.icon(icon))

    # As an editor
    def header_widget(self) -> QWidget | None:
        return self._count

    def value(self) -> Any:
        return self.list.values()

    def show_value(self, value: Any) -> None:
        values = [str(item) for item in value or []]
        shown = self.list.values()
        if values == shown:
            return
        if values[: len(shown)] != shown:
            self.list.clear()
            shown = []
        for item in values[len(shown) :]:
            self._add_row(item)
        self._update()

    def set_invalid(self, invalid: bool) -> None:
        labels.set_flag(self.list, "invalid", invalid)

    # What all share
    def _lay_out(self) -> None:
        inside = QVBoxLayout(self.list)
        inside.addWidget(self._empty)
        self._empty.setAttribute(Qt.WidgetAttribute.WA_TransparentForMouseEvents)
        row = QHBoxLayout()
        row.setSpacing(8)
        wide = not isinstance(self.adder, QPushButton)
        row.addWidget(self.adder, 1 if wide else 0)
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

    def _add_values(self, values: list[str]) -> None:
        """Add to the value of the form, which shows the rows."""
        self._services.add_to_list(self.field.name, values)

    def _remove_selected(self) -> None:
        selected = {self.list.row(item) for item in self.list.selectedItems()}
        if selected:
            remaining = [value for row, value in enumerate(self.list.values()) if row not in selected]
            self._services.clear_value(self.field.name, remaining)

    def _update(self) -> None:
        count = self.list.count()
        self._empty.setVisible(count == 0)
        self.remove.setVisible(count > 0)
        self.remove.setEnabled(bool(self.list.selectedItems()))
        limit = self.field.max_items
        self.adder.setEnabled(limit is None or count < limit)
        self._count.setText(f"{count} of {limit}" if limit is not None and count else str(count) if count else "")
        self.list.setFixedHeight(min(max(count, 1), MAX_ROWS) * ROW_HEIGHT + (8 if count else 36))


class PicturesEditor(ListEditor):
    def __init__(self, field: Field, services: FormServices, holds: ListContent, parent: QWidget | None = None) -> None:
        super().__init__(field, services, holds, parent)
        add_saved = guard_callback(self, lambda path: self._add_values([str(path)]))
        self.list.image_pasted.connect(lambda image: services.save_image(image, add_saved))
        services.thumbnails.ready.connect(self._thumbnail_ready)

    def _placeholder(self, noun: str) -> str:
        return f"Drop {noun} here, paste, or add them"

    def _add_row(self, value: str) -> None:
        self.list.add_row(value, sidecar.original_name(Path(value)), "Opening…", QIcon())
        self._services.thumbnails.request(value)

    def _browse(self) -> None:
        title = self.field.title
        paths, _ = QFileDialog.getOpenFileNames(self, title, "", mime_data.make_name_filter(mime_data.PICTURES, title))
        if paths:
            self._add_values(paths)

    def _thumbnail_ready(self, thumbnail: Thumbnail) -> None:
        for item in self.list.items_of(thumbnail.path):
            item.setIcon(QIcon(_crop_thumbnail(thumbnail)))
            item.setData(Role.CAPTION, thumbnail.error or format_caption(thumbnail))
            item.setData(Role.IS_ERROR, bool(thumbnail.error))


class FilesEditor(ListEditor):
    def _browse(self) -> None:
        title = self.field.title
        paths, _ = QFileDialog.getOpenFileNames(self, title, "", mime_data.make_name_filter(self.field.accepts, title))
        if paths:
            self._add_values(paths)


class FoldersEditor(ListEditor):
    def _browse(self) -> None:
        """Add one folder: native dialogs cannot select several."""
        last = self.list.values()[-1:]
        path = QFileDialog.getExistingDirectory(self, self.field.title, str(Path(last[0]).parent) if last else "")
        if path:
            self._add_values([path])


class ModelsEditor(ListEditor):
    """A list of models. A model that is chosen in the editor below is added to the list."""

    def __init__(self, field: Field, services: FormServices, holds: ListContent, parent: QWidget | None = None) -> None:
        self._titles: dict[str, str] = {}
        super().__init__(field, services, holds, parent)
        services.models_changed.connect(self._request_models)
        self._request_models()

    def _placeholder(self, noun: str) -> str:
        return f"Drop {noun} here, or choose one below"

    def _make_adder(self, noun: str) -> QWidget:
        single = replace(self.field, many=False, title=f"Add {noun} to {self.field.title.lower()}")
        self.chooser = ModelEditor(single, self._services)
        self.chooser.edited.connect(self._add_chosen)
        return self.chooser

    def _add_chosen(self) -> None:
        value = self.chooser.value()
        self.chooser.show_value(None)
        if value:
            self._add_values([value])

    def _add_row(self, value: str) -> None:
        path = Path(value)
        title = self._titles.get(value) or path.name or value
        self.list.add_row(value, title, value if title != value else "", icons.icon("cube-outline"))

    def _request_models(self) -> None:
        self._services.list_models(self.field.model, guard_callback(self, self._show_models))

    def _show_models(self, offers: Sequence[ModelOption]) -> None:
        self._titles = {offer.name: offer.title for offer in offers}
        values = self.list.values()
        self.list.clear()
        for value in values:
            self._add_row(value)
        self._update()


def _crop_thumbnail(thumbnail: Thumbnail) -> QPixmap:
    """Return the centre of the picture in the shape of the list's icons."""
    ratio, size = 2, ListContent.IMAGES.icon_size
    frame = QPixmap(size * ratio)
    frame.fill(Qt.GlobalColor.transparent)
    if not thumbnail.image.isNull():
        scaled = thumbnail.image.size().scaled(frame.size(), Qt.AspectRatioMode.KeepAspectRatioByExpanding)
        target = QRect(QPoint(0, 0), scaled)
        target.moveCenter(frame.rect().center())
        painter = QPainter(frame)
        painter.setRenderHint(QPainter.RenderHint.SmoothPixmapTransform)
        painter.drawImage(target, thumbnail.image)
        painter.end()
    frame.setDevicePixelRatio(ratio)
    return frame
