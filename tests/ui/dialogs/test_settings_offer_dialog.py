"""A dropped image of another program: its settings are offered, and chosen by keys."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PySide6.QtCore import QMimeData, QPointF, Qt, QUrl
from PySide6.QtGui import QDropEvent
from PySide6.QtWidgets import QCheckBox, QLabel
from pytestqt.qtbot import QtBot

from studio.library.creation import Creation
from studio.ui.dialogs.settings_offer_dialog import SettingsOfferDialog
from studio.ui.window.window import Window
from tests.fixtures.cards import V2, write_card_image
from tests.fixtures.engine import FakeEngine
from tests.fixtures.offers import CHAT, FROM_PROMPT, GRAPH, add_drawing, add_writer, write_comfy_image


@pytest.fixture
def drawing_window(qtbot: QtBot, window: Window, engine: FakeEngine) -> Window:
    engine.set_catalogue(add_drawing(engine.catalogue))
    qtbot.waitUntil(lambda: FROM_PROMPT.id in window.session.workspace.catalogue.tools)
    return window


def drop(window: Window, *paths: Path) -> None:
    data = QMimeData()
    data.setUrls([QUrl.fromLocalFile(str(path)) for path in paths])
    copy, left, plain = Qt.DropAction.CopyAction, Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier
    window.canvas.dropEvent(QDropEvent(QPointF(9, 9), copy, data, left, plain))


def drop_and_wait(qtbot: QtBot, window: Window, path: Path) -> SettingsOfferDialog:
    with qtbot.waitSignal(window.session.settings_offers.offered):
        drop(window, path)
    dialog = window.findChild(SettingsOfferDialog)
    assert isinstance(dialog, SettingsOfferDialog)
    assert dialog.isVisible()
    return dialog


def test_enter_uses_what_is_ticked(qtbot: QtBot, drawing_window: Window, tmp_path: Path) -> None:
    window = drawing_window
    dialog = drop_and_wait(qtbot, window, write_comfy_image(tmp_path / "lake.png"))
    assert dialog.all.checkState() is Qt.CheckState.Checked
    assert "sampler" not in dialog.ticks
    qtbot.keyClick(dialog.ticks["negative_prompt"], Qt.Key.Key_Space)
    assert dialog.all.checkState() is Qt.CheckState.PartiallyChecked
    with qtbot.waitSignal(window.session.show):
        qtbot.keyClick(dialog.ticks["negative_prompt"], Qt.Key.Key_Return)
    assert window.dialogs.offer_dialog is None
    workspace = window.session.workspace
    assert workspace.tool == FROM_PROMPT
    assert workspace.value("prompt") == "a <b>glass</b> lake & stones"
    assert (workspace.value("negative_prompt"), workspace.seed) == ("", 77)
    window.activateWindow()
    qtbot.waitUntil(window.isActiveWindow)
    qtbot.keyClick(window, Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier)
    assert workspace.value("prompt") == ""


def test_escape_does_nothing_at_all(qtbot: QtBot, drawing_window: Window, tmp_path: Path) -> None:
    window = drawing_window
    tool = window.session.workspace.tool
    dialog = drop_and_wait(qtbot, window, write_comfy_image(tmp_path / "lake.png"))
    with qtbot.waitSignal(dialog.finished):
        qtbot.keyClick(dialog, Qt.Key.Key_Escape)
    assert (window.session.workspace.tool, window.session.library.search("")) == (tool, [])
    with qtbot.waitSignal(window.session.settings_offers.offered):
        drop(window, tmp_path / "lake.png")  # the next file is offered again


def test_only_importing_and_asking_later_from_the_history(qtbot: QtBot, drawing_window: Window, tmp_path: Path) -> None:
    window = drawing_window
    dialog = drop_and_wait(qtbot, window, write_comfy_image(tmp_path / "lake.png"))
    with qtbot.waitSignal(window.session.show) as shown:
        dialog.import_button.click()
    assert window.session.workspace.tool != FROM_PROMPT
    creation, panel = shown.args[0], window.history_panel
    assert isinstance(creation, Creation)
    assert panel is not None
    qtbot.waitUntil(lambda: panel.grid.select_creation(creation.id))
    (action,) = [action for action in panel.make_menu().actions() if action.text() == "Use settings…"]
    with qtbot.waitSignal(window.session.settings_offers.offered):
        action.trigger()
    dialogs = [one for one in window.findChildren(SettingsOfferDialog) if one.isVisible()]
    assert [one.import_button.isVisible() for one in dialogs] == [False]


def test_a_workflow_can_only_be_used(qtbot: QtBot, drawing_window: Window, tmp_path: Path) -> None:
    path = tmp_path / "lake.json"
    path.write_text(json.dumps(GRAPH))
    dialog = drop_and_wait(qtbot, drawing_window, path)
    assert not dialog.import_button.isVisible()


def test_texts_are_plain_and_controls_have_names(qtbot: QtBot, drawing_window: Window, tmp_path: Path) -> None:
    dialog = drop_and_wait(qtbot, drawing_window, write_comfy_image(tmp_path / "lake.png"))
    labels = dialog.findChildren(QLabel)
    assert "a <b>glass</b> lake & stones" in [label.text() for label in labels]
    assert {label.textFormat() for label in labels} == {Qt.TextFormat.PlainText}
    assert all(tick.accessibleName() for tick in dialog.findChildren(QCheckBox))
    assert dialog.use.accessibleName() == "Use"
    assert dialog.use.isDefault()
    for tick in dialog.ticks.values():
        tick.click()
    assert not dialog.use.isEnabled()
    dialog.all.click()
    assert all(tick.isChecked() for tick in dialog.ticks.values())


def test_a_dropped_card_shows_the_page_with_one_greeting(
    qtbot: QtBot, window: Window, engine: FakeEngine, tmp_path: Path
) -> None:
    engine.set_catalogue(add_writer(engine.catalogue))
    qtbot.waitUntil(lambda: CHAT.id in window.session.workspace.catalogue.tools)
    dialog = drop_and_wait(qtbot, window, write_card_image(tmp_path / "mira.png", chara=V2))
    first, other = dialog.ticks["greeting1"], dialog.ticks["greeting2"]
    assert (first.isChecked(), other.isChecked()) == (True, False)
    assert dialog.all.checkState() is Qt.CheckState.Checked
    other.click()
    assert (first.isChecked(), other.isChecked()) == (False, True)
    assert dialog.all.checkState() is Qt.CheckState.Checked
    qtbot.keyClick(dialog, Qt.Key.Key_Return)
    assert window.central.is_page
    assert window.focusWidget() is window.central.page_view.editor
    assert window.session.page.text == "Mira: You are late, You.\n\nYou: "
