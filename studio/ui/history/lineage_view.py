"""The lineage of a creation: what it was made from, and what was made from it."""

from __future__ import annotations

from PySide6.QtCore import QEvent, QPointF, QRect, QRectF, QSize, Qt, Signal
from PySide6.QtGui import QColor, QEnterEvent, QImage, QPainter, QPaintEvent, QPixmap
from PySide6.QtWidgets import QAbstractButton, QSizePolicy, QVBoxLayout, QWidget

from studio.library.creation import Creation
from studio.state.library.history_model import HistoryModel
from studio.state.library.lineage import Lineage, Step
from studio.ui.history.delegate import crop_rounded_square
from studio.ui.history.descriptions import ToolTitle, name_of, title_from_tool_id
from studio.ui.theme import icons, theme
from studio.ui.widgets.labels import make_label, make_tool_tip

THUMBNAIL = 28
INDENT = 14
MAX_DEPTH = 6
"""Largest number of indents."""


class LineageView(QWidget):
    chosen = Signal(Creation)

    def __init__(self, model: HistoryModel, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._model = model
        self.tool_title: ToolTitle = title_from_tool_id
        self._steps: list[StepButton] = []
        heading = make_label("Lineage", "dim")
        self._more = make_label(role="caption")
        self._column = QVBoxLayout()
        self._column.setSpacing(2)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(theme.SPACE)
        layout.addWidget(heading)
        layout.addLayout(self._column)
        layout.addWidget(self._more)
        model.thumbnail_ready.connect(self._thumb_ready)
        self.hide()

    def show_lineage(self, lineage: Lineage) -> None:
        """Show a lineage. One of a single creation is hidden."""
        for button in self._steps:
            self._column.removeWidget(button)
            button.hide()
            button.deleteLater()
        self._steps = []
        self.setVisible(len(lineage.steps) > 1)
        if len(lineage.steps) <= 1:
            return
        for step in lineage.steps:
            button = StepButton(step, name_of(step.creation, self.tool_title), step.creation.id == lineage.id)
            button.set_thumbnail(self._model.get_thumbnail(step.creation.id))
            button.clicked.connect(lambda _=False, creation=step.creation: self.chosen.emit(creation))
            self._column.addWidget(button)
            self._steps.append(button)
        parts = [f"{lineage.more_parents} more that it was made from"] if lineage.more_parents else []
        parts += [f"{lineage.more} more made from it"] if lineage.more else []
        self._more.setText(f"and {', '.join(parts)}")
        self._more.setVisible(bool(parts))

    def _thumb_ready(self, creation: str, row: int) -> None:
        for button in self._steps:
            if button.creation.id == creation:
                button.set_thumbnail(self._model.get_thumbnail(creation))


class StepButton(QAbstractButton):
    """A creation in a lineage; the current one is bold."""

    def __init__(self, step: Step, text: str, is_current: bool) -> None:
        super().__init__()
        self.creation = step.creation
        self._is_current = is_current
        self._indent = min(step.depth, MAX_DEPTH) * INDENT
        self._thumb: QPixmap | None = None
        self._text = text.replace("\n", " ")
        self.setAccessibleName(text)
        self.setToolTip(make_tool_tip(text[:400]))
        self.setCursor(Qt.CursorShape.PointingHandCursor)
        self.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)

    def sizeHint(self) -> QSize:
        return QSize(160, THUMBNAIL + 8)

    def set_thumbnail(self, image: QImage | None) -> None:
        if image is not None and not image.isNull():
            self._thumb = crop_rounded_square(image, THUMBNAIL, self.devicePixelRatioF(), 3.0)
            self.update()

    def enterEvent(self, event: QEnterEvent) -> None:
        self.update()

    def leaveEvent(self, event: QEvent) -> None:
        self.update()

    def paintEvent(self, event: QPaintEvent) -> None:
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        if self.underMouse() or self.hasFocus():
            painter.setPen(QColor(theme.COLOURS.faint) if self.hasFocus() else Qt.PenStyle.NoPen)
            painter.setBrush(QColor(theme.COLOURS.raised))
            painter.drawRoundedRect(QRectF(self.rect()).adjusted(0.5, 0.5, -0.5, -0.5), 4, 4)
        left = self._indent + 4
        if self._thumb is not None:
            painter.drawPixmap(QPointF(left, 4), self._thumb)
        else:
            painter.setPen(Qt.PenStyle.NoPen)
            painter.setBrush(QColor(theme.COLOURS.field))
            painter.drawRoundedRect(QRectF(left, 4, THUMBNAIL, THUMBNAIL), 3, 3)
            missing = self.creation.missing
            glyph = icons.pixmap(
                "image-broken-variant" if missing else "file-outline", 16, "dim", self.devicePixelRatioF()
            )
            painter.drawPixmap(QPointF(left + 6, 10), glyph)
        painter.setFont(theme.font(theme.BODY - 1, strong=self._is_current))
        painter.setPen(QColor(theme.COLOURS.text if self._is_current else theme.COLOURS.dim))
        text_rect = QRect(left + THUMBNAIL + 8, 0, self.width() - left - THUMBNAIL - 12, self.height())
        title = painter.fontMetrics().elidedText(self._text, Qt.TextElideMode.ElideRight, text_rect.width())
        painter.drawText(text_rect, int(Qt.AlignmentFlag.AlignVCenter | Qt.TextFlag.TextSingleLine), title)
