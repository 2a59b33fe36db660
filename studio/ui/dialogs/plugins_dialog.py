"""The plugins dialog: tools, origin, switch and errors of each plugin."""

from __future__ import annotations

from pathlib import Path

from PySide6.QtCore import QSize, Qt, QUrl
from PySide6.QtGui import QDesktopServices, QGuiApplication
from PySide6.QtWidgets import (
    QDialog,
    QFrame,
    QHBoxLayout,
    QPlainTextEdit,
    QPushButton,
    QScrollArea,
    QVBoxLayout,
    QWidget,
)

from studio.core.descriptor import PluginDescriptor
from studio.state.plugins import SOURCES, PluginState
from studio.state.session import Session
from studio.ui.form.choice_field import Switch
from studio.ui.theme import icons
from studio.ui.widgets import labels

SIZE = QSize(680, 620)
_ICONS: dict[PluginState, tuple[str, icons.Tone]] = {
    PluginState.LOADED: ("check-circle-outline", "dim"),
    PluginState.PARTLY: ("alert-outline", "accent"),
    PluginState.FAILED: ("alert-circle-outline", "danger"),
    PluginState.OFF: ("power-plug-off-outline", "faint"),
}


class PluginCard(QFrame):
    def __init__(self, session: Session, plugin: PluginDescriptor) -> None:
        super().__init__()
        self.plugin = plugin
        self.setProperty("role", "card")
        standing = session.plugins.state_of(plugin)
        title = plugin.title or plugin.name
        icon = labels.make_label()
        name, tone = _ICONS[standing]
        icon.setPixmap(icons.pixmap(name, 20, tone, self.devicePixelRatioF()))
        self.switch = Switch()
        self.switch.setChecked(standing is not PluginState.OFF)
        labels.describe(self.switch, f"Enable {title}", "Enable or disable this plugin")
        self.switch.clicked.connect(lambda on: session.switch_plugin(plugin.name, on))
        head = QHBoxLayout()
        head.setSpacing(8)
        head.addWidget(icon)
        head.addWidget(labels.make_label(title, "heading"))
        head.addWidget(labels.make_label(self._describe_origin(standing), "caption"), 1)
        head.addWidget(self.switch)
        self._column = QVBoxLayout(self)
        self._column.setContentsMargins(16, 12, 16, 12)
        self._column.setSpacing(8)
        self._column.addLayout(head)
        if plugin.tools:
            self._column.addWidget(labels.make_label(", ".join(tool.title for tool in plugin.tools), "dim", wrap=True))
        for note in plugin.notes:
            self._column.addWidget(labels.make_label(note, wrap=True))
        if plugin.error and standing is not PluginState.OFF:
            self._column.addWidget(labels.make_label(plugin.error, wrap=True))
            if plugin.details:
                self._add_details(title, plugin)

    def _describe_origin(self, standing: PluginState) -> str:
        parts = [self.plugin.version, SOURCES.get(self.plugin.source, self.plugin.source)]
        if standing is PluginState.OFF:
            parts.append("disabled")
        return " · ".join(part for part in parts if part)

    def _add_details(self, title: str, plugin: PluginDescriptor) -> None:
        self.details = QPlainTextEdit(plugin.details)
        self.details.setReadOnly(True)
        self.details.setFixedHeight(160)
        self.details.setLineWrapMode(QPlainTextEdit.LineWrapMode.NoWrap)
        labels.describe(self.details, f"Details for {title}")
        self.details.hide()
        self.details_button = QPushButton("Details")
        self.details_button.setCheckable(True)
        self.details_button.setProperty("role", "fold")
        self.details_button.setIcon(icons.icon("chevron-right"))
        labels.describe(self.details_button, f"Details for {title}", "Show the error, for the plugin's author")
        self.details_button.toggled.connect(self._show_details)
        copy = QPushButton("Copy details")
        labels.describe(copy, f"Copy details of {title}")
        copy.clicked.connect(lambda: QGuiApplication.clipboard().setText(f"{plugin.error}\n\n{plugin.details}"))
        row = QHBoxLayout()
        row.addWidget(self.details_button)
        row.addStretch(1)
        row.addWidget(copy)
        self._column.addLayout(row)
        self._column.addWidget(self.details)

    def _show_details(self, on: bool) -> None:
        self.details_button.setIcon(icons.icon("chevron-down" if on else "chevron-right"))
        self.details.setVisible(on)


class PluginsDialog(QDialog):
    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._session = session
        self.setWindowTitle("Plugins")
        self.resize(SIZE)
        folder = QPushButton("Open plugin folder")
        folder.setIcon(icons.icon("folder-open-outline"))
        labels.describe(folder, "Open plugin folder", "Put a plugin's file or folder there, then press Reload plugins")
        self.reload = QPushButton("Reload plugins")
        self.reload.setIcon(icons.icon("refresh"))
        labels.describe(self.reload, "Reload plugins", "Find new and changed plugins")
        close = QPushButton("Close")
        labels.describe(close, "Close")
        self._cards: list[PluginCard] = []
        self._scroll = QScrollArea()
        self._scroll.setWidgetResizable(True)
        self._scroll.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self._summary = labels.make_label("", "dim", wrap=True)
        buttons = QHBoxLayout()
        buttons.setSpacing(8)
        for button in (folder, self.reload):
            buttons.addWidget(button)
        buttons.addStretch(1)
        buttons.addWidget(close)
        column = QVBoxLayout(self)
        column.setContentsMargins(24, 20, 24, 20)
        column.setSpacing(12)
        column.addWidget(labels.make_label("Plugins", "title"))
        column.addWidget(self._summary)
        column.addWidget(self._scroll, 1)
        column.addLayout(buttons)
        folder.clicked.connect(self._open_folder)
        self.reload.clicked.connect(session.reload_plugins)
        close.clicked.connect(self.accept)
        session.plugins.modelReset.connect(self._fill)
        self._fill()

    def cards(self) -> list[PluginCard]:
        return list(self._cards)

    def _fill(self) -> None:
        plugins = self._session.plugins.plugins()
        page = QWidget()
        column = QVBoxLayout(page)
        column.setContentsMargins(0, 0, 8, 0)
        column.setSpacing(8)
        self._cards = [PluginCard(self._session, plugin) for plugin in plugins]
        for card in self._cards:
            column.addWidget(card)
        column.addStretch(1)
        self._scroll.setWidget(page)
        self._summary.setText(self._summarise(len(plugins), self._session.plugins.failed))

    def _summarise(self, count: int, failed: int) -> str:
        if not count:
            return "No plugins found. Put a plugin's Python file or folder into the plugin folder."
        if failed:
            return f"{failed} of {count} plugins could not be loaded. The others work normally."
        number = "1 plugin" if count == 1 else f"{count} plugins"
        return f"{number}. To add one, put its file or folder into the plugin folder."

    def _open_folder(self) -> None:
        folder = self._session.home.plugins
        Path(folder).mkdir(parents=True, exist_ok=True)
        QDesktopServices.openUrl(QUrl.fromLocalFile(str(folder)))
