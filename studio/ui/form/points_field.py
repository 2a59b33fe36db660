"""The editor for pairs of points: lines of text, or arrows on the picture."""

from __future__ import annotations

from PySide6.QtWidgets import QPushButton, QWidget

from studio.core.descriptor import Field
from studio.ui.form.base import FormServices
from studio.ui.form.text_field import LinesEditor
from studio.ui.theme import icons
from studio.ui.widgets import labels


class PointsEditor(LinesEditor):
    """An editor for pairs of points (`Widget.POINTS`)."""

    def __init__(self, field: Field, services: FormServices, parent: QWidget | None = None) -> None:
        super().__init__(field, parent)
        self.button = QPushButton("Set points on the image")
        self.button.setIcon(icons.icon("vector-line", "text"))
        labels.describe(
            self.button, "Set points on the image", "Drag on the image from where a part is to where it should go"
        )
        self.button.clicked.connect(lambda _=False: services.set_points(field.name))
        column = self.layout()
        assert column is not None
        column.setSpacing(8)
        column.addWidget(self.button)
