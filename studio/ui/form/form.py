"""The form of a tool: one row per field, in groups, with the advanced ones folded away group by group."""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from typing import Any

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QHBoxLayout, QLabel, QSizePolicy, QVBoxLayout, QWidget

from studio.core.descriptor import Field, Widget
from studio.ui.form.base import Editor, FormServices
from studio.ui.form.choice_field import SwitchEditor, choice_editor
from studio.ui.form.collapsible import CollapsibleGroup
from studio.ui.form.image_field import DropWellEditor
from studio.ui.form.list_field import list_editor
from studio.ui.form.mask_field import MaskEditor
from studio.ui.form.model_tiles import ModelTilesEditor
from studio.ui.form.number_field import NumberEditor
from studio.ui.form.path_field import ModelEditor, PathEditor
from studio.ui.form.text_field import ColourEditor, LineEditor, LinesEditor, MultilineEditor
from studio.ui.widgets import labels

_PLACES = (Widget.IMAGE, Widget.MASK, Widget.FILE, Widget.FOLDER, Widget.MODEL)


def editor_for(field: Field, services: FormServices) -> Editor:
    """The widget that suits a field."""
    if field.many and field.widget in _PLACES:
        return list_editor(field, services)
    match field.widget:
        case Widget.IMAGE:
            return DropWellEditor(field, services)
        case Widget.MASK:
            return MaskEditor(field, services)
        case Widget.MODEL:
            return ModelTilesEditor(field, services) if field.tiles else ModelEditor(field, services)
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
            return MultilineEditor(field)
        case Widget.NUMBER | Widget.WHOLE | Widget.UNIT:
            return NumberEditor(field)
        case Widget.SWITCH:
            return SwitchEditor(field)
        case Widget.FILE | Widget.FOLDER:
            return PathEditor(field)
        case Widget.COLOUR:
            return ColourEditor(field)
        case _:
            return LineEditor(field)


class FieldRow(QWidget):
    """Title, what stands beside it, the editor, and a sentence when the value is wrong."""

    def __init__(self, editor: Editor) -> None:
        super().__init__()
        self.editor = editor
        field = editor.field
        title = labels.make_label(field.title, "dim")
        title.setToolTip(labels.make_tool_tip(field.help))
        title.setBuddy(editor.focusProxy() or editor)
        self._note: QLabel | None = None
        self._head = head = QHBoxLayout()
        head.setSpacing(8)
        head.addWidget(title)
        head.addStretch(1)
        beside = editor.head()
        if beside is not None:
            head.addWidget(beside)
        self._error = labels.make_label("", "error", wrap=True)
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
            self._note = labels.make_label("", "caption")
            self._note.setAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignBottom)
            self._note.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
            self._head.insertWidget(2, self._note, 1)
            self._head.setStretch(1, 0)
        if text != self._note.text():
            self._note.setText(text)
            labels.describe(self._note, f"{self.editor.field.title}: {text}" if text else "", text)
        labels.set_flag(self._note, "stale", stale)


class Form(QWidget):
    """`edited` names the field that the artist changed, `unfolded` the group ("" for none) that was shown or hidden."""

    edited = Signal(str, object)
    unfolded = Signal(str, bool)

    def __init__(self, fields: Sequence[Field], services: FormServices, *, unfold: Container[str] = ()) -> None:
        super().__init__()
        self._services = services
        self._rows: dict[str, FieldRow] = {}
        self._shown: dict[str, Any] = {}
        self._notes: Mapping[str, str] = {}
        self._stale = False
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(16)
        fields = [field for field in fields if field.widget is not Widget.PAGE]
        self._fill(column, [field for field in fields if not field.advanced])
        self._folded: dict[str, list[Field]] = {}
        for field in sorted((field for field in fields if field.advanced), key=lambda field: bool(field.group)):
            self._folded.setdefault(field.group, []).append(field)
        self._folds = {group: self._fold(group) for group in self._folded}
        for group, fold in self._folds.items():
            column.addWidget(fold)
            if group in unfold:
                fold.open()
            fold.toggled.connect(lambda on, group=group: self.unfolded.emit(group, on))

    def _fill(self, column: QVBoxLayout, fields: Sequence[Field], *, headed: bool = True) -> None:
        group = ""
        for field in fields:
            if headed and field.group != group:
                group = field.group
                if group:
                    column.addSpacing(4)
                    column.addWidget(labels.make_label(group, "heading"))
            editor = editor_for(field, self._services)
            editor.edited.connect(lambda editor=editor: self._edited(editor))
            row = FieldRow(editor)
            self._rows[field.name] = row
            column.addWidget(row)

    def _fold(self, group: str) -> CollapsibleGroup:
        return CollapsibleGroup(group, lambda column: self._fill_fold(column, group))

    def _fill_fold(self, column: QVBoxLayout, group: str) -> None:
        self._fill(column, self._folded[group], headed=False)
        for field in self._folded[group]:
            if field.name in self._shown:
                self._rows[field.name].editor.show_value(self._shown[field.name])
        self.show_notes(self._notes, stale=self._stale)

    def _fold_of(self, name: str) -> str | None:
        return next((group for group, fields in self._folded.items() if any(one.name == name for one in fields)), None)

    def has(self, name: str) -> bool:
        return name in self._rows or self._fold_of(name) is not None

    def editor(self, name: str) -> Editor:
        if name not in self._rows and (group := self._fold_of(name)) is not None:
            self._folds[group].filled()
        return self._rows[name].editor

    def show_value(self, name: str, value: Any) -> None:
        self._shown[name] = value
        if row := self._rows.get(name):
            row.editor.show_value(value)
        self._show_changed(name)

    def show_notes(self, notes: Mapping[str, str], *, stale: bool) -> None:
        """A few words beside each field that has some; `stale` ones are dim."""
        self._notes, self._stale = notes, stale
        for name, row in self._rows.items():
            row.show_note(notes.get(name, ""), stale=stale)

    def set_errors(self, errors: dict[str, str], *, focus: bool = False) -> None:
        """Puts each sentence under its field; with `focus` goes to the first."""
        for group, fields in self._folded.items():
            if any(field.name in errors for field in fields):
                self._folds[group].open()
        for name, row in self._rows.items():
            row.set_error(errors.get(name, ""))
        first = next((name for name in self._rows if name in errors), None)
        if first is not None and focus:
            self._rows[first].editor.setFocus(Qt.FocusReason.OtherFocusReason)

    def clear_error(self, name: str) -> None:
        if row := self._rows.get(name):
            row.set_error("")

    def _edited(self, editor: Editor) -> None:
        name = editor.field.name
        self.clear_error(name)
        self._shown[name] = editor.value()
        self._show_changed(name)
        self.edited.emit(name, self._shown[name])

    def _show_changed(self, name: str) -> None:
        """A folded group says that something in it is not as it comes."""
        if (group := self._fold_of(name)) is not None:
            changed = [one for one in self._folded[group] if _is_changed(one, self._shown.get(one.name, one.default))]
            self._folds[group].show_changed(len(changed))


def _is_changed(field: Field, value: Any) -> bool:
    return (value or None) != (field.default or None)
