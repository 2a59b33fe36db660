"""Where weights go by what is free, and how long they stay."""

from __future__ import annotations

import gc
import weakref
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import psutil
import pytest
import torch
from safetensors.torch import save_file

from plugins.diffusion.checkpoints.families import Task
from plugins.diffusion.models import loader, placement
from plugins.diffusion.models.placement import Placement, Precision
from plugins.diffusion.tools.text_to_image import TextToImage
from studio import api, testing
from studio.worker.models.cache import ModelCache, count_bytes

GB = 2**30


@pytest.mark.parametrize(
    ("parts", "free", "where"),
    [
        ((5 * GB, 1 * GB), 8 * GB, Placement.DEVICE),
        ((5 * GB, 1 * GB), 7 * GB, Placement.MODEL_OFFLOAD),
        ((24 * GB, 10 * GB), 27 * GB, Placement.MODEL_OFFLOAD),
        ((24 * GB, 10 * GB), 24 * GB, Placement.GROUP_OFFLOAD),
        ((GB // 10,), GB // 5, Placement.DEVICE),
        ((), 0, Placement.DEVICE),
    ],
)
def test_a_model_goes_where_it_fits_with_room_to_work(parts: tuple[int, ...], free: int, where: Placement) -> None:
    assert placement.choose_placement(parts, free) is where


@pytest.mark.parametrize(
    ("weights", "free", "swap", "width"),
    [
        (1 * GB, 6 * GB, 0, Precision.FULL),
        (1 * GB, 5 * GB, 0, Precision.HALF),
        (1 * GB, 2 * GB, 0, Precision.TOO_LARGE),
        (1 * GB, 2 * GB, 4 * GB, Precision.HALF),
        (GB // 100, GB // 10, 0, Precision.FULL),
    ],
)
def test_weights_on_a_processor_are_as_wide_as_memory_allows(
    weights: int, free: int, swap: int, width: Precision
) -> None:
    assert placement.choose_precision(weights, free, swap) is width


class Machine:
    """How much memory psutil reports; more once something was given back."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, free: int, after: int | None = None) -> None:
        self.free = free
        self._after = free if after is None else after
        monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=self.free, total=GB))
        monkeypatch.setattr(psutil, "swap_memory", lambda: SimpleNamespace(free=0))

    def give_back(self) -> None:
        gc.collect()
        self.free = self._after


def weights_of(folder: Path) -> int:
    """Numbers, as the files have them."""
    return sum(
        int(np.prod(shape))
        for file in folder.glob("*/*.safetensors")
        for shape in api.model_files.weight_shapes(file).values()
    )


def test_short_of_memory_a_model_is_held_in_16_bits_and_that_is_said(sd: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Machine(monkeypatch, free=4 * weights_of(sd))
    for _ in range(2):
        ctx = testing.FakeContext()
        (picture,) = testing.results(testing.run(TextToImage, ctx, prompt="a (red:1.2) fox", model=str(sd), steps=2))
        assert isinstance(picture, api.Image)
        assert loader.load(ctx, str(sd)).base.unet.dtype is torch.bfloat16
        assert ctx.notes["memory"] == [placement.HALF_PRECISION]
        (notice,) = [event.text for event in ctx.events if isinstance(event, api.Notice)]
        assert "16 bits" in notice


def test_a_model_that_fits_is_left_as_it_is(sd: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Machine(monkeypatch, free=7 * weights_of(sd))
    ctx = testing.FakeContext()
    assert loader.load(ctx, str(sd)).base.unet.dtype is torch.float32
    assert not ctx.events


def test_a_model_that_the_machine_cannot_hold_is_refused_before_it_is_loaded(
    sd: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Machine(monkeypatch, free=weights_of(sd))
    with pytest.raises(api.OutOfMemory, match="even in 16 bits"):
        testing.run(TextToImage, model=str(sd), steps=1)


def cache(machine: Machine | None = None) -> ModelCache:
    """The worker's own, on a machine that never asks for room by itself."""
    return ModelCache(lambda: (GB, GB), machine.give_back if machine else gc.collect)


def kept(models: ModelCache, **more: Any) -> testing.FakeContext:
    return testing.FakeContext(models=models, **more)  # type: ignore[arg-type]


def test_other_models_are_dropped_before_one_is_held_in_16_bits(
    sd: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    machine = Machine(monkeypatch, free=4 * weights_of(sd), after=7 * weights_of(sd))
    models = cache(machine)
    models.load("another", lambda: torch.zeros(8))
    assert loader.load(kept(models), str(sd)).base.unet.dtype is torch.float32
    assert "another" not in models.sizes
    assert "all others are dropped" in caplog.text


def test_a_model_is_counted_once_however_many_pipelines_look_at_it(sd: Path) -> None:
    models = cache()
    model = loader.load(kept(models), str(sd))
    (counted,) = models.sizes.values()
    parts = [part for part in model.base.components.values() if isinstance(part, torch.nn.Module)]
    assert counted >= sum(one.nbytes for part in parts for one in part.parameters())
    for task in (Task.TEXT_TO_IMAGE, Task.IMAGE_TO_IMAGE, Task.INPAINT):
        model.pipeline_for(task)
    assert count_bytes(model) == counted


def test_what_is_dropped_is_gone(sd: Path) -> None:
    models = cache()
    for values in ({}, {"attention": "math", "channels_last": True}):
        testing.run(TextToImage, kept(models), prompt="a (red:1.2) fox", model=str(sd), steps=2, **values)
    model = loader.load(kept(models), str(sd))
    model.pipeline_for(Task.IMAGE_TO_IMAGE)
    parts = [weakref.ref(part) for part in model.base.components.values() if isinstance(part, torch.nn.Module)]
    del model
    models.clear()
    gc.collect()
    assert [part() for part in parts] == [None] * len(parts)


def lora(path: Path, base: Any, seed: int) -> str:
    """For the queries of the attention of a denoiser."""
    torch.manual_seed(seed)
    pairs = {}
    for name, part in base.unet.named_modules():
        if name.endswith("to_q"):
            pairs[f"unet.{name}.lora_A.weight"] = torch.randn(2, part.in_features)
            pairs[f"unet.{name}.lora_B.weight"] = torch.randn(part.out_features, 2)
    save_file(pairs, path)
    return str(path)


def test_the_base_is_loaded_once_while_loras_come_and_go(sd: Path, tmp_path: Path) -> None:
    models = cache()
    base = loader.load(kept(models), str(sd)).base
    one, two = (lora(tmp_path / f"{seed}.safetensors", base, seed) for seed in (1, 2))
    pictures = []
    for chosen in ([], [one], [two], [one, two], []):
        ctx = kept(models)
        (made,) = testing.results(testing.run(TextToImage, ctx, prompt="a fox", model=str(sd), steps=1, loras=chosen))
        assert isinstance(made, api.Image)
        pictures.append(np.asarray(made.picture))
        assert loader.load(ctx, str(sd)).base is base
    assert (pictures[0] == pictures[-1]).all()
    assert all((pictures[0] != other).any() for other in pictures[1:-1])
    assert len(models.sizes) == 1
