"""The bar for painting a mask. It replaces the view bar while a mask is painted."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

from PySide6.QtCore import QSize, Qt, Signal
from PySide6.QtGui import QAction, QColor, QKeySequence, QPainter, QPaintEvent
from PySide6.QtWidgets import QGridLayout, QHBoxLayout, QPushButton, QSlider, QVBoxLayout, QWidget

from studio.ui.canvas.brush import MAX_SIZE, MIN_SIZE
from studio.ui.canvas.mask_mode import MAX_FEATHER, MaskMode
from studio.ui.canvas.overlay_bars import FloatingBar
from studio.ui.theme import icons, theme
from studio.ui.widgets import labels

STEPS = 100
SLIDER, NARROW_SLIDER = 96, 80


class MaskActions:
    """Actions for painting a mask. Only `brush` is enabled before a mask is opened; it opens one."""

    def __init__(self, mode: MaskMode, owner: QWidget) -> None:
        self.brush = _make_action(owner, "Paint mask", "brush", "B")
        self.eraser = _make_action(owner, "Erase mask", "eraser", "E")
        self.smaller = _make_action(owner, "Smaller brush", "minus", "[")
        self.larger = _make_action(owner, "Larger brush", "plus", "]")
        self.invert = _make_action(owner, "Invert mask", "invert-colors", "Ctrl+I")
        self.clear = _make_action(owner, "Clear mask", "broom", "Ctrl+Backspace")
        self.done = _make_action(owner, "Finish mask", "check", "Esc")
        self.eraser.triggered.connect(lambda: mode.set_brush(replace(mode.brush, erases=True)))
        self.smaller.triggered.connect(lambda: mode.set_brush(mode.brush.smaller()))
        self.larger.triggered.connect(lambda: mode.set_brush(mode.brush.larger()))
        self.invert.triggered.connect(mode.invert)
        self.clear.triggered.connect(mode.clear)
        mode.switched.connect(self._update_actions)
        self._update_actions(False)

    @property
    def all(self) -> list[QAction]:
        return [self.brush, *self.painting]

    @property
    def painting(self) -> list[QAction]:
        return [self.eraser, self.smaller, self.larger, self.invert, self.clear, self.done]

    def _update_actions(self, on: bool) -> None:
        for action in self.painting:
            action.setEnabled(on)


class LabelledSlider(QWidget):
    """A slider with a title and a value above it."""

    moved = Signal(float)
    """Emitted with the position, 0..1."""

    def __init__(self, title: str, hint: str) -> None:
        super().__init__()
        self._value = labels.make_label("", "caption")
        self.slider = QSlider(Qt.Orientation.Horizontal)
        self.slider.setRange(0, STEPS)
        self.slider.setFixedWidth(SLIDER)
        labels.describe(self.slider, title, hint)
        self.slider.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        self.slider.valueChanged.connect(lambda step: self.moved.emit(step / STEPS))
        head = QHBoxLayout()
        head.addWidget(labels.make_label(title, "caption"))
        head.addStretch(1)
        head.addWidget(self._value)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(0)
        column.addLayout(head)
        column.addWidget(self.slider)

    def show_value(self, fraction: float, text: str) -> None:
        self._value.setText(text)
        self.slider.blockSignals(True)
        self.slider.setValue(round(fraction * STEPS))
        self.slider.blockSignals(False)


class BarSeparator(QWidget):
    """A thin vertical line."""

    def __init__(self) -> None:
        super().__init__()
        self.setFixedSize(1, 28)

    def paintEvent(self, event: QPaintEvent) -> None:
        QPainter(self).fillRect(event.rect(), QColor(theme.COLOURS.border))


class MaskBar(FloatingBar):
    """Brush, eraser, their size and hardness, mask blur, and Done. Two rows if one is too long."""

    def __init__(self, mode: MaskMode, actions: MaskActions, parent: QWidget) -> None:
        super().__init__("Mask tools", parent)
        self._mode = mode
        self.brush = _make_button("Brush", actions.brush, "Paint the area that should change")
        self.eraser = _make_button("Eraser", actions.eraser, "Remove areas from the mask")
        for choice in (self.brush, self.eraser):
            choice.setCheckable(True)
        self.size_slider = LabelledSlider("Size", "Brush diameter in pixels of the image  [  ]")
        self.hardness_slider = LabelledSlider("Hardness", "Sharpness of the brush's edge")
        self.feather_slider = LabelledSlider("Mask blur", "Soften the edge of the mask so that the result blends in")
        self.invert = _make_button("", actions.invert, "Swap the masked and the unmasked area")
        self.clear = _make_button("", actions.clear, "Remove the whole mask")
        self.done = QPushButton("Done")
        labels.describe(self.done, "Done", "Keep the mask and stop painting  Esc")
        self.done.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        self.done.clicked.connect(actions.done.trigger)
        self._tools, self._dials, self._ends = QWidget(), QWidget(), QWidget()
        self._lines = (BarSeparator(), BarSeparator())
        self._grid = QGridLayout()
        self._narrow: bool | None = None
        self._lay_out()
        self._connect()
        self.hide()

    def _lay_out(self) -> None:
        parts = {
            self._tools: (theme.SPACE, (self.brush, self.eraser)),
            self._dials: (4 * theme.SPACE, (self.size_slider, self.hardness_slider, self.feather_slider)),
            self._ends: (theme.SPACE, (self.invert, self.clear, self.done)),
        }
        for part, (space, widgets) in parts.items():
            row = QHBoxLayout(part)
            row.setContentsMargins(0, 0, 0, 0)
            row.setSpacing(space)
            for widget in widgets:
                row.addWidget(widget)
        self._grid.setHorizontalSpacing(3 * theme.SPACE)
        self._grid.setVerticalSpacing(theme.SPACE)
        self.row.addLayout(self._grid)
        self._arrange(narrow=False)

    def _connect(self) -> None:
        mode = self._mode
        self.size_slider.moved.connect(lambda fraction: mode.set_brush(replace(mode.brush, size=_size_at(fraction))))
        self.hardness_slider.moved.connect(lambda fraction: mode.set_brush(replace(mode.brush, hardness=fraction)))
        self.feather_slider.moved.connect(lambda fraction: mode.set_feather(round(MAX_FEATHER * fraction**2)))
        mode.settings_changed.connect(self.show_settings)

    def show_settings(self) -> None:
        brush, feather = self._mode.brush, self._mode.feather
        self.brush.setChecked(not brush.erases)
        self.eraser.setChecked(brush.erases)
        self.size_slider.show_value(_fraction_of(brush.size), f"{brush.size} px")
        self.hardness_slider.show_value(brush.hardness, f"{brush.hardness:.0%}".replace("%", " %"))
        self.feather_slider.show_value(math.sqrt(feather / MAX_FEATHER), f"{feather} px")

    def fit_width(self, width: int) -> None:
        """Use one row if it fits into `width`, otherwise two, with icons in place of tool names."""
        self._arrange(narrow=False)
        if self.sizeHint().width() > width:
            self._arrange(narrow=True)
        self.resize(self.sizeHint())

    def _arrange(self, *, narrow: bool) -> None:
        if narrow == self._narrow:
            return
        self._narrow = narrow
        parts: tuple[QWidget, ...] = (self._tools, self._lines[0], self._dials, self._lines[1], self._ends)
        for part in parts:
            self._grid.removeWidget(part)
        if narrow:
            self._grid.addWidget(self._tools, 0, 0, Qt.AlignmentFlag.AlignLeft)
            self._grid.addWidget(self._ends, 0, 1, Qt.AlignmentFlag.AlignRight)
            self._grid.addWidget(self._dials, 1, 0, 1, 2)
        else:
            for column, part in enumerate(parts):
                self._grid.addWidget(part, 0, column)
        for line in self._lines:
            line.setVisible(not narrow)
        for dial in (self.size_slider, self.hardness_slider, self.feather_slider):
            dial.slider.setFixedWidth(NARROW_SLIDER if narrow else SLIDER)
        for button, title in ((self.brush, "Brush"), (self.eraser, "Eraser")):
            button.setText("" if narrow else title)
        # From the inside out, for the new size is asked for before Qt would come to it.
        for part in (self.size_slider, self.hardness_slider, self.feather_slider, self._tools, self._dials, self._ends):
            if (layout := part.layout()) is not None:
                layout.activate()
            part.updateGeometry()
        self.row.activate()


def _size_at(fraction: float) -> int:
    return round(MIN_SIZE * math.pow(MAX_SIZE / MIN_SIZE, fraction))


def _fraction_of(size: int) -> float:
    return math.log(size / MIN_SIZE) / math.log(MAX_SIZE / MIN_SIZE)


def _lower_first(text: str) -> str:
    return text[:1].lower() + text[1:]


def _make_action(owner: QWidget, text: str, icon: str, key: str) -> QAction:
    action = QAction(icons.icon(icon, "text"), text, owner)
    action.setShortcut(QKeySequence(key))
    owner.addAction(action)
    return action


def _make_button(text: str, action: QAction, hint: str) -> QPushButton:
    """Return a button for an action. Without a text it shows only its icon."""
    button = QPushButton(text)
    button.setProperty("role", "ghost")
    button.setIcon(action.icon())
    button.setIconSize(QSize(18, 18))
    if not text:
        button.setFixedWidth(36)
        button.setStyleSheet("padding: 5px 0px;")
    labels.describe(
        button, text or action.text(), f"{text or action.text()}: {_lower_first(hint)}  {action.shortcut().toString()}"
    )
    button.setFocusPolicy(Qt.FocusPolicy.TabFocus)
    run: Callable[[], object] = action.trigger
    button.clicked.connect(lambda _=False: run())
    return button
