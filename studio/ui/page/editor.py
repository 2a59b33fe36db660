"""The editor of the page: plain text in a serif, with the model's text in another colour."""

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
"""Font size in pixels, and line height in per cent."""
LINE_LENGTH = 66
"""Number of characters of a line of text."""
TOP, BOTTOM = 76, 32
DEFAULT_HINT = "The model continues where your text ends."
MAX_HIGHLIGHTS = 2000
"""Largest number of highlighted matches."""


class PageEditor(QTextEdit):
    """The editor. Positions are code points; Qt's UTF-16 positions are converted in this class only."""

    text_edited = Signal(int, int, str)
    """Emitted after an edit with its position, the number of removed characters, and the new text."""
    cursor_placed = Signal(int)
    """Emitted with the position of the cursor."""
    undo_requested = Signal()
    redo_requested = Signal()
    escaped = Signal()
    """Emitted when Escape is pressed."""
    menu_requested = Signal(QMenu, QPoint)
    """Emitted with the editor's context menu and its global position."""
    hovered = Signal(int)
    """Emitted when the pointer rests on a character, with the position before it."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setAccessibleName("Page")
        self.setAccessibleDescription("Write here. Press Ctrl+Enter to let the model continue at the cursor.")
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
        self._is_bmp_only = True
        self._author_runs: AuthorRuns = []
        self._is_updating = False
        self._styled_for = ""
        self._match_highlights: list[QTextEdit.ExtraSelection] = []
        self._word_highlights: list[QTextEdit.ExtraSelection] = []
        self._apply_theme()
        self.set_hint("")
        self.textChanged.connect(self._on_text_changed)
        self.cursorPositionChanged.connect(self._on_cursor_moved)

    # What is shown
    @property
    def text(self) -> str:
        return self._text

    def show_runs(self, runs: Sequence[AuthorRun]) -> None:
        """Show a text. Only the difference is changed, so that cursor and view keep their positions."""
        text = "".join(run.text for run in runs)
        spans = merge_runs((run.author, len(run.text)) for run in runs)
        if (text, spans) == (self._text, self._author_runs):
            return
        at, removed, new = find_difference(self._text, text)
        self._is_updating = True
        if removed or new:
            self._replace(at, removed, new, slice_runs(spans, at, at + len(new)))
        expected = splice_runs(self._author_runs, at, removed, slice_runs(spans, at, at + len(new)))
        self._set_text(text, spans)
        if expected != spans:
            self._format_all()
        self._is_updating = False
        self._show_hint()

    def cursor_position(self) -> int:
        return self._from_qt(self.textCursor().position())

    def selection(self) -> tuple[int, int]:
        cursor = self.textCursor()
        return self._from_qt(cursor.selectionStart()), self._from_qt(cursor.selectionEnd())

    def put_cursor(self, at: int, *, select: int = 0) -> None:
        """Move the cursor, select so many characters after it, and scroll to it."""
        cursor = self.textCursor()
        start, end = self._to_qt(at), self._to_qt(at + select)
        if (cursor.anchor(), cursor.position()) != (start, end):
            cursor.setPosition(start)
            cursor.setPosition(end, QTextCursor.MoveMode.KeepAnchor)
            self.setTextCursor(cursor)
        self.ensureCursorVisible()

    def highlight_matches(self, places: Sequence[tuple[int, int]]) -> None:
        """Highlight matches, as (position, length)."""
        self._match_highlights = [self._make_highlight(at, length) for at, length in places[:MAX_HIGHLIGHTS]]
        self.setExtraSelections([*self._match_highlights, *self._word_highlights])

    def highlight_word(self, at: int, length: int) -> None:
        """Highlight the words that alternatives are shown for; a length of 0 removes the highlight."""
        self._word_highlights = [self._make_highlight(at, length)] if length else []
        self.setExtraSelections([*self._match_highlights, *self._word_highlights])

    def _make_highlight(self, at: int, length: int) -> QTextEdit.ExtraSelection:
        highlight = QTextEdit.ExtraSelection()
        cursor = QTextCursor(self.document())
        cursor.setPosition(self._to_qt(at))
        cursor.setPosition(self._to_qt(at + length), QTextCursor.MoveMode.KeepAnchor)
        colour = QColor(theme.COLOURS.accent)
        colour.setAlpha(70)
        highlight.format.setBackground(colour)
        highlight.cursor = cursor
        return highlight

    def rect_of(self, at: int, length: int) -> QRect:
        """Return the rectangle of some text in the viewport; for several lines, that of the first."""
        cursor = QTextCursor(self.document())
        cursor.setPosition(self._to_qt(at))
        first = self.cursorRect(cursor)
        cursor.setPosition(self._to_qt(at + length))
        last = self.cursorRect(cursor)
        return first.united(last) if last.top() == first.top() else first.adjusted(0, 0, 40, 0)

    def character_at(self, point: QPoint) -> int | None:
        """Return the position of the character under a point of the viewport."""
        cursor = self.cursorForPosition(point)
        here = self.cursorRect(cursor)
        if not here.top() <= point.y() <= here.bottom():
            return None
        before = point.x() < here.left()
        other = QTextCursor(cursor)
        other.movePosition(QTextCursor.MoveOperation.Left if before else QTextCursor.MoveOperation.Right)
        neighbour = self.cursorRect(other)
        low, high = sorted((here.left(), neighbour.left()))
        if neighbour.top() != here.top() or not low <= point.x() <= high:
            return None
        return self._from_qt(min(cursor.position(), other.position()))

    # Typing
    def _on_text_changed(self) -> None:
        if self._is_updating:
            return
        before, spans = self._text, self._author_runs
        self._set_text(_read_raw_text(self), spans)
        at, removed, new = find_difference(before, self._text, self.cursor_position())
        if not removed and not new:
            return
        self._author_runs = splice_runs(spans, at, removed, [(Author.HUMAN, len(new))] if new else [])
        self._is_updating = True
        cursor = QTextCursor(self.document())
        cursor.setPosition(self._to_qt(at))
        cursor.setPosition(self._to_qt(at + len(new)), QTextCursor.MoveMode.KeepAnchor)
        self._format_typed(cursor, new)
        self._is_updating = False
        self._show_hint()
        self.text_edited.emit(at, removed, new)

    @staticmethod
    def _format_typed(cursor: QTextCursor, new: str) -> None:
        """Format typed text as a human's. A single key inside such text is skipped, because formatting is slow."""
        letters, block = author_format.make_author_format(SIZE, Author.HUMAN), author_format.make_block_format(LINES)
        is_key = len(new) == 1 and new != "\n"
        cursor.beginEditBlock()
        if not (is_key and cursor.charFormat() == letters):
            cursor.mergeCharFormat(letters)
        if not (is_key and cursor.blockFormat() == block):
            cursor.mergeBlockFormat(block)
        cursor.endEditBlock()

    def _on_cursor_moved(self) -> None:
        if not self._is_updating:
            self.cursor_placed.emit(self.cursor_position())

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
        """Accept text only. Files dropped here go to the window."""
        return source.hasText() and not source.hasUrls()

    # The document
    def _replace(self, at: int, removed: int, text: str, spans: AuthorRuns) -> None:
        cursor = QTextCursor(self.document())
        cursor.beginEditBlock()
        cursor.setPosition(self._to_qt(at))
        cursor.setPosition(self._to_qt(at + removed), QTextCursor.MoveMode.KeepAnchor)
        start = cursor.selectionStart()
        cursor.removeSelectedText()
        offset = 0
        for author, length in spans:
            cursor.insertText(text[offset : offset + length], author_format.make_author_format(SIZE, author))
            offset += length
        end = cursor.position()
        cursor.setPosition(start)
        cursor.setPosition(end, QTextCursor.MoveMode.KeepAnchor)
        cursor.setBlockFormat(author_format.make_block_format(LINES))
        cursor.endEditBlock()

    def _format_all(self) -> None:
        cursor = QTextCursor(self.document())
        cursor.beginEditBlock()
        offset = 0
        for author, length in self._author_runs:
            cursor.setPosition(self._to_qt(offset))
            cursor.setPosition(self._to_qt(offset + length), QTextCursor.MoveMode.KeepAnchor)
            cursor.setCharFormat(author_format.make_author_format(SIZE, author))
            offset += length
        cursor.endEditBlock()

    def _set_text(self, text: str, spans: AuthorRuns) -> None:
        """Store the document's text. It is BMP-only if it has as many code points as Qt has UTF-16 units."""
        self._text, self._author_runs = text, spans
        self._is_bmp_only = self.document().characterCount() == len(text) + 1

    def _to_qt(self, place: int) -> int:
        """Convert a position in code points to Qt's UTF-16 units."""
        return place if self._is_bmp_only else len(self._text[:place].encode("utf-16-le")) // 2

    def _from_qt(self, position: int) -> int:
        """Convert a position in Qt's UTF-16 units to code points."""
        if self._is_bmp_only:
            return position
        return len(self._text[:position].encode("utf-16-le")[: 2 * position].decode("utf-16-le", "ignore"))

    # The look
    def changeEvent(self, event: QEvent) -> None:
        super().changeEvent(event)
        if event.type() in (QEvent.Type.PaletteChange, QEvent.Type.StyleChange):
            self._apply_theme()

    def _apply_theme(self) -> None:
        """Apply the colours of the theme, if they have changed."""
        colours = theme.COLOURS
        if self._styled_for == colours.canvas:
            return
        self._styled_for = colours.canvas
        self.setStyleSheet(f"QTextEdit {{ background: {colours.canvas}; border: none; padding: 0px; }}")
        self.setFont(theme.reading_font(SIZE))
        self.setCurrentCharFormat(author_format.make_author_format(SIZE, Author.HUMAN))
        if self.document().isEmpty():
            self._is_updating = True
            QTextCursor(self.document()).setBlockFormat(author_format.make_block_format(LINES))
            self._is_updating = False
        else:
            self._is_updating = True
            self._format_all()
            self._is_updating = False

    def set_hint(self, about: str) -> None:
        """Set the hint of an empty page. `about` tells what the chosen tool does with the text."""
        self.hint.setText(f"Write here. {about or DEFAULT_HINT}\nPress Ctrl+Enter to generate. Every version is kept.")
        self._place_hint()

    def _show_hint(self) -> None:
        self.hint.setVisible(not self._text)

    def resizeEvent(self, event: QResizeEvent) -> None:
        letters = QFontMetrics(theme.reading_font(SIZE))
        column = letters.horizontalAdvance("the quick brown fox, and so on ") * LINE_LENGTH // 31
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


def _read_raw_text(edit: QTextEdit) -> str:
    """Return the document's text. Qt's `toPlainText` replaces no-break spaces."""
    text = edit.document().toRawText()
    return text.replace("\u2029", "\n").replace("\u2028", "\n")
