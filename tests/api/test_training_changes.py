"""The record of a training, the artist's changes to it, intermediate models and early stopping."""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from studio import api, testing
from studio.api.training import recorder
from studio.core.errors import CannotWrite
from studio.core.training_record import FOLDER, TrainingChanges, TrainingRecord
from tests.api.test_training import Line, have_equal_weights


class Watched(Line):
    """A line whose previews are pictures, and whose held-out measure is what a test wants."""

    def __init__(self, folder: Path, scores: Iterator[float] | None = None) -> None:
        super().__init__(folder)
        self.prompts, self.shown, self.scores = ["a fox"], list[list[str]](), scores

    def preview(self) -> Iterator[api.Event]:
        self.shown.append(self.prompts)
        if self.scores:
            self.report_score("held-out loss", next(self.scores))
        yield api.Preview(np.full((4, 6, 3), self.state.step, np.uint8))

    def save_model(self, suffix: str) -> api.Trained:
        return api.Trained(self.checkpoint_dir, f"Line{suffix}", "line")


def run(
    line: Watched, steps: int = 12, ctx: testing.FakeContext | None = None, **values: object
) -> Iterator[api.Event]:
    line.schedule = replace(line.schedule, steps=steps)
    params = api.training.TrainingParams.model_validate({"folder": Path("nowhere"), "preview_every": 4, **values})
    yield from line.run(
        ctx or testing.FakeContext(seed=3),
        params,
        preview=line.preview,
        save_model=line.save_model,
        memory_error="Too much.",
    )


def record_of(line: Watched) -> TrainingRecord:
    return TrainingRecord(line.checkpoint_dir / FOLDER)


@pytest.fixture(autouse=True)
def _look_at_each_step(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recorder, "POLL_INTERVAL", 0.0)


def change_at(step: int, events: Iterator[api.Event], act: Callable[[], None]) -> list[api.Event]:
    """Collect events, and act once when a step is done."""
    collected = []
    for event in events:
        collected.append(event)
        if isinstance(event, api.Progress) and event.step == step:
            act()
    return collected


def test_measures_and_previews_are_recorded(tmp_path: Path) -> None:
    line = Watched(tmp_path, iter([3.0, 2.0, 1.0]))
    list(run(line))
    points = record_of(line).read_measures()
    assert [point.step for point in points if "loss" in point.values] == [*range(1, 13)]
    assert points[0].values["learning rate"] == pytest.approx(0.05)
    assert [point.values["held-out loss"] for point in points if "held-out loss" in point.values] == [3, 2, 1]
    entries = record_of(line).read_previews()
    assert [(entry.step, entry.label, entry.seed) for entry in entries] == [
        (4, "Step 4", 3),
        (8, "Step 8", 3),
        (12, "Step 12", 3),
    ]
    assert entries[0].prompts == ["a fox"]


def test_a_resumed_training_continues_its_record_without_gaps_and_doubles(tmp_path: Path) -> None:
    whole, killed = Watched(tmp_path / "a"), Watched(tmp_path / "b")
    list(run(whole))
    events = run(killed)
    for event in events:
        if isinstance(event, api.Progress) and event.step == 5:
            killed.save()
        if isinstance(event, api.Progress) and event.step == 9:
            break  # as a kill would
    again = Watched(tmp_path / "b")
    list(run(again))
    assert have_equal_weights(again, whole)
    for line in (whole, again):
        assert [point.step for point in record_of(line).read_measures()] == [*range(1, 13)]
        assert [entry.step for entry in record_of(line).read_previews()] == [4, 8, 12]


def test_finish_now_keeps_the_model(tmp_path: Path) -> None:
    line = Watched(tmp_path)
    events = change_at(5, run(line), lambda: record_of(line).write_changes(TrainingChanges(finish=True)))
    assert line.state.step == 6
    assert api.Notice("Finished at step 6 of 12.") in events
    assert [entry.step for entry in record_of(line).read_previews()] == [4, 6]
    again = Watched(tmp_path)
    assert [event for event in run(again) if isinstance(event, api.Progress)] == []


def test_steps_and_learning_rate_can_be_changed_and_survive_a_kill(tmp_path: Path) -> None:
    line = Watched(tmp_path)
    changes = TrainingChanges(steps=15, learning_rate=0.01)
    events = run(line)
    change_at(5, (next(events) for _ in range(12)), lambda: record_of(line).write_changes(changes))
    assert line.current_learning_rate == pytest.approx(0.01)
    again = Watched(tmp_path)
    list(run(again))
    assert again.state.step == 15
    assert again.current_learning_rate == pytest.approx(0.01)
    rates = [point.values["learning rate"] for point in record_of(again).read_measures()]
    assert rates[:6] == pytest.approx([0.05] * 6)
    assert rates[6:] == pytest.approx([0.01] * 9)


def test_prompts_and_requests_for_previews_and_models_are_followed(tmp_path: Path) -> None:
    line = Watched(tmp_path)
    changes = TrainingChanges(prompts=["an owl"], previews_requested=1, models_requested=1)
    events = change_at(5, run(line), lambda: record_of(line).write_changes(changes))
    assert line.shown == [["a fox"], ["an owl"], ["an owl"], ["an owl"]]
    assert [event.title for event in events if isinstance(event, api.Trained)] == ["Line (step 7)"]
    assert [entry.step for entry in record_of(line).read_previews()] == [4, 7, 8, 12]


def test_intermediate_models_are_kept_at_an_interval(tmp_path: Path) -> None:
    titles = [event.title for event in run(Watched(tmp_path), keep_every=5) if isinstance(event, api.Trained)]
    assert titles == ["Line (step 5)", "Line (step 10)"]


def test_a_training_stops_when_its_held_out_measure_no_longer_improves(tmp_path: Path) -> None:
    scores = [4.0, 4.5, 4.1, 3.0]
    line = Watched(tmp_path, iter(scores))
    *_, last = run(line, steps=40, patience=2)
    assert line.state.step == 12
    assert isinstance(last, api.Notice)
    assert last.text == "Stopped at step 12 of 40: the held-out measure has not improved in 2 evaluations."
    assert line.state.best_score == 4.0


def test_nothing_is_lost_when_the_disk_is_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    line = Watched(tmp_path)
    events = run(line)
    for _ in range(6):
        next(events)

    def fail(*_: object) -> None:
        raise CannotWrite("The disk is full: checkpoint.safetensors could not be saved.") from OSError(errno.ENOSPC, "")

    with monkeypatch.context() as patch:
        patch.setattr(api.training.checkpoints, "write_tensors", fail)
        with pytest.raises(CannotWrite, match=r"The disk is full: "):
            list(events)
    again, whole = Watched(tmp_path), Watched(tmp_path / "whole")
    list(run(again))
    list(run(whole))
    assert have_equal_weights(again, whole)


def test_the_record_never_changes_the_weights(tmp_path: Path) -> None:
    line, plain = Watched(tmp_path / "a"), Line(tmp_path / "b")
    list(run(line, preview_every=1))
    for _ in range(12):
        plain.step()
    assert all(torch.equal(*pair) for pair in zip(line.network.parameters(), plain.network.parameters(), strict=True))


def test_the_epoch_is_told_where_the_number_of_samples_is_known(tmp_path: Path) -> None:
    line = Watched(tmp_path)
    line.steps_per_epoch = 4.0
    texts = [event.text for event in run(line) if isinstance(event, api.Progress)]
    assert texts[5].endswith(" · epoch 1.5 of 3.0")
