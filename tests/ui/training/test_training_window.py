"""The training window, beside a window with a fake engine."""

from __future__ import annotations

import math
import shutil
from pathlib import Path

import pytest
from PIL import Image
from PySide6.QtCore import Qt
from PySide6.QtWidgets import QMessageBox
from pytestqt.qtbot import QtBot

from studio.core.errors import Failure, FailureKind
from studio.core.job import Job, JobState
from studio.core.recipe import PluginRef, Recipe
from studio.core.training_record import MeasurePoint, PreviewEntry, TrainingChanges, TrainingRecord
from studio.library.creation import CreationKind
from studio.ui.training.measure_plot import Axis, MeasurePlot, smooth, thin_out
from studio.ui.training.training_window import TrainingWindow
from studio.ui.window.window import Window
from tests.fixtures.engine import FakeEngine, make_creation


@pytest.fixture
def job(window: Window, engine: FakeEngine, tmp_path: Path) -> Job:
    """A running training with three previews."""
    engine.records = tmp_path / "records"
    (job,) = engine.submit(Recipe(tool="gan.train", plugin=PluginRef("gan", "1.0"), params={"title": "My fox"}, seed=1))
    engine.run(job.id, 9, 20, 4.0)
    record = engine.training_record(job.id)
    for step in range(1, 10):
        values = {"loss": 1 / step, "learning rate": 1e-3}
        record.append_measures(MeasurePoint(step, float(step), values | ({"held-out loss": 2.0} if step == 9 else {})))
    for step, colour in ((3, "red"), (6, "green"), (9, "blue")):
        entry = PreviewEntry(step, prompts=["a fox", "an owl"], seed=7)
        record.add_picture(entry, Image.new("RGB", (64, 32), colour))
    return engine.running()[0]


@pytest.fixture
def training(qtbot: QtBot, window: Window, job: Job) -> TrainingWindow:
    qtbot.waitUntil(lambda: window.session.queue.job(job.id) is not None)
    window.dialogs.open_training(job)
    (shown,) = window.findChildren(TrainingWindow)
    qtbot.waitUntil(lambda: bool(shown.plots))
    return shown


def colour_of(training: TrainingWindow) -> str:
    image = training.timeline.view.picture.pixmap().toImage()
    return image.pixelColor(image.width() // 2, image.height() // 2).name()


def test_plots_previews_and_state_are_shown(training: TrainingWindow) -> None:
    assert [*training.plots] == ["Losses", "Held-out measures", "Learning rate"]
    assert training.windowTitle() == "Training: My fox"
    assert "Running · step 9 of 20" in training.state.text()
    assert training.timeline.slider.maximum() == 2
    assert training.timeline.view.caption.text() == "Step 9, seed 7, prompts: a fox · an owl"
    assert "loss 0.1111" in training.plots["Losses"].accessibleDescription()


def test_previews_are_scrubbed_and_the_newest_is_followed_only_at_the_end(
    qtbot: QtBot, training: TrainingWindow, engine: FakeEngine, job: Job
) -> None:
    record = engine.training_record(job.id)
    assert colour_of(training)[5:] > "f0"
    training.timeline.slider.setValue(0)
    assert colour_of(training) > "#f0"
    assert training.plots["Losses"].step == 3
    record.add_picture(PreviewEntry(12), Image.new("RGB", (8, 8), "white"))
    qtbot.waitUntil(lambda: training.timeline.slider.maximum() == 3)
    assert training.timeline.slider.value() == 0
    training.timeline.slider.setValue(3)
    record.add_text(PreviewEntry(15, text="Once upon a time"))
    qtbot.waitUntil(lambda: training.timeline.view.text.toPlainText() == "Once upon a time")


def test_a_pinned_preview_stays_beside_others(training: TrainingWindow) -> None:
    timeline = training.timeline
    timeline.slider.setValue(0)
    timeline.pin.click()
    timeline.slider.setValue(2)
    assert timeline.pinned.isVisible()
    assert timeline.pinned.caption.text().startswith("Step 3")
    assert timeline.view.caption.text().startswith("Step 9")
    timeline.pin.click()
    assert not timeline.pinned.isVisible()


def test_event_files_of_tensorboard_are_written(qtbot: QtBot, training: TrainingWindow, tmp_path: Path) -> None:
    training.export_events(tmp_path / "events")
    notices = training._session.notices
    qtbot.waitUntil(lambda: any("tensorboard --logdir" in notice.text for notice in notices.items), timeout=30_000)
    assert len([*(tmp_path / "events").iterdir()]) == 1


def test_other_images_do_not_touch_the_previews(qtbot: QtBot, training: TrainingWindow, engine: FakeEngine) -> None:
    (other,) = engine.submit(Recipe(tool="gan.dream", plugin=PluginRef("gan", "1.0"), params={}, seed=2))
    engine.run(other.id)
    engine.send_preview(other.id)
    qtbot.wait(50)
    assert training.timeline.view.caption.text().startswith("Step 9")


def test_changes_are_written_to_the_record(training: TrainingWindow, engine: FakeEngine, job: Job) -> None:
    controls, record = training.controls, engine.training_record(job.id)
    assert controls.steps.text() == "20"
    assert controls.learning_rate.placeholderText() == "now 0.001"
    assert not controls.apply.isEnabled()
    controls.steps.setText("")
    controls.steps.insert("40")
    controls.learning_rate.insert("1e-4")
    controls.prompts.selectAll()
    controls.prompts.insertPlainText("a red fox\n\n  a house ")
    assert controls.apply.isEnabled()
    controls.apply.click()
    assert record.read_changes() == TrainingChanges(steps=40, learning_rate=1e-4, prompts=["a red fox", "a house"])
    controls.keep.click()
    controls.preview.click()
    controls.finish.click()
    changes = record.read_changes()
    assert (changes.finish, changes.models_requested, changes.previews_requested) == (True, 1, 1)


@pytest.mark.parametrize("text", ["0", "2", "fast", "-1"])
def test_a_wrong_learning_rate_is_not_applied(training: TrainingWindow, text: str) -> None:
    training.controls.learning_rate.setText(text)
    training.controls.learning_rate.setModified(True)
    training.controls.learning_rate.textEdited.emit(text)
    assert not training.controls.apply.isEnabled()


def test_pause_resume_and_cancel(qtbot: QtBot, training: TrainingWindow, engine: FakeEngine, job: Job) -> None:
    controls = training.controls
    controls.pause.click()
    qtbot.waitUntil(lambda: controls.pause.text() == "Resume")
    assert not controls.finish.isEnabled()
    assert "Paused" in training.state.text()
    controls.pause.click()
    assert ("resume", job.id) in engine.calls
    engine.run(job.id)
    qtbot.waitUntil(lambda: controls.pause.text() == "Pause")
    controls.cancel.click()
    (box,) = training.findChildren(QMessageBox)
    box.defaultButton().click()
    assert ("cancel", job.id) not in engine.calls
    controls.cancel.click()
    box = training.findChildren(QMessageBox)[-1]
    next(button for button in box.buttons() if button.text() == "Cancel training").click()
    qtbot.waitUntil(lambda: ("cancel", job.id) in engine.calls)
    qtbot.waitUntil(lambda: not controls.isVisible())


def test_every_cancel_of_a_long_training_asks_and_can_finish_it(
    qtbot: QtBot, window: Window, engine: FakeEngine, job: Job
) -> None:
    qtbot.waitUntil(lambda: window.session.queue.job(job.id) is not None)
    record = engine.training_record(job.id)
    record.append_measures(MeasurePoint(10, 61.0, {"loss": 0.1}))
    (other,) = engine.submit(Recipe(tool="gan.dream", plugin=PluginRef("gan", "1.0"), params={}, seed=2))
    qtbot.waitUntil(lambda: window.session.queue.job(other.id) is not None)
    window.session.cancel(window.session.queue.jobs())
    assert ("cancel", other.id) in engine.calls
    assert ("cancel", job.id) not in engine.calls
    box = window.findChildren(QMessageBox)[-1]
    assert "stays for a day" in box.informativeText()
    box.defaultButton().click()
    assert ("cancel", job.id) not in engine.calls
    window.status.cancel.emit()
    box = window.findChildren(QMessageBox)[-1]
    next(button for button in box.buttons() if button.text() == "Finish now").click()
    assert record.read_changes().finish
    window.dialogs.open_queue()
    assert window.dialogs.queue_panel is not None
    window.dialogs.queue_panel.cancel_all.click()
    box = window.findChildren(QMessageBox)[-1]
    next(button for button in box.buttons() if button.text() == "Cancel training").click()
    qtbot.waitUntil(lambda: ("cancel", job.id) in engine.calls)


def test_a_training_of_less_than_a_minute_is_cancelled_at_once(
    qtbot: QtBot, window: Window, engine: FakeEngine, job: Job
) -> None:
    qtbot.waitUntil(lambda: window.session.queue.job(job.id) is not None)
    window.status.cancel.emit()
    qtbot.waitUntil(lambda: ("cancel", job.id) in engine.calls)
    assert not window.findChildren(QMessageBox)


def test_the_queue_and_the_menu_open_the_training(qtbot: QtBot, window: Window, job: Job) -> None:
    qtbot.waitUntil(lambda: window.session.queue.job(job.id) is not None)
    window.dialogs.open_queue()
    panel = window.dialogs.queue_panel
    assert panel is not None
    (row,) = [row for row in panel.rows() if row.job.id == job.id]
    row.training_requested.emit(job)
    assert len(window.findChildren(TrainingWindow)) == 1
    window.dialogs.open_training()
    assert len(window.findChildren(TrainingWindow)) == 1
    assert not panel.isVisible()


def test_plots_and_previews_stay_after_the_end(
    qtbot: QtBot,
    window: Window,
    training: TrainingWindow,
    job: Job,
    engine: FakeEngine,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    folder, record = tmp_path / "model", engine.training_record(job.id)
    record.copy_to(folder / "training")
    model = make_creation(folder, 5, CreationKind.MODEL)
    monkeypatch.setattr(window.session.library, "get", lambda id: model if id == model.id else None)
    shutil.rmtree(record.folder)
    training.monitor.refresh()
    assert training.monitor.last_step == 9
    engine.finish(job.id, model)
    qtbot.waitUntil(lambda: training.monitor.record.folder == folder / "training")
    training.timeline.slider.setValue(0)
    assert colour_of(training) > "#f0"
    assert "Done" in training.state.text()


def test_a_model_shows_its_training_after_the_end(
    qtbot: QtBot, window: Window, job: Job, engine: FakeEngine, tmp_path: Path
) -> None:
    folder = tmp_path / "model"
    engine.training_record(job.id).copy_to(folder / "training")
    creation = make_creation(folder, 5, CreationKind.MODEL)
    window.dialogs.open_training(creation)
    (shown,) = window.findChildren(TrainingWindow)
    qtbot.waitUntil(lambda: bool(shown.plots))
    assert not shown.controls.isVisible()
    assert shown.timeline.slider.maximum() == 2
    assert shown.state.text() == "step 9"


def test_the_status_bar_and_a_notice_open_the_training(
    qtbot: QtBot, window: Window, job: Job, engine: FakeEngine, tmp_path: Path
) -> None:
    button = window.status.training_button
    qtbot.waitUntil(button.isVisible)
    button.click()
    (shown,) = window.findChildren(TrainingWindow)
    assert shown.job_id == job.id
    engine.training_record(job.id).copy_to(tmp_path / "model" / "training")
    model = make_creation(tmp_path / "model", 5, CreationKind.MODEL, title="My fox")
    engine.finish(job.id, model)
    qtbot.waitUntil(lambda: bool(window.session.notices.items))
    notice = window.session.notices.items[-1]
    assert (notice.text, notice.action_label) == ("My fox is trained.", "Show training")
    assert notice.action
    notice.action()
    assert len(window.findChildren(TrainingWindow)) == 2
    qtbot.waitUntil(lambda: not button.isVisible())


def test_a_model_that_was_not_trained_is_ready(window: Window, tmp_path: Path) -> None:
    window.dialogs.announce_model(make_creation(tmp_path / "model", 6, CreationKind.MODEL, title="My blend"))
    assert window.session.notices.items[-1].text == "My blend is ready."


def test_without_a_training_a_notice_says_so(qtbot: QtBot, window: Window) -> None:
    window.dialogs.open_training()
    assert window.findChildren(TrainingWindow) == []


def test_axes_have_round_ticks() -> None:
    assert Axis(0.0, 1.0).ticks() == pytest.approx([0, 0.2, 0.4, 0.6, 0.8, 1.0])
    assert Axis(0.001, 10.0, is_log=True).ticks() == pytest.approx([0.001, 0.01, 0.1, 1, 10])
    assert Axis(0.01, 1.0, is_log=True).position(0.1) == pytest.approx(0.5)
    assert Axis(2.0, 2.0).ticks() == [2.0]
    assert Axis(0.0, 0.00019).ticks(2) == pytest.approx([0, 0.0001])


def test_curves_are_smoothed_and_thinned_out() -> None:
    assert smooth([1.0, 1.0, 1.0], 0.9) == pytest.approx([1, 1, 1])
    assert smooth([0.0, 4.0], 0.5) == pytest.approx([0, 8 / 3])
    steps, values = thin_out(range(6000), [float(step) for step in range(6000)])
    assert len(steps) == 1500
    assert steps == values
    assert steps[0] == 1.5


@pytest.mark.parametrize("values", [[], [0.0], [-1.0, 2.0], [1e-12, 1e12], [5.0] * 3, [math.pi, -math.pi]])
@pytest.mark.parametrize("is_log", [False, True])
def test_any_values_are_painted(qtbot: QtBot, values: list[float], is_log: bool) -> None:
    from studio.state.jobs.training_monitor import MeasureSeries

    plot = MeasurePlot("Losses")
    qtbot.addWidget(plot)
    plot.set_series({"loss": MeasureSeries([*range(len(values))], values)}, len(values))
    plot.set_options(is_log=is_log, smoothing=0.5)
    plot.mark_step(1)
    assert not plot.grab().isNull()


def test_a_missing_preview_is_named(qtbot: QtBot, training: TrainingWindow, engine: FakeEngine, job: Job) -> None:
    record: TrainingRecord = engine.training_record(job.id)
    for path in record.folder.glob("*.webp"):
        path.unlink()
    training.timeline.slider.setFocus()
    qtbot.keyClick(training.timeline.slider, Qt.Key.Key_Home)
    assert training.timeline.view.text.toPlainText() == "This preview is missing."
    assert job.state is JobState.RUNNING


def test_a_training_that_paused_by_itself_says_why(
    qtbot: QtBot, window: Window, training: TrainingWindow, engine: FakeEngine, job: Job
) -> None:
    failure = Failure(FailureKind.CANNOT_WRITE, "The disk is full: checkpoint.safetensors could not be saved.")
    engine.set_state(job.id, JobState.PAUSED, failure=failure)
    qtbot.waitUntil(lambda: training.controls.pause.text() == "Resume")
    assert training.state.text() == f"Paused · step 9 · {failure.sentence}"
    notice = window.session.notices.items[-1]
    assert notice.text.endswith("is paused. The disk is full: checkpoint.safetensors could not be saved.")
    assert notice.action is not None
    notice.action()
    qtbot.waitUntil(lambda: "The disk is full" not in training.state.text())
