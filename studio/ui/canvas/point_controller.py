"""Connects the point fields of the form to the canvas: the arrows are the value of their field."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from PySide6.QtCore import QObject

from studio.core.descriptor import Field, Widget
from studio.core.point_pairs import PointPair, format_pair, parse_pair
from studio.state.form import masks
from studio.ui.canvas import Canvas

if TYPE_CHECKING:
    from studio.state.session import Session


class PointController(QObject):
    """Opens the points of a field on the canvas. Each arrow that is set, moved or removed can be undone."""

    def __init__(self, session: Session, canvas: Canvas, parent: QObject) -> None:
        super().__init__(parent)
        self._session, self._canvas, self._mode = session, canvas, canvas.point_mode
        self._tool = self._field = self._picture_field = ""
        self._mode.edited.connect(self._on_edited)
        workspace = session.workspace
        workspace.tool_changed.connect(self._mode.end)
        workspace.value_changed.connect(self._on_value_changed)
        workspace.values_replaced.connect(self._show_value)
        session.drafts.drafting.connect(lambda: session.keep_canvas() if self._mode.is_active else None)

    def set_points(self, name: str) -> None:
        """Open the points of a field on the image that they are for; a second call closes them."""
        if self._mode.is_active:
            self._mode.end()
            return
        workspace = self._session.workspace
        field = self._find_field(name)
        images = [(one.name, one.many) for one in workspace.fields if one.widget is Widget.IMAGE]
        picture_field = masks.find_picture_field(images)
        if workspace.tool is None or field is None or not picture_field:
            self._session.notices.info("This tool has no image to set points on.")
            return
        picture = workspace.value(picture_field)
        if not picture:
            self._session.generation.fields_refused.emit(
                {picture_field: "Choose an image first. The points are set on it."}
            )
            return
        self._tool, self._field, self._picture_field = workspace.tool.id, name, picture_field
        self._session.keep_canvas()

        def begin(_: None) -> None:
            self._mode.begin(_parse(workspace.value(name)), field.max_items)

        self._canvas.show_for_mask(Path(str(picture)), lambda _: None, begin)

    def _find_field(self, name: str) -> Field | None:
        return next((field for field in self._session.workspace.fields if field.name == name), None)

    def _on_edited(self, pairs: Sequence[PointPair]) -> None:
        workspace, tool, name = self._session.workspace, self._tool, self._field
        before, after = workspace.value(name), [format_pair(pair) for pair in pairs]

        def put(value: object) -> None:
            workspace.choose(tool)
            workspace.set_value(name, value)

        self._session.undo.do("setting points", lambda: put(after), lambda: put(before))

    def _on_value_changed(self, name: str) -> None:
        if not self._mode.is_active:
            return
        if name == self._field:
            self._show_value()
        elif name == self._picture_field:
            self._mode.end()

    def _show_value(self) -> None:
        if self._mode.is_active:
            self._mode.show_pairs(_parse(self._session.workspace.value(self._field)))


def _parse(value: object) -> list[PointPair]:
    texts = value if isinstance(value, list) else []
    return [pair for text in texts if (pair := parse_pair(str(text))) is not None]
