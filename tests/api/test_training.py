"""`api.training`: checkpoints, pausing, recovery from NaN, best weights and parameters."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import torch
from torch import nn

from studio import api, testing
from studio.api.training import checkpoints


class Line(api.training.Training):
    """Learns y = 2x + 1, with a frozen layer that must not be saved."""

    def __init__(self, checkpoint_dir: Path, is_spoilt: Callable[[int], bool] = lambda _: False) -> None:
        torch.manual_seed(0)
        checkpoint_dir.mkdir(parents=True, exist_ok=True)
        self.network = nn.ModuleDict({"frozen": nn.Linear(1, 1).requires_grad_(False), "line": nn.Linear(1, 1)})
        self.average = nn.ModuleDict({"frozen": nn.Linear(1, 1), "line": nn.Linear(1, 1)}).requires_grad_(False)
        self.average.load_state_dict(self.network.state_dict())
        self.is_spoilt = is_spoilt
        super().__init__(
            checkpoint_dir,
            networks={"model": self.network},
            averages={"ema": (self.average, self.network)},
            optimizers={"optimizer": torch.optim.AdamW(self.network["line"].parameters())},
            schedule=api.training.LearningRateSchedule(10, 0.05, "constant"),
            ema=0.9,
        )

    def step(self) -> None:
        chance = torch.Generator().manual_seed(self.state.step)
        x = torch.rand(16, 1, generator=chance)
        target = 2 * x + 1 + (math.nan if self.is_spoilt(self.state.step) else 0.0)
        self.finish_step(self.optimizer_step((self.network["line"](x) - target).square().mean()))


def copy_weights(line: Line) -> list[torch.Tensor]:
    return [value.clone() for network in (line.network, line.average) for value in network.state_dict().values()]


def have_equal_weights(first: Line, second: Line) -> bool:
    return all(torch.equal(left, right) for left, right in zip(copy_weights(first), copy_weights(second), strict=True))


class PartwiseLine(Line):
    """Learns the same from batches that are split into parts."""

    def step(self) -> None:
        chance = torch.Generator().manual_seed(self.state.step)
        x = torch.rand(16, 1, generator=chance)
        target = 2 * x + 1 + (math.nan if self.is_spoilt(self.state.step) else 0.0)

        def loss(part: slice) -> torch.Tensor:
            total: torch.Tensor = (self.network["line"](x[part]) - target[part]).square().sum()
            return total / len(x)

        parts = (slice(0, 3), slice(3, 9), slice(9, 16))
        self.finish_step(self.parallel_optimizer_step([partial(loss, part) for part in parts]))


def emit_nothing() -> Iterator[api.Event]:
    return iter(())


def save_nothing(suffix: str) -> api.Trained:
    return api.Trained(Path("nowhere"), f"Line{suffix}", "line")


def run(line: Line, ctx: testing.FakeContext, steps: int, **values: object) -> list[api.Event]:
    events: list[api.Event] = []
    line.schedule = replace(line.schedule, steps=steps)
    params = api.training.TrainingParams.model_validate({"folder": Path("nowhere"), **values})
    for event in line.run(ctx, params, preview=emit_nothing, save_model=save_nothing, memory_error="Too much."):
        events.append(event)
        ctx.emit(event)
    return events


def test_a_training_learns_and_reports_progress(tmp_path: Path) -> None:
    line = Line(tmp_path)
    events = run(line, testing.FakeContext(), 400)
    assert line.state.loss < 0.1
    last = events[-1]
    assert isinstance(last, api.Progress)
    assert (last.step, last.total) == (400, 400)
    assert last.text.startswith("loss 0.0")
    assert float(line.average.get_parameter("line.weight")) > 1


def test_a_resumed_training_equals_one_without_a_pause(tmp_path: Path) -> None:
    whole, stopped = Line(tmp_path / "a"), Line(tmp_path / "b")
    run(whole, testing.FakeContext(), 9)
    with pytest.raises(api.Paused):
        run(stopped, PausingContext(3), 9)
    again = Line(tmp_path / "b")
    events = run(again, testing.FakeContext(), 9)
    assert events[0] == api.Notice("Resumes at step 3 of 9.")
    assert have_equal_weights(again, whole)
    assert again.state.loss == whole.state.loss


class PausingContext(testing.FakeContext):
    """Requests a pause during the step after `after`."""

    def __init__(self, after: int) -> None:
        super().__init__()
        self.after = after

    def emit(self, event: api.Event) -> None:
        super().emit(event)
        self.pause_requested = isinstance(event, api.Progress) and event.step >= self.after - 1


def test_frozen_layers_are_not_saved(tmp_path: Path) -> None:
    line = Line(tmp_path)
    line.save()
    tensors, _ = api.model_files.read_tensors(tmp_path / Line.CHECKPOINT)
    assert [name for name in tensors if "frozen" in name] == []
    assert "model.line.weight" in tensors


def test_a_damaged_checkpoint_is_reported_and_training_starts_anew(tmp_path: Path) -> None:
    (tmp_path / Line.CHECKPOINT).write_bytes(b"damaged")
    again = Line(tmp_path)
    events = run(again, testing.FakeContext(), 2)
    assert isinstance(events[0], api.Notice)
    assert "is damaged" in events[0].text
    fresh = Line(tmp_path / "fresh")
    run(fresh, testing.FakeContext(), 2)
    assert have_equal_weights(again, fresh)


@pytest.mark.parametrize("is_missing", [False, True], ids=["damaged", "missing"])
def test_the_checkpoint_before_is_used_in_place_of_a_damaged_or_missing_one(tmp_path: Path, is_missing: bool) -> None:
    line, whole = Line(tmp_path), Line(tmp_path / "whole")
    for _ in range(4):
        line.step()
        line.save()
    checkpoint = tmp_path / Line.CHECKPOINT
    if is_missing:  # killed between the two renames
        checkpoint.unlink()
    else:
        checkpoint.write_bytes(checkpoint.read_bytes()[:100])
    again = Line(tmp_path)
    events = run(again, testing.FakeContext(), 9)
    texts = [event.text for event in events if isinstance(event, api.Notice)]
    damage = [] if is_missing else ["The last checkpoint is damaged, so the one before is used."]
    assert texts == [*damage, "Resumes at step 3 of 9."]
    run(whole, testing.FakeContext(), 9)
    assert have_equal_weights(again, whole)


def test_a_checkpoint_that_no_longer_fits_is_kept(tmp_path: Path) -> None:
    """The base model or the data may be put back, and hours of training must not be overwritten by step 0."""
    Line(tmp_path).save()
    path = tmp_path / Line.CHECKPOINT
    tensors, notes = api.model_files.read_tensors(path)
    api.model_files.write_tensors(path, tensors | {"model.line.weight": torch.zeros(2, 2)}, notes)
    before = path.read_bytes()
    with pytest.raises(api.BadInput, match=r"^The checkpoint does not fit this training: .*Put back"):
        run(Line(tmp_path), testing.FakeContext(), 9)
    assert path.read_bytes() == before


def test_data_that_has_changed_is_told_once(tmp_path: Path) -> None:
    data = tmp_path / "data"
    (data / "more").mkdir(parents=True)
    for name in ("a.png", "b.png", "more/c.txt"):
        (data / name).write_text("same")

    def train(steps: int) -> list[str]:
        events = run(Line(tmp_path / "job"), testing.FakeContext(), steps, folder=data)
        return [event.text for event in events if isinstance(event, api.Notice) and "Resumes" not in event.text]

    assert train(1) == []
    assert train(2) == []
    (data / "a.png").unlink()
    (data / "d.png").touch()
    (data / "more/c.txt").write_text("other")
    assert train(3) == [
        "The files of the training data have changed since the training began: 1 was added, 1 was removed, "
        "1 was changed. The training goes on with the files as they are now."
    ]
    assert train(4) == []


def test_checkpoints_are_frequent_at_first_and_never_take_much_of_the_time() -> None:
    timer = checkpoints.SaveTimer(30.0, 0.0)
    times, now = [], 0.0
    while now < 100:
        now += 1
        if timer.is_due(now):
            times.append(now)
            timer.note_saved(now, now)
    assert times == [3, 8, 17, 34, 65, 96]
    timer.note_saved(100, 110)
    assert not timer.is_due(110 + 199)
    assert timer.is_due(110 + 201)


def test_a_checkpoint_of_another_network_is_not_loaded(tmp_path: Path) -> None:
    Line(tmp_path).save()
    tensors, notes = api.model_files.read_tensors(tmp_path / Line.CHECKPOINT)
    api.model_files.write_tensors(tmp_path / Line.CHECKPOINT, tensors | {"model.line.weight": torch.zeros(2, 2)}, notes)
    line = Line(tmp_path)
    before = copy_weights(line)
    assert not line.resume()
    assert all(torch.equal(left, right) for left, right in zip(before, copy_weights(line), strict=True))


def test_nan_rewinds_to_the_checkpoint_at_half_the_rate(tmp_path: Path) -> None:
    spoilt = iter([True])
    line = Line(tmp_path, lambda step: step == 3 and next(spoilt, False))
    events = run(line, testing.FakeContext(), 6)
    assert (line.state.step, line.state.rate_scale, line.state.rewinds) == (6, 0.5, 1)
    assert [event.level for event in events if isinstance(event, api.Notice)] == ["warning"]
    again = Line(tmp_path)
    assert again.resume()
    assert again.state.rate_scale == 0.5


def test_repeated_nan_ends_the_training(tmp_path: Path) -> None:
    with pytest.raises(api.StudioError, match="diverged 4 times"):
        run(Line(tmp_path, lambda _: True), testing.FakeContext(), 6)


def test_weights_that_are_not_finite_are_never_saved(tmp_path: Path) -> None:
    line = Line(tmp_path)
    line.save()
    before = (tmp_path / Line.CHECKPOINT).read_bytes()
    with torch.no_grad():
        line.network.get_parameter("line.weight").fill_(math.inf)
    with pytest.raises(api.training.NotFiniteError):
        line.save()
    assert (tmp_path / Line.CHECKPOINT).read_bytes() == before


def test_out_of_memory_is_reported_with_the_given_sentence(tmp_path: Path) -> None:
    line = Line(tmp_path)

    def run_out_of_memory(_: int) -> bool:
        raise torch.OutOfMemoryError("CUDA out of memory")

    line.is_spoilt = run_out_of_memory
    with pytest.raises(api.OutOfMemory, match="Too much"):
        run(line, testing.FakeContext(), 2)


def test_a_step_in_parallel_parts_equals_a_whole_step(tmp_path: Path) -> None:
    whole, parts, again = Line(tmp_path / "a"), PartwiseLine(tmp_path / "b"), PartwiseLine(tmp_path / "c")
    cores = torch.get_num_threads()
    for line in (whole, parts, again):
        run(line, testing.FakeContext(), 50)
    assert torch.get_num_threads() == cores
    for left, right in zip(copy_weights(whole), copy_weights(parts), strict=True):
        assert torch.allclose(left, right, atol=1e-5)
    assert parts.state.loss == pytest.approx(whole.state.loss, rel=1e-4)
    assert have_equal_weights(parts, again)


def test_parallel_parts_that_are_not_finite_leave_the_weights_unchanged(tmp_path: Path) -> None:
    line = PartwiseLine(tmp_path, is_spoilt=lambda _: True)
    before = copy_weights(line)
    with pytest.raises(api.StudioError, match="diverged"):
        run(line, testing.FakeContext(), 3)
    assert all(torch.equal(left, right) for left, right in zip(before, copy_weights(line), strict=True))


def test_the_best_weights_are_saved_and_restored(tmp_path: Path) -> None:
    network = nn.Linear(1, 1)
    best = api.training.BestWeights(network, tmp_path, score_key="loss")
    assert best.restore() is None
    assert best.update(0.5, step=3, measured={"psnr": 20.0})
    expected = network.weight.clone()
    with torch.no_grad():
        network.weight.fill_(9)
    assert not best.update(0.7)
    assert not best.update(math.nan)
    resumed = api.training.BestWeights(network, tmp_path, score_key="loss")
    resumed.resume()
    assert resumed.score == 0.5
    assert resumed.restore() == {"loss": 0.5, "step": 3, "measured": {"psnr": 20.0}}
    assert torch.equal(network.weight, expected)


def test_only_the_named_weights_are_saved_as_the_best(tmp_path: Path) -> None:
    network = nn.Linear(1, 1)
    best = api.training.BestWeights(network, tmp_path, names={"weight"})
    best.update(0.5)
    tensors, _ = api.model_files.read_tensors(tmp_path / best.FILE)
    assert [*tensors] == ["weight"]
    expected = network.weight.clone()
    with torch.no_grad():
        network.weight.fill_(9)
        network.bias.fill_(8)
    assert best.restore() == {"score": 0.5}
    assert torch.equal(network.weight, expected)
    assert network.bias.tolist() == [8]
    assert api.training.BestWeights(network, tmp_path, names={"bias"}).restore() is None


def test_best_weights_that_are_damaged_or_of_another_network_are_ignored(tmp_path: Path) -> None:
    api.training.BestWeights(nn.Linear(1, 1), tmp_path).update(0.5)
    assert api.training.BestWeights(nn.Linear(2, 2), tmp_path).restore() is None
    file = tmp_path / "best.safetensors"
    file.write_bytes(file.read_bytes()[:30])
    best = api.training.BestWeights(nn.Linear(1, 1), tmp_path)
    best.resume()
    assert best.score == math.inf
    assert best.restore() is None


def test_a_generator_is_derived_from_seed_step_and_stream() -> None:
    """The numbers must not change: a training that began earlier would resume with other noise."""
    assert api.training.step_generator(7, 5).initial_seed() == 7 * 1_000_003 + 5
    assert api.training.step_generator(7, 5, 3).initial_seed() == (7 * 1_000_003 + 5) * 16 + 3
    assert api.training.step_generator(2**32 - 1, 10**6, 15).initial_seed() < 2**63


class LineParams(api.training.TrainingParams):
    """Parameters of a tool with a field between those of all trainings."""

    field_order = ("folder", "more_folders", "kind", "title")
    kind: str = "new"
    """Kind of training."""
    title: str = api.param("My line", title="Name")


def test_fields_of_a_training_have_the_order_of_field_order() -> None:
    properties = LineParams.model_json_schema()["properties"]
    assert [*properties] == [
        *("folder", "more_folders", "kind", "title", "exclude", "steps", "batch", "learning_rate", "ema"),
        *("preview_every", "keep_every", "patience"),
    ]
    assert properties["title"]["default"] == "My line"


def test_values_of_the_artist_override_the_defaults(tmp_path: Path) -> None:
    defaults = api.training.TrainingDefaults(steps=100, batch=4, learning_rate=1e-3)
    assert defaults.override(LineParams(folder=tmp_path)) == defaults
    changed = defaults.override(LineParams(folder=tmp_path, steps=7, learning_rate=0.1))
    assert changed == api.training.TrainingDefaults(steps=7, batch=4, learning_rate=0.1)


@pytest.mark.parametrize(("count", "words"), [(0, "no usable images"), (1, "1 usable image,"), (7, "7 usable")])
def test_too_few_samples_are_reported(count: int, words: str) -> None:
    api.training.require_samples(Path("/x/faces"), 8, 8)
    with pytest.raises(api.BadInput, match=rf"^faces contains {words}.* and this training needs 8\."):
        api.training.require_samples(Path("/x/faces"), count, 8)
