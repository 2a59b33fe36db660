"""What a denoiser said leaves an accelerator's memory beyond a bound, and comes back as it was."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from plugins.diffusion.pipeline import replay

ANSWER = 4 * 100
"""Bytes."""


def asked(one: replay.Replay, count: int) -> list[torch.Tensor]:
    """What the tape gives for a denoiser that counts."""
    said = iter(range(len(one.answers), 100))
    denoiser = one.taped(lambda: (torch.full((100,), float(next(said))),))
    return [denoiser()[0] for _ in range(count)]


def test_what_is_beyond_the_bound_moves_and_is_still_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the processor in the place of an accelerator, and a device without content in that of main memory."""
    monkeypatch.setattr(replay, "GPU_BUDGET", 2 * ANSWER)
    monkeypatch.setattr(replay, "_MAIN", "meta")
    one = replay.Replay()
    assert [float(said[0]) for said in asked(one, 4)] == [0, 1, 2, 3]
    assert [answer[0].device.type for answer in one.answers] == ["cpu", "cpu", "meta", "meta"]
    one.rewind()
    assert [float(said[0]) for said in asked(one, 2)] == [0, 1]


def test_nothing_moves_on_a_processor(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replay, "GPU_BUDGET", 0)
    one = replay.Replay()
    first = asked(one, 3)
    one.rewind()
    assert [float(said[0]) for said in asked(one, 3)] == [float(said[0]) for said in first] == [0, 1, 2]


def test_kept_answers_are_given_out_on_the_device(tmp_path: Path) -> None:
    one = replay.Replay()
    asked(one, 2)
    one.save(tmp_path, {"model": "a"})
    kept = replay.Replay.load(tmp_path, {"model": "a"}, "meta")
    assert [answer[0].tolist() for answer in kept.answers] == [[float(number)] * 100 for number in range(2)]
    assert [said.device.type for said in asked(kept, 2)] == ["meta", "meta"]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an accelerator")
def test_what_moved_comes_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replay, "GPU_BUDGET", ANSWER)
    one = replay.Replay(device="cuda")
    said = iter(torch.randn(3, 100, device="cuda"))
    denoiser = one.taped(lambda: next(said))
    first = [denoiser() for _ in range(3)]
    assert [answer.device.type for answer in one.answers] == ["cuda", "cpu", "cpu"]
    one.rewind()
    assert all(torch.equal(denoiser(), answer) for answer in first)
