"""The editor for a mask: a file, or painted on the picture."""

from __future__ import annotations

from typing import Any

from PySide6.QtCore import QSize
from PySide6.QtWidgets import QPushButton, QWidget

from studio.core.descriptor import Field
from studio.state.form import masks
from studio.ui.form.base import FormServices
from studio.ui.form.image_field import DropWellEditor
from studio.ui.theme import icons
from studio.ui.widgets import labels
from studio.ui.widgets.thumbnail_loader import Thumbnail


class MaskEditor(DropWellEditor):
    """An editor for a mask (`Widget.MASK`). It warns if the mask and its picture differ in size."""

    def __init__(self, field: Field, services: FormServices, parent: QWidget | None = None) -> None:
        super().__init__(field, services, parent)
        self._sizes: dict[str, QSize] = {}
        self.paint = QPushButton()
        self.paint.setIcon(icons.icon("brush", "text"))
        self.paint.clicked.connect(lambda _=False: services.paint_mask(field.name))
        self._size_note = labels.make_label("", "caption", wrap=True)
        self._size_note.hide()
        column = self.layout()
        assert column is not None
        column.setSpacing(8)
        column.addWidget(self.paint)
        column.addWidget(self._size_note)
        self.setTabOrder(self.well, self.paint)
        self._show_button()

    def show_value(self, value: Any) -> None:
        super().show_value(value)
        self._show_button()
        self._show_size_note()

    def name_of(self, path: str) -> str:
        return "Painted mask" if masks.is_painted(path) else super().name_of(path)

    def _show_button(self) -> None:
        title = "Edit mask" if self.well.path else "Paint mask"
        self.paint.setText(title)
        labels.describe(self.paint, title, "Paint the area of the image that should change (B)")

    def _thumbnail_ready(self, thumbnail: Thumbnail) -> None:
        super()._thumbnail_ready(thumbnail)
        picture = self._services.picture_path_of(self.field.name)
        if not thumbnail.error and thumbnail.path in (self.well.path, picture):
            self._sizes[thumbnail.path] = QSize(thumbnail.width, thumbnail.height)
            self._sizes = {path: size for path, size in self._sizes.items() if path in (self.well.path, picture)}
        self._show_size_note()

    def _show_size_note(self) -> None:
        mask = self._sizes.get(self.well.path)
        picture = self._sizes.get(self._services.picture_path_of(self.field.name))
        differs = mask is not None and picture is not None and mask != picture
        self._size_note.setText(masks.describe_scaling(mask, picture) if differs and mask and picture else "")
        self._size_note.setVisible(differs)
