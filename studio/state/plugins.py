"""The plugins as a list that views can show, and which of them are switched off."""

from __future__ import annotations

from enum import Enum, IntEnum
from typing import Any

from PySide6.QtCore import QAbstractListModel, QModelIndex, QObject, QPersistentModelIndex, Qt

from studio.core.descriptor import Catalogue, PluginDescriptor

Index = QModelIndex | QPersistentModelIndex


class PluginRole(IntEnum):
    PLUGIN = Qt.ItemDataRole.UserRole + 1


class PluginStanding(Enum):
    LOADED = "Loaded"
    PARTLY = "Partly loaded"
    FAILED = "Not loaded"
    OFF = "Disabled"


SOURCES = {"bundled": "Included", "user": "Plugin folder", "installed": "Installed package"}


def standing(plugin: PluginDescriptor, disabled: tuple[str, ...]) -> PluginStanding:
    if plugin.name in disabled:
        return PluginStanding.OFF
    if plugin.error:
        return PluginStanding.FAILED
    return PluginStanding.PARTLY if plugin.notes else PluginStanding.LOADED


class PluginsModel(QAbstractListModel):
    """Those that failed come first; a plugin that is switched off and not seen is listed by its name."""

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
            return f"{plugin.title or plugin.name}, {self.standing(plugin).value}"
        return None

    def plugins(self) -> tuple[PluginDescriptor, ...]:
        return tuple(self._plugins)

    def standing(self, plugin: PluginDescriptor) -> PluginStanding:
        return standing(plugin, self._disabled)

    @property
    def failed(self) -> int:
        return sum(self.standing(plugin) is PluginStanding.FAILED for plugin in self._plugins)

    def reset(self, catalogue: Catalogue, disabled: tuple[str, ...]) -> None:
        self.beginResetModel()
        self._disabled = disabled
        known = {plugin.name for plugin in catalogue.plugins}
        missing = [PluginDescriptor(name=name) for name in disabled if name not in known]
        order = {PluginStanding.FAILED: 0, PluginStanding.PARTLY: 1, PluginStanding.LOADED: 2, PluginStanding.OFF: 3}
        self._plugins = sorted([*catalogue.plugins, *missing], key=lambda plugin: order[self.standing(plugin)])
        self.endResetModel()
