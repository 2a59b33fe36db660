"""A training is kept whole, goes on where it stood, and finds its way back from NaN."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest
import torch
from torch import nn

from studio import api, testing


class Line(api.Training):
    """Learns y = 2x + 1, with a frozen layer that must not be kept."""

    def __init__(self, keep: Path, spoil: Callable[[int], bool] = lambda _: False) -> None:
        torch.manual_seed(0)
        keep.mkdir(parents=True, exist_ok=True)
        self.network = nn.ModuleDict({"frozen": nn.Linear(1, 1).requires_grad_(False), "line": nn.Linear(1, 1)})
        self.average = nn.ModuleDict({"frozen": nn.Linear(1, 1), "line": nn.Linear(1, 1)}).requires_grad_(False)
        self.average.load_state_dict(self.network.state_dict())
        self.spoil = spoil
        super().__init__(
            keep,
            networks={"model": self.network},
            averages={"ema": (self.average, self.network)},
            optimizers={"optimizer": torch.optim.AdamW(self.network["line"].parameters())},
            rate=lambda _: 0.05,
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
            return (self.network["line"](x[part]) - wanted[part]).square().sum() / len(x)

        parts = (slice(0, 3), slice(3, 9), slice(9, 16))
        self.finish_step(self.parallel_optimizer_step([partial(loss, part) for part in parts]))


def nothing(_: int) -> Iterator[api.Event]:
    return iter(())


def run(line: Line, ctx: testing.FakeContext, steps: int) -> list[api.Event]:
    events: list[api.Event] = []
    for event in line.run(ctx, steps, shown=nothing, too_large="Too much."):
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
    assert line.average["line"].weight > 1


def test_one_that_went_on_from_its_checkpoint_equals_one_that_was_not_stopped(tmp_path: Path) -> None:
    whole, stopped = Line(tmp_path / "a"), Line(tmp_path / "b")
    run(whole, testing.FakeContext(), 9)
    with pytest.raises(api.Paused):
        run(stopped, Pausing(3), 9)
    again = Line(tmp_path / "b")
    events = run(again, testing.FakeContext(), 9)
    assert events[0] == api.Notice("Goes on from step 3 of 9.")
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
    tensors, _ = api.read_tensors(tmp_path / Line.CHECKPOINT)
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
    assert "cannot be read" in events[0].text
    fresh = Line(tmp_path / "fresh")
    run(fresh, testing.FakeContext(), 2)
    assert equal(again, fresh)


def test_a_checkpoint_of_another_network_changes_nothing(tmp_path: Path) -> None:
    Line(tmp_path).save()
    tensors, notes = api.read_tensors(tmp_path / Line.CHECKPOINT)
    api.write_tensors(tmp_path / Line.CHECKPOINT, tensors | {"model.line.weight": torch.zeros(2, 2)}, notes)
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
    with pytest.raises(api.StudioError, match="broke down 4 times"):
        run(Line(tmp_path, lambda _: True), testing.FakeContext(), 6)


def test_spoilt_weights_are_never_kept(tmp_path: Path) -> None:
    line = Line(tmp_path)
    line.save()
    before = (tmp_path / Line.CHECKPOINT).read_bytes()
    with torch.no_grad():
        line.network["line"].weight.fill_(math.inf)
    with pytest.raises(api.NotFiniteError):
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
    assert api.format_time_left(seconds) == words


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
    with pytest.raises(api.StudioError, match="broke down"):
        run(line, testing.FakeContext(), 3)
    assert all(torch.equal(left, right) for left, right in zip(before, weights(line), strict=True))
