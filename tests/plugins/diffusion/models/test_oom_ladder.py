"""One more fallback is taken each time that torch runs out of memory."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from plugins.diffusion.models import loader, oom_ladder, sequential_batch
from plugins.diffusion.tools.text_to_image import TextToImage
from studio import api, testing

CPU_FALLBACKS = ["vae tiling", "vae slicing", "attention slicing", "smaller batch"]
NUMBERED_CPU = "cpu:0"
"""A CPU with an index is offloaded like an accelerator, though to itself."""


on_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no such device")


def paint(ctx: testing.FakeContext, **values: Any) -> np.ndarray:
    result = testing.results(testing.run(TextToImage, ctx, **values))[-1]
    assert isinstance(result, api.Image)
    return np.asarray(result.picture)


def fail_with_out_of_memory(module: torch.nn.Module, times: int) -> None:
    """Make the next `times` calls of a module raise the error of torch for a lack of memory."""
    left = [times]

    def refuse(*_: object) -> None:
        if left[0]:
            left[0] -= 1
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")

    module.register_forward_pre_hook(refuse)


@pytest.mark.parametrize(("times", "part"), [(1, "unet"), (2, "text_encoder"), (3, "unet"), (4, "unet")])
def test_each_shortage_takes_one_fallback_and_gives_a_notice(sd: Path, times: int, part: str) -> None:
    values: dict[str, Any] = {"prompt": "a fox", "model": str(sd), "steps": 2}
    (whole,) = testing.results(testing.run(TextToImage, **values))
    ctx = testing.FakeContext()
    model = loader.load(ctx, str(sd))
    inside = model.base.unet.mid_block if part == "unet" else model.base.text_encoder
    fail_with_out_of_memory(inside, times)
    (picture,) = testing.results(testing.run(TextToImage, ctx, **values))
    assert ctx.notes["memory"] == model.fallbacks == CPU_FALLBACKS[:times]
    assert len([event for event in ctx.events if isinstance(event, api.Notice)]) == times
    assert isinstance(picture, api.Image)
    assert isinstance(whole, api.Image)
    assert np.asarray(picture.picture).shape == np.asarray(whole.picture).shape


def test_memory_that_runs_out_while_decoding_costs_no_denoising(sd: Path) -> None:
    ctx = testing.FakeContext()
    model = loader.load(ctx, str(sd))
    fail_with_out_of_memory(model.base.vae.decoder.mid_block, 2)
    calls: list[int] = []
    model.base.unet.conv_in.register_forward_hook(lambda *_: calls.append(1))
    testing.run(TextToImage, ctx, model=str(sd), steps=3)
    assert len(calls) == 3


def test_without_a_fallback_left_the_job_fails_with_a_sentence(sd: Path) -> None:
    ctx = testing.FakeContext()
    fail_with_out_of_memory(loader.load(ctx, str(sd)).base.unet.mid_block, 100)
    with pytest.raises(api.OutOfMemory, match="more memory than there is"):
        testing.run(TextToImage, ctx, model=str(sd), steps=2)


@pytest.mark.parametrize("device", [NUMBERED_CPU, pytest.param("cuda:0", marks=on_cuda)])
def test_every_fallback_is_taken_where_weights_can_be_offloaded(sd: Path, device: str) -> None:
    values: dict[str, Any] = {"prompt": "a fox", "model": str(sd), "steps": 2}
    whole = paint(testing.FakeContext(device=device), **values)
    ctx = testing.FakeContext(device=device)
    model = loader.load(ctx, str(sd))
    fail_with_out_of_memory(model.base.unet.mid_block, len(oom_ladder.FALLBACKS))
    picture = paint(ctx, **values)
    assert ctx.notes["memory"] == model.fallbacks == [fallback.name for fallback in oom_ladder.FALLBACKS]
    assert np.abs(picture.astype(int) - whole).mean() < 2
    assert (paint(ctx, **values) == picture).all()


@pytest.mark.parametrize("family", ["stable-diffusion", "stable-diffusion-xl", "stable-diffusion-3", "z-image"])
def test_split_guidance_batches_give_the_same_image(tiny_model: Callable[[str], Path], family: str) -> None:
    values: dict[str, Any] = {
        "prompt": "a fox",
        "negative_prompt": "blue",
        "model": str(tiny_model(family)),
        "steps": 2,
        "guidance": 4,
    }
    values |= {"width": 32, "height": 32}
    ctx = testing.FakeContext()
    whole = paint(ctx, **values)
    pipe = loader.load(ctx, values["model"]).base
    denoiser = pipe.components.get("unet") or pipe.components["transformer"]
    inside = next(module for module in denoiser.modules() if isinstance(module, torch.nn.Linear))
    calls: list[int] = []
    with inside.register_forward_pre_hook(lambda *_: calls.append(1)):
        with sequential_batch.track_largest_batch(pipe) as largest:
            paint(ctx, **values)
        batched = len(calls)
        sequential_batch.split_batches(pipe)
        separate = paint(ctx, **values)
    assert largest.size == 2
    assert len(calls) == 3 * batched
    assert np.abs(separate.astype(int) - whole).max() <= 1


def test_without_guidance_no_batch_is_split(sd: Path) -> None:
    ctx = testing.FakeContext()
    model = loader.load(ctx, str(sd))
    fail_with_out_of_memory(model.base.unet.mid_block, 100)
    with pytest.raises(api.OutOfMemory):
        paint(ctx, model=str(sd), steps=2, guidance=1)
    assert model.fallbacks == CPU_FALLBACKS[:3]
