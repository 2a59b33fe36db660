"""Masks, from the form to the canvas and back: what is painted becomes the value of its field."""

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
"""What was painted is in a file this long after a stroke."""


@dataclass
class MaskSession:
    """One mask of one field. `path` is the file that the field has, as far as it was written from here."""

    tool: str
    field: str
    picture_field: str
    picture: str
    path: str | None
    feather: int = 0


class MaskController(QObject):
    """Nothing is lost on the way: each stroke is saved soon after it, and at once before anything reads it."""

    def __init__(self, session: Session, canvas: Canvas, thumbnails: ThumbnailLoader, parent: QObject) -> None:
        super().__init__(parent)
        self._session, self._canvas, self._thumbnails = session, canvas, thumbnails
        self._mode = canvas.mask_mode
        self._sittings: WeakKeyDictionary[MaskLayer, MaskSession] = WeakKeyDictionary()
        self._layer: MaskLayer | None = None
        self._last: MaskLayer | None = None
        self._opening: MaskLayer | None = None
        self._dirty = self._giving = False
        self._saves = self._given = 0
        self._timer = QTimer(self, interval=SAVE_MS, singleShot=True)
        self._timer.timeout.connect(self._save)
        self._connect()
        self._offer()

    def _connect(self) -> None:
        session, mode = self._session, self._mode
        mode.push = session.undo.push
        mode.undone = self._stepped
        mode.changed.connect(self._painted)
        mode.switched.connect(lambda on: None if on else self._left())
        actions = self._canvas.mask_actions
        actions.brush.triggered.connect(self._take_brush)
        actions.done.triggered.connect(mode.end)
        session.workspace.tool_changed.connect(self._tool_changed)
        session.workspace.value_changed.connect(self._value_changed)
        session.workspace.values_replaced.connect(self._values_replaced)
        session.making.beginning.connect(lambda: self._save(at_once=True))
        session.making.drafting.connect(self._stay)
        session.library_ready.connect(self._sweep)

    # Ways in
    def paint(self, field: str) -> None:
        """Puts the picture that this mask is for on the canvas, and the brush into the hand."""
        workspace = self._session.workspace
        tool, beside = workspace.tool, self._picture_field()
        if tool is None:
            return
        if not beside:
            self._session.notices.info("This tool takes no picture that a mask could be painted on.")
            return
        picture = workspace.value(beside)
        if not picture:
            self._session.making.fields_refused.emit({beside: "Choose a picture first: the mask is painted on it."})
            return
        now = self._sittings.get(self._layer) if self._layer else None
        if now is not None and (now.tool, now.field) == (tool.id, field):
            return  # it is on the canvas already
        value = workspace.value(field)
        sitting = MaskSession(tool.id, field, beside, str(picture), str(value) if value else None)
        last = self._last
        if last is not None and self._is_same(self._sittings[last], sitting):
            self._open(last, self._sittings[last])
        else:
            self._open(None, sitting)

    def picture_path_of(self, field: str) -> str:
        """The path of the picture that a mask belongs to; empty where there is none yet."""
        beside = self._picture_field()
        return str(self._session.workspace.value(beside) or "") if beside and field else ""

    def close(self) -> None:
        self._mode.end()

    def _picture_field(self) -> str:
        fields = self._session.workspace.fields
        return masks.picture_beside((field.name, field.many) for field in fields if field.widget is Widget.IMAGE)

    def _mask_fields(self) -> list[str]:
        fields = self._session.workspace.fields
        return [field.name for field in fields if field.widget is Widget.MASK and not field.many]

    def _take_brush(self) -> None:
        if self._mode.on:
            self._mode.paint()
        elif found := self._mask_fields():
            self.paint(found[0])

    def _open(self, layer: MaskLayer | None, sitting: MaskSession) -> None:
        self._session.look_away()
        self._opening = layer

        def load(size: QSize) -> tuple[MaskLayer, str]:
            if layer is not None and layer.size == size:
                return layer, ""
            if sitting.path is None:
                return MaskLayer(size), ""
            try:
                mask = masks.read(Path(sitting.path), size)
            except StudioError as error:
                return MaskLayer(size), str(error)
            sitting.feather = mask.feather
            sentence = masks.scaled_sentence(mask.scaled_from, size) if mask.scaled_from else ""
            return MaskLayer(size, mask.image), sentence

        def begin(loaded: tuple[MaskLayer, str]) -> None:
            ready, sentence = loaded
            self._opening, self._layer, self._last = None, ready, ready
            self._sittings[ready] = sitting
            self._mode.begin(ready, sitting.feather)
            if sentence:
                self._session.notices.info(sentence)
            if self._dirty:
                self._timer.start()

        self._canvas.show_for_mask(Path(sitting.picture), load, begin)

    def _is_same(self, one: MaskSession, other: MaskSession) -> bool:
        return (one.tool, one.field, one.picture, one.path) == (other.tool, other.field, other.picture, other.path)

    # What was painted becomes the value
    def _painted(self) -> None:
        self._dirty = True
        if self._layer is not None:
            self._sittings[self._layer].feather = self._mode.feather
        if not self._timer.isActive():
            self._timer.start()

    def _save(self, *, at_once: bool = False) -> None:
        """`at_once`: the field names the file already, which is written before other work of the session."""
        layer = self._layer
        self._timer.stop()
        if layer is None or not self._dirty:
            return
        self._dirty = False
        self._saves += 1
        turn, sitting = self._saves, self._sittings[layer]
        if layer.empty:
            self._give(turn, sitting, None)
            return
        path, image, feather = masks.new_path(self._session.home), layer.copy(), sitting.feather
        if at_once:
            self._give(turn, sitting, str(path))

        def written(_: None) -> None:
            self._give(turn, sitting, str(path))
            self._thumbnails.request(str(path))

        self._session.work(lambda: masks.write(path, image, feather), written)

    def _give(self, turn: int, sitting: MaskSession, path: str | None) -> None:
        if turn <= self._given:  # a later one is there, or the artist chose another
            return
        self._given, sitting.path = turn, path
        self._giving = True
        self._session.workspace.set_value_of(sitting.tool, sitting.field, path)
        self._giving = False

    # Ways out
    def _left(self) -> None:
        self._save(at_once=True)
        self._layer = None

    def _drop(self) -> None:
        """The field got another mask: what is painted here is no longer its value."""
        self._timer.stop()
        self._dirty, self._given = False, self._saves
        self._mode.end()

    def _tool_changed(self) -> None:
        self._offer()
        tool = self._session.workspace.tool
        sitting = self._sittings.get(self._layer) if self._layer else None
        if sitting and (tool is None or tool.id != sitting.tool or sitting.field not in self._mask_fields()):
            self._mode.end()

    def _value_changed(self, name: str) -> None:
        if self._giving or self._layer is None:
            return
        sitting = self._sittings[self._layer]
        if name == sitting.field:
            self._drop()
        elif name == sitting.picture_field:
            self._mode.end()

    def _values_replaced(self) -> None:
        if self._layer is None:
            return
        sitting, workspace = self._sittings[self._layer], self._session.workspace
        if workspace.value(sitting.field) != sitting.path:
            self._drop()
        elif str(workspace.value(sitting.picture_field)) != sitting.picture:
            self._mode.end()

    def _stay(self) -> None:
        """Drafts of a live tool do not take the picture away that is painted on."""
        if self._mode.on:
            self._session.look_away()

    # Undo
    def _stepped(self, layer: MaskLayer, rect: QRect) -> None:
        """A step on a mask that was left comes back to it, so that it is seen what happens."""
        if layer is self._layer:
            self._mode.show_change(layer, rect)
            return
        sitting, workspace = self._sittings[layer], self._session.workspace
        if self._opening is layer:
            return
        self._mode.end()
        workspace.choose(sitting.tool)
        if workspace.tool is None or workspace.tool.id != sitting.tool:
            return
        self._giving = True
        workspace.set_value(sitting.picture_field, sitting.picture)
        self._giving = False
        self._dirty = True
        self._open(layer, sitting)

    def _offer(self) -> None:
        self._canvas.mask_actions.brush.setEnabled(bool(self._mask_fields()) and bool(self._picture_field()))

    def _sweep(self) -> None:
        home, draft = self._session.home, self._session.workspace.draft
        self._session.work(lambda: masks.sweep(home, draft))
