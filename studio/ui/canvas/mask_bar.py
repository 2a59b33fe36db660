"""The bar for painting a mask, which takes the place of the canvas's tools meanwhile."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

from PySide6.QtCore import QSize, Qt, Signal
from PySide6.QtGui import QAction, QColor, QKeySequence, QPainter, QPaintEvent
from PySide6.QtWidgets import QGridLayout, QHBoxLayout, QPushButton, QSlider, QVBoxLayout, QWidget

from studio.ui.canvas.brush import LARGEST, SMALLEST
from studio.ui.canvas.mask_mode import FEATHER, MaskMode
from studio.ui.canvas.overlay_bars import FloatingBar
from studio.ui.theme import icons, theme
from studio.ui.widgets import labels as words

STEPS = 100
SLIDER, NARROW_SLIDER = 96, 80


class MaskActions:
    """Painting by keys. Only `brush` works before the painting begins: it begins it."""

    def __init__(self, mode: MaskMode, owner: QWidget) -> None:
        self.brush = _action(owner, "Paint the mask", "brush", "B")
        self.eraser = _action(owner, "Erase from the mask", "eraser", "E")
        self.smaller = _action(owner, "Smaller brush", "minus", "[")
        self.larger = _action(owner, "Larger brush", "plus", "]")
        self.invert = _action(owner, "Invert the mask", "invert-colors", "Ctrl+I")
        self.clear = _action(owner, "Clear the mask", "broom", "Ctrl+Backspace")
        self.done = _action(owner, "Done with the mask", "check", "Esc")
        self.eraser.triggered.connect(lambda: mode.set_brush(replace(mode.brush, erases=True)))
        self.smaller.triggered.connect(lambda: mode.set_brush(mode.brush.smaller()))
        self.larger.triggered.connect(lambda: mode.set_brush(mode.brush.larger()))
        self.invert.triggered.connect(mode.invert)
        self.clear.triggered.connect(mode.clear)
        mode.switched.connect(self._enable)
        self._enable(False)

    @property
    def all(self) -> list[QAction]:
        return [self.brush, *self.painting]

    @property
    def painting(self) -> list[QAction]:
        return [self.eraser, self.smaller, self.larger, self.invert, self.clear, self.done]

    def _enable(self, on: bool) -> None:
        for action in self.painting:
            action.setEnabled(on)


class LabelledSlider(QWidget):
    """What it is and how much of it, over a slider."""

    moved = Signal(float)
    """0..1 of the way."""

    def __init__(self, title: str, hint: str) -> None:
        super().__init__()
        self._value = words.make_label("", "caption")
        self.slider = QSlider(Qt.Orientation.Horizontal)
        self.slider.setRange(0, STEPS)
        self.slider.setFixedWidth(SLIDER)
        words.describe(self.slider, title, hint)
        self.slider.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        self.slider.valueChanged.connect(lambda step: self.moved.emit(step / STEPS))
        head = QHBoxLayout()
        head.addWidget(words.make_label(title, "caption"))
        head.addStretch(1)
        head.addWidget(self._value)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(0)
        column.addLayout(head)
        column.addWidget(self.slider)

    def show_value(self, share: float, text: str) -> None:
        self._value.setText(text)
        self.slider.blockSignals(True)
        self.slider.setValue(round(share * STEPS))
        self.slider.blockSignals(False)


class BarSeparator(QWidget):
    """A thin line between groups of tools."""

    def __init__(self) -> None:
        super().__init__()
        self.setFixedSize(1, 28)

    def paintEvent(self, event: QPaintEvent) -> None:
        QPainter(self).fillRect(event.rect(), QColor(theme.COLOURS.border))


class MaskBar(FloatingBar):
    """Brush and eraser, their size and hardness, the feather, and the way out. In two rows where one is too long."""

    def __init__(self, mode: MaskMode, actions: MaskActions, parent: QWidget) -> None:
        super().__init__("Mask tools", parent)
        self._mode = mode
        self.brush = _button("Brush", actions.brush, "Paints where the picture is to change")
        self.eraser = _button("Eraser", actions.eraser, "Takes away from the mask")
        for choice in (self.brush, self.eraser):
            choice.setCheckable(True)
        self.size_dial = LabelledSlider("Size", "The brush's diameter in pixels of the picture  [  ]")
        self.hardness_dial = LabelledSlider("Hardness", "How sharp the brush's edge is")
        self.feather_dial = LabelledSlider("Feather", "Softens the edge of the whole mask, to blend in what is new")
        self.invert = _button("", actions.invert, "Swaps what changes and what stays")
        self.clear = _button("", actions.clear, "Takes all of the mask away")
        self.done = QPushButton("Done")
        words.describe(self.done, "Done", "Keeps the mask and goes back to looking  Esc")
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
            self._dials: (4 * theme.SPACE, (self.size_dial, self.hardness_dial, self.feather_dial)),
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
        self.size_dial.moved.connect(lambda share: mode.set_brush(replace(mode.brush, size=_size_at(share))))
        self.hardness_dial.moved.connect(lambda share: mode.set_brush(replace(mode.brush, hardness=share)))
        self.feather_dial.moved.connect(lambda share: mode.set_feather(round(FEATHER * share**2)))
        mode.settings_changed.connect(self.show_settings)

    def show_settings(self) -> None:
        brush, feather = self._mode.brush, self._mode.feather
        self.brush.setChecked(not brush.erases)
        self.eraser.setChecked(brush.erases)
        self.size_dial.show_value(_share_of(brush.size), f"{brush.size} px")
        self.hardness_dial.show_value(brush.hardness, f"{brush.hardness:.0%}".replace("%", " %"))
        self.feather_dial.show_value(math.sqrt(feather / FEATHER), f"{feather} px")

    def fit_into(self, width: int) -> None:
        """One row where there is room for it; else two, the tools without their names."""
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
        for dial in (self.size_dial, self.hardness_dial, self.feather_dial):
            dial.slider.setFixedWidth(NARROW_SLIDER if narrow else SLIDER)
        for button, title in ((self.brush, "Brush"), (self.eraser, "Eraser")):
            button.setText("" if narrow else title)
        # From the inside out, for the new size is asked for before Qt would come to it.
        for part in (self.size_dial, self.hardness_dial, self.feather_dial, self._tools, self._dials, self._ends):
            if (layout := part.layout()) is not None:
                layout.activate()
            part.updateGeometry()
        self.row.activate()


def _size_at(share: float) -> int:
    return round(SMALLEST * math.pow(LARGEST / SMALLEST, share))


def _share_of(size: int) -> float:
    return math.log(size / SMALLEST) / math.log(LARGEST / SMALLEST)


def _small(words: str) -> str:
    return words[:1].lower() + words[1:]


def _action(owner: QWidget, text: str, icon: str, key: str) -> QAction:
    action = QAction(icons.icon(icon, "text"), text, owner)
    action.setShortcut(QKeySequence(key))
    owner.addAction(action)
    return action


def _button(text: str, action: QAction, hint: str) -> QPushButton:
    """Without a text it is its icon alone."""
    button = QPushButton(text)
    button.setProperty("role", "ghost")
    button.setIcon(action.icon())
    button.setIconSize(QSize(18, 18))
    if not text:
        button.setFixedWidth(36)
        button.setStyleSheet("padding: 5px 0px;")
    words.describe(
        button, text or action.text(), f"{text or action.text()}: {_small(hint)}  {action.shortcut().toString()}"
    )
    button.setFocusPolicy(Qt.FocusPolicy.TabFocus)
    run: Callable[[], object] = action.trigger
    button.clicked.connect(lambda _=False: run())
    return button
