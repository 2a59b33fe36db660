"""The bar below the page: how the model's context window is used, and what does not fit."""

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
    """The token budget, hidden if the tool reports none."""

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
            labels.describe(self, "Context window", _capitalise(budget.sentence))
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
        """Paint the parts to scale. Text that is left out or too long extends the scale."""
        bar = QRectF(EDGE, 4, self.width() - 2 * EDGE, BAR)
        scale = bar.width() / max(1, budget.whole, budget.used + budget.left_out)
        shape = QPainterPath()
        shape.addRoundedRect(bar, BAR / 2, BAR / 2)
        painter.setClipPath(shape)
        painter.fillRect(bar, QColor(theme.COLOURS.groove))
        left = bar.left()
        for name, count in _list_parts(budget):
            width = count * scale
            painter.fillRect(QRectF(left, bar.top(), width, BAR), _colour_of(name))
            left += width
            painter.fillRect(QRectF(left - 1, bar.top(), 1, BAR), QColor(theme.COLOURS.panel))
        if budget.too_many:
            over = budget.too_many * scale
            painter.fillRect(QRectF(bar.right() - over, bar.top(), over, BAR), QColor(theme.COLOURS.danger))
        painter.setClipping(False)

    def _paint_legend(self, painter: QPainter, budget: TokenBudget) -> None:
        colours = theme.COLOURS
        painter.setFont(theme.font(theme.CAPTION))
        metrics = painter.fontMetrics()
        used, total = group_digits(min(budget.used, budget.whole)), group_digits(budget.whole)
        summary = f"{used} of {total} {budget.unit}"
        if budget.too_many:
            summary = f"{group_digits(budget.too_many)} {budget.unit} too many"
        end = self.width() - EDGE - metrics.horizontalAdvance(summary)
        middle, baseline = 21.0, 25.0
        painter.setPen(QColor(colours.danger if budget.too_many else colours.dim))
        painter.drawText(QPointF(end, baseline), summary)
        at = float(EDGE)
        for name, count in _list_parts(budget):
            legend = f"{_capitalise(name)} {group_digits(count)}"
            width = DOT + 5 + metrics.horizontalAdvance(legend)
            if at + width > end - GAP:
                break
            painter.setPen(Qt.PenStyle.NoPen)
            painter.setBrush(_colour_of(name))
            painter.drawEllipse(QRectF(at, middle - DOT / 2, DOT, DOT))
            painter.setPen(QPen(QColor(colours.danger if name == LEFT_OUT else colours.dim)))
            painter.drawText(QPointF(at + DOT + 5, baseline), legend)
            at += width + GAP


def _list_parts(budget: TokenBudget) -> list[tuple[str, int]]:
    """Return the parts with text, and first what is left out, since it precedes them on the page."""
    left_out = [(LEFT_OUT, budget.left_out)] if budget.left_out else []
    return [*left_out, *((name, count) for name, count in budget.parts.items() if count)]


def _colour_of(name: str) -> QColor:
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


def _capitalise(text: str) -> str:
    return text[:1].upper() + text[1:]
