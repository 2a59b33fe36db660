"""Formatted text of strangers: headings, tables, lists and emphasis, and nothing that loads, runs or opens anything."""

from __future__ import annotations

import re

from PySide6.QtCore import Qt, QUrl
from PySide6.QtGui import (
    QBrush,
    QColor,
    QFont,
    QImage,
    QTextBlockFormat,
    QTextCharFormat,
    QTextCursor,
    QTextDocument,
    QTextFrameFormat,
    QTextTable,
)
from PySide6.QtWidgets import QTextEdit, QWidget

from studio.ui.theme import theme

MAX_FORMATTED = 200_000
"""Number of characters beyond which a text is shown as it is."""
MAX_COLUMNS, MAX_DEPTH, MAX_ROWS = 30, 12, 2000
"""Larger tables and deeper nesting make formatting slow, and such a text is shown as it is."""
_NESTED = re.compile(rf"^[ \t]*(?:(?:>|[-*+]|\d{{1,9}}[.)])[ \t]*){{{MAX_DEPTH},}}|^[ \t]{{60,}}\S", re.MULTILINE)
_FEATURES = QTextDocument.MarkdownFeature.MarkdownDialectGitHub | QTextDocument.MarkdownFeature.MarkdownNoHTML
_CELL_PADDING = 4


class ClosedDocument(QTextDocument):
    """A document that loads nothing. Qt's own would read local files, also where the widget gives none."""

    def loadResource(self, kind: int, name: QUrl | str) -> QImage:
        return QImage(b"\0" * 4, 1, 1, QImage.Format.Format_ARGB32).copy()


class MarkdownView(QTextEdit):
    """HTML is shown as text. Links are not followed, and images in the text are not loaded."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setDocument(ClosedDocument(self))
        self.setReadOnly(True)
        self.setAcceptRichText(False)
        self.setAcceptDrops(False)
        self.setFrameShape(QTextEdit.Shape.NoFrame)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setTextInteractionFlags(
            Qt.TextInteractionFlag.TextSelectableByMouse | Qt.TextInteractionFlag.TextSelectableByKeyboard
        )

    def show_markdown(self, text: str) -> None:
        """Show a text, formatted unless that would take long."""
        self.setStyleSheet(f"QTextEdit {{ background: {theme.COLOURS.canvas}; border: none; padding: 0; }}")
        self.document().setDocumentMargin(0)
        if is_tame(text):
            self.document().setMarkdown(text, _FEATURES)
            self._style()
        else:
            self.setPlainText(text)
        self.moveCursor(QTextCursor.MoveOperation.Start)

    def insert_image(self, image: QImage, caption: str) -> None:
        """Insert an image and a line of plain text below it at the beginning."""
        cursor = QTextCursor(self.document())
        cursor.insertBlock(QTextBlockFormat(), QTextCharFormat())
        cursor.movePosition(QTextCursor.MoveOperation.Start)
        cursor.insertImage(image)
        cursor.insertBlock(_below(14), QTextCharFormat())
        cursor.insertText(caption, _coloured(theme.COLOURS.dim))
        self.moveCursor(QTextCursor.MoveOperation.Start)

    def _style(self) -> None:
        """Give links the colour of text, since nothing opens them, and tables thin lines."""
        block = self.document().begin()
        while block.isValid():
            cursor = QTextCursor(block)
            if level := block.blockFormat().headingLevel():
                cursor.select(QTextCursor.SelectionType.BlockUnderCursor)
                heading = QTextCharFormat()
                heading.setFontPointSize({1: 17.0, 2: 13.5}.get(level, 11.5))
                heading.setFontWeight(QFont.Weight.DemiBold)
                cursor.mergeCharFormat(heading)
            block = block.next()
        self._style_links()
        for frame in self.document().rootFrame().childFrames():
            if isinstance(frame, QTextTable):
                style = frame.format()
                style.setBorder(1)
                style.setBorderCollapse(True)
                style.setBorderStyle(QTextFrameFormat.BorderStyle.BorderStyle_Solid)
                style.setBorderBrush(QBrush(QColor(theme.COLOURS.border)))
                style.setCellPadding(_CELL_PADDING)
                style.setTopMargin(6)
                style.setBottomMargin(10)
                frame.setFormat(style)

    def _style_links(self) -> None:
        block = self.document().begin()
        while block.isValid():
            part = block.begin()
            while not part.atEnd():
                fragment = part.fragment()
                if fragment.charFormat().isAnchor():
                    cursor = QTextCursor(self.document())
                    cursor.setPosition(fragment.position())
                    cursor.setPosition(fragment.position() + fragment.length(), QTextCursor.MoveMode.KeepAnchor)
                    cursor.mergeCharFormat(_coloured(theme.COLOURS.text))
                part += 1
            block = block.next()


def is_tame(text: str) -> bool:
    """Check whether a text is of a size and shape that can be formatted at once."""
    lines = text.split("\n")
    return (
        len(text) <= MAX_FORMATTED
        and not any(line.count("|") > MAX_COLUMNS for line in lines)
        and sum("|" in line for line in lines) <= MAX_ROWS
        and _NESTED.search(text) is None
    )


def _coloured(colour: str) -> QTextCharFormat:
    style = QTextCharFormat()
    style.setForeground(QBrush(QColor(colour)))
    style.setFontUnderline(False)
    return style


def _below(pixels: int) -> QTextBlockFormat:
    style = QTextBlockFormat()
    style.setBottomMargin(pixels)
    return style
