"""How words look on the page and on its cards: whose they are is told by their colour."""

from __future__ import annotations

from PySide6.QtGui import QColor, QTextBlockFormat, QTextCharFormat

from studio.core.page.edits import Author
from studio.ui.theme import theme


def lines(height: int) -> QTextBlockFormat:
    """Of so many hundredths of a letter's height."""
    block = QTextBlockFormat()
    block.setLineHeight(height, QTextBlockFormat.LineHeightTypes.ProportionalHeight.value)
    return block


def letters(size: int, author: Author) -> QTextCharFormat:
    """Of `size` px, in the colours in force."""
    return coloured(size, theme.COLOURS.machine if author is Author.MACHINE else theme.COLOURS.text)


def coloured(size: int, colour: str) -> QTextCharFormat:
    letters = QTextCharFormat()
    letters.setFont(theme.reading_font(size))
    letters.setForeground(QColor(colour))
    return letters
