"""The left edge: one button per plugin."""

from __future__ import annotations

from PySide6.QtCore import QRect, QSize, Qt, Signal
from PySide6.QtGui import QColor, QEnterEvent, QFontMetrics, QPainter, QPaintEvent
from PySide6.QtWidgets import QAbstractButton, QButtonGroup, QScrollArea, QVBoxLayout, QWidget

from studio.core.descriptor import Catalogue, PluginDescriptor
from studio.ui.theme import icons, theme
from studio.ui.widgets import labels as words

WIDTH = 64
BUTTON = QSize(52, 56)
LINE = 13


class RailButton(QAbstractButton):
    """An icon with one or two short lines of words under it."""

    def __init__(self, text: str, icon: str, hint: str = "") -> None:
        super().__init__()
        self.setText(text)
        self._icon = icon
        self.badge = False
        """A dot that says: look here."""
        self._lines = _in_lines(text, QFontMetrics(theme.font(theme.CAPTION)), BUTTON.width() - 4)
        self.setFixedSize(BUTTON.width(), BUTTON.height() + LINE * (len(self._lines) - 1))
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setCursor(Qt.CursorShape.PointingHandCursor)
        words.describe(self, text, hint)

    def enterEvent(self, event: QEnterEvent) -> None:
        super().enterEvent(event)
        self.update()

    def leaveEvent(self, event: object) -> None:
        self.update()

    def paintEvent(self, event: QPaintEvent) -> None:
        colours = theme.COLOURS
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        lit = self.isChecked() or self.underMouse()
        if lit or self.hasFocus():
            painter.setPen(QColor(colours.faint) if self.hasFocus() else Qt.PenStyle.NoPen)
            painter.setBrush(QColor(colours.raised) if lit else Qt.BrushStyle.NoBrush)
            painter.drawRoundedRect(self.rect().adjusted(0, 0, -1, -1), theme.RADIUS, theme.RADIUS)
        glyph = icons.pixmap(self._icon, 22, "accent" if self.isChecked() else "dim", self.devicePixelRatioF())
        painter.drawPixmap((self.width() - 22) // 2, 8, glyph)
        if self.badge:
            painter.setPen(Qt.PenStyle.NoPen)
            painter.setBrush(QColor(colours.danger))
            painter.drawEllipse(self.width() // 2 + 9, 8, 7, 7)
        painter.setFont(theme.font(theme.CAPTION))
        painter.setPen(QColor(colours.text if lit else colours.dim))
        for number, line in enumerate(self._lines):
            painter.drawText(QRect(2, 34 + LINE * number, self.width() - 4, 16), Qt.AlignmentFlag.AlignCenter, line)


class PluginRail(QWidget):
    chosen = Signal(str)
    """A plugin's name."""
    more = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setProperty("role", "window")
        self.setAttribute(Qt.WidgetAttribute.WA_StyledBackground)
        self.setFixedWidth(WIDTH)
        self._group = QButtonGroup(self)
        self._names: list[str] = []
        self._list = QWidget()
        self._column = QVBoxLayout(self._list)
        self._column.setContentsMargins(6, 8, 6, 8)
        self._column.setSpacing(4)
        self._column.addStretch(1)
        scroll = QScrollArea()
        scroll.setWidget(self._list)
        scroll.setWidgetResizable(True)
        scroll.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        scroll.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        scroll.setVerticalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.plugins_button = RailButton("Plugins", "puzzle-outline", "See and add plugins")
        self.plugins_button.clicked.connect(self.more)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 8)
        column.setSpacing(0)
        column.addWidget(scroll, 1)
        column.addWidget(self.plugins_button, 0, Qt.AlignmentFlag.AlignHCenter)

    def show_catalogue(self, catalogue: Catalogue) -> None:
        with_tools = [plugin for plugin in catalogue.plugins if plugin.tools]
        for button in self._group.buttons():
            self._group.removeButton(button)
            button.deleteLater()
        self._names = [plugin.name for plugin in with_tools]
        for index, plugin in enumerate(with_tools):
            button = RailButton(short_title(plugin), _icon(plugin), _hint(plugin))
            button.setCheckable(True)
            button.clicked.connect(lambda _=False, name=plugin.name: self.chosen.emit(name))
            self._group.addButton(button, index)
            self._column.insertWidget(index, button)
        self.plugins_button.badge = any(plugin.error for plugin in catalogue.plugins)
        self.plugins_button.update()

    def choose(self, plugin: str) -> None:
        """Marks a plugin, without saying so."""
        if plugin in self._names:
            self._group.button(self._names.index(plugin)).setChecked(True)


def _in_lines(text: str, metrics: QFontMetrics, room: int) -> list[str]:
    """On two lines where one is too short, at the space that leaves the longer one shortest."""
    if metrics.horizontalAdvance(text) <= room or " " not in text:
        lines = [text]
    else:
        words = text.split()
        breaks = [(" ".join(words[:at]), " ".join(words[at:])) for at in range(1, len(words))]
        lines = list(min(breaks, key=lambda pair: max(map(metrics.horizontalAdvance, pair))))
    return [metrics.elidedText(line, Qt.TextElideMode.ElideRight, room) for line in lines]


def short_title(plugin: PluginDescriptor) -> str:
    return plugin.title or plugin.name.replace("_", " ").capitalize()


def _icon(plugin: PluginDescriptor) -> str:
    return next((tool.icon for tool in plugin.tools if tool.icon), icons.FALLBACK)


def _hint(plugin: PluginDescriptor) -> str:
    return f"{short_title(plugin)}: {', '.join(tool.title for tool in plugin.tools)}"
