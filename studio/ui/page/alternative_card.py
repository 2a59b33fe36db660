"""A card with the beginning of one alternative, coloured by author."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import QEvent, QPointF, QRectF, Qt
from PySide6.QtGui import (
    QAbstractTextDocumentLayout,
    QColor,
    QKeyEvent,
    QPainter,
    QPaintEvent,
    QPen,
    QTextCursor,
    QTextDocument,
    QTextOption,
)
from PySide6.QtWidgets import QAbstractButton, QWidget

from studio.core.humanize import group_digits
from studio.core.page.plain_text import count_words
from studio.core.page.revisions import AuthorRun
from studio.state.page.page_jobs import Passage
from studio.ui.page import author_format
from studio.ui.theme import theme

EDGE, HEAD, SIZE, LINES = 16, 40, 15, 135
"""Padding, header height and font size in pixels; line height in per cent."""
MAX_CHARACTERS = 1500
"""Largest number of characters on a card."""
ACCESSIBLE_CHARACTERS = 80
"""Number of characters in the accessible name."""


class AlternativeCard(QAbstractButton):
    """A card, chosen by a click or Space. All other keys go to its parent."""

    def __init__(self, parent: QWidget) -> None:
        super().__init__(parent)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.passage = Passage(None)
        self.number = self.of = 0
        self._status = self._length = ""
        self._text = QTextDocument(self)
        self._text.setDocumentMargin(0)
        self._text.setDefaultTextOption(_make_text_option())

    def show_passage(self, number: int, of: int, passage: Passage) -> None:
        """Show alternative `number` (from 1) of `of`."""
        if (number, of, passage) != (self.number, self.of, self.passage):
            self.number, self.of, self.passage = number, of, passage
            self._fill()

    def height_for(self, width: int) -> int:
        """Return the height that the text needs at this width, in pixels."""
        self._text.setTextWidth(width - 2 * EDGE)
        return HEAD + int(self._text.size().height()) + EDGE

    def _fill(self) -> None:
        passage = self.passage
        text = "".join(run.text for run in passage.runs)
        is_waiting = passage.node is None
        empty_text = "Waiting…" if is_waiting else "Empty"
        count = count_words(text)
        self._length = "" if is_waiting else "1 word" if count == 1 else f"{group_digits(count)} words"
        self._status = "Writing…" if passage.is_streaming else "On the page" if passage.is_current else ""
        self.setEnabled(not is_waiting)
        self.setCursor(Qt.CursorShape.ArrowCursor if is_waiting else Qt.CursorShape.PointingHandCursor)
        self._write(shorten_runs(passage.runs), empty_text)
        self._set_accessible_name(text, empty_text)
        self.update()

    def _write(self, runs: Sequence[AuthorRun], empty_text: str) -> None:
        self._text.clear()
        cursor = QTextCursor(self._text)
        cursor.setBlockFormat(author_format.make_block_format(LINES))
        for run in runs:
            cursor.insertText(run.text, author_format.make_author_format(SIZE, run.author))
        if not runs:
            cursor.insertText(empty_text, author_format.make_char_format(SIZE, theme.COLOURS.dim))

    def _set_accessible_name(self, text: str, empty_text: str) -> None:
        parts = [f"Alternative {self.number} of {self.of}"]
        parts += ["on the page"] if self.passage.is_current else []
        parts += ["writing"] if self.passage.is_streaming else []
        beginning = " ".join(text[: 2 * ACCESSIBLE_CHARACTERS].split())[:ACCESSIBLE_CHARACTERS]
        self.setAccessibleName(f"{', '.join(parts)}: {beginning or empty_text}")
        self.setAccessibleDescription(self._length)

    def changeEvent(self, event: QEvent) -> None:
        super().changeEvent(event)
        if event.type() == QEvent.Type.PaletteChange and self.number:
            self._fill()

    def keyPressEvent(self, event: QKeyEvent) -> None:
        if event.key() == Qt.Key.Key_Space:
            super().keyPressEvent(event)
        else:
            event.ignore()

    def paintEvent(self, event: QPaintEvent) -> None:
        colours = theme.COLOURS
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        frame = QRectF(self.rect()).adjusted(1, 1, -1, -1)
        line = colours.accent if self.passage.is_current else colours.border
        painter.setPen(QPen(QColor(line), 2 if self.passage.is_current else 1))
        painter.setBrush(QColor(colours.panel if self.underMouse() and self.isEnabled() else colours.field))
        painter.drawRoundedRect(frame, theme.RADIUS, theme.RADIUS)
        if self.hasFocus():
            painter.setPen(QPen(QColor(colours.dim), 2))
            painter.setBrush(Qt.BrushStyle.NoBrush)
            painter.drawRoundedRect(frame.adjusted(3, 3, -3, -3), 4, 4)
        self._paint_head(painter)
        painter.translate(QPointF(EDGE, HEAD))
        self._text.documentLayout().draw(painter, QAbstractTextDocumentLayout.PaintContext())

    def _paint_head(self, painter: QPainter) -> None:
        colours = theme.COLOURS
        header = QRectF(EDGE, 8, self.width() - 2 * EDGE, HEAD - 12)
        left = int(Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter)
        painter.setFont(theme.font(strong=True))
        painter.setPen(QColor(colours.text if self.isEnabled() else colours.faint))
        painter.drawText(header, left, str(self.number))
        number_width = painter.fontMetrics().horizontalAdvance(str(self.number)) + 8
        painter.setFont(theme.font(theme.CAPTION))
        painter.setPen(QColor(colours.dim))
        painter.drawText(header.adjusted(number_width, 0, 0, 0), left, self._status)
        painter.drawText(header, int(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter), self._length)


def shorten_runs(runs: Sequence[AuthorRun], limit: int = MAX_CHARACTERS) -> list[AuthorRun]:
    """Return the beginning of a text without white space at its ends. "…" marks that it was shortened."""
    text = "".join(run.text for run in runs)
    start = len(text) - len(text.lstrip())
    end = len(text.rstrip())
    is_cut = end - start > limit
    end = start + len(text[start : start + limit].rstrip()) if is_cut else end
    shortened, at = [], 0
    for run in runs:
        part = run.text[max(0, start - at) : max(0, end - at)]
        shortened += [AuthorRun(part, run.author)] if part else []
        at += len(run.text)
    return [*shortened[:-1], AuthorRun(f"{shortened[-1].text}…", shortened[-1].author)] if is_cut else shortened


def _make_text_option() -> QTextOption:
    """Return a text option that also breaks words that are wider than a line."""
    option = QTextOption()
    option.setWrapMode(QTextOption.WrapMode.WrapAtWordBoundaryOrAnywhere)
    return option
