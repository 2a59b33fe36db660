"""The bars that float over the canvas: zoom and compare at the top, playing at the bottom."""

from __future__ import annotations

from PySide6.QtCore import QRectF, QSize, Qt
from PySide6.QtGui import QAction, QColor, QMouseEvent, QPainter, QPaintEvent
from PySide6.QtWidgets import (
    QFrame,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QSlider,
    QToolButton,
    QWidget,
)

from studio.ui.canvas.actions import CanvasActions
from studio.ui.canvas.player import Player
from studio.ui.theme import icons, theme

SHADOW = 8
"""Pixels around the plate for its shadow."""


class FloatingBar(QWidget):
    """A plate with a soft shadow. Painted here: a graphics effect would blur at every repaint."""

    def __init__(self, name: str, parent: QWidget) -> None:
        super().__init__(parent)
        self.setAccessibleName(name)
        self.row = QHBoxLayout(self)
        edge = SHADOW + theme.SPACE
        self.row.setContentsMargins(edge, edge, edge, edge)
        self.row.setSpacing(theme.SPACE)

    def paintEvent(self, event: QPaintEvent) -> None:
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        plate = QRectF(self.rect()).adjusted(SHADOW, SHADOW, -SHADOW, -SHADOW)
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(QColor(theme.COLOURS.shadow))
        for spread in range(SHADOW):
            grown = plate.adjusted(-spread, 1 - spread, spread, spread)
            painter.drawRoundedRect(grown, 8 + spread, 8 + spread)
        painter.setPen(QColor(theme.COLOURS.border))
        painter.setBrush(QColor(theme.COLOURS.panel))
        painter.drawRoundedRect(plate.adjusted(0.5, 0.5, -0.5, -0.5), 8, 8)

    def mousePressEvent(self, event: QMouseEvent) -> None:
        event.accept()


class ViewBar(FloatingBar):
    """Fit, 100 %, Compare, and the zoom."""

    def __init__(self, commands: CanvasActions, parent: QWidget) -> None:
        super().__init__("Canvas tools", parent)
        self.fit = _button(commands.fit, "Fit")
        self.full = _button(commands.full_size, "100 %")
        self.compare = _button(commands.compare, "Compare")
        self.zoom = QLabel()
        self.zoom.setProperty("role", "caption")
        self.zoom.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self.zoom.setFixedWidth(52)
        self.zoom.setToolTip("Zoom. The wheel zooms, Space and drag pans.")
        for widget in (self.fit, self.full, self.compare, self.zoom):
            self.row.addWidget(widget)

    def show_zoom(self, zoom: float, *, fitted: bool) -> None:
        percent = zoom * 100
        self.zoom.setText(f"{percent:.0f} %" if percent >= 10 else f"{percent:.1f} %")
        self.fit.setChecked(fitted)
        self.full.setChecked(not fitted and zoom == 1.0)


class PlaybackBar(FloatingBar):
    """Plays, steps through and scrubs an animation."""

    def __init__(self, commands: CanvasActions, parent: QWidget) -> None:
        super().__init__("Playback", parent)
        self.player: Player | None = None
        self._play_action = commands.play
        self.play = _icon_button(commands.play)
        self.back = _icon_button(commands.frame_back)
        self.on = _icon_button(commands.frame_on)
        self.loop = _icon_button(commands.loop)
        self.slider = QSlider(Qt.Orientation.Horizontal)
        self.slider.setAccessibleName("Position")
        self.slider.setToolTip("Drag to go through the animation")
        self.counter = QLabel()
        self.counter.setProperty("role", "caption")
        self.counter.setTextFormat(Qt.TextFormat.PlainText)
        self.counter.setAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
        for widget in (self.play, self.back, self.on):
            self.row.addWidget(widget)
        self.row.addWidget(self.slider, 1)
        self.row.addWidget(self.counter)
        self.row.addWidget(self.loop)
        self.slider.valueChanged.connect(self._scrubbed)
        self.slider.sliderPressed.connect(self._hold)
        self.slider.sliderReleased.connect(self._let_go)
        self._resume = False

    def bind(self, player: Player | None) -> None:
        """Shows and steers this player; the player before it is let go."""
        self.player = player
        self._resume = False
        self.slider.setRange(0, 0)
        self.counter.setText("")
        self._show_playing(False)
        if player is not None:
            if player.count:
                self._counted(player.count)
            player.counted.connect(self._counted)
            player.frame_shown.connect(self._shown)
            player.playing_changed.connect(self._show_playing)
            self._show_playing(player.playing)

    def _counted(self, count: int) -> None:
        self.slider.setRange(0, max(count - 1, 0))
        self.slider.setPageStep(max(1, count // 10))
        self.counter.setMinimumWidth(self.counter.fontMetrics().horizontalAdvance(f"{count} / {count}") + 8)
        self._count_to(0)

    def _shown(self, number: int) -> None:
        self.slider.blockSignals(True)
        self.slider.setValue(number)
        self.slider.blockSignals(False)
        self._count_to(number)

    def _count_to(self, number: int) -> None:
        self.counter.setText(f"{number + 1} / {self.slider.maximum() + 1}")

    def _show_playing(self, playing: bool) -> None:
        self._play_action.setIcon(icons.icon("pause" if playing else "play", "text"))

    def _scrubbed(self, number: int) -> None:
        self._count_to(number)
        if self.player is not None:
            self.player.seek(number)

    def _hold(self) -> None:
        if self.player is not None:
            self._resume = self.player.playing
            self.player.pause()

    def _let_go(self) -> None:
        if self.player is not None and self._resume:
            self.player.play()


class DropOutline(QFrame):
    """The outline that shows that a drop is taken here."""

    def __init__(self, parent: QWidget) -> None:
        super().__init__(parent)
        self.setAttribute(Qt.WidgetAttribute.WA_TransparentForMouseEvents)
        self.hide()

    def light(self, on: bool) -> None:
        self.setStyleSheet(f"QFrame {{ border: 2px solid {theme.COLOURS.accent}; background: transparent; }}")
        self.setVisible(on)
        self.raise_()


def _button(action: QAction, text: str) -> QPushButton:
    """Bound to the action by hand: a push button takes none, and a tool button looks different."""
    button = QPushButton(text)
    button.setProperty("role", "ghost")
    button.setCheckable(True)
    button.setAccessibleName(action.text())
    button.setFocusPolicy(Qt.FocusPolicy.TabFocus)

    def follow() -> None:
        button.setToolTip(_hint(action))
        button.setEnabled(action.isEnabled())
        if action.isCheckable():
            button.setChecked(action.isChecked())

    action.changed.connect(follow)
    button.clicked.connect(action.trigger)
    follow()
    return button


def _icon_button(action: QAction) -> QToolButton:
    button = QToolButton()
    button.setProperty("role", "ghost")
    button.setDefaultAction(action)
    button.setIconSize(QSize(18, 18))
    button.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonIconOnly)
    button.setAccessibleName(action.text())
    button.setFocusPolicy(Qt.FocusPolicy.TabFocus)
    return button


def _hint(action: QAction) -> str:
    key = action.shortcut().toString()
    return f"{action.text()}  {key}".strip()
