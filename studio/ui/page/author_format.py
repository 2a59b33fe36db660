"""How words look on the page and on its cards: whose they are is told by their colour."""

from __future__ import annotations

from PySide6.QtGui import QColor, QTextBlockFormat, QTextCharFormat

from studio.core.page.edits import Author
from studio.ui.theme import theme


def make_block_format(height: int) -> QTextBlockFormat:
    """Of so many hundredths of a letter's height."""
    block = QTextBlockFormat()
    block.setLineHeight(height, QTextBlockFormat.LineHeightTypes.ProportionalHeight.value)
    return block


def make_author_format(size: int, author: Author) -> QTextCharFormat:
    """Of `size` px, in the colours in force."""
    return make_char_format(size, theme.COLOURS.machine if author is Author.MACHINE else theme.COLOURS.text)


def make_char_format(size: int, colour: str) -> QTextCharFormat:
    made = QTextCharFormat()
    made.setFont(theme.reading_font(size))
    made.setForeground(QColor(colour))
    return made
