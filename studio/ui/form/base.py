"""The base class of all editors, and the functions of the window that they need."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar

from PySide6.QtCore import Qt, Signal, SignalInstance
from PySide6.QtGui import QImage, QWheelEvent
from PySide6.QtWidgets import QWidget
from shiboken6 import isValid

from studio.core.descriptor import Field, ToolDescriptor
from studio.ui.widgets.thumbnail_loader import ThumbnailLoader

T = TypeVar("T")


class ModelOption(Protocol):
    """A model that can be chosen, as `library.models` describes it."""

    @property
    def name(self) -> str: ...

    @property
    def title(self) -> str: ...

    @property
    def kind(self) -> str: ...

    @property
    def summary(self) -> str: ...

    @property
    def licence(self) -> str: ...

    @property
    def picture(self) -> str: ...


@dataclass(frozen=True)
class FormServices:
    """The functions of the window that editors call.

    - `list_models` reads the models of a kind and calls back later; `models_changed` tells that they have changed.
    - `save_image` saves a pasted image and calls back with its path.
    - `clear_value` sets a field to an empty value, and `add_to_list` adds values to a list and says how many the list
      did not take; both can be undone.
    - `paint_mask` opens the mask of a field on the canvas; `picture_path_of` returns the path of its picture.
    - `set_points` opens the points of a field on the canvas, and closes them if they are open.
    - `generate_from_drop` takes the name of a field, the model of a tile, and the files dropped on that tile.
    - `training_tools` returns the tools that make models; `choose_tool` opens one.
    """

    thumbnails: ThumbnailLoader
    list_models: Callable[[str, Callable[[Sequence[ModelOption]], None]], None]
    models_changed: SignalInstance
    save_image: Callable[[QImage, Callable[[Path], None]], None]
    clear_value: Callable[[str, Any], None]
    add_to_list: Callable[[str, Sequence[str]], None]
    paint_mask: Callable[[str], None]
    picture_path_of: Callable[[str], str]
    set_points: Callable[[str], None]
    generate_from_drop: Callable[[str, str, Sequence[Path]], None]
    training_tools: Callable[[], Sequence[ToolDescriptor]]
    choose_tool: Callable[[str], None]


def guard_callback(widget: QWidget, then: Callable[[T], None]) -> Callable[[T], None]:
    """Return `then` as a callback that does nothing once the widget is deleted, for example with its form."""

    def answer(value: T) -> None:
        if isValid(widget):
            then(value)

    return answer


class Editor(QWidget):
    """Show and edit one value.

    `edited` is emitted for changes by the artist only, not by `show_value`.
    """

    edited = Signal()

    def __init__(self, field: Field, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.field = field

    def value(self) -> Any:
        raise NotImplementedError

    def show_value(self, value: Any) -> None:
        raise NotImplementedError

    def header_widget(self) -> QWidget | None:
        """Return the widget at the right of the title, such as a number, or None."""
        return None

    def set_invalid(self, invalid: bool) -> None:
        """Mark the widget as having an invalid value, or clear the mark."""


class WheelFocusMixin:
    """A mixin whose widgets take the mouse wheel only with the focus, so that the wheel scrolls the form.

    Put it before the widget's class among the bases.
    """

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)  # type: ignore[attr-defined]

    def wheelEvent(self, event: QWheelEvent) -> None:
        if self.hasFocus():  # type: ignore[attr-defined]
            super().wheelEvent(event)  # type: ignore[misc]
        else:
            event.ignore()
