"""Adding images, files, folders or models to the form: all at once, within the limits of its lists, with a way back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from studio.core.descriptor import Field, Widget
from studio.core.humanize import group_digits
from studio.state.form.workspace import Workspace
from studio.state.notices import Notices
from studio.state.undo_stack import UndoStack

_NOUNS = {Widget.FILE: "file", Widget.FOLDER: "folder", Widget.MODEL: "model"}


class ListAdditions:
    def __init__(self, workspace: Workspace, undo: UndoStack, notices: Notices) -> None:
        self._workspace, self._undo, self._notices = workspace, undo, notices

    def add(self, name: str, values: Sequence[str]) -> None:
        """Add values to a list, as one change of the form. What the list does not take is said."""
        field = next((field for field in self._workspace.fields if field.name == name), None)
        if field is None or not values:
            return
        before = list(self._workspace.value(name) or [])
        taken = values[: _count_free(field, len(before))]
        self._put({name: [*before, *taken]}, field)
        if len(taken) < len(values):
            self._report(field, len(taken), len(values), f"the list takes {group_digits(field.max_items or 0)}")

    def put_images(self, paths: Sequence[str]) -> None:
        """Put images into the empty fields for one, then into a list; without both, into the first field."""
        fields = [field for field in self._workspace.fields if field.widget is Widget.IMAGE]
        if not fields or not paths:
            if not fields:
                self._notices.info("This tool has no input for an image. Choose another tool first.")
            return
        values: dict[str, Any] = {}
        rest = list(paths)
        singles = [field for field in fields if not field.many]
        many = next((field for field in fields if field.many), None)
        for field in singles:
            if rest and not self._workspace.value(field.name):
                values[field.name] = rest.pop(0)
        if many and rest:
            before = list(self._workspace.value(many.name) or [])
            taken = rest[: _count_free(many, len(before))]
            values[many.name] = [*before, *taken]
            rest = rest[len(taken) :]
        elif not values:
            values[fields[0].name] = rest.pop(0)
        self._put(values, fields[0])
        if rest and many:
            limit = f"the list takes {group_digits(many.max_items or 0)}"
            self._report(many, len(paths) - len(rest), len(paths), limit)
        elif rest:
            self._report(fields[0], len(paths) - len(rest), len(paths), f"the tool takes {len(fields)}")

    def _put(self, values: Mapping[str, Any], field: Field) -> None:
        tool = self._workspace.tool
        before = {name: self._workspace.value(name) for name in values}
        if tool is None or before == values:
            return

        def put(these: Mapping[str, Any]) -> None:
            self._workspace.choose(tool.id)
            for name, value in these.items():
                self._workspace.set_value(name, value)

        self._undo.do(f"adding {_noun(field, 2)}", lambda: put(values), lambda: put(before))

    def _report(self, field: Field, added: int, total: int, limit: str) -> None:
        count = f"{group_digits(added)} of {group_digits(total)} {_noun(field, total)}"
        subject = f"{count} {'was' if added == 1 else 'were'}" if added else f"No {_noun(field, 1)} was"
        self._notices.info(f"{subject} added; {limit}.")


def _count_free(field: Field, count: int) -> int | None:
    """Return how many values a list takes besides those that it has; None for any number."""
    return None if field.max_items is None else max(0, field.max_items - count)


def _noun(field: Field, count: int) -> str:
    return _NOUNS.get(field.widget, "image") + ("" if count == 1 else "s")
