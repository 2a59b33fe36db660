"""The details of the selected creation: prompt, facts, rating, tags and lineage."""

from __future__ import annotations

from PySide6.QtCore import QRectF, QSize, Qt, Signal
from PySide6.QtGui import QKeyEvent, QMouseEvent, QPainter, QPaintEvent
from PySide6.QtWidgets import QHBoxLayout, QLineEdit, QPushButton, QScrollArea, QVBoxLayout, QWidget

from studio.library.creation import Creation, CreationKind
from studio.state.library.history_model import HistoryModel
from studio.ui.history.descriptions import ToolTitle, describe_creation, title_from_tool_id
from studio.ui.history.lineage_view import LineageView
from studio.ui.theme import icons, theme
from studio.ui.widgets.flow_layout import FlowLayout
from studio.ui.widgets.labels import describe, make_label, make_tool_tip

MAX_PROMPT = 240
"""Number of characters of a prompt that are shown; the tool tip has more."""


class DetailsPanel(QScrollArea):
    use_requested = Signal(Creation)
    input_requested = Signal(Creation)
    rated = Signal(Creation, int)
    tagged = Signal(Creation, list)

    def __init__(self, model: HistoryModel, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._model = model
        self._creation: Creation | None = None
        self.tool_title: ToolTitle = title_from_tool_id
        self.setWidgetResizable(True)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.title = make_label(wrap=True)
        self.facts = make_label(role="caption", wrap=True)
        self.rating = RatingBar()
        self.tags = QLineEdit()
        self.tags.setPlaceholderText("Tags")
        describe(self.tags, "Tags", "Words to find it by, separated by commas. Press Enter to save.")
        self.lineage = LineageView(model)
        self.use = QPushButton("Use settings")
        describe(self.use, "Use settings", "Put its tool, settings and seed into the form")
        self.input = QPushButton("Use as input")
        describe(self.input, "Use as input", "Use it as the image of the current tool")
        self._lay_out()
        self.rating.rated.connect(lambda stars: self._creation and self.rated.emit(self._creation, stars))
        self.tags.editingFinished.connect(self._save_tags)
        self.use.clicked.connect(lambda: self._creation and self.use_requested.emit(self._creation))
        self.input.clicked.connect(lambda: self._creation and self.input_requested.emit(self._creation))

    def _lay_out(self) -> None:
        inside = QWidget()
        buttons = FlowLayout(gap=2 * theme.SPACE)
        buttons.addWidget(self.use)
        buttons.addWidget(self.input)
        stars = QHBoxLayout()
        stars.setSpacing(2 * theme.SPACE)
        stars.addWidget(self.rating)
        stars.addWidget(self.tags, 1)
        layout = QVBoxLayout(inside)
        edge = 3 * theme.SPACE
        layout.setContentsMargins(edge, edge, edge, edge)
        layout.setSpacing(2 * theme.SPACE)
        layout.addWidget(self.lineage)
        layout.addWidget(self.title)
        layout.addWidget(self.facts)
        layout.addLayout(stars)
        layout.addLayout(buttons)
        layout.addStretch()
        self.setWidget(inside)
        inside.setAutoFillBackground(False)
        self.viewport().setAutoFillBackground(False)

    @property
    def creation(self) -> Creation | None:
        return self._creation

    def show_creation(self, creation: Creation | None) -> None:
        """Show a creation, or hide the details if it is None."""
        is_new = creation is None or self._creation is None or creation.id != self._creation.id
        if is_new and self.tags.isModified():
            self._save_tags()
        self._creation = creation
        self.setVisible(creation is not None)
        if creation is None:
            return
        words = " ".join(creation.title.split())
        self.title.setText(words if len(words) <= MAX_PROMPT else words[: MAX_PROMPT - 1] + "…")
        self.title.setToolTip(make_tool_tip(creation.title[:4000]) if len(words) > MAX_PROMPT else "")
        self.title.setVisible(bool(words))
        self.facts.setText(
            " · ".join(fact.replace(" ", "\u00a0") for fact in describe_creation(creation, self.tool_title))
        )
        self.rating.show_rating(creation.rating)
        if is_new or not self.tags.hasFocus():
            self.tags.setText(", ".join(creation.tags))
        self.use.setVisible(creation.recipe is not None)
        self.input.setVisible(not creation.missing and creation.kind is not CreationKind.MODEL)
        if is_new:
            self.read_lineage()

    def read_lineage(self) -> None:
        if self._creation is None:
            return
        id = self._creation.id
        self.lineage.tool_title = self.tool_title
        self._model.read_lineage(
            id,
            lambda lineage: self.lineage.show_lineage(lineage) if self._creation and self._creation.id == id else None,
        )

    def _save_tags(self) -> None:
        if self._creation is None or not self.tags.isModified():
            return
        self.tags.setModified(False)
        tags = split_tags(self.tags.text())
        if tuple(tags) != self._creation.tags:
            self.tagged.emit(self._creation, tags)


def split_tags(text: str) -> list[str]:
    """Return the tags in typed order, without duplicates."""
    return list(dict.fromkeys(tag for part in text.split(",") if (tag := " ".join(part.split()))))


class RatingBar(QWidget):
    """Five stars. A click on the current rating removes it."""

    rated = Signal(int)
    STAR = 18

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._rating = 0
        self._near = 0
        self.setMouseTracking(True)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setFixedSize(QSize(5 * self.STAR, self.STAR + 2))
        describe(self, "Rating", "Rate from 1 to 5 stars. The keys 0 to 5 work too.")

    def show_rating(self, rating: int) -> None:
        self._rating = rating
        self.setAccessibleDescription(f"{rating} of 5 stars")
        self.update()

    def paintEvent(self, event: QPaintEvent) -> None:
        painter = QPainter(self)
        shown = self._near or self._rating
        for number in range(5):
            filled = number < shown
            tone: icons.Tone = "accent" if filled else "dim"
            star = icons.pixmap("star" if filled else "star-outline", 16, tone, self.devicePixelRatioF())
            painter.drawPixmap(number * self.STAR, 2, star)
        if self.hasFocus():
            painter.setPen(self.palette().placeholderText().color())
            painter.drawRoundedRect(QRectF(self.rect()).adjusted(0.5, 0.5, -0.5, -0.5), 3, 3)

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        self._near = min(5, max(1, int(event.position().x()) // self.STAR + 1))
        self.update()

    def leaveEvent(self, event: object) -> None:
        self._near = 0
        self.update()

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:
        if self.rect().contains(event.position().toPoint()):
            chosen = min(5, max(1, int(event.position().x()) // self.STAR + 1))
            self._near = 0
            self.rated.emit(0 if chosen == self._rating else chosen)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        steps = {Qt.Key.Key_Right: 1, Qt.Key.Key_Up: 1, Qt.Key.Key_Left: -1, Qt.Key.Key_Down: -1}
        if event.text() and event.text() in "012345":
            self.rated.emit(int(event.text()))
        elif (step := steps.get(Qt.Key(event.key()))) is not None:
            self.rated.emit(min(5, max(0, self._rating + step)))
        else:
            super().keyPressEvent(event)
