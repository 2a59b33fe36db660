"""Connects the mask fields of the form to the canvas: the painted mask becomes the value of its field."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from PySide6.QtCore import QObject, QRect, QSize, QTimer

from studio.core.descriptor import Widget
from studio.core.errors import StudioError
from studio.state.form import masks
from studio.ui.canvas import Canvas
from studio.ui.canvas.mask import MaskLayer
from studio.ui.widgets.thumbnail_loader import ThumbnailLoader

if TYPE_CHECKING:
    from studio.state.session import Session

SAVE_MS = 400
"""Milliseconds after a stroke until the mask is saved."""


@dataclass
class MaskSession:
    """One mask of one field. `path` is the file of the mask as it was last saved or opened, or None."""

    tool: str
    field: str
    picture_field: str
    picture: str
    path: str | None
    feather: int = 0


class MaskController(QObject):
    """Opens masks on the canvas, and saves each stroke soon after it, or immediately before a job reads the mask."""

    def __init__(self, session: Session, canvas: Canvas, thumbnails: ThumbnailLoader, parent: QObject) -> None:
        super().__init__(parent)
        self._session, self._canvas, self._thumbnails = session, canvas, thumbnails
        self._mode = canvas.mask_mode
        self._mask_sessions: WeakKeyDictionary[MaskLayer, MaskSession] = WeakKeyDictionary()
        self._layer: MaskLayer | None = None
        self._last_layer: MaskLayer | None = None
        self._loading_layer: MaskLayer | None = None
        self._dirty = self._is_setting = False
        self._save_count = self._last_set = 0
        self._timer = QTimer(self, interval=SAVE_MS, singleShot=True)
        self._timer.timeout.connect(self._save)
        self._connect()
        self._update_action()

    def _connect(self) -> None:
        session, mode = self._session, self._mode
        mode.push_command = session.undo.push
        mode.on_undo = self._on_undo
        mode.changed.connect(self._on_painted)
        mode.switched.connect(lambda on: None if on else self._on_mode_ended())
        actions = self._canvas.mask_actions
        actions.brush.triggered.connect(self._start_painting)
        actions.done.triggered.connect(mode.end)
        session.workspace.tool_changed.connect(self._on_tool_changed)
        session.workspace.value_changed.connect(self._on_value_changed)
        session.workspace.values_replaced.connect(self._on_values_replaced)
        session.generation.about_to_generate.connect(lambda: self._save(at_once=True))
        session.drafts.drafting.connect(self._keep_picture)
        session.library_ready.connect(self._remove_old_masks)

    # Ways in
    def paint(self, field: str) -> None:
        """Open the mask of a field on the canvas, over the picture that it is for, and select the brush."""
        workspace = self._session.workspace
        tool, picture_field = workspace.tool, self._picture_field()
        if tool is None:
            return
        if not picture_field:
            self._session.notices.info("This tool has no image to paint a mask on.")
            return
        picture = workspace.value(picture_field)
        if not picture:
            self._session.generation.fields_refused.emit(
                {picture_field: "Choose an image first. The mask is painted on it."}
            )
            return
        current = self._mask_sessions.get(self._layer) if self._layer else None
        if current is not None and (current.tool, current.field) == (tool.id, field):
            return  # already open
        value = workspace.value(field)
        mask_session = MaskSession(tool.id, field, picture_field, str(picture), str(value) if value else None)
        last = self._last_layer
        if last is not None and self._is_same(self._mask_sessions[last], mask_session):
            self._open(last, self._mask_sessions[last])
        else:
            self._open(None, mask_session)

    def picture_path_of(self, field: str) -> str:
        """Return the path of the picture that a mask is for, or an empty string."""
        picture_field = self._picture_field()
        return str(self._session.workspace.value(picture_field) or "") if picture_field and field else ""

    def close(self) -> None:
        self._mode.end()

    def _picture_field(self) -> str:
        fields = self._session.workspace.fields
        return masks.find_picture_field((field.name, field.many) for field in fields if field.widget is Widget.IMAGE)

    def _mask_fields(self) -> list[str]:
        fields = self._session.workspace.fields
        return [field.name for field in fields if field.widget is Widget.MASK and not field.many]

    def _start_painting(self) -> None:
        if self._mode.is_active:
            self._mode.select_brush()
        elif fields := self._mask_fields():
            self.paint(fields[0])

    def _open(self, layer: MaskLayer | None, mask_session: MaskSession) -> None:
        self._session.keep_canvas()
        self._loading_layer = layer

        def load(size: QSize) -> tuple[MaskLayer, str]:
            if layer is not None and layer.size == size:
                return layer, ""
            if mask_session.path is None:
                return MaskLayer(size), ""
            try:
                mask = masks.read(Path(mask_session.path), size)
            except StudioError as error:
                return MaskLayer(size), str(error)
            mask_session.feather = mask.feather
            sentence = masks.describe_scaling(mask.scaled_from, size) if mask.scaled_from else ""
            return MaskLayer(size, mask.image), sentence

        def begin(loaded: tuple[MaskLayer, str]) -> None:
            ready, sentence = loaded
            self._loading_layer, self._layer, self._last_layer = None, ready, ready
            self._mask_sessions[ready] = mask_session
            self._mode.begin(ready, mask_session.feather)
            if sentence:
                self._session.notices.info(sentence)
            if self._dirty:
                self._timer.start()

        self._canvas.show_for_mask(Path(mask_session.picture), load, begin)

    def _is_same(self, first: MaskSession, second: MaskSession) -> bool:
        keys = [(item.tool, item.field, item.picture, item.path) for item in (first, second)]
        return keys[0] == keys[1]

    # What was painted becomes the value
    def _on_painted(self) -> None:
        self._dirty = True
        if self._layer is not None:
            self._mask_sessions[self._layer].feather = self._mode.feather
        if not self._timer.isActive():
            self._timer.start()

    def _save(self, *, at_once: bool = False) -> None:
        """Save the mask on a thread. With `at_once` the field gets the path before the file is written."""
        layer = self._layer
        self._timer.stop()
        if layer is None or not self._dirty:
            return
        self._dirty = False
        self._save_count += 1
        turn, mask_session = self._save_count, self._mask_sessions[layer]
        if layer.is_empty:
            self._set_value(turn, mask_session, None)
            return
        path, image, feather = masks.new_path(self._session.home), layer.copy(), mask_session.feather
        if at_once:
            self._set_value(turn, mask_session, str(path))

        def show_saved(_: None) -> None:
            self._set_value(turn, mask_session, str(path))
            self._thumbnails.request(str(path))

        self._session.tasks.run(lambda: masks.write(path, image, feather), show_saved)

    def _set_value(self, turn: int, mask_session: MaskSession, path: str | None) -> None:
        if turn <= self._last_set:  # a later mask is set, or the artist chose another
            return
        self._last_set, mask_session.path = turn, path
        self._is_setting = True
        self._session.workspace.set_value_of(mask_session.tool, mask_session.field, path)
        self._is_setting = False

    # Ways out
    def _on_mode_ended(self) -> None:
        self._save(at_once=True)
        self._layer = None

    def _abandon(self) -> None:
        """Close the mask without saving, because the field has another value."""
        self._timer.stop()
        self._dirty, self._last_set = False, self._save_count
        self._mode.end()

    def _on_tool_changed(self) -> None:
        self._update_action()
        tool = self._session.workspace.tool
        mask_session = self._mask_sessions.get(self._layer) if self._layer else None
        if mask_session and (
            tool is None or tool.id != mask_session.tool or mask_session.field not in self._mask_fields()
        ):
            self._mode.end()

    def _on_value_changed(self, name: str) -> None:
        if self._is_setting or self._layer is None:
            return
        mask_session = self._mask_sessions[self._layer]
        if name == mask_session.field:
            self._abandon()
        elif name == mask_session.picture_field:
            self._mode.end()

    def _on_values_replaced(self) -> None:
        if self._layer is None:
            return
        mask_session, workspace = self._mask_sessions[self._layer], self._session.workspace
        if workspace.value(mask_session.field) != mask_session.path:
            self._abandon()
        elif str(workspace.value(mask_session.picture_field)) != mask_session.picture:
            self._mode.end()

    def _keep_picture(self) -> None:
        """Keep the picture on the canvas while a mask is painted, in place of drafts of a live tool."""
        if self._mode.is_active:
            self._session.keep_canvas()

    # Undo
    def _on_undo(self, layer: MaskLayer, rect: QRect) -> None:
        """Show an undone or redone step, and open the mask again if it was closed."""
        if layer is self._layer:
            self._mode.show_change(layer, rect)
            return
        mask_session, workspace = self._mask_sessions[layer], self._session.workspace
        if self._loading_layer is layer:
            return
        self._mode.end()
        workspace.choose(mask_session.tool)
        if workspace.tool is None or workspace.tool.id != mask_session.tool:
            return
        self._is_setting = True
        workspace.set_value(mask_session.picture_field, mask_session.picture)
        self._is_setting = False
        self._dirty = True
        self._open(layer, mask_session)

    def _update_action(self) -> None:
        self._canvas.mask_actions.brush.setEnabled(bool(self._mask_fields()) and bool(self._picture_field()))

    def _remove_old_masks(self) -> None:
        home, draft = self._session.home, self._session.workspace.draft
        self._session.tasks.run(lambda: masks.remove_unused(home, draft))
