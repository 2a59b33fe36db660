"""The settings dialog."""

from __future__ import annotations

from pathlib import Path

import pytest
from PySide6.QtCore import QObject, Qt, QUrl, Slot
from PySide6.QtGui import QDesktopServices
from PySide6.QtWidgets import QPushButton
from pytestqt.qtbot import QtBot

from studio.core import settings
from studio.core.descriptor import DeviceReport
from studio.core.job import Lane
from studio.core.settings import Settings
from studio.engine.interface import WorkerChanged, WorkerState
from studio.ui.dialogs.model_folders import ModelFoldersEditor
from studio.ui.dialogs.settings_dialog import SettingsDialog
from studio.ui.form.path_field import ModelEditor
from studio.ui.form.path_list import Role
from studio.ui.theme import theme
from studio.ui.theme.colours import DARK, LIGHT
from studio.ui.window.window import Window
from tests.fixtures.engine import FakeEngine

CTRL = Qt.KeyboardModifier.ControlModifier


@pytest.fixture
def dialog(qtbot: QtBot, window: Window) -> SettingsDialog:
    qtbot.keyClick(window, Qt.Key.Key_Comma, CTRL)
    found = window.findChild(SettingsDialog)
    assert isinstance(found, SettingsDialog)
    assert found.isVisible()
    return found


def change(dialog: SettingsDialog, name: str, value: object) -> None:
    """Set a value as the artist does."""
    editor = dialog.rows[name].editor
    editor.show_value(value)
    editor.edited.emit()


def test_changes_are_saved_and_passed_to_the_engine(
    qtbot: QtBot, window: Window, dialog: SettingsDialog, engine: FakeEngine
) -> None:
    change(dialog, "image_format", "webp")
    change(dialog, "animation_format", "gif")
    change(dialog, "cancel_grace", 5.0)
    wanted = Settings(image_format="webp", animation_format="gif", cancel_grace=5.0)
    assert engine.settings == wanted
    qtbot.waitUntil(lambda: settings.load(window.session.home.settings) == wanted)


def test_new_formats_show_on_the_tool_at_once(window: Window, dialog: SettingsDialog) -> None:
    window.session.workspace.choose("style.transfer")
    assert window.tool_panel.options.format.text() == "PNG"
    change(dialog, "image_format", "avif")
    assert window.tool_panel.options.format.text() == "AVIF"


def test_the_theme_is_applied_and_follows_the_menu(window: Window, dialog: SettingsDialog) -> None:
    change(dialog, "theme", "light")
    assert theme.COLOURS is LIGHT
    window.set_theme("dark")
    assert theme.COLOURS is DARK
    assert dialog.rows["theme"].editor.value() == "dark"


def test_the_devices_are_those_that_the_worker_found(
    qtbot: QtBot, dialog: SettingsDialog, engine: FakeEngine, window: Window
) -> None:
    assert list(dialog.rows["device"].editor.field.choices) == ["auto", "cpu"]
    report = DeviceReport(kind="cuda", name="NVIDIA H200", devices={"cuda:0": "NVIDIA H200", "cpu": "16 cores"})
    engine.emit(WorkerChanged(Lane.INTERACTIVE, WorkerState.READY, report))
    qtbot.waitUntil(lambda: "cuda:0" in dialog.rows["device"].editor.field.choices)
    assert dialog.rows["device"].editor.field.labels == ("Automatic", "GPU 0: NVIDIA H200", "CPU: 16 cores")
    change(dialog, "device", "cpu")
    assert engine.settings is not None
    assert engine.settings.device == "cpu"
    assert "GPU · NVIDIA H200" in dialog._device_in_use.text(), "until the worker is replaced"


def test_a_missing_device_stays_chosen(window: Window, dialog: SettingsDialog) -> None:
    window.session.set_settings(Settings(device="cuda:3"))
    assert dialog.rows["device"].editor.value() == "cuda:3"


def test_folders_are_opened_and_created(window: Window, dialog: SettingsDialog) -> None:
    class Opener(QObject):
        @Slot(QUrl)
        def open(self, url: QUrl) -> None:
            opened.append(url.toLocalFile())

    opened: list[str] = []
    opener = Opener()
    QDesktopServices.setUrlHandler("file", opener, "open")  # type: ignore[arg-type]  # PySide wants a str
    models = window.session.home.models
    models.rmdir()
    button = next(
        child for child in dialog.findChildren(QPushButton) if child.accessibleName() == "Open folder: Models"
    )
    button.click()
    QDesktopServices.unsetUrlHandler("file")
    assert opened == [str(models)]
    assert models.is_dir()


def test_a_folder_of_another_program_is_recognised(
    qtbot: QtBot, window: Window, dialog: SettingsDialog, tmp_path: Path
) -> None:
    model = tmp_path / "ComfyUI" / "models" / "vae" / "clear.safetensors"
    model.parent.mkdir(parents=True)
    model.write_bytes(b"weights")
    (tmp_path / "ComfyUI" / "models" / "checkpoints").mkdir()
    session = window.session
    session.workspace.choose("morph.between")
    assert window.tool_panel.form is not None
    chooser = window.tool_panel.form.editor("model")
    assert isinstance(chooser, ModelEditor)
    editor = dialog.rows["model_folders"].editor
    assert isinstance(editor, ModelFoldersEditor)
    with qtbot.waitSignal(session.model_folders.changed):
        editor.list.paths_added.emit([str(tmp_path / "ComfyUI")])
    assert session.settings.model_folders == (str(tmp_path / "ComfyUI"),)
    caption = editor.list.item(0).data(Role.CAPTION)
    assert caption == f"ComfyUI · 1 model · {tmp_path}"
    qtbot.waitUntil(lambda: chooser.combo.findText("clear") >= 0)
    chooser.combo.activated.emit(chooser.combo.findText("clear"))
    assert session.workspace.value("model") == str(model)
    editor.list.item(0).setSelected(True)
    with qtbot.waitSignal(session.model_folders.changed):
        editor.remove.click()
    assert not session.settings.model_folders
    qtbot.waitUntil(lambda: chooser.combo.findText("clear") < 0)


def test_a_missing_folder_is_reported(qtbot: QtBot, window: Window, dialog: SettingsDialog, tmp_path: Path) -> None:
    editor = dialog.rows["model_folders"].editor
    assert isinstance(editor, ModelFoldersEditor)
    with qtbot.waitSignal(window.session.model_folders.changed):
        change(dialog, "model_folders", [str(tmp_path / "away")])
    assert editor.list.item(0).data(Role.CAPTION).startswith("Not connected")


def test_settings_are_in_the_menu_and_the_palette(window: Window) -> None:
    assert "Settings" in [entry.title for entry in window.commands.entries()]
