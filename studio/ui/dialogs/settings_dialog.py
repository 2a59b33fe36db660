"""The settings dialog. Changes are saved immediately."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

from msgspec.structs import replace
from PySide6.QtCore import QSize, Qt
from PySide6.QtWidgets import QDialog, QHBoxLayout, QPushButton, QScrollArea, QSizePolicy, QVBoxLayout, QWidget

from studio.core.descriptor import Field, Widget
from studio.core.humanize import describe_device
from studio.core.settings import Settings
from studio.state.session import Session
from studio.ui.dialogs.model_folders import FIELD, ModelFoldersEditor
from studio.ui.form.base import Editor, FormServices
from studio.ui.form.form import FieldRow, make_plain_editor
from studio.ui.theme import icons
from studio.ui.tool_panel.job_options import FORMATS
from studio.ui.widgets import labels
from studio.ui.widgets.file_manager import open_folder

SIZE = QSize(520, 660)
CANCEL_SECONDS = (0.5, 30.0)
"""Shortest and longest time that a cancelled job may take to stop."""


class SettingsDialog(QDialog):
    """A form of settings. `set_theme` applies a theme to the application and saves it."""

    def __init__(
        self,
        session: Session,
        set_theme: Callable[[str], None],
        services: FormServices,
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self._session, self._set_theme = session, set_theme
        self.setWindowTitle("Settings")
        self.resize(SIZE)
        self.rows: dict[str, FieldRow] = {}
        self._column = QVBoxLayout()
        self._column.setContentsMargins(0, 0, 8, 0)
        self._column.setSpacing(16)
        self._devices: dict[str, str] = {}
        self._device_place = QVBoxLayout()
        self._column.addLayout(self._device_place)
        self._device_in_use = labels.make_label("", "caption", wrap=True)
        self._column.addWidget(self._device_in_use)
        self._add(_choice_field("theme", "Theme", {"dark": "Dark", "light": "Light"}))
        self._add(_choice_field("image_format", "Image format", dict(FORMATS["image"])))
        self._add(_choice_field("animation_format", "Animation format", dict(FORMATS["animation"])))
        self._add(
            Field(
                name="cancel_grace",
                title="Cancel timeout",
                help="Time that a cancelled job has to stop. Then its worker is ended. Finished results stay.",
                widget=Widget.NUMBER,
                minimum=CANCEL_SECONDS[0],
                maximum=CANCEL_SECONDS[1],
                step=0.5,
                unit="s",
            )
        )
        self._add_folders()
        self._add(FIELD, ModelFoldersEditor(session.model_folders, services))
        self._column.addStretch(1)
        self._lay_out()
        session.worker_status.changed.connect(self._show_device)
        session.settings_changed.connect(self._show)
        self._show_device()
        self._show(session.settings)

    def _lay_out(self) -> None:
        inside = QWidget()
        inside.setLayout(self._column)
        scroll = QScrollArea()
        scroll.setWidgetResizable(True)
        scroll.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        scroll.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        scroll.setWidget(inside)
        close = QPushButton("Close")
        labels.describe(close, "Close")
        close.clicked.connect(self.accept)
        foot = QHBoxLayout()
        foot.addWidget(labels.make_label("Changes are saved immediately.", "caption"))
        foot.addStretch(1)
        foot.addWidget(close)
        column = QVBoxLayout(self)
        column.setContentsMargins(24, 20, 24, 20)
        column.setSpacing(16)
        column.addWidget(labels.make_label("Settings", "title"))
        column.addWidget(scroll, 1)
        column.addLayout(foot)

    def _add(self, field: Field, editor: Editor | None = None) -> FieldRow:
        row = self._row(field, editor or make_plain_editor(field))
        self._column.addWidget(row)
        return row

    def _row(self, field: Field, editor: Editor) -> FieldRow:
        editor.edited.connect(lambda: self._apply(field.name, editor.value()))
        self.rows[field.name] = row = FieldRow(editor)
        return row

    def _add_folders(self) -> None:
        home = self._session.home
        self._column.addWidget(labels.make_label("Folders", "dim"))
        column = QVBoxLayout()
        column.setSpacing(8)
        for title, folder in (("Home", home.root), ("Models", home.models), ("Plugins", home.plugins)):
            column.addWidget(_FolderRow(title, folder))
        self._column.addLayout(column)

    # What is shown
    def _show(self, settings: Settings) -> None:
        for name, row in self.rows.items():
            if name != "device":
                row.editor.show_value(getattr(settings, name))
        self._show_device()

    def _show_device(self) -> None:
        """Show the devices that the worker found; until then, those that every computer has."""
        device_name, report = self._session.settings.device, self._session.worker_status.device
        known = dict(report.devices) if report else {}
        devices = {"auto": "Automatic"} | {name: _device_title(name, title) for name, title in known.items()}
        devices.setdefault("cpu", "CPU")
        devices.setdefault(device_name, device_name)
        if devices != self._devices:
            self._devices = devices
            if (old := self.rows.get("device")) is not None:
                self._device_place.removeWidget(old)
                old.deleteLater()
            device = _choice_field("device", "Device", devices)
            self._device_place.addWidget(self._row(device, make_plain_editor(device)))
        self.rows["device"].editor.show_value(device_name)
        in_use = f"In use: {describe_device(report)}." if report and report.kind else "The worker is detecting devices…"
        self._device_in_use.setText(f"{in_use} A new device is used when the running jobs have ended.")

    # What is changed
    def _apply(self, name: str, value: object) -> None:
        session = self._session
        if value == getattr(session.settings, name):
            return
        if name == "theme":
            self._set_theme(str(value))
        else:
            session.set_settings(replace(session.settings, **{name: value}))


class _FolderRow(QWidget):
    def __init__(self, title: str, folder: Path) -> None:
        super().__init__()
        path = labels.make_label(str(folder), "caption")
        path.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
        path.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        path.setToolTip(labels.make_tool_tip(str(folder)))
        button = QPushButton("Open")
        button.setIcon(icons.icon("folder-open-outline"))
        labels.describe(button, f"Open folder: {title}", str(folder))
        button.clicked.connect(partial(open_folder, folder))
        texts = QVBoxLayout()
        texts.setSpacing(0)
        texts.addWidget(labels.make_label(title))
        texts.addWidget(path)
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(12)
        row.addLayout(texts, 1)
        row.addWidget(button)


def _choice_field(name: str, title: str, choices: dict[str, str]) -> Field:
    return Field(name=name, title=title, widget=Widget.CHOICE, choices=tuple(choices), labels=tuple(choices.values()))


def _device_title(name: str, title: str) -> str:
    """Return a device's title, as in "GPU 0: NVIDIA H200"."""
    kind, _, number = name.partition(":")
    kinds = {"cuda": f"GPU {number}".strip(), "xpu": f"Intel GPU {number}".strip(), "mps": "GPU", "cpu": "CPU"}
    return f"{kinds.get(kind, name)}: {title}" if title else kinds.get(kind, name)
