"""The plugins as a list model, with their states."""

from __future__ import annotations

from enum import Enum, IntEnum
from typing import Any

from PySide6.QtCore import QAbstractListModel, QModelIndex, QObject, QPersistentModelIndex, Qt

from studio.core.descriptor import Catalogue, PluginDescriptor

Index = QModelIndex | QPersistentModelIndex


class PluginRole(IntEnum):
    PLUGIN = Qt.ItemDataRole.UserRole + 1


class PluginState(Enum):
    LOADED = "Loaded"
    PARTLY = "Partly loaded"
    FAILED = "Not loaded"
    OFF = "Disabled"


SOURCES = {"bundled": "Included", "user": "Plugin folder", "installed": "Installed package"}


def find_state(plugin: PluginDescriptor, disabled: tuple[str, ...]) -> PluginState:
    if plugin.name in disabled:
        return PluginState.OFF
    if plugin.error:
        return PluginState.FAILED
    return PluginState.PARTLY if plugin.notes else PluginState.LOADED


class PluginsModel(QAbstractListModel):
    """Failed plugins come first. A disabled plugin that is not installed is listed by its name."""

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._plugins: list[PluginDescriptor] = []
        self._disabled: tuple[str, ...] = ()

    def rowCount(self, parent: Index = QModelIndex()) -> int:  # noqa: B008, N802
        return 0 if parent.isValid() else len(self._plugins)

    def data(self, index: Index, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        if not index.isValid() or index.row() >= len(self._plugins):
            return None
        plugin = self._plugins[index.row()]
        if role == PluginRole.PLUGIN:
            return plugin
        if role in (Qt.ItemDataRole.DisplayRole, Qt.ItemDataRole.AccessibleTextRole):
            return f"{plugin.title or plugin.name}, {self.state_of(plugin).value}"
        return None

    def plugins(self) -> tuple[PluginDescriptor, ...]:
        return tuple(self._plugins)

    def state_of(self, plugin: PluginDescriptor) -> PluginState:
        return find_state(plugin, self._disabled)

    @property
    def failed(self) -> int:
        return sum(self.state_of(plugin) is PluginState.FAILED for plugin in self._plugins)

    def reset(self, catalogue: Catalogue, disabled: tuple[str, ...]) -> None:
        self.beginResetModel()
        self._disabled = disabled
        known = {plugin.name for plugin in catalogue.plugins}
        missing = [PluginDescriptor(name=name) for name in disabled if name not in known]
        order = {PluginState.FAILED: 0, PluginState.PARTLY: 1, PluginState.LOADED: 2, PluginState.OFF: 3}
        self._plugins = sorted([*catalogue.plugins, *missing], key=lambda plugin: order[self.state_of(plugin)])
        self.endResetModel()
