"""Denoiser outputs beyond the GPU budget are offloaded, and replayed unchanged."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import pytest
import torch
from torch import Tensor

from plugins.diffusion.pipeline import replay
from plugins.diffusion.pipeline.replay import Replay

OUTPUT_BYTES = 4 * 100


def call_denoiser(recorder: Replay, count: int) -> list[Tensor]:
    """Return the outputs that the replay gives for a denoiser that counts its calls."""
    numbers = iter(range(len(recorder.outputs), 100))
    denoiser = recorder.record(lambda: (torch.full((100,), float(next(numbers))),))
    return [cast("tuple[Tensor]", denoiser())[0] for _ in range(count)]


def recorded(recorder: Replay) -> list[Tensor]:
    return [cast("tuple[Tensor]", output)[0] for output in recorder.outputs]


def test_outputs_beyond_the_gpu_budget_are_offloaded_and_replayed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The CPU stands for a GPU, and a device without content for main memory."""
    monkeypatch.setattr(replay, "GPU_BUDGET", 2 * OUTPUT_BYTES)
    monkeypatch.setattr(replay, "_MAIN_MEMORY", "meta")
    recorder = Replay()
    assert [float(output[0]) for output in call_denoiser(recorder, 4)] == [0, 1, 2, 3]
    assert [output.device.type for output in recorded(recorder)] == ["cpu", "cpu", "meta", "meta"]
    recorder.rewind()
    assert [float(output[0]) for output in call_denoiser(recorder, 2)] == [0, 1]


def test_nothing_is_offloaded_on_a_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replay, "GPU_BUDGET", 0)
    recorder = Replay()
    first = call_denoiser(recorder, 3)
    recorder.rewind()
    again = call_denoiser(recorder, 3)
    assert [float(output[0]) for output in again] == [float(output[0]) for output in first] == [0, 1, 2]


def test_saved_outputs_are_replayed_on_the_device(tmp_path: Path) -> None:
    recorder = Replay()
    call_denoiser(recorder, 2)
    recorder.save(tmp_path, {"model": "a"})
    loaded = Replay.load(tmp_path, {"model": "a"}, "meta")
    assert [output.tolist() for output in recorded(loaded)] == [[float(number)] * 100 for number in range(2)]
    assert [output.device.type for output in call_denoiser(loaded, 2)] == ["meta", "meta"]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_offloaded_outputs_return_to_the_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replay, "GPU_BUDGET", OUTPUT_BYTES)
    recorder = Replay(device="cuda")
    values = iter(torch.randn(3, 100, device="cuda"))
    denoiser = recorder.record(lambda: next(values))
    first = [cast("Tensor", denoiser()) for _ in range(3)]
    assert [cast("Tensor", output).device.type for output in recorder.outputs] == ["cuda", "cpu", "cpu"]
    recorder.rewind()
    assert all(torch.equal(cast("Tensor", denoiser()), output) for output in first)
