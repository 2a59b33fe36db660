"""The canvas's views without a picture: empty, a sentence, or a text."""

from __future__ import annotations

from pathlib import Path

from msgspec import Struct
from PySide6.QtCore import QPointF, QRectF, Qt, Signal
from PySide6.QtGui import (
    QColor,
    QFont,
    QFontMetrics,
    QPainter,
    QPaintEvent,
    QPen,
    QResizeEvent,
    QTextBlockFormat,
    QTextCharFormat,
    QTextCursor,
)
from PySide6.QtWidgets import QLabel, QPushButton, QTextEdit, QVBoxLayout, QWidget

from studio.core.untrusted_files import damage_as_bad_input, open_file
from studio.ui.theme import icons, theme
from studio.ui.widgets.labels import make_label

LINE_LENGTH = 68
"""Number of characters of a line of text."""
MAX_TEXT_BYTES = 2**21
"""Number of bytes of a text that are shown."""


class EmptyPlaceholder(QWidget):
    """The empty canvas, with a button that opens a picture."""

    browse = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        picture = QLabel()
        picture.setPixmap(icons.pixmap("image-outline", 40, ratio=self.devicePixelRatioF()))
        picture.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self._sentence = make_label("Drop an image here, or press Generate", "dim")
        self._sentence.setAlignment(Qt.AlignmentFlag.AlignCenter)
        choose = QPushButton("Open image…")
        choose.setAccessibleName("Open image")
        choose.clicked.connect(self.browse)
        layout = QVBoxLayout(self)
        layout.setSpacing(3 * theme.SPACE)
        layout.addStretch()
        layout.addWidget(picture)
        layout.addWidget(self._sentence)
        layout.addWidget(choose, alignment=Qt.AlignmentFlag.AlignCenter)
        layout.addStretch()

    def paintEvent(self, event: QPaintEvent) -> None:
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        width, height = min(440, self.width() - 64), min(280, self.height() - 64)
        well = QRectF(0, 0, width, height)
        well.moveCenter(QPointF(self.rect().center()))
        pen = QPen(QColor(theme.COLOURS.chosen), 1.5)
        pen.setDashPattern([4, 4])
        painter.setPen(pen)
        painter.drawRoundedRect(well, 12, 12)


class MessagePlaceholder(QWidget):
    """A sentence in place of a picture."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._picture = QLabel()
        self._picture.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self.sentence = make_label()
        self.sentence.setWordWrap(True)
        self.sentence.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self.sentence.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self.sentence.setMaximumWidth(480)
        self.sentence.setMinimumWidth(280)
        layout = QVBoxLayout(self)
        layout.setSpacing(3 * theme.SPACE)
        layout.addStretch()
        layout.addWidget(self._picture)
        layout.addWidget(self.sentence, alignment=Qt.AlignmentFlag.AlignCenter)
        layout.addStretch()

    def show_message(self, sentence: str, *, broken: bool = True) -> None:
        self._picture.setVisible(broken)
        self._picture.setPixmap(icons.pixmap("image-broken-variant", 32, ratio=self.devicePixelRatioF()))
        self.sentence.setText(sentence)


class TextView(QTextEdit):
    """A read-only plain text in a serif font, in lines of a readable length."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setReadOnly(True)
        self.setAcceptRichText(False)
        self.setAcceptDrops(False)
        self.setAccessibleName("Text")
        self.setFrameShape(QTextEdit.Shape.NoFrame)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setTextInteractionFlags(
            Qt.TextInteractionFlag.TextSelectableByMouse | Qt.TextInteractionFlag.TextSelectableByKeyboard
        )
        self._title = ""
        self._text = ""
        self._empty = True

    def show_text(self, words: str, title: str = "") -> None:
        """Show a text. One that continues the current text is appended; the view follows if its end was visible."""
        words = words.replace("\r\n", "\n")
        if title == self._title and not self._empty and words.startswith(self._text):
            self._append(words[len(self._text) :])
        else:
            self._begin(title)
            self._write(words)
            self.moveCursor(QTextCursor.MoveOperation.Start)
        self._title, self._text, self._empty = title, words, False

    def _begin(self, title: str) -> None:
        self.clear()
        self.setStyleSheet(f"QTextEdit {{ background: {theme.COLOURS.canvas}; border: none; }}")
        cursor = QTextCursor(self.document())
        if title:
            cursor.setBlockFormat(_make_block_format(below=14))
            cursor.insertText(title, _make_char_format(26, bold=True))
            cursor.insertBlock()

    def _append(self, words: str) -> None:
        bar = self.verticalScrollBar()
        following = bar.value() >= bar.maximum() - 4
        self._write(words)
        if following:
            bar.setValue(bar.maximum())

    def _write(self, words: str) -> None:
        """Append text. Empty lines are lower than others."""
        cursor = QTextCursor(self.document())
        cursor.movePosition(QTextCursor.MoveOperation.End)
        letters, full, empty = _make_char_format(18), _make_block_format(), _make_block_format(height=70)
        cursor.beginEditBlock()
        for number, line in enumerate(words.split("\n")):
            if number:
                cursor.insertBlock()
            blank = not line and cursor.atBlockStart()
            cursor.setBlockFormat(empty if blank else full)
            cursor.insertText(line, letters)
        cursor.endEditBlock()

    def resizeEvent(self, event: QResizeEvent) -> None:
        letters = QFontMetrics(theme.reading_font(18))
        column = letters.horizontalAdvance("the quick brown fox, and so on ") * LINE_LENGTH // 31
        side = max(24, (self.width() - column) // 2)
        self.setViewportMargins(side, 72, side - self.verticalScrollBar().sizeHint().width(), 24)
        super().resizeEvent(event)


def _make_block_format(height: float = 150, below: float = 0) -> QTextBlockFormat:
    block = QTextBlockFormat()
    block.setLineHeight(height, QTextBlockFormat.LineHeightTypes.ProportionalHeight.value)
    block.setBottomMargin(below)
    return block


def _make_char_format(size: int, *, bold: bool = False) -> QTextCharFormat:
    letters = QTextCharFormat()
    face = theme.reading_font(size)
    face.setWeight(QFont.Weight.Bold if bold else QFont.Weight.Normal)
    letters.setFont(face)
    letters.setForeground(QColor(theme.COLOURS.text))
    return letters


class TextFile(Struct, frozen=True):
    title: str
    text: str


def read_text_file(path: Path) -> TextFile:
    """Read a Markdown file without its front matter. Raises BadInput if it cannot be read."""
    with damage_as_bad_input(path), open_file(path) as file:
        text = file.read(MAX_TEXT_BYTES).decode("utf-8", errors="replace").replace("\r\n", "\n")
    title = ""
    if text.startswith("---\n") and (end := text.find("\n---\n", 3)) >= 0:
        for line in text[4:end].split("\n"):
            if line.startswith("title:"):
                title = line[6:].strip().strip("\"'")
        text = text[end + 5 :].lstrip("\n")
    return TextFile(title, text)
