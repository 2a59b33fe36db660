"""A thin bar under the page: what takes up that which the model can read, and what it does not see."""

from __future__ import annotations

from PySide6.QtCore import QPointF, QRectF, Qt
from PySide6.QtGui import QColor, QPainter, QPainterPath, QPaintEvent, QPen
from PySide6.QtWidgets import QWidget

from studio.core.humanize import group_digits
from studio.core.page.token_budget import TokenBudget
from studio.state.jobs.estimates import Estimates
from studio.ui.theme import theme
from studio.ui.widgets import labels

HEIGHT, BAR, EDGE = 32, 4, 16
DOT, GAP = 6, 14
LEFT_OUT = "left out"


class TokenBudgetBar(QWidget):
    """Hidden while the tool tells nothing of it."""

    def __init__(self, estimates: Estimates) -> None:
        super().__init__()
        self.setProperty("role", "bar")
        self.setAttribute(Qt.WidgetAttribute.WA_StyledBackground)
        self.setFixedHeight(HEIGHT)
        self._estimates = estimates
        self.budget: TokenBudget | None = None
        estimates.changed.connect(self._show)
        self._show()

    def _show(self) -> None:
        budget = self._estimates.budget
        self.setVisible(budget is not None)
        if budget is not None and budget != self.budget:
            self.budget = budget
            labels.describe(self, "What the model reads", _capital(budget.sentence))
            self.update()

    def paintEvent(self, event: QPaintEvent) -> None:
        super().paintEvent(event)
        if self.budget is None:
            return
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        self._paint_bar(painter, self.budget)
        self._paint_legend(painter, self.budget)

    def _paint_bar(self, painter: QPainter, budget: TokenBudget) -> None:
        """Shares of the whole; what is left out, or too much, makes the whole the longer."""
        room = QRectF(EDGE, 4, self.width() - 2 * EDGE, BAR)
        scale = room.width() / max(1, budget.whole, budget.used + budget.left_out)
        shape = QPainterPath()
        shape.addRoundedRect(room, BAR / 2, BAR / 2)
        painter.setClipPath(shape)
        painter.fillRect(room, QColor(theme.COLOURS.groove))
        left = room.left()
        for name, count in _shown(budget):
            width = count * scale
            painter.fillRect(QRectF(left, room.top(), width, BAR), _colour(name))
            left += width
            painter.fillRect(QRectF(left - 1, room.top(), 1, BAR), QColor(theme.COLOURS.panel))
        if budget.too_many:
            over = budget.too_many * scale
            painter.fillRect(QRectF(room.right() - over, room.top(), over, BAR), QColor(theme.COLOURS.danger))
        painter.setClipping(False)

    def _paint_legend(self, painter: QPainter, budget: TokenBudget) -> None:
        colours = theme.COLOURS
        painter.setFont(theme.font(theme.CAPTION))
        metrics = painter.fontMetrics()
        used, total = group_digits(min(budget.used, budget.whole)), group_digits(budget.whole)
        whole = f"{used} of {total} {budget.unit}"
        if budget.too_many:
            whole = f"{group_digits(budget.too_many)} {budget.unit} too many"
        end = self.width() - EDGE - metrics.horizontalAdvance(whole)
        middle, baseline = 21.0, 25.0
        painter.setPen(QColor(colours.danger if budget.too_many else colours.dim))
        painter.drawText(QPointF(end, baseline), whole)
        at = float(EDGE)
        for name, count in _shown(budget):
            said = f"{_capital(name)} {group_digits(count)}"
            width = DOT + 5 + metrics.horizontalAdvance(said)
            if at + width > end - GAP:
                break
            painter.setPen(Qt.PenStyle.NoPen)
            painter.setBrush(_colour(name))
            painter.drawEllipse(QRectF(at, middle - DOT / 2, DOT, DOT))
            painter.setPen(QPen(QColor(colours.danger if name == LEFT_OUT else colours.dim)))
            painter.drawText(QPointF(at + DOT + 5, baseline), said)
            at += width + GAP


def _shown(budget: TokenBudget) -> list[tuple[str, int]]:
    """What is left out first: it comes before what is read."""
    out = [(LEFT_OUT, budget.left_out)] if budget.left_out else []
    return [*out, *((name, count) for name, count in budget.parts.items() if count)]


def _colour(name: str) -> QColor:
    colours = theme.COLOURS
    known = {
        LEFT_OUT: colours.danger,
        "memory": colours.good,
        "lorebook": colours.warning,
        "author's note": colours.accent,
        "text": colours.text,
        "new tokens": colours.machine,
    }
    return QColor(known.get(name, colours.faint))


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
