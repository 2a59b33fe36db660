"""Text formats of the page and its cards. The colour tells the author."""

from __future__ import annotations

from PySide6.QtGui import QColor, QTextBlockFormat, QTextCharFormat

from studio.core.page.edits import Author
from studio.ui.theme import theme


def make_block_format(height: int) -> QTextBlockFormat:
    """Return a block format with a line height in per cent."""
    block = QTextBlockFormat()
    block.setLineHeight(height, QTextBlockFormat.LineHeightTypes.ProportionalHeight.value)
    return block


def make_author_format(size: int, author: Author) -> QTextCharFormat:
    """Return the format of an author's text in pixels, in the current colours."""
    return make_char_format(size, theme.COLOURS.machine if author is Author.MACHINE else theme.COLOURS.text)


def make_char_format(size: int, colour: str) -> QTextCharFormat:
    formatted = QTextCharFormat()
    formatted.setFont(theme.reading_font(size))
    formatted.setForeground(QColor(colour))
    return formatted
