"""What a training will take: measured steps, the space on the disk, and runs that only measure."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from studio import api, testing
from studio.api.training import disk_space, step_timer
from studio.api.training.step_timer import StepTimer
from studio.core.errors import CannotWrite
from studio.core.training_record import FOLDER, TrainingChanges, TrainingRecord
from tests.api.test_training import have_equal_weights
from tests.api.test_training_changes import Watched, change_at, run


def work_of(events: Iterator[api.Event]) -> list[api.WorkDone]:
    return [event for event in events if isinstance(event, api.WorkDone)]


def test_steps_after_the_warm_up_are_reported_now_and_then_with_their_share_of_the_previews() -> None:
    timer = StepTimer(100)
    for _ in range(step_timer.WARM_UP_STEPS):
        timer.add_step(50.0)
    assert timer.report(10) is None
    timer.add_step(1.0)
    assert timer.report(10) is None
    timer.add_preview(5.0)
    timer.add_step(1.0)
    assert timer.report(10) == api.WorkDone(0.02, 3.0)
    timer.add_step(3.0)
    assert timer.report(10) is None, "the time until the next report doubles"
    assert timer.report(10, is_last=True) == api.WorkDone(0.01, 3.5)
    assert timer.report(10, is_last=True) is None


def test_a_training_reports_its_steps_also_after_it_was_resumed(tmp_path: Path) -> None:
    whole = work_of(run(Watched(tmp_path / "whole"), 20))
    assert sum(done.fraction for done in whole) == pytest.approx(17 / 20)
    assert all(done.seconds > 0 for done in whole)
    ctx = testing.FakeContext(seed=3)

    def pause() -> None:
        ctx.pause_requested = True

    with pytest.raises(api.Paused):
        change_at(11, run(Watched(tmp_path / "two"), 20, ctx), pause)
    resumed = work_of(run(Watched(tmp_path / "two"), 20))
    assert sum(done.fraction for done in resumed) == pytest.approx((20 - 12 - step_timer.WARM_UP_STEPS) / 20)


def test_a_training_that_does_not_fit_on_the_disk_is_refused_before_its_first_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    line = Watched(tmp_path)
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=1_000_000))
    with pytest.raises(CannotWrite, match=r"^This training needs 1\.[0-9] MB on the disk, and 1\.0 MB are left\. "):
        list(run(line, 40))
    assert line.state.step == 0
    assert [*tmp_path.iterdir()] == []
    list(run(line, 8))


def test_the_space_counts_checkpoints_and_every_kept_model() -> None:
    def needed(**values: object) -> int:
        params = api.training.TrainingParams.model_validate({"folder": Path(), "preview_every": 1000, **values})
        return disk_space.estimate_disk(1_000_000, params, 1000)

    assert needed() == pytest.approx(2 * 16_000_000 + 4_000_000, rel=0.02)
    assert needed(keep_every=100) - needed() == 9 * 4_000_000
    assert needed(preview_every=10) > needed() + 10_000_000


def test_a_measuring_run_measures_steps_and_ends_without_a_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("studio.api.training.measuring.MIN_SECONDS", 0.0)
    record = TrainingRecord(tmp_path / FOLDER)
    record.write_changes(TrainingChanges(measure=True))
    line = Watched(tmp_path)
    with pytest.raises(api.Cancelled):
        list(run(line, 1000, preview_every=300))
    measured = record.read_measurement()
    assert measured
    assert (measured.steps, measured.measured_steps, measured.previews) == (1000, 5, 4)
    assert line.state.step == 5 + step_timer.WARM_UP_STEPS
    assert measured.seconds == pytest.approx(1000 * measured.seconds_per_step + 4 * measured.seconds_per_preview)
    assert measured.memory > 50 * 2**20
    assert measured.disk >= 5 * disk_space.PREVIEW_BYTES


def test_a_measuring_run_ends_with_few_steps_or_with_steps_that_diverge(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("studio.api.training.measuring.MAX_STEPS", 10)
    TrainingRecord(tmp_path / FOLDER).write_changes(TrainingChanges(measure=True))
    line = Watched(tmp_path)
    line.is_spoilt = lambda _: True
    with pytest.raises(api.Cancelled):
        list(run(line))
    assert line.state.step == 0


class Greedy(Watched):
    """A line whose third step runs out of memory, after an update, until it has saved memory."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.saved = 0

    def step(self) -> None:
        super().step()
        if self.state.step == 3 and not self.saved:
            raise torch.OutOfMemoryError("CUDA out of memory")

    def reduce_memory(self) -> str:
        self.saved += 1
        return "the batch is smaller." if self.saved == 1 else ""


def test_a_step_that_ran_out_of_memory_in_the_middle_is_repeated_from_the_checkpoint(tmp_path: Path) -> None:
    expected, greedy = Watched(tmp_path / "whole"), Greedy(tmp_path / "greedy")
    list(run(expected, 12))
    events = list(run(greedy, 12))
    assert [event.text for event in events if isinstance(event, api.Notice)] == [
        "Memory is short, so the batch is smaller. The step is repeated."
    ]
    assert have_equal_weights(expected, greedy)
    assert greedy.state.step == 12
