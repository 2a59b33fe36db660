"""What the canvas shows when it is not a picture: nothing yet, a sentence, words, a model's card."""

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

from studio.core.errors import BadInput
from studio.ui.theme import icons, theme
from studio.ui.widgets.labels import make_label

MEASURE = 68
"""Characters of a line that is comfortable to read."""
LONGEST = 2**21
"""Bytes of a text that is shown."""


class EmptyPlaceholder(QWidget):
    """Says what belongs here, and offers it."""

    browse = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        picture = QLabel()
        picture.setPixmap(icons.pixmap("image-outline", 40, ratio=self.devicePixelRatioF()))
        picture.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self._sentence = make_label("Drop a picture here, or press Generate", "dim")
        self._sentence.setAlignment(Qt.AlignmentFlag.AlignCenter)
        choose = QPushButton("Open a picture…")
        choose.setAccessibleName("Open a picture")
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
    """One sentence where the picture would be."""

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

    def say(self, sentence: str, *, broken: bool = True) -> None:
        self._picture.setVisible(broken)
        self._picture.setPixmap(icons.pixmap("image-broken-variant", 32, ratio=self.devicePixelRatioF()))
        self.sentence.setText(sentence)


class TextView(QTextEdit):
    """Plain text in a serif, with a measure that is comfortable to read. Nothing in it is markup."""

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
        self._words = ""
        self._empty = True

    def show_words(self, words: str, title: str = "") -> None:
        """Text that only grew is continued where it was, and followed if its end was in view."""
        words = words.replace("\r\n", "\n")
        if title == self._title and not self._empty and words.startswith(self._words):
            self._append(words[len(self._words) :])
        else:
            self._begin(title)
            self._write(words)
            self.moveCursor(QTextCursor.MoveOperation.Start)
        self._title, self._words, self._empty = title, words, False

    def _begin(self, title: str) -> None:
        self.clear()
        self.setStyleSheet(f"QTextEdit {{ background: {theme.COLOURS.canvas}; border: none; }}")
        cursor = QTextCursor(self.document())
        if title:
            cursor.setBlockFormat(_block(below=14))
            cursor.insertText(title, _letters(26, bold=True))
            cursor.insertBlock()

    def _append(self, words: str) -> None:
        bar = self.verticalScrollBar()
        following = bar.value() >= bar.maximum() - 4
        self._write(words)
        if following:
            bar.setValue(bar.maximum())

    def _write(self, words: str) -> None:
        """Goes on at the end. An empty line is lower than one with words."""
        cursor = QTextCursor(self.document())
        cursor.movePosition(QTextCursor.MoveOperation.End)
        letters, full, empty = _letters(18), _block(), _block(height=70)
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
        column = letters.horizontalAdvance("the quick brown fox, and so on ") * MEASURE // 31
        side = max(24, (self.width() - column) // 2)
        self.setViewportMargins(side, 72, side - self.verticalScrollBar().sizeHint().width(), 24)
        super().resizeEvent(event)


def _block(height: float = 150, below: float = 0) -> QTextBlockFormat:
    block = QTextBlockFormat()
    block.setLineHeight(height, QTextBlockFormat.LineHeightTypes.ProportionalHeight.value)
    block.setBottomMargin(below)
    return block


def _letters(size: int, *, bold: bool = False) -> QTextCharFormat:
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
    """A Markdown file's words, without its front matter. Raises BadInput when it cannot be read."""
    try:
        with path.open("rb") as file:
            text = file.read(LONGEST).decode("utf-8", errors="replace").replace("\r\n", "\n")
    except OSError as error:
        raise BadInput(f"{path.name} cannot be read: {error.strerror or error}.") from error
    title = ""
    if text.startswith("---\n") and (end := text.find("\n---\n", 3)) >= 0:
        for line in text[4:end].split("\n"):
            if line.startswith("title:"):
                title = line[6:].strip().strip("\"'")
        text = text[end + 5 :].lstrip("\n")
    return TextFile(title, text)
