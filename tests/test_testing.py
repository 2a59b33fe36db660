"""`studio.testing`: a good plugin passes, and the problem of a bad one is reported."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from studio import api, testing

GOOD = '''
"""A plugin in one file."""
from studio import api


class Tick(api.Tool):
    """Counts."""

    id = "tick.count"
    title = "Count"

    class Params(api.Params):
        until: api.Count = 3

    def run(self, params, ctx):
        import random

        for number in range(params.until):
            yield api.Progress(number + 1, params.until)
        yield api.Text(f"{params.until} {random.random()} {ctx.generator().initial_seed()}")


@api.hookimpl
def studio_tools():
    return [Tick]
'''


@pytest.fixture
def plugin(tmp_path: Path) -> Path:
    path = tmp_path / "tick.py"
    path.write_text(GOOD)
    return path


def write_changed(plugin: Path, old: str, new: str) -> Path:
    assert old in GOOD
    plugin.write_text(GOOD.replace(old, new))
    return plugin


def test_a_good_plugin_passes(plugin: Path) -> None:
    testing.check(plugin, {"tick.count": {"until": 2}})


def test_a_tool_runs_as_in_the_studio(plugin: Path) -> None:
    (tick,) = testing.load(plugin)
    ctx = testing.FakeContext(seed=5)
    events = testing.run(tick, ctx, until=2)
    assert [type(event) for event in events] == [api.Progress, api.Progress, api.Text]
    assert testing.results(events) == events[2:]
    assert events == testing.run(tick, testing.FakeContext(seed=5), until=2)
    assert events != testing.run(tick, testing.FakeContext(seed=6), until=2)
    with pytest.raises(api.BadInput, match="Until must be between 1 and 10000, not 0"):
        testing.run(tick, until=0)
    assert testing.estimate(tick, until=2) is None


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('"tick.count"', '"Tick"', "needs an id like plugin.verb"),
        ('title = "Count"', 'title = ""', "needs a title"),
        ('"""Counts."""', "pass", "needs a docstring"),
        ("until: api.Count = 3", "until: int = 3; seed: int = 1", "reserved for the studio"),
        ("until: api.Count = 3", 'until: int = api.param(3, ge=1, le=5, pad="up")', "cannot be on a pad"),
        ("until: api.Count = 3", "until: int = 3; model: api.ModelChoice = ''", "which kind of model"),
        ("return [Tick]", "return [Tick, Tick]", "already a tool tick.count"),
        ("return [Tick]", "raise ValueError('no')", "ValueError: no"),
        ("from studio import api", "import torch\nfrom studio import api", "imports ['torch']"),
        ("random.random()", "__import__('time').time_ns()", "different results for the same seed"),
        (
            "for number in range(params.until):",
            "try: yield api.Progress(1)\n        except api.Cancelled: pass\n        for number in []:",
            "did not stop when it was cancelled",
        ),
        ("for number in range(params.until):", "return\n        for number in []:", "yields nothing"),
        ("@api.hookimpl", "Tick.estimate = lambda *_: 3\n\n@api.hookimpl", "estimates 3, which is no api.Estimate"),
        (
            "@api.hookimpl",
            "Tick.estimate = lambda *_: api.Estimate(notes={'nobody': ''})\n\n@api.hookimpl",
            "notes on nobody, which are none of its parameters",
        ),
    ],
)
def test_problems_are_reported(
    plugin: Path, old: str, new: str, message: str, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(AssertionError, match=re.escape(message)):
        testing.check(write_changed(plugin, old, new), {"tick.count": {"until": 2}})


def test_a_cancelled_tool_may_return_without_an_error(plugin: Path) -> None:
    quietly = "try: yield api.Progress(1)\n        except api.Cancelled: return\n        for number in []:"
    testing.check(write_changed(plugin, "for number in range(params.until):", quietly), {"tick.count": {}})


class Careful(api.Tool):
    """Keeps state, uses models and notes."""

    id = "careful.do"
    title = "Careful"

    def run(self, params: Any, ctx: api.Context) -> Iterator[api.Event]:
        model: dict[str, int] = ctx.models.load("it", dict)
        assert ctx.models.load("it", dict) is model
        ctx.models.drop("it")
        ctx.note("rung", 2)
        (ctx.scratch / "part").touch()
        (ctx.checkpoint_dir / "state").touch()
        if ctx.pause_requested:
            raise api.Paused
        try:
            yield api.Progress(1, 2)
        finally:
            ctx.note("ended", True)
        yield api.Animation((np.full((2, 2), value, np.uint8) for value in (0, 255)), fps=2)


def test_the_fake_context_implements_the_context() -> None:
    ctx = testing.FakeContext()
    (film,) = testing.results(testing.run(Careful, ctx))
    assert isinstance(film, api.Animation)
    assert [int(np.asarray(frame).max()) for frame in film.frames] == [0, 255]
    assert ctx.notes == {"rung": 2, "ended": True}
    assert ctx.scratch != ctx.checkpoint_dir
    assert (ctx.checkpoint_dir / "state").exists()


def test_a_cancel_is_raised_at_the_yield() -> None:
    ctx = testing.FakeContext(cancel_after=1)
    with pytest.raises(api.Cancelled):
        testing.run(Careful, ctx)
    assert ctx.notes["ended"]
    with pytest.raises(api.Paused):
        testing.run(Careful, testing.FakeContext(pause_requested=True))


def test_the_fake_context_resolves_models() -> None:
    ctx = testing.FakeContext()
    with pytest.raises(api.BadInput, match="no starter model named nobody"):
        ctx.model("nobody")
    assert ctx.model(__file__) == Path(__file__)
