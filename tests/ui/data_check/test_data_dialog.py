"""The dialog of *Check data*, on a window with a fake engine and files that are really there."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from PySide6.QtCore import Qt
from PySide6.QtWidgets import QMessageBox
from pytestqt.qtbot import QtBot
from safetensors.numpy import save_file
from shiboken6 import isValid

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
from studio.core.messages import ImageCaptioned, InspectionProgress, InspectionResult, JobNotice, JobProgress
from studio.core.notices import NoticeLevel
from studio.core.paths import Home
from studio.engine.interface import CatalogueChanged, JobForgotten, WorkerChanged, WorkerState
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

CAPTION = make_tool(
    "see.captions",
    "Caption images",
    {
        "folder": make_property("string", "folder"),
        "names": {"type": "array", "items": {"type": "string"}, "default": []},
        "trigger": make_property("string", default=""),
        "model": make_property("string", "model", default="", studio_more={"model": "vision-language"}),
    },
    captions_images=True,
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
def model(home: Home) -> str:
    """A folder that looks like BLIP."""
    folder = home.models / "seer"
    folder.mkdir(parents=True)
    (folder / "config.json").write_text('{"architectures": ["BlipForConditionalGeneration"], "vision_config": {}}')
    save_file({"weight": np.zeros(2, np.float32)}, folder / "model.safetensors")
    return folder.name


@pytest.fixture
def dialog(qtbot: QtBot, window: Window, engine: FakeEngine, folder: Path, report: DataReport) -> DataDialog:
    """The dialog with a report, opened by the button."""
    engine.emit(CatalogueChanged(Catalogue((PluginDescriptor(name="learn", title="Learn", tools=(TRAIN, CAPTION)),))))
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
        *("All (4)", "Problems (2)", "Duplicates (1)", "No caption (1)", "New captions (0)", "Excluded (0)"),
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
    qtbot.waitUntil(lambda: (folder / "fox.txt").read_bytes() == b"a fox, red\n")
    assert not (folder / "sub/copy.txt").exists()
    dialog.undo.click()
    qtbot.waitUntil(lambda: not (folder / "000.txt").exists())


def caption_all(qtbot: QtBot, dialog: DataDialog, engine: FakeEngine, which: str, captions: dict[str, str]) -> None:
    """Press Caption all and let the model answer."""
    panel = dialog.caption_all
    qtbot.waitUntil(panel.run.isEnabled)
    panel.which.setCurrentIndex(panel.which.findText(which))
    panel.run.click()
    number = len(engine.drafts) + 1
    qtbot.waitUntil(lambda: len(engine.drafts) == number)
    folder = Path(engine.drafts[-1].params["folder"])
    engine.emit(JobProgress(f"d{number}", 0, 2, "Loading the model"))
    for name, text in captions.items():
        engine.emit(ImageCaptioned(f"d{number}", str(folder / name), text))
    engine.emit(JobForgotten(f"d{number}"))
    qtbot.waitUntil(lambda: panel.run.text() == "Caption all")


def press(qtbot: QtBot, dialog: DataDialog, text: str) -> None:
    """Press a button of the question that is shown."""
    (box,) = [box for box in dialog.findChildren(QMessageBox) if box.isVisible()]
    (button,) = [button for button in box.buttons() if button.text().replace("&", "") == text]
    qtbot.mouseClick(button, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: not isValid(dialog) or not dialog.findChildren(QMessageBox))


def test_missing_captions_are_proposed_and_saved(
    qtbot: QtBot, model: str, dialog: DataDialog, engine: FakeEngine, folder: Path
) -> None:
    panel = dialog.caption_all
    panel.trigger.setText("ohwx ")
    caption_all(qtbot, dialog, engine, "Without a caption (1)", {"000.png": "an owl"})
    assert engine.drafts[0].params == {
        "folder": str(folder), "names": ["000.png"], "trigger": "ohwx", "model": model,
    }  # fmt: skip
    assert not (folder / "000.txt").exists()
    assert panel.unsaved.text() == "1 new caption not saved."
    dialog.chips["New captions"].click()
    assert names(dialog) == ["000.png"]
    select(dialog, "000.png")
    assert dialog.captions.editor.toPlainText() == "an owl"
    dialog.captions.old.setText("owl")
    dialog.captions.new.setText("eagle")
    dialog.captions.replace.click()
    assert not (folder / "000.txt").exists()
    panel.save.click()
    qtbot.waitUntil(lambda: (folder / "000.txt").exists())
    assert (folder / "000.txt").read_text("utf-8") == "an eagle\n"
    assert not panel.save.isVisible()
    dialog.undo.click()
    qtbot.waitUntil(lambda: not (folder / "000.txt").exists())
    dialog.undo.click()
    assert [entry.file.name for entry in dialog.model.entries] == ["000.png"]
    select(dialog, "000.png")
    assert dialog.captions.editor.toPlainText() == "an owl"
    dialog.undo.click()
    assert not panel.save.isVisible()
    assert not dialog.undo.isEnabled()


@pytest.mark.parametrize(("answer", "fox"), [("Replace", "a cat\n"), ("Keep earlier captions", "a fox, red\n")])
def test_written_captions_are_replaced_only_after_a_question(
    qtbot: QtBot, model: str, dialog: DataDialog, engine: FakeEngine, folder: Path, answer: str, fox: str
) -> None:
    caption_all(qtbot, dialog, engine, "All images (3)", {"000.png": "an owl", "fox.png": "a cat"})
    dialog.caption_all.save.click()
    press(qtbot, dialog, answer)
    qtbot.waitUntil(lambda: (folder / "000.txt").exists())
    qtbot.waitUntil(lambda: (folder / "fox.txt").read_text("utf-8") == fox)
    assert not dialog.caption_all.save.isVisible()


def test_a_caption_that_was_written_meanwhile_stays(
    qtbot: QtBot, model: str, dialog: DataDialog, engine: FakeEngine, folder: Path, window: Window
) -> None:
    caption_all(qtbot, dialog, engine, "Without a caption (1)", {"000.png": "an owl"})
    (folder / "000.txt").write_text("mine", "utf-8")
    dialog.caption_all.save.click()
    qtbot.waitUntil(lambda: bool(window.session.notices.items))
    assert window.session.notices.items[0].text == "1 caption written in another place meanwhile stays: 000.txt."
    assert (folder / "000.txt").read_text("utf-8") == "mine"
    select(dialog, "000.png")
    assert dialog.captions.editor.toPlainText() == "mine"


def test_captions_that_cannot_be_written_stay_proposals(
    qtbot: QtBot, model: str, dialog: DataDialog, engine: FakeEngine, folder: Path, window: Window
) -> None:
    caption_all(qtbot, dialog, engine, "Without a caption (1)", {"000.png": "an owl"})
    (folder / "000.txt").mkdir()
    dialog.caption_all.save.click()
    qtbot.waitUntil(lambda: bool(window.session.notices.items))
    assert dialog.caption_all.unsaved.text() == "1 new caption not saved."


def test_a_run_can_be_cancelled_and_says_what_went_wrong(
    qtbot: QtBot, model: str, dialog: DataDialog, engine: FakeEngine
) -> None:
    panel = dialog.caption_all
    qtbot.waitUntil(panel.run.isEnabled)
    panel.run.click()
    qtbot.waitUntil(lambda: len(engine.drafts) == 1)
    engine.emit(JobNotice("d1", "The model is damaged.", NoticeLevel.WARNING))
    engine.emit(JobForgotten("d1"))
    qtbot.waitUntil(lambda: panel.status.text() == "The model is damaged.")
    panel.run.click()
    qtbot.waitUntil(lambda: len(engine.drafts) == 2)
    panel.run.click()
    assert ("cancel", "d2") in engine.calls
    assert (panel.run.text(), panel.status.text()) == ("Caption all", "No new captions.")


def test_closing_asks_about_new_captions(
    qtbot: QtBot, model: str, dialog: DataDialog, engine: FakeEngine, folder: Path, window: Window
) -> None:
    caption_all(qtbot, dialog, engine, "Without a caption (1)", {"000.png": "an owl"})
    dialog.close()
    press(qtbot, dialog, "Cancel")
    assert dialog.isVisible()
    dialog.close()
    press(qtbot, dialog, "Save")
    qtbot.waitUntil(lambda: not window.findChildren(DataDialog))
    qtbot.waitUntil(lambda: (folder / "000.txt").exists())


def test_typed_words_are_kept_as_a_new_caption(qtbot: QtBot, dialog: DataDialog, folder: Path) -> None:
    select(dialog, "000.png")
    dialog.captions.editor.setPlainText("an owl")
    select(dialog, "fox.png")
    assert dialog.captions.editor.toPlainText() == "a fox, red"
    assert dialog.caption_all.unsaved.text() == "1 new caption not saved."
    dialog.caption_all.discard.click()
    select(dialog, "000.png")
    assert dialog.captions.editor.toPlainText() == ""


def test_without_a_model_it_says_what_to_do(qtbot: QtBot, dialog: DataDialog) -> None:
    panel = dialog.caption_all
    assert panel.status.text().startswith("No model that describes images is here. Put one into the models folder")
    assert not panel.run.isEnabled()


def test_a_check_without_a_result_says_why(
    qtbot: QtBot, dialog: DataDialog, engine: FakeEngine, window: Window
) -> None:
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
    qtbot.waitUntil(lambda: not window.findChildren(DataDialog))


def test_all_captions_are_changed_at_once() -> None:
    captions = {Path("a"): "a red fox, night", Path("b"): "", Path("c"): "Night, owl"}
    assert replace_words(captions, "fox", "cat") == {Path("a"): "a red cat, night"}
    assert replace_words(captions, "", "cat") == {}
    assert add_trigger(captions, "owl") == {Path("a"): "owl, a red fox, night", Path("b"): "owl"}
    assert remove_tag(captions, " night") == {Path("a"): "a red fox", Path("c"): "owl"}
    assert remove_tag(captions, "") == {}
