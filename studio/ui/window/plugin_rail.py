"""The plugin rail at the left edge: one button per plugin."""

from __future__ import annotations

from PySide6.QtCore import QRect, QSize, Qt, Signal
from PySide6.QtGui import QColor, QEnterEvent, QFontMetrics, QPainter, QPaintEvent
from PySide6.QtWidgets import QAbstractButton, QButtonGroup, QScrollArea, QVBoxLayout, QWidget

from studio.core.descriptor import Catalogue, PluginDescriptor
from studio.ui.theme import icons, theme
from studio.ui.widgets import labels

WIDTH = 64
BUTTON = QSize(52, 56)
LINE = 13


class RailButton(QAbstractButton):
    """A button with an icon above one or two lines of text."""

    def __init__(self, text: str, icon: str, hint: str = "") -> None:
        super().__init__()
        self.setText(text)
        self._icon = icon
        self.badge = False
        """Whether a red dot asks for attention."""
        self._lines = _wrap_in_two(text, QFontMetrics(theme.font(theme.CAPTION)), BUTTON.width() - 4)
        self.setFixedSize(BUTTON.width(), BUTTON.height() + LINE * (len(self._lines) - 1))
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setCursor(Qt.CursorShape.PointingHandCursor)
        labels.describe(self, text, hint)

    def enterEvent(self, event: QEnterEvent) -> None:
        super().enterEvent(event)
        self.update()

    def leaveEvent(self, event: object) -> None:
        self.update()

    def paintEvent(self, event: QPaintEvent) -> None:
        colours = theme.COLOURS
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        is_highlighted = self.isChecked() or self.underMouse()
        if is_highlighted or self.hasFocus():
            painter.setPen(QColor(colours.faint) if self.hasFocus() else Qt.PenStyle.NoPen)
            painter.setBrush(QColor(colours.raised) if is_highlighted else Qt.BrushStyle.NoBrush)
            painter.drawRoundedRect(self.rect().adjusted(0, 0, -1, -1), theme.RADIUS, theme.RADIUS)
        glyph = icons.pixmap(self._icon, 22, "accent" if self.isChecked() else "dim", self.devicePixelRatioF())
        painter.drawPixmap((self.width() - 22) // 2, 8, glyph)
        if self.badge:
            painter.setPen(Qt.PenStyle.NoPen)
            painter.setBrush(QColor(colours.danger))
            painter.drawEllipse(self.width() // 2 + 9, 8, 7, 7)
        painter.setFont(theme.font(theme.CAPTION))
        painter.setPen(QColor(colours.text if is_highlighted else colours.dim))
        for number, line in enumerate(self._lines):
            painter.drawText(QRect(2, 34 + LINE * number, self.width() - 4, 16), Qt.AlignmentFlag.AlignCenter, line)


class PluginRail(QWidget):
    chosen = Signal(str)
    """Emitted with the plugin's name."""
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
        self.plugins_button = RailButton("Plugins", "puzzle-outline", "Manage plugins")
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
            button = RailButton(title_of(plugin), _icon_of(plugin), _hint_of(plugin))
            button.setCheckable(True)
            button.clicked.connect(lambda _=False, name=plugin.name: self.chosen.emit(name))
            self._group.addButton(button, index)
            self._column.insertWidget(index, button)
        self.plugins_button.badge = any(plugin.error for plugin in catalogue.plugins)
        self.plugins_button.update()

    def choose(self, plugin: str) -> None:
        """Check a plugin's button without emitting `chosen`."""
        if plugin in self._names:
            self._group.button(self._names.index(plugin)).setChecked(True)


def _wrap_in_two(text: str, metrics: QFontMetrics, width: int) -> list[str]:
    """Return the text in one line, or in two if it is too wide, broken where the wider line is shortest."""
    if metrics.horizontalAdvance(text) <= width or " " not in text:
        lines = [text]
    else:
        words = text.split()
        breaks = [(" ".join(words[:at]), " ".join(words[at:])) for at in range(1, len(words))]
        lines = list(min(breaks, key=lambda pair: max(map(metrics.horizontalAdvance, pair))))
    return [metrics.elidedText(line, Qt.TextElideMode.ElideRight, width) for line in lines]


def title_of(plugin: PluginDescriptor) -> str:
    return plugin.title or plugin.name.replace("_", " ").capitalize()


def _icon_of(plugin: PluginDescriptor) -> str:
    return next((tool.icon for tool in plugin.tools if tool.icon), icons.FALLBACK)


def _hint_of(plugin: PluginDescriptor) -> str:
    return f"{title_of(plugin)}: {', '.join(tool.title for tool in plugin.tools)}"
