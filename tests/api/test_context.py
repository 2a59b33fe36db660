"""`api.ContextProxy` delegates every member of a context."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from studio import api, testing


class HalfPrecision(api.ContextProxy):
    """Runs a part of a job in bfloat16, with a label on its progress."""

    @property
    def dtype(self) -> torch.dtype:
        return torch.bfloat16

    def emit(self, event: api.Event) -> None:
        super().emit(api.Progress(event.step, event.total, "half") if isinstance(event, api.Progress) else event)


def dtype_of(ctx: api.Context) -> torch.dtype:
    return ctx.dtype


def test_a_proxy_overrides_some_members_and_delegates_the_others(tmp_path: Path) -> None:
    ctx = testing.FakeContext(seed=5, folder=tmp_path, pause_requested=True)
    proxy = HalfPrecision(ctx)
    assert dtype_of(proxy) == torch.bfloat16
    proxy.emit(api.Progress(1, 2))
    proxy.note("rung", 1)
    assert ctx.events == [api.Progress(1, 2, "half")]
    assert ctx.notes == {"rung": 1}
    assert proxy.models.load("it", list) is ctx.models.load("it", list)
    assert proxy.generator(2).initial_seed() == 7


def test_every_member_of_a_context_is_delegated(tmp_path: Path) -> None:
    ctx = testing.FakeContext(seed=5, folder=tmp_path)
    proxy = api.ContextProxy(ctx)
    members = [name for name in vars(api.Context) if not name.startswith("_")]
    assert len(members) > 12
    for name in members:
        assert name in vars(api.ContextProxy), f"ContextProxy lacks {name}"
        if isinstance(vars(api.Context)[name], property):
            assert getattr(proxy, name) == getattr(ctx, name)


def test_a_pause_saves_the_state_first() -> None:
    saved: list[str] = []
    api.pause_if_requested(testing.FakeContext(), lambda: saved.append("never"))
    with pytest.raises(api.Paused):
        api.pause_if_requested(testing.FakeContext(pause_requested=True), lambda: saved.append("state"))
    assert saved == ["state"]
