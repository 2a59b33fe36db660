"""The editor itself: plain words in a serif, those of a model in a colour of their own."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import QEvent, QMimeData, QPoint, QRect, Qt, Signal
from PySide6.QtGui import (
    QColor,
    QContextMenuEvent,
    QFontMetrics,
    QHelpEvent,
    QKeyEvent,
    QKeySequence,
    QResizeEvent,
    QTextCursor,
)
from PySide6.QtWidgets import QMenu, QTextEdit, QWidget

from studio.core.page.edits import Author
from studio.core.page.plain_text import find_difference, to_plain_text
from studio.core.page.revisions import AuthorRun
from studio.ui.page import author_format
from studio.ui.page.author_runs import AuthorRuns, merge_runs, slice_runs, splice_runs
from studio.ui.theme import theme
from studio.ui.widgets.labels import make_label

SIZE, LINES = 18, 150
"""Pixels of its letters, and hundredths of these from line to line."""
MEASURE = 66
"""Characters of a line that is comfortable to read."""
TOP, BOTTOM = 76, 32
ABOUT = "Where your words end, the model goes on."
SHOWN_MARKS = 2000
"""Marked places that are painted."""


class PageEditor(QTextEdit):
    """Places are code points. Qt counts UTF-16 units, so they are turned into each other here and nowhere else."""

    text_edited = Signal(int, int, str)
    """At a place, so many characters gave way to others."""
    cursor_placed = Signal(int)
    """Where the cursor stands."""
    undo_requested = Signal()
    redo_requested = Signal()
    escaped = Signal()
    """Escape."""
    menu_requested = Signal(QMenu, QPoint)
    """The editor's own menu, and where it belongs."""
    hovered = Signal(int)
    """The pointer stays on the character behind this place."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setAccessibleName("Page")
        self.setAccessibleDescription("Write here. Ctrl+Enter lets the model go on from the cursor.")
        self.setAcceptRichText(False)
        self.setUndoRedoEnabled(False)
        self.setTabChangesFocus(True)
        self.viewport().setMouseTracking(True)
        self.setFrameShape(QTextEdit.Shape.NoFrame)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.hint = make_label("", "hint", parent=self.viewport())
        self.hint.setWordWrap(True)
        self.hint.setAttribute(Qt.WidgetAttribute.WA_TransparentForMouseEvents)
        self._text = ""
        self._is_simple = True
        self._spans: AuthorRuns = []
        self._showing = False
        self._dressed = ""
        self._marks: list[QTextEdit.ExtraSelection] = []
        self._underlined: list[QTextEdit.ExtraSelection] = []
        self._dress()
        self.tell("")
        self.textChanged.connect(self._changed)
        self.cursorPositionChanged.connect(self._moved)

    # What is shown
    @property
    def words(self) -> str:
        return self._text

    def show_runs(self, runs: Sequence[AuthorRun]) -> None:
        """Changes only what differs, so that the cursor and the view keep their places."""
        text = "".join(run.text for run in runs)
        spans = merge_runs((run.author, len(run.text)) for run in runs)
        if (text, spans) == (self._text, self._spans):
            return
        at, removed, new = find_difference(self._text, text)
        self._showing = True
        if removed or new:
            self._replace(at, removed, new, slice_runs(spans, at, at + len(new)))
        expected = splice_runs(self._spans, at, removed, slice_runs(spans, at, at + len(new)))
        self._hold(text, spans)
        if expected != spans:
            self._paint_all()
        self._showing = False
        self._show_hint()

    def place(self) -> int:
        return self._points(self.textCursor().position())

    def selection(self) -> tuple[int, int]:
        cursor = self.textCursor()
        return self._points(cursor.selectionStart()), self._points(cursor.selectionEnd())

    def put_cursor(self, at: int, *, select: int = 0) -> None:
        """At a place, or with so many characters behind it selected; it is brought into view."""
        cursor = self.textCursor()
        start, end = self._units(at), self._units(at + select)
        if (cursor.anchor(), cursor.position()) != (start, end):
            cursor.setPosition(start)
            cursor.setPosition(end, QTextCursor.MoveMode.KeepAnchor)
            self.setTextCursor(cursor)
        self.ensureCursorVisible()

    def mark(self, places: Sequence[tuple[int, int]]) -> None:
        """Lights up stretches (place and length), such as what was searched for."""
        self._marks = [self._lit(at, length) for at, length in places[:SHOWN_MARKS]]
        self.setExtraSelections([*self._marks, *self._underlined])

    def underline(self, at: int, length: int) -> None:
        """The words that other words are offered for; none with a length of 0."""
        self._underlined = [self._lit(at, length)] if length else []
        self.setExtraSelections([*self._marks, *self._underlined])

    def _lit(self, at: int, length: int) -> QTextEdit.ExtraSelection:
        one = QTextEdit.ExtraSelection()
        cursor = QTextCursor(self.document())
        cursor.setPosition(self._units(at))
        cursor.setPosition(self._units(at + length), QTextCursor.MoveMode.KeepAnchor)
        colour = QColor(theme.COLOURS.accent)
        colour.setAlpha(70)
        one.format.setBackground(colour)
        one.cursor = cursor
        return one

    def rect_of(self, at: int, length: int) -> QRect:
        """Where words are, in pixels of the viewport; of several lines the first."""
        cursor = QTextCursor(self.document())
        cursor.setPosition(self._units(at))
        first = self.cursorRect(cursor)
        cursor.setPosition(self._units(at + length))
        last = self.cursorRect(cursor)
        return first.united(last) if last.top() == first.top() else first.adjusted(0, 0, 40, 0)

    def character_at(self, point: QPoint) -> int | None:
        """The place of the character under a point of the viewport."""
        cursor = self.cursorForPosition(point)
        here = self.cursorRect(cursor)
        if not here.top() <= point.y() <= here.bottom():
            return None
        before = point.x() < here.left()
        other = QTextCursor(cursor)
        other.movePosition(QTextCursor.MoveOperation.Left if before else QTextCursor.MoveOperation.Right)
        there = self.cursorRect(other)
        low, high = sorted((here.left(), there.left()))
        if there.top() != here.top() or not low <= point.x() <= high:
            return None
        return self._points(min(cursor.position(), other.position()))

    # Typing
    def _changed(self) -> None:
        if self._showing:
            return
        before, spans = self._text, self._spans
        self._hold(_raw(self), spans)
        at, removed, new = find_difference(before, self._text, self.place())
        if not removed and not new:
            return
        self._spans = splice_runs(spans, at, removed, [(Author.HUMAN, len(new))] if new else [])
        self._showing = True
        cursor = QTextCursor(self.document())
        cursor.setPosition(self._units(at))
        cursor.setPosition(self._units(at + len(new)), QTextCursor.MoveMode.KeepAnchor)
        self._dress_typed(cursor, new)
        self._showing = False
        self._show_hint()
        self.text_edited.emit(at, removed, new)

    @staticmethod
    def _dress_typed(cursor: QTextCursor, new: str) -> None:
        """What was typed is a human's. A key more in their words has the look already, and setting it is slow."""
        letters, block = author_format.make_author_format(SIZE, Author.HUMAN), author_format.make_block_format(LINES)
        one = len(new) == 1 and new != "\n"
        cursor.beginEditBlock()
        if not (one and cursor.charFormat() == letters):
            cursor.mergeCharFormat(letters)
        if not (one and cursor.blockFormat() == block):
            cursor.mergeBlockFormat(block)
        cursor.endEditBlock()

    def _moved(self) -> None:
        if not self._showing:
            self.cursor_placed.emit(self.place())

    def viewportEvent(self, event: QEvent) -> bool:
        if isinstance(event, QHelpEvent) and event.type() == QEvent.Type.ToolTip:
            at = self.character_at(event.pos())
            if at is not None:
                self.hovered.emit(at)
            return True
        return super().viewportEvent(event)

    def contextMenuEvent(self, event: QContextMenuEvent) -> None:
        menu = self.createStandardContextMenu()
        menu.setToolTip("")
        self.menu_requested.emit(menu, event.globalPos())

    def keyPressEvent(self, event: QKeyEvent) -> None:
        if event.matches(QKeySequence.StandardKey.Undo):
            self.undo_requested.emit()
        elif event.matches(QKeySequence.StandardKey.Redo):
            self.redo_requested.emit()
        elif event.key() == Qt.Key.Key_Escape:
            self.escaped.emit()
        elif event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter) and not self.isReadOnly():
            # By hand: on an empty line with a height of its own, Qt would only take the height away.
            self.textCursor().insertBlock(
                author_format.make_block_format(LINES), author_format.make_author_format(SIZE, Author.HUMAN)
            )
            self.ensureCursorVisible()
        else:
            super().keyPressEvent(event)

    def insertFromMimeData(self, source: QMimeData) -> None:
        if source.hasText():
            self.textCursor().insertText(
                to_plain_text(source.text()), author_format.make_author_format(SIZE, Author.HUMAN)
            )
            self.ensureCursorVisible()

    def canInsertFromMimeData(self, source: QMimeData) -> bool:
        """Words only: a picture that is dropped here is for the window."""
        return source.hasText() and not source.hasUrls()

    # The document
    def _replace(self, at: int, removed: int, text: str, spans: AuthorRuns) -> None:
        cursor = QTextCursor(self.document())
        cursor.beginEditBlock()
        cursor.setPosition(self._units(at))
        cursor.setPosition(self._units(at + removed), QTextCursor.MoveMode.KeepAnchor)
        start = cursor.selectionStart()
        cursor.removeSelectedText()
        passed = 0
        for author, length in spans:
            cursor.insertText(text[passed : passed + length], author_format.make_author_format(SIZE, author))
            passed += length
        end = cursor.position()
        cursor.setPosition(start)
        cursor.setPosition(end, QTextCursor.MoveMode.KeepAnchor)
        cursor.setBlockFormat(author_format.make_block_format(LINES))
        cursor.endEditBlock()

    def _paint_all(self) -> None:
        cursor = QTextCursor(self.document())
        cursor.beginEditBlock()
        passed = 0
        for author, length in self._spans:
            cursor.setPosition(self._units(passed))
            cursor.setPosition(self._units(passed + length), QTextCursor.MoveMode.KeepAnchor)
            cursor.setCharFormat(author_format.make_author_format(SIZE, author))
            passed += length
        cursor.endEditBlock()

    def _hold(self, text: str, spans: AuthorRuns) -> None:
        """What is in the document now. It is simple where every character is one of Qt's units."""
        self._text, self._spans = text, spans
        self._is_simple = self.document().characterCount() == len(text) + 1

    def _units(self, place: int) -> int:
        """From code points to Qt's positions."""
        return place if self._is_simple else len(self._text[:place].encode("utf-16-le")) // 2

    def _points(self, position: int) -> int:
        if self._is_simple:
            return position
        return len(self._text[:position].encode("utf-16-le")[: 2 * position].decode("utf-16-le", "ignore"))

    # The look
    def changeEvent(self, event: QEvent) -> None:
        super().changeEvent(event)
        if event.type() in (QEvent.Type.PaletteChange, QEvent.Type.StyleChange):
            self._dress()

    def _dress(self) -> None:
        """In the colours of the theme; at the beginning, and when it is another."""
        colours = theme.COLOURS
        if self._dressed == colours.canvas:
            return
        self._dressed = colours.canvas
        self.setStyleSheet(f"QTextEdit {{ background: {colours.canvas}; border: none; padding: 0px; }}")
        self.setFont(theme.reading_font(SIZE))
        self.setCurrentCharFormat(author_format.make_author_format(SIZE, Author.HUMAN))
        if self.document().isEmpty():
            self._showing = True
            QTextCursor(self.document()).setBlockFormat(author_format.make_block_format(LINES))
            self._showing = False
        else:
            self._showing = True
            self._paint_all()
            self._showing = False

    def tell(self, about: str) -> None:
        """What stands on an empty page; `about` says what the model does with its words."""
        self.hint.setText(f"Write here. {about or ABOUT}\nPress Ctrl+Enter for it. Every version is kept.")
        self._place_hint()

    def _show_hint(self) -> None:
        self.hint.setVisible(not self._text)

    def resizeEvent(self, event: QResizeEvent) -> None:
        letters = QFontMetrics(theme.reading_font(SIZE))
        column = letters.horizontalAdvance("the quick brown fox, and so on ") * MEASURE // 31
        side = max(24, (self.width() - column) // 2)
        self.setViewportMargins(side, TOP, max(8, side - self.verticalScrollBar().sizeHint().width()), BOTTOM)
        super().resizeEvent(event)
        if self.viewport().height() < self.cursorRect().bottom() <= event.oldSize().height():
            self.ensureCursorVisible()  # What came below the paper does not cover the line that is written.
        self._place_hint()

    def _place_hint(self) -> None:
        margin = int(self.document().documentMargin())
        width = max(120, self.viewport().width() - 2 * margin)
        self.hint.setGeometry(margin + 2, 44, width, self.hint.heightForWidth(width))


def _raw(paper: QTextEdit) -> str:
    """What is in the document. Qt's `toPlainText` would turn unbreakable spaces into others."""
    text = paper.document().toRawText()
    return text.replace("\u2029", "\n").replace("\u2028", "\n")
