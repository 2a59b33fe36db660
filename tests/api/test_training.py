"""`api.training`: checkpoints, pausing, recovery from NaN, and what trainings share."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest
import torch
from torch import nn

from studio import api, testing


class Line(api.training.Training):
    """Learns y = 2x + 1, with a frozen layer that must not be kept."""

    def __init__(self, checkpoint_dir: Path, spoil: Callable[[int], bool] = lambda _: False) -> None:
        torch.manual_seed(0)
        checkpoint_dir.mkdir(parents=True, exist_ok=True)
        self.network = nn.ModuleDict({"frozen": nn.Linear(1, 1).requires_grad_(False), "line": nn.Linear(1, 1)})
        self.average = nn.ModuleDict({"frozen": nn.Linear(1, 1), "line": nn.Linear(1, 1)}).requires_grad_(False)
        self.average.load_state_dict(self.network.state_dict())
        self.spoil = spoil
        super().__init__(
            checkpoint_dir,
            networks={"model": self.network},
            averages={"ema": (self.average, self.network)},
            optimizers={"optimizer": torch.optim.AdamW(self.network["line"].parameters())},
            learning_rate=lambda _: 0.05,
            ema=0.9,
        )

    def step(self) -> None:
        chance = torch.Generator().manual_seed(self.state.step)
        x = torch.rand(16, 1, generator=chance)
        wanted = 2 * x + 1 + (math.nan if self.spoil(self.state.step) else 0.0)
        self.finish_step(self.optimizer_step((self.network["line"](x) - wanted).square().mean()))


def weights(line: Line) -> list[torch.Tensor]:
    return [value.clone() for one in (line.network, line.average) for value in one.state_dict().values()]


def equal(one: Line, other: Line) -> bool:
    return all(torch.equal(left, right) for left, right in zip(weights(one), weights(other), strict=True))


class InParts(Line):
    """The same, where each batch is learnt from in parts."""

    def step(self) -> None:
        chance = torch.Generator().manual_seed(self.state.step)
        x = torch.rand(16, 1, generator=chance)
        wanted = 2 * x + 1 + (math.nan if self.spoil(self.state.step) else 0.0)

        def loss(part: slice) -> torch.Tensor:
            total: torch.Tensor = (self.network["line"](x[part]) - wanted[part]).square().sum()
            return total / len(x)

        parts = (slice(0, 3), slice(3, 9), slice(9, 16))
        self.finish_step(self.parallel_optimizer_step([partial(loss, part) for part in parts]))


def nothing(_: int) -> Iterator[api.Event]:
    return iter(())


def run(line: Line, ctx: testing.FakeContext, steps: int) -> list[api.Event]:
    events: list[api.Event] = []
    for event in line.run(ctx, steps, after_step=nothing, memory_error="Too much."):
        events.append(event)
        ctx.emit(event)
    return events


def test_it_learns_and_says_how_far_it_is(tmp_path: Path) -> None:
    line = Line(tmp_path)
    events = run(line, testing.FakeContext(), 400)
    assert line.state.loss < 0.1
    last = events[-1]
    assert isinstance(last, api.Progress)
    assert (last.step, last.total) == (400, 400)
    assert last.text.startswith("loss 0.0")
    assert float(line.average.get_parameter("line.weight")) > 1


def test_one_that_went_on_from_its_checkpoint_equals_one_that_was_not_stopped(tmp_path: Path) -> None:
    whole, stopped = Line(tmp_path / "a"), Line(tmp_path / "b")
    run(whole, testing.FakeContext(), 9)
    with pytest.raises(api.Paused):
        run(stopped, Pausing(3), 9)
    again = Line(tmp_path / "b")
    events = run(again, testing.FakeContext(), 9)
    assert events[0] == api.Notice("Resumes at step 3 of 9.")
    assert equal(again, whole)
    assert again.state.loss == whole.state.loss


class Pausing(testing.FakeContext):
    """Asks for a pause while the step after `after` is learnt."""

    def __init__(self, after: int) -> None:
        super().__init__()
        self.after = after

    def emit(self, event: api.Event) -> None:
        super().emit(event)
        self.pause_requested = isinstance(event, api.Progress) and event.step >= self.after - 1


def test_frozen_layers_are_not_kept(tmp_path: Path) -> None:
    line = Line(tmp_path)
    line.save()
    tensors, _ = api.model_files.read_tensors(tmp_path / Line.CHECKPOINT)
    assert [name for name in tensors if "frozen" in name] == []
    assert "model.line.weight" in tensors


def test_a_damaged_checkpoint_is_said_and_begun_anew(tmp_path: Path) -> None:
    line = Line(tmp_path)
    line.step()
    line.save()
    kept = tmp_path / Line.CHECKPOINT
    kept.write_bytes(kept.read_bytes()[:100])
    again = Line(tmp_path)
    events = run(again, testing.FakeContext(), 2)
    assert isinstance(events[0], api.Notice)
    assert "is damaged" in events[0].text
    fresh = Line(tmp_path / "fresh")
    run(fresh, testing.FakeContext(), 2)
    assert equal(again, fresh)


def test_a_checkpoint_of_another_network_changes_nothing(tmp_path: Path) -> None:
    Line(tmp_path).save()
    tensors, notes = api.model_files.read_tensors(tmp_path / Line.CHECKPOINT)
    api.model_files.write_tensors(tmp_path / Line.CHECKPOINT, tensors | {"model.line.weight": torch.zeros(2, 2)}, notes)
    line = Line(tmp_path)
    before = weights(line)
    assert not line.resume()
    assert all(torch.equal(left, right) for left, right in zip(before, weights(line), strict=True))


def test_nan_rewinds_to_the_checkpoint_at_half_the_rate(tmp_path: Path) -> None:
    spoilt = iter([True])
    line = Line(tmp_path, lambda step: step == 3 and next(spoilt, False))
    events = run(line, testing.FakeContext(), 6)
    assert (line.state.step, line.state.rate_scale, line.state.rewinds) == (6, 0.5, 1)
    assert [event.level for event in events if isinstance(event, api.Notice)] == ["warning"]
    again = Line(tmp_path)
    assert again.resume()
    assert again.state.rate_scale == 0.5


def test_nan_again_and_again_ends_with_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(api.StudioError, match="diverged 4 times"):
        run(Line(tmp_path, lambda _: True), testing.FakeContext(), 6)


def test_spoilt_weights_are_never_kept(tmp_path: Path) -> None:
    line = Line(tmp_path)
    line.save()
    before = (tmp_path / Line.CHECKPOINT).read_bytes()
    with torch.no_grad():
        line.network.get_parameter("line.weight").fill_(math.inf)
    with pytest.raises(api.training.NotFiniteError):
        line.save()
    assert (tmp_path / Line.CHECKPOINT).read_bytes() == before


def test_too_little_memory_is_said_in_words(tmp_path: Path) -> None:
    line = Line(tmp_path)

    def full(_: int) -> bool:
        raise torch.OutOfMemoryError("CUDA out of memory")

    line.spoil = full
    with pytest.raises(api.OutOfMemory, match="Too much"):
        run(line, testing.FakeContext(), 2)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (7200, "about 2.0 hours left"),
        (600, "about 10 minutes left"),
        (42, "about 42 seconds left"),
        (1, "a few seconds left"),
        (0, ""),
    ],
)
def test_the_time_left_is_said_in_words(seconds: float, words: str) -> None:
    assert api.training.format_time_left(seconds) == words


def test_parts_of_a_batch_that_learn_together_equal_the_batch(tmp_path: Path) -> None:
    whole, parts, again = Line(tmp_path / "a"), InParts(tmp_path / "b"), InParts(tmp_path / "c")
    cores = torch.get_num_threads()
    for line in (whole, parts, again):
        run(line, testing.FakeContext(), 50)
    assert torch.get_num_threads() == cores
    for left, right in zip(weights(whole), weights(parts), strict=True):
        assert torch.allclose(left, right, atol=1e-5)
    assert parts.state.loss == pytest.approx(whole.state.loss, rel=1e-4)
    assert equal(parts, again)


def test_parts_that_break_down_leave_the_weights(tmp_path: Path) -> None:
    line = InParts(tmp_path, spoil=lambda _: True)
    before = weights(line)
    with pytest.raises(api.StudioError, match="diverged"):
        run(line, testing.FakeContext(), 3)
    assert all(torch.equal(left, right) for left, right in zip(before, weights(line), strict=True))


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


def test_best_weights_that_are_damaged_or_of_another_network_are_ignored(tmp_path: Path) -> None:
    api.training.BestWeights(nn.Linear(1, 1), tmp_path).update(0.5)
    assert api.training.BestWeights(nn.Linear(2, 2), tmp_path).restore() is None
    file = tmp_path / "best.safetensors"
    file.write_bytes(file.read_bytes()[:30])
    best = api.training.BestWeights(nn.Linear(1, 1), tmp_path)
    best.resume()
    assert best.score == math.inf
    assert best.restore() is None


def test_a_generator_follows_from_seed_step_and_stream() -> None:
    """The numbers must not change: trainings that were begun before would resume with other noise."""
    assert api.training.step_generator(7, 5).initial_seed() == 7 * 1_000_003 + 5
    assert api.training.step_generator(7, 5, 3).initial_seed() == (7 * 1_000_003 + 5) * 16 + 3
    assert api.training.step_generator(2**32 - 1, 10**6, 15).initial_seed() < 2**63


class LearnParams(api.training.TrainingParams):
    """Parameters of a tool that adds a field between those that all trainings have."""

    field_order = ("folder", "more_folders", "kind", "title")
    kind: str = "new"
    """Kind of training."""
    title: str = api.param("My line", title="Name")


def test_fields_of_a_training_are_shown_in_the_order_that_is_asked_for() -> None:
    properties = LearnParams.model_json_schema()["properties"]
    assert [*properties] == [
        *("folder", "more_folders", "kind", "title", "steps", "batch", "learning_rate", "ema", "preview_every")
    ]
    assert properties["title"]["default"] == "My line"


def test_numbers_of_the_artist_go_before_the_defaults(tmp_path: Path) -> None:
    defaults = api.training.TrainingDefaults(steps=100, batch=4, learning_rate=1e-3)
    assert defaults.override(LearnParams(folder=tmp_path)) == defaults
    changed = defaults.override(LearnParams(folder=tmp_path, steps=7, learning_rate=0.1))
    assert changed == api.training.TrainingDefaults(steps=7, batch=4, learning_rate=0.1)


@pytest.mark.parametrize(
    ("count", "words"), [(0, "no readable pictures"), (1, "1 readable picture,"), (7, "7 readable")]
)
def test_too_few_samples_are_reported(count: int, words: str) -> None:
    api.training.require_samples(Path("/x/faces"), 8, 8)
    with pytest.raises(api.BadInput, match=rf"^faces contains {words}.* and this training needs 8\."):
        api.training.require_samples(Path("/x/faces"), count, 8)
