"""Weights are placed by the free memory, and models are dropped when memory is short."""

from __future__ import annotations

import gc
import weakref
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING

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

if TYPE_CHECKING:
    from diffusers import DiffusionPipeline

GB = 2**30


@pytest.mark.parametrize(
    ("component_bytes", "free", "expected"),
    [
        ((5 * GB, 1 * GB), 8 * GB, Placement.DEVICE),
        ((5 * GB, 1 * GB), 7 * GB, Placement.MODEL_OFFLOAD),
        ((24 * GB, 10 * GB), 27 * GB, Placement.MODEL_OFFLOAD),
        ((24 * GB, 10 * GB), 24 * GB, Placement.GROUP_OFFLOAD),
        ((GB // 10,), GB // 5, Placement.DEVICE),
        ((), 0, Placement.DEVICE),
    ],
)
def test_placement_follows_the_free_memory(component_bytes: tuple[int, ...], free: int, expected: Placement) -> None:
    assert placement.choose_placement(component_bytes, free) is expected


@pytest.mark.parametrize(
    ("weights", "free", "swap", "expected"),
    [
        (1 * GB, 6 * GB, 0, Precision.FULL),
        (1 * GB, 5 * GB, 0, Precision.HALF),
        (1 * GB, 2 * GB, 0, Precision.TOO_LARGE),
        (1 * GB, 2 * GB, 4 * GB, Precision.HALF),
        (GB // 100, GB // 10, 0, Precision.FULL),
    ],
)
def test_precision_on_a_cpu_follows_the_free_memory(weights: int, free: int, swap: int, expected: Precision) -> None:
    assert placement.choose_precision(weights, free, swap) is expected


class Machine:
    """The free memory that psutil reports; it grows once memory was freed."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, free: int, after: int | None = None) -> None:
        self.free = free
        self._after = free if after is None else after
        monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=self.free, total=GB))
        monkeypatch.setattr(psutil, "swap_memory", lambda: SimpleNamespace(free=0))

    def free_memory(self) -> None:
        gc.collect()
        self.free = self._after


def count_weights(folder: Path) -> int:
    """Count the numbers in the files of a folder."""
    return sum(
        int(np.prod(shape))
        for file in folder.glob("*/*.safetensors")
        for shape in api.model_files.read_weight_shapes(file).values()
    )


def test_short_of_memory_a_model_is_loaded_in_16_bits_with_a_notice(sd: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Machine(monkeypatch, free=4 * count_weights(sd))
    for _ in range(2):
        ctx = testing.FakeContext()
        (picture,) = testing.results(testing.run(TextToImage, ctx, prompt="a (red:1.2) fox", model=str(sd), steps=2))
        assert isinstance(picture, api.Image)
        assert loader.load(ctx, str(sd)).base.unet.dtype is torch.bfloat16
        assert ctx.notes["memory"] == [placement.HALF_PRECISION]
        (notice,) = [event.text for event in ctx.events if isinstance(event, api.Notice)]
        assert "16 bits" in notice


def test_a_model_that_fits_is_loaded_in_32_bits(sd: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Machine(monkeypatch, free=7 * count_weights(sd))
    ctx = testing.FakeContext()
    assert loader.load(ctx, str(sd)).base.unet.dtype is torch.float32
    assert not ctx.events


def test_a_model_larger_than_memory_is_refused_before_it_is_loaded(sd: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Machine(monkeypatch, free=count_weights(sd))
    with pytest.raises(api.OutOfMemory, match="even in 16 bits"):
        testing.run(TextToImage, model=str(sd), steps=1)


def collect_garbage() -> None:
    gc.collect()


def build_cache(machine: Machine | None = None) -> ModelCache:
    """Build the worker's cache, on a machine that is never short of memory by itself."""
    return ModelCache(lambda: (GB, GB), machine.free_memory if machine else collect_garbage)


def context_with(models: ModelCache) -> testing.FakeContext:
    return testing.FakeContext(models=models)  # type: ignore[arg-type]


def test_other_models_are_dropped_before_one_is_loaded_in_16_bits(
    sd: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    machine = Machine(monkeypatch, free=4 * count_weights(sd), after=7 * count_weights(sd))
    models = build_cache(machine)
    models.load("another", lambda: torch.zeros(8))
    assert loader.load(context_with(models), str(sd)).base.unet.dtype is torch.float32
    assert "another" not in models.sizes
    assert "all other models are evicted" in caplog.text


def test_a_model_with_several_pipelines_is_counted_once(sd: Path) -> None:
    models = build_cache()
    model = loader.load(context_with(models), str(sd))
    (size_in_cache,) = models.sizes.values()
    parts = [part for part in model.base.components.values() if isinstance(part, torch.nn.Module)]
    assert size_in_cache >= sum(weight.nbytes for part in parts for weight in part.parameters())
    for task in (Task.TEXT_TO_IMAGE, Task.IMAGE_TO_IMAGE, Task.INPAINT):
        model.pipeline_for(task)
    assert count_bytes(model) == size_in_cache


def test_a_dropped_model_is_freed(sd: Path) -> None:
    models = build_cache()
    for values in ({}, {"attention": "math", "channels_last": True}):
        testing.run(TextToImage, context_with(models), prompt="a (red:1.2) fox", model=str(sd), steps=2, **values)
    model = loader.load(context_with(models), str(sd))
    model.pipeline_for(Task.IMAGE_TO_IMAGE)
    parts = [weakref.ref(part) for part in model.base.components.values() if isinstance(part, torch.nn.Module)]
    del model
    models.clear()
    gc.collect()
    assert [part() for part in parts] == [None] * len(parts)


def save_lora(path: Path, base: DiffusionPipeline, seed: int) -> str:
    """Save a random LoRA for the attention queries of a UNet."""
    torch.manual_seed(seed)
    pairs = {}
    for name, part in base.unet.named_modules():
        if name.endswith("to_q"):
            pairs[f"unet.{name}.lora_A.weight"] = torch.randn(2, part.in_features)
            pairs[f"unet.{name}.lora_B.weight"] = torch.randn(part.out_features, 2)
    save_file(pairs, path)
    return str(path)


def test_the_model_is_loaded_once_for_all_loras(sd: Path, tmp_path: Path) -> None:
    models = build_cache()
    base = loader.load(context_with(models), str(sd)).base
    one, two = (save_lora(tmp_path / f"{seed}.safetensors", base, seed) for seed in (1, 2))
    pictures = []
    for chosen in ([], [one], [two], [one, two], []):
        ctx = context_with(models)
        (made,) = testing.results(testing.run(TextToImage, ctx, prompt="a fox", model=str(sd), steps=1, loras=chosen))
        assert isinstance(made, api.Image)
        pictures.append(np.asarray(made.picture))
        assert loader.load(ctx, str(sd)).base is base
    assert (pictures[0] == pictures[-1]).all()
    assert all((pictures[0] != other).any() for other in pictures[1:-1])
    assert len(models.sizes) == 1
