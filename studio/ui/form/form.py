"""The form of a tool: a row for each field, and a collapsible group for advanced fields."""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from typing import Any

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QHBoxLayout, QLabel, QSizePolicy, QVBoxLayout, QWidget

from studio.core.descriptor import Field, Widget
from studio.ui.form.base import Editor, FormServices
from studio.ui.form.choice_field import SwitchEditor, make_choice_editor
from studio.ui.form.collapsible import CollapsibleGroup
from studio.ui.form.image_field import DropWellEditor
from studio.ui.form.list_field import make_list_editor
from studio.ui.form.mask_field import MaskEditor
from studio.ui.form.model_tiles import ModelTilesEditor
from studio.ui.form.number_field import NumberEditor
from studio.ui.form.pad import Pad
from studio.ui.form.path_field import ModelEditor, PathEditor
from studio.ui.form.points_field import PointsEditor
from studio.ui.form.text_field import ColourEditor, LineEditor, LinesEditor, MultilineEditor
from studio.ui.widgets import labels

_PATH_WIDGETS = (Widget.IMAGE, Widget.MASK, Widget.FILE, Widget.FOLDER, Widget.MODEL)


def make_editor(field: Field, services: FormServices) -> Editor:
    """Return the editor for a field."""
    if field.many and field.widget in _PATH_WIDGETS:
        return make_list_editor(field, services)
    match field.widget:
        case Widget.IMAGE:
            return DropWellEditor(field, services)
        case Widget.MASK:
            return MaskEditor(field, services)
        case Widget.POINTS:
            return PointsEditor(field, services)
        case Widget.MODEL:
            return ModelTilesEditor(field, services) if field.tiles else ModelEditor(field, services)
        case _:
            return make_plain_editor(field)


def make_plain_editor(field: Field) -> Editor:
    """Return the editor for a field that needs nothing of the window: no picture, no model."""
    if field.widget is Widget.CHOICE:
        return make_choice_editor(field)
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
    """A title with its header widget, the editor, and an error sentence."""

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
        header = editor.header_widget()
        if header is not None:
            head.addWidget(header)
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
        self.editor.set_invalid(bool(sentence))
        self.editor.setAccessibleDescription(sentence or self.editor.field.help)

    def show_note(self, text: str, *, stale: bool) -> None:
        """Show the tool's note on the value, such as a token count, at the right above the editor."""
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
    """A form of fields.

    `edited` carries the name and value of a field that the artist changed, `group_toggled` the group that was
    opened or closed ("" for fields without a group).
    """

    edited = Signal(str, object)
    group_toggled = Signal(str, bool)

    def __init__(self, fields: Sequence[Field], services: FormServices, *, open_groups: Container[str] = ()) -> None:
        super().__init__()
        self._services = services
        self._rows: dict[str, FieldRow] = {}
        self._fields = {field.name: field for field in fields}
        self._pads: list[Pad] = []
        self._values: dict[str, Any] = {}
        self._notes: Mapping[str, str] = {}
        self._stale = False
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(16)
        fields = [field for field in fields if field.widget is not Widget.PAGE]
        self._fill(column, [field for field in fields if not field.advanced])
        self._advanced: dict[str, list[Field]] = {}
        for field in sorted((field for field in fields if field.advanced), key=lambda field: bool(field.group)):
            self._advanced.setdefault(field.group, []).append(field)
        self._groups = {group: self._make_group(group) for group in self._advanced}
        for group, fold in self._groups.items():
            column.addWidget(fold)
            if group in open_groups:
                fold.open()
            fold.toggled.connect(lambda on, group=group: self.group_toggled.emit(group, on))

    def _fill(self, column: QVBoxLayout, fields: Sequence[Field], *, headed: bool = True) -> None:
        group = ""
        for field in fields:
            if headed and field.group != group:
                group = field.group
                if group:
                    column.addSpacing(4)
                    column.addWidget(labels.make_label(group, "heading"))
            if field.pad in self._fields:
                column.addWidget(self._make_pad(field))
            editor = make_editor(field, self._services)
            editor.edited.connect(lambda editor=editor: self._on_edited(editor))
            row = FieldRow(editor)
            self._rows[field.name] = row
            column.addWidget(row)

    def _make_pad(self, field: Field) -> Pad:
        pad = Pad(field, self._fields[field.pad])
        pad.moved.connect(self._on_pad_moved)
        for axis in pad.axes:
            if axis.name in self._values:
                pad.show_value(axis.name, self._values[axis.name])
        self._pads.append(pad)
        return pad

    def _on_pad_moved(self, name: str, value: float) -> None:
        editor = self.editor(name)
        editor.show_value(value)
        self._on_edited(editor)

    def _make_group(self, group: str) -> CollapsibleGroup:
        return CollapsibleGroup(group, lambda column: self._fill_group(column, group))

    def _fill_group(self, column: QVBoxLayout, group: str) -> None:
        self._fill(column, self._advanced[group], headed=False)
        for field in self._advanced[group]:
            if field.name in self._values:
                self._rows[field.name].editor.show_value(self._values[field.name])
        self.show_notes(self._notes, stale=self._stale)

    def _group_of(self, name: str) -> str | None:
        return next(
            (group for group, fields in self._advanced.items() if any(field.name == name for field in fields)), None
        )

    def has_field(self, name: str) -> bool:
        return name in self._rows or self._group_of(name) is not None

    def editor(self, name: str) -> Editor:
        if name not in self._rows and (group := self._group_of(name)) is not None:
            self._groups[group].ensure_filled()
        return self._rows[name].editor

    def show_value(self, name: str, value: Any) -> None:
        self._values[name] = value
        if row := self._rows.get(name):
            row.editor.show_value(value)
        self._show_on_pads(name)
        self._show_changed(name)

    def show_notes(self, notes: Mapping[str, str], *, stale: bool) -> None:
        """Show notes by field name. `stale` notes are dim."""
        self._notes, self._stale = notes, stale
        for name, row in self._rows.items():
            row.show_note(notes.get(name, ""), stale=stale)

    def set_errors(self, errors: dict[str, str], *, focus: bool = False) -> None:
        """Show each sentence below its field, and open its group. With `focus`, focus the first such field."""
        for group, fields in self._advanced.items():
            if any(field.name in errors for field in fields):
                self._groups[group].open()
        for name, row in self._rows.items():
            row.set_error(errors.get(name, ""))
        first = next((name for name in self._rows if name in errors), None)
        if first is not None and focus:
            self._rows[first].editor.setFocus(Qt.FocusReason.OtherFocusReason)

    def clear_error(self, name: str) -> None:
        if row := self._rows.get(name):
            row.set_error("")

    def _on_edited(self, editor: Editor) -> None:
        name = editor.field.name
        self.clear_error(name)
        self._values[name] = editor.value()
        self._show_on_pads(name)
        self._show_changed(name)
        self.edited.emit(name, self._values[name])

    def _show_on_pads(self, name: str) -> None:
        for pad in self._pads:
            pad.show_value(name, self._values[name])

    def _show_changed(self, name: str) -> None:
        """Update the number of changed fields in the title of the field's group."""
        if (group := self._group_of(name)) is not None:
            changed = [
                field
                for field in self._advanced[group]
                if _is_changed(field, self._values.get(field.name, field.default))
            ]
            self._groups[group].show_changed(len(changed))


def _is_changed(field: Field, value: Any) -> bool:
    return (value or None) != (field.default or None)
