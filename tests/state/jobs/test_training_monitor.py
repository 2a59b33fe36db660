"""Following the record of a training."""

from __future__ import annotations

from pathlib import Path

from pytestqt.qtbot import QtBot

from studio.core.training_record import MeasurePoint, PreviewEntry, TrainingChanges, TrainingRecord
from studio.state.jobs.training_monitor import TrainingMonitor


def add_points(record: TrainingRecord, first: int, last: int) -> None:
    for step in range(first, last + 1):
        record.append_measures(MeasurePoint(step, float(step), {"loss": 1 / step}))


def test_new_points_are_added_and_reported(qtbot: QtBot, tmp_path: Path) -> None:
    record = TrainingRecord(tmp_path)
    monitor = TrainingMonitor(record)
    monitor.refresh()
    assert monitor.series == {}
    add_points(record, 1, 3)
    with qtbot.waitSignal(monitor.measures_changed):
        monitor.refresh()
    add_points(record, 4, 4)
    monitor.refresh()
    assert monitor.series["loss"].steps == [1, 2, 3, 4]
    assert (monitor.last_step, monitor.latest("loss"), monitor.latest("other")) == (4, 0.25, None)
    with qtbot.assertNotEmitted(monitor.measures_changed):
        monitor.refresh()


def test_a_training_that_went_back_is_read_anew(tmp_path: Path) -> None:
    record = TrainingRecord(tmp_path)
    monitor = TrainingMonitor(record)
    add_points(record, 1, 9)
    record.add_text(PreviewEntry(8, text="Once"))
    monitor.refresh()
    record.truncate(4)
    add_points(record, 5, 5)
    monitor.refresh()
    assert monitor.series["loss"].steps == [1, 2, 3, 4, 5]
    assert monitor.previews == []


def test_a_training_that_went_back_and_is_further_than_before_is_read_anew(tmp_path: Path) -> None:
    record = TrainingRecord(tmp_path)
    monitor = TrainingMonitor(record)
    add_points(record, 1, 9)
    monitor.refresh()
    record.truncate(4)
    for step in range(5, 31):
        record.append_measures(MeasurePoint(step, 1.0, {"loss": 7.0}))
    monitor.refresh()
    assert monitor.series["loss"].steps == [*range(1, 31)]
    assert monitor.series["loss"].values[4:] == [7.0] * 26


def test_a_record_of_a_stranger_cannot_fill_the_window(tmp_path: Path) -> None:
    record = TrainingRecord(tmp_path)
    record.append_measures(MeasurePoint(1, 1.0, {f"measure {number}": 1.0 for number in range(500)}))
    record.add_text(PreviewEntry(1, text="x" * 1_000_000))
    monitor = TrainingMonitor(record)
    monitor.refresh()
    assert len(monitor.series) == 24
    assert monitor.previews == []


def test_following_polls_until_it_is_ended(qtbot: QtBot, tmp_path: Path) -> None:
    record = TrainingRecord(tmp_path)
    monitor = TrainingMonitor(record)
    monitor.set_following(True)
    add_points(record, 1, 1)
    qtbot.waitUntil(lambda: monitor.last_step == 1)
    monitor.set_following(False)


def test_changes_are_added_to_earlier_ones(tmp_path: Path) -> None:
    monitor = TrainingMonitor(TrainingRecord(tmp_path))
    monitor.change(steps=50)
    monitor.request_preview()
    monitor.request_model()
    monitor.request_preview()
    monitor.finish()
    assert monitor.changes == TrainingChanges(steps=50, finish=True, previews_requested=2, models_requested=1)
