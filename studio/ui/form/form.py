"""The form of a tool: one row per field, in groups, with the advanced ones folded away."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QHBoxLayout, QLabel, QPushButton, QSizePolicy, QVBoxLayout, QWidget

from studio.core.descriptor import Field, Widget
from studio.ui import icons, words
from studio.ui.form.choices import SwitchEditor, choice_editor
from studio.ui.form.editor import Editor, Surroundings
from studio.ui.form.lists import list_editor
from studio.ui.form.masks import MaskEditor
from studio.ui.form.numbers import NumberEditor
from studio.ui.form.places import ModelEditor, PlaceEditor
from studio.ui.form.texts import ColourEditor, LineEditor, LinesEditor, PageEditor
from studio.ui.form.wells import WellEditor

_PLACES = (Widget.IMAGE, Widget.MASK, Widget.FILE, Widget.FOLDER, Widget.MODEL)


def editor_for(field: Field, around: Surroundings) -> Editor:
    """The widget that suits a field."""
    if field.many and field.widget in _PLACES:
        return list_editor(field, around)
    match field.widget:
        case Widget.IMAGE:
            return WellEditor(field, around)
        case Widget.MASK:
            return MaskEditor(field, around)
        case Widget.MODEL:
            return ModelEditor(field, around)
        case _:
            return plain_editor(field)


def plain_editor(field: Field) -> Editor:
    """For a field that is neither a picture nor a model, and so needs nothing of the window."""
    if field.widget is Widget.CHOICE:
        return choice_editor(field)
    if field.many:
        return LinesEditor(field)
    match field.widget:
        case Widget.PROMPT:
            return PageEditor(field)
        case Widget.NUMBER | Widget.WHOLE | Widget.UNIT:
            return NumberEditor(field)
        case Widget.SWITCH:
            return SwitchEditor(field)
        case Widget.FILE | Widget.FOLDER:
            return PlaceEditor(field)
        case Widget.COLOUR:
            return ColourEditor(field)
        case _:
            return LineEditor(field)


class Row(QWidget):
    """Title, what stands beside it, the editor, and a sentence when the value is wrong."""

    def __init__(self, editor: Editor) -> None:
        super().__init__()
        self.editor = editor
        field = editor.field
        title = words.label(field.title, "dim")
        title.setToolTip(words.tip(field.help))
        title.setBuddy(editor.focusProxy() or editor)
        self._note: QLabel | None = None
        self._head = head = QHBoxLayout()
        head.setSpacing(8)
        head.addWidget(title)
        head.addStretch(1)
        beside = editor.head()
        if beside is not None:
            head.addWidget(beside)
        self._error = words.label("", "error", wrap=True)
        self._error.hide()
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(4)
        column.addLayout(head)
        if not isinstance(editor, SwitchEditor):
            column.addWidget(editor)
        else:
            editor.setParent(self)
        column.addWidget(self._error)

    def set_error(self, sentence: str) -> None:
        self._error.setText(sentence)
        self._error.setVisible(bool(sentence))
        self.editor.set_wrong(bool(sentence))
        self.editor.setAccessibleDescription(sentence or self.editor.field.help)

    def show_note(self, text: str, *, stale: bool) -> None:
        """What the tool says of the value, in the corner above the editor."""
        if self._note is None:
            if not text:
                return
            self._note = words.label("", "caption")
            self._note.setAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignBottom)
            self._note.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
            self._head.insertWidget(2, self._note, 1)
            self._head.setStretch(1, 0)
        if text != self._note.text():
            self._note.setText(text)
            words.name(self._note, f"{self.editor.field.title}: {text}" if text else "", text)
        words.set_flag(self._note, "stale", stale)


class Form(QWidget):
    """`edited` names the field that the artist changed."""

    edited = Signal(str, object)
    unfolded = Signal(bool)

    def __init__(self, fields: Sequence[Field], around: Surroundings, *, unfold: bool = False) -> None:
        super().__init__()
        self._around = around
        self._rows: dict[str, Row] = {}
        self._shown: dict[str, Any] = {}
        self._notes: Mapping[str, str] = {}
        self._stale = False
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(16)
        self._fill(column, [field for field in fields if not field.advanced])
        self._advanced = [field for field in fields if field.advanced]
        self._fold: QPushButton | None = None
        self._folded = QWidget()
        if self._advanced:
            self._add_fold(column)
        column.addWidget(self._folded)
        self._folded.hide()
        if self._fold is not None and unfold:
            self._fold.setChecked(True)

    def _fill(self, column: QVBoxLayout, fields: Sequence[Field]) -> None:
        group = ""
        for field in fields:
            if field.group != group:
                group = field.group
                if group:
                    column.addSpacing(4)
                    column.addWidget(words.label(group, "heading"))
            editor = editor_for(field, self._around)
            editor.edited.connect(lambda editor=editor: self._edited(editor))
            row = Row(editor)
            self._rows[field.name] = row
            column.addWidget(row)

    def _fill_folded(self) -> None:
        """On first use: most forms are never unfolded."""
        if self._folded.layout() is not None:
            return
        column = QVBoxLayout(self._folded)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(16)
        self._fill(column, self._advanced)
        for field in self._advanced:
            if field.name in self._shown:
                self._rows[field.name].editor.show_value(self._shown[field.name])
        self.show_notes(self._notes, stale=self._stale)

    def _add_fold(self, column: QVBoxLayout) -> None:
        self._fold = QPushButton("More settings")
        self._fold.setCheckable(True)
        self._fold.setProperty("role", "fold")
        self._fold.setCursor(Qt.CursorShape.PointingHandCursor)
        words.name(self._fold, "More settings", "Shows or hides what is seldom changed")
        self._fold.toggled.connect(self._toggle)
        self._show_arrow(False)
        column.addWidget(self._fold)

    def editor(self, name: str) -> Editor:
        if name not in self._rows:
            self._fill_folded()
        return self._rows[name].editor

    def show_value(self, name: str, value: Any) -> None:
        self._shown[name] = value
        if row := self._rows.get(name):
            row.editor.show_value(value)

    def show_notes(self, notes: Mapping[str, str], *, stale: bool) -> None:
        """A few words beside each field that has some; `stale` ones are dim."""
        self._notes, self._stale = notes, stale
        for name, row in self._rows.items():
            row.show_note(notes.get(name, ""), stale=stale)

    def set_errors(self, errors: dict[str, str], *, focus: bool = False) -> None:
        """Puts each sentence under its field; with `focus` goes to the first."""
        if self._fold is not None and any(field.name in errors for field in self._advanced):
            self._fold.setChecked(True)
        for name, row in self._rows.items():
            row.set_error(errors.get(name, ""))
        first = next((name for name in self._rows if name in errors), None)
        if first is not None and focus:
            self._rows[first].editor.setFocus(Qt.FocusReason.OtherFocusReason)

    def clear_error(self, name: str) -> None:
        if row := self._rows.get(name):
            row.set_error("")

    def _edited(self, editor: Editor) -> None:
        self.clear_error(editor.field.name)
        self.edited.emit(editor.field.name, editor.value())

    def _toggle(self, on: bool) -> None:
        self._fill_folded()
        self._show_arrow(on)
        self._folded.setVisible(on)
        self.unfolded.emit(on)

    def _show_arrow(self, on: bool) -> None:
        if self._fold is not None:
            self._fold.setIcon(icons.icon("chevron-down" if on else "chevron-right"))
