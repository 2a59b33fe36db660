"""The dialog of *Check data*, on a window with a fake engine and files that are really there."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image
from PySide6.QtCore import Qt
from pytestqt.qtbot import QtBot

from studio.core.data_report import (
    CaptionSource,
    DataFile,
    DataFolder,
    DataReport,
    Fault,
    Finding,
)
from studio.core.descriptor import Catalogue, PluginDescriptor
from studio.core.job import Lane
from studio.core.messages import InspectionProgress, InspectionResult
from studio.engine.interface import CatalogueChanged, WorkerChanged, WorkerState
from studio.ui.data_check import DataDialog
from studio.ui.data_check.caption_panel import add_trigger, remove_tag, replace_words
from studio.ui.window.window import Window
from tests.fixtures.engine import FakeEngine, make_property, make_tool

TRAIN = make_tool(
    "learn.train",
    "Train a model",
    {
        "folder": make_property("string", "folder", title="Folder", default=""),
        "exclude": {"type": "array", "items": {"type": "string"}, "default": [], "title": "Excluded files"},
    },
    inspects_data=True,
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    (folder / "sub").mkdir(parents=True)
    for name in ("fox.png", "sub/copy.png", "000.png"):
        Image.effect_noise((64, 64), 80).save(folder / name)
    (folder / "bad.png").write_bytes(b"")
    (folder / "fox.txt").write_bytes(b"a fox, red\n")
    return folder


@pytest.fixture
def report(folder: Path) -> DataReport:
    def make_file(name: str, *faults: Fault, caption: str = "", width: int = 64) -> DataFile:
        findings = tuple(Finding(fault, f"It is {fault.label}.") for fault in faults)
        source = CaptionSource.TEXT_FILE if caption else CaptionSource.NONE
        return DataFile(name=name, width=width, height=width, caption=caption, caption_source=source, findings=findings)

    files = (
        make_file("000.png", Fault.NO_CAPTION),
        make_file("bad.png", Fault.BROKEN, width=0),
        make_file("fox.png", caption="a fox, red"),
        make_file("sub/copy.png", Fault.DUPLICATE, caption="a fox, blue"),
    )
    data = DataFolder(path=str(folder), files=files, has_captions=True, is_first=True)
    return DataReport(folders=(data,), advice="3 images: too few.", facts=(("Sizes", "64 × 64 px"),))


@pytest.fixture
def dialog(qtbot: QtBot, window: Window, engine: FakeEngine, folder: Path, report: DataReport) -> DataDialog:
    """The dialog with a report, opened by the button."""
    engine.emit(CatalogueChanged(Catalogue((PluginDescriptor(name="learn", title="Learn", tools=(TRAIN,)),))))
    workspace = window.session.workspace
    qtbot.waitUntil(lambda: "learn.train" in workspace.catalogue.tools)
    workspace.choose("learn.train")
    workspace.set_value("folder", str(folder))
    assert window.tool_panel.check_data.isVisible()
    qtbot.mouseClick(window.tool_panel.check_data, Qt.MouseButton.LeftButton)
    (shown,) = window.findChildren(DataDialog)
    assert engine.inspections == [("learn.train", {"folder": str(folder)})]
    engine.emit(InspectionProgress("i1", 1, 4))
    qtbot.waitUntil(lambda: shown.summary.text() == "Checking 1 of 4 files…")
    engine.emit(InspectionResult(id="i1", report=report))
    qtbot.waitUntil(lambda: shown.model.rowCount() == 4)
    return shown


def names(dialog: DataDialog) -> list[str]:
    return [entry.file.name for entry in dialog.model.entries]


def select(dialog: DataDialog, *chosen: str) -> None:
    selection = dialog.grid.selectionModel()
    selection.clearSelection()
    for row, name in enumerate(names(dialog)):
        if name in chosen:
            selection.select(dialog.model.index(row), selection.SelectionFlag.Select)


def test_the_report_is_shown_and_filtered(dialog: DataDialog) -> None:
    assert dialog.summary.text() == "4 images, 3 usable."
    assert dialog.advice.text() == "3 images: too few."
    assert dialog.facts.text() == "Sizes: 64 × 64 px · 1 cannot be read · 1 duplicate · 1 no caption"
    assert [chip.text() for chip in dialog.chips.values()] == [
        *("All (4)", "Problems (2)", "Duplicates (1)", "No caption (1)", "Excluded (0)"),
    ]
    dialog.chips["Problems"].click()
    assert names(dialog) == ["bad.png", "sub/copy.png"]
    select(dialog, "bad.png")
    assert dialog.details.text().startswith("bad.png\nIt is cannot be read")
    dialog.chips["No caption"].click()
    assert names(dialog) == ["000.png"]


def test_files_are_excluded_and_included_again(qtbot: QtBot, dialog: DataDialog, window: Window) -> None:
    workspace = window.session.workspace
    dialog.chips["Problems"].click()
    select(dialog, "bad.png", "sub/copy.png")
    dialog.exclude.click()
    assert workspace.value("exclude") == ["bad.png", "sub/copy.png"]
    assert names(dialog) == []
    dialog.chips["Excluded"].click()
    select(dialog, "bad.png")
    assert dialog.exclude.text() == "Include"
    dialog.exclude.click()
    assert workspace.value("exclude") == ["sub/copy.png"]
    dialog.undo.click()
    dialog.undo.click()
    assert workspace.value("exclude") == []
    assert not dialog.undo.isEnabled()


def test_captions_are_written_beside_the_images_and_restored(qtbot: QtBot, dialog: DataDialog, folder: Path) -> None:
    select(dialog, "000.png")
    dialog.captions.editor.setPlainText("an\n owl ")
    dialog.captions.save.click()
    qtbot.waitUntil(lambda: (folder / "000.txt").exists())
    assert (folder / "000.txt").read_text("utf-8") == "an owl\n"
    assert dialog.chips["No caption"].text() == "No caption (0)"
    dialog.captions.trigger.setText("zorblax")
    dialog.captions.add.click()
    qtbot.waitUntil(lambda: (folder / "sub/copy.txt").exists())
    assert (folder / "fox.txt").read_text("utf-8") == "zorblax, a fox, red\n"
    assert not (folder / "bad.txt").exists()
    dialog.undo.click()
    qtbot.waitUntil(lambda: not (folder / "sub/copy.txt").exists())
    assert (folder / "fox.txt").read_bytes() == b"a fox, red\n"
    dialog.undo.click()
    qtbot.waitUntil(lambda: not (folder / "000.txt").exists())


def test_a_check_without_a_result_says_why(qtbot: QtBot, dialog: DataDialog, engine: FakeEngine) -> None:
    dialog.again.click()
    engine.emit(InspectionResult(id="i2", sentence="There is no folder."))
    qtbot.waitUntil(lambda: dialog.summary.text() == "There is no folder.")
    assert dialog.model.rowCount() == 0
    dialog.again.click()
    engine.emit(WorkerChanged(Lane.INTERACTIVE, WorkerState.RESTARTING, sentence="The worker ended."))
    qtbot.waitUntil(lambda: dialog.summary.text() == "The worker ended.")
    dialog.again.click()
    dialog.close()
    assert ("cancel_inspection", "i4") in engine.calls


def test_all_captions_are_changed_at_once() -> None:
    captions = {Path("a"): "a red fox, night", Path("b"): "", Path("c"): "Night, owl"}
    assert replace_words(captions, "fox", "cat") == {Path("a"): "a red cat, night"}
    assert replace_words(captions, "", "cat") == {}
    assert add_trigger(captions, "owl") == {Path("a"): "owl, a red fox, night", Path("b"): "owl"}
    assert remove_tag(captions, " night") == {Path("a"): "a red fox", Path("c"): "owl"}
    assert remove_tag(captions, "") == {}
