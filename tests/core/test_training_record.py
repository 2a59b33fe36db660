"""The record of a training on disk."""

from __future__ import annotations

import math
from pathlib import Path

from PIL import Image

from studio.core.training_record import MeasurePoint, PreviewEntry, ReadPosition, TrainingChanges, TrainingRecord


def make_record(folder: Path, steps: int = 4) -> TrainingRecord:
    record = TrainingRecord(folder)
    for step in range(1, steps + 1):
        record.append_measures(MeasurePoint(step, step / 2, {"loss": 1 / step}))
        record.add_picture(PreviewEntry(step, f"Step {step}", prompts=["a fox"], seed=7), Image.new("RGB", (8, 8)))
    return record


def test_points_are_read_on_from_a_position(tmp_path: Path) -> None:
    record = make_record(tmp_path)
    points, position = record.read_new_measures(ReadPosition())
    assert points[1] == MeasurePoint(2, 1.0, {"loss": 0.5})
    assert record.read_new_measures(position) == ([], position)
    record.append_measures(MeasurePoint(5, 2.5, {"loss": math.nan, "held-out loss": 0.1}))
    assert record.read_new_measures(position)[0] == [MeasurePoint(5, 2.5, {"held-out loss": 0.1})]


def test_truncating_removes_later_points_and_pictures_and_is_noticed_by_readers(tmp_path: Path) -> None:
    record = make_record(tmp_path)
    _, before = record.read_new_measures(ReadPosition())
    record.truncate(2)
    points, after = record.read_new_measures(before)
    assert after.file != before.file
    assert [point.step for point in points] == [1, 2]
    assert [entry.step for entry in record.read_previews()] == [1, 2]
    assert len([*tmp_path.glob("*.webp")]) == 2


def test_a_line_that_a_kill_cut_off_costs_that_line_only(tmp_path: Path) -> None:
    record = make_record(tmp_path, 2)
    path = tmp_path / "measures.jsonl"
    path.write_bytes(path.read_bytes()[:-5])
    record.append_measures(MeasurePoint(3, 1.5, {"loss": 0.25}))
    assert [point.step for point in record.read_measures()] == [1, 3]


def test_damaged_files_are_an_empty_record(tmp_path: Path) -> None:
    for name in ("measures.jsonl", "previews.jsonl", "changes.json"):
        (tmp_path / name).write_bytes(b'\xff\x00{"step": []}\n[[[[\n')
    record = TrainingRecord(tmp_path)
    assert record.read_measures() == []
    assert record.read_previews() == []
    assert record.read_changes() == TrainingChanges()
    (tmp_path / "measures.jsonl").unlink()
    (tmp_path / "measures.jsonl").mkdir()
    assert record.read_measures() == []


def test_a_preview_never_names_a_file_outside_the_record(tmp_path: Path) -> None:
    record = TrainingRecord(tmp_path)
    for name in ("../secret.png", "/etc/passwd", "..", "a/../../b.webp"):
        assert record.preview_path(PreviewEntry(1, file=name)) is None
    assert record.preview_path(PreviewEntry(1, file="preview-0000001.webp")) == tmp_path / "preview-0000001.webp"
    assert record.preview_path(PreviewEntry(1, text="Once")) is None


def test_changes_are_stored_and_have_a_new_stamp(tmp_path: Path) -> None:
    record = TrainingRecord(tmp_path / "new")
    assert record.changes_stamp() == 0
    record.write_changes(TrainingChanges(steps=9, prompts=["a fox"], finish=True))
    assert record.read_changes() == TrainingChanges(steps=9, prompts=["a fox"], finish=True)
    assert record.changes_stamp() > 0


def test_a_copy_has_measures_and_previews_without_changes(tmp_path: Path) -> None:
    record = make_record(tmp_path / "a")
    record.write_changes(TrainingChanges(finish=True))
    record.copy_to(tmp_path / "b")
    copy = TrainingRecord(tmp_path / "b")
    assert copy.read_measures() == record.read_measures()
    assert copy.read_previews() == record.read_previews()
    assert all((path := copy.preview_path(entry)) and path.is_file() for entry in copy.read_previews())
    assert copy.changes_stamp() == 0
