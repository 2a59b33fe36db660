"""The bars that float over the canvas: zoom and Compare at the top, playback at the bottom."""

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
"""Width of the shadow in pixels."""


class FloatingBar(QWidget):
    """A bar with a soft shadow, which is painted: a graphics effect would blur at every repaint."""

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
        self.fit = _make_button(commands.fit, "Fit")
        self.actual_size = _make_button(commands.actual_size, "100 %")
        self.compare = _make_button(commands.compare, "Compare")
        self.zoom = QLabel()
        self.zoom.setProperty("role", "caption")
        self.zoom.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self.zoom.setFixedWidth(52)
        self.zoom.setToolTip("Zoom. Turn the wheel to zoom, hold Space and drag to pan.")
        for widget in (self.fit, self.actual_size, self.compare, self.zoom):
            self.row.addWidget(widget)

    def show_zoom(self, zoom: float, *, fitted: bool) -> None:
        percent = zoom * 100
        self.zoom.setText(f"{percent:.0f} %" if percent >= 10 else f"{percent:.1f} %")
        self.fit.setChecked(fitted)
        self.actual_size.setChecked(not fitted and zoom == 1.0)


class PlaybackBar(FloatingBar):
    """Buttons and a slider that play, step through and scrub an animation."""

    def __init__(self, commands: CanvasActions, parent: QWidget) -> None:
        super().__init__("Playback", parent)
        self.player: Player | None = None
        self._play_action = commands.play
        self.play = _make_icon_button(commands.play)
        self.previous_frame = _make_icon_button(commands.previous_frame)
        self.next_frame = _make_icon_button(commands.next_frame)
        self.loop = _make_icon_button(commands.loop)
        self.slider = QSlider(Qt.Orientation.Horizontal)
        self.slider.setAccessibleName("Position")
        self.slider.setToolTip("Drag to move through the animation")
        self.counter = QLabel()
        self.counter.setProperty("role", "caption")
        self.counter.setTextFormat(Qt.TextFormat.PlainText)
        self.counter.setAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
        for widget in (self.play, self.previous_frame, self.next_frame):
            self.row.addWidget(widget)
        self.row.addWidget(self.slider, 1)
        self.row.addWidget(self.counter)
        self.row.addWidget(self.loop)
        self.slider.valueChanged.connect(self._seek)
        self.slider.sliderPressed.connect(self._pause_for_drag)
        self.slider.sliderReleased.connect(self._resume_after_drag)
        self._resume_playing = False

    def bind(self, player: Player | None) -> None:
        """Control a player in place of the current one."""
        self.player = player
        self._resume_playing = False
        self.slider.setRange(0, 0)
        self.counter.setText("")
        self._show_playing(False)
        if player is not None:
            if player.count:
                self._set_count(player.count)
            player.count_known.connect(self._set_count)
            player.frame_shown.connect(self._show_position)
            player.playing_changed.connect(self._show_playing)
            self._show_playing(player.playing)

    def _set_count(self, count: int) -> None:
        self.slider.setRange(0, max(count - 1, 0))
        self.slider.setPageStep(max(1, count // 10))
        self.counter.setMinimumWidth(self.counter.fontMetrics().horizontalAdvance(f"{count} / {count}") + 8)
        self._show_counter(0)

    def _show_position(self, number: int) -> None:
        self.slider.blockSignals(True)
        self.slider.setValue(number)
        self.slider.blockSignals(False)
        self._show_counter(number)

    def _show_counter(self, number: int) -> None:
        self.counter.setText(f"{number + 1} / {self.slider.maximum() + 1}")

    def _show_playing(self, playing: bool) -> None:
        self._play_action.setIcon(icons.icon("pause" if playing else "play", "text"))

    def _seek(self, number: int) -> None:
        self._show_counter(number)
        if self.player is not None:
            self.player.seek(number)

    def _pause_for_drag(self) -> None:
        if self.player is not None:
            self._resume_playing = self.player.playing
            self.player.pause()

    def _resume_after_drag(self) -> None:
        if self.player is not None and self._resume_playing:
            self.player.play()


class DropOutline(QFrame):
    """The outline of a drop target."""

    def __init__(self, parent: QWidget) -> None:
        super().__init__(parent)
        self.setAttribute(Qt.WidgetAttribute.WA_TransparentForMouseEvents)
        self.hide()

    def highlight(self, on: bool) -> None:
        self.setStyleSheet(f"QFrame {{ border: 2px solid {theme.COLOURS.accent}; background: transparent; }}")
        self.setVisible(on)
        self.raise_()


def _make_button(action: QAction, text: str) -> QPushButton:
    """Return a button that follows an action: QPushButton has no default action, QToolButton looks different."""
    button = QPushButton(text)
    button.setProperty("role", "ghost")
    button.setCheckable(True)
    button.setAccessibleName(action.text())
    button.setFocusPolicy(Qt.FocusPolicy.TabFocus)

    def follow() -> None:
        button.setToolTip(_format_hint(action))
        button.setEnabled(action.isEnabled())
        if action.isCheckable():
            button.setChecked(action.isChecked())

    action.changed.connect(follow)
    button.clicked.connect(action.trigger)
    follow()
    return button


def _make_icon_button(action: QAction) -> QToolButton:
    button = QToolButton()
    button.setProperty("role", "ghost")
    button.setDefaultAction(action)
    button.setIconSize(QSize(18, 18))
    button.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonIconOnly)
    button.setAccessibleName(action.text())
    button.setFocusPolicy(Qt.FocusPolicy.TabFocus)
    return button


def _format_hint(action: QAction) -> str:
    key = action.shortcut().toString()
    return f"{action.text()}  {key}".strip()
