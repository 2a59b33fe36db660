"""A card with the beginning of one alternative, in the colours of those who wrote it."""

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
from studio.state.page.page import Passage
from studio.ui.page import author_format
from studio.ui.theme import theme

EDGE, HEAD, SIZE, LINES = 16, 40, 15, 135
"""Pixels around the words, of the line above them, and of their letters; hundredths of these from line to line."""
MOST = 1500
"""Characters that are shown."""
SPOKEN = 80
"""Characters that assistive technology is told."""


class AlternativeCard(QAbstractButton):
    """A click or Space takes it; all other keys are for the one that it is in."""

    def __init__(self, parent: QWidget) -> None:
        super().__init__(parent)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.passage = Passage(None)
        self.number = self.of = 0
        self._standing = self._length = ""
        self._text = QTextDocument(self)
        self._text.setDocumentMargin(0)
        self._text.setDefaultTextOption(_wrapping())

    def show_passage(self, number: int, of: int, passage: Passage) -> None:
        """`number` of `of`, from 1."""
        if (number, of, passage) != (self.number, self.of, self.passage):
            self.number, self.of, self.passage = number, of, passage
            self._fill()

    def height_at(self, width: int) -> int:
        """What its words need."""
        self._text.setTextWidth(width - 2 * EDGE)
        return HEAD + int(self._text.size().height()) + EDGE

    def _fill(self) -> None:
        passage = self.passage
        whole = "".join(run.text for run in passage.runs)
        waits = passage.node is None
        nothing = "Waiting to be written…" if waits else "Without words"
        count = count_words(whole)
        self._length = "" if waits else "1 word" if count == 1 else f"{group_digits(count)} words"
        self._standing = "Being written…" if passage.is_streaming else "On the page" if passage.is_here else ""
        self.setEnabled(not waits)
        self.setCursor(Qt.CursorShape.ArrowCursor if waits else Qt.CursorShape.PointingHandCursor)
        self._write(shorten_runs(passage.runs), nothing)
        self._name(whole, nothing)
        self.update()

    def _write(self, runs: Sequence[AuthorRun], nothing: str) -> None:
        self._text.clear()
        cursor = QTextCursor(self._text)
        cursor.setBlockFormat(author_format.make_block_format(LINES))
        for run in runs:
            cursor.insertText(run.text, author_format.make_author_format(SIZE, run.author))
        if not runs:
            cursor.insertText(nothing, author_format.make_char_format(SIZE, theme.COLOURS.dim))

    def _name(self, whole: str, nothing: str) -> None:
        said = [f"Alternative {self.number} of {self.of}"]
        said += ["on the page"] if self.passage.is_here else []
        said += ["being written"] if self.passage.is_streaming else []
        self.setAccessibleName(f"{', '.join(said)}: {' '.join(whole[: 2 * SPOKEN].split())[:SPOKEN] or nothing}")
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
        line = colours.accent if self.passage.is_here else colours.border
        painter.setPen(QPen(QColor(line), 2 if self.passage.is_here else 1))
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
        room = QRectF(EDGE, 8, self.width() - 2 * EDGE, HEAD - 12)
        left = int(Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter)
        painter.setFont(theme.font(strong=True))
        painter.setPen(QColor(colours.text if self.isEnabled() else colours.faint))
        painter.drawText(room, left, str(self.number))
        taken = painter.fontMetrics().horizontalAdvance(str(self.number)) + 8
        painter.setFont(theme.font(theme.CAPTION))
        painter.setPen(QColor(colours.dim))
        painter.drawText(room.adjusted(taken, 0, 0, 0), left, self._standing)
        painter.drawText(room, int(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter), self._length)


def shorten_runs(runs: Sequence[AuthorRun], most: int = MOST) -> list[AuthorRun]:
    """Without white space at its ends; three dots stand for what is left out."""
    text = "".join(run.text for run in runs)
    start = len(text) - len(text.lstrip())
    end = len(text.rstrip())
    cut = end - start > most
    end = start + len(text[start : start + most].rstrip()) if cut else end
    found, at = [], 0
    for run in runs:
        part = run.text[max(0, start - at) : max(0, end - at)]
        found += [AuthorRun(part, run.author)] if part else []
        at += len(run.text)
    return [*found[:-1], AuthorRun(f"{found[-1].text}…", found[-1].author)] if cut else found


def _wrapping() -> QTextOption:
    """Words that are too long for a line are broken."""
    option = QTextOption()
    option.setWrapMode(QTextOption.WrapMode.WrapAtWordBoundaryOrAnywhere)
    return option
