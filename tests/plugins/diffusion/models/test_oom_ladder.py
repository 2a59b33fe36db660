"""Down the ladder, one rung for each time that torch says that memory has run out."""

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

ON_A_CPU = ["vae tiling", "vae slicing", "attention slicing", "smaller batch"]
NUMBERED = "cpu:0"
"""A CPU by number is offloaded from like an accelerator, though to itself."""


on_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no such device")


def painted(ctx: testing.FakeContext, **values: Any) -> np.ndarray:
    made = testing.results(testing.run(TextToImage, ctx, **values))[-1]
    assert isinstance(made, api.Image)
    return np.asarray(made.picture)


def short_of_memory(module: Any, times: int) -> None:
    """Its next `times` calls end as torch ends them when memory runs out."""
    left = [times]

    def refuse(*_: Any) -> None:
        if left[0]:
            left[0] -= 1
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")

    module.register_forward_pre_hook(refuse)


@pytest.mark.parametrize(("times", "part"), [(1, "unet"), (2, "text_encoder"), (3, "unet"), (4, "unet")])
def test_each_time_one_rung_is_taken_and_said(sd: Path, times: int, part: str) -> None:
    values = {"prompt": "a fox", "model": str(sd), "steps": 2}
    (whole,) = testing.results(testing.run(TextToImage, **values))
    ctx = testing.FakeContext()
    model = loader.load(ctx, str(sd))
    inside = model.base.unet.mid_block if part == "unet" else model.base.text_encoder
    short_of_memory(inside, times)
    (picture,) = testing.results(testing.run(TextToImage, ctx, **values))
    assert ctx.notes["memory"] == model.fallbacks == ON_A_CPU[:times]
    assert len([event for event in ctx.events if isinstance(event, api.Notice)]) == times
    assert isinstance(picture, api.Image)
    assert isinstance(whole, api.Image)
    assert np.asarray(picture.picture).shape == np.asarray(whole.picture).shape


def test_memory_that_runs_out_while_decoding_costs_no_denoising(sd: Path) -> None:
    ctx = testing.FakeContext()
    model = loader.load(ctx, str(sd))
    short_of_memory(model.base.vae.decoder.mid_block, 2)
    calls: list[int] = []
    model.base.unet.conv_in.register_forward_hook(lambda *_: calls.append(1))
    testing.run(TextToImage, ctx, model=str(sd), steps=3)
    assert len(calls) == 3


def test_at_the_foot_of_the_ladder_a_sentence_says_so(sd: Path) -> None:
    ctx = testing.FakeContext()
    short_of_memory(loader.load(ctx, str(sd)).base.unet.mid_block, 100)
    with pytest.raises(api.OutOfMemory, match="more memory than there is"):
        testing.run(TextToImage, ctx, model=str(sd), steps=2)


@pytest.mark.parametrize("device", [NUMBERED, pytest.param("cuda:0", marks=on_cuda)])
def test_every_rung_is_taken_where_weights_can_wait_elsewhere(sd: Path, device: str) -> None:
    values = {"prompt": "a fox", "model": str(sd), "steps": 2}
    whole = painted(testing.FakeContext(device=device), **values)
    ctx = testing.FakeContext(device=device)
    model = loader.load(ctx, str(sd))
    short_of_memory(model.base.unet.mid_block, len(oom_ladder.FALLBACKS))
    picture = painted(ctx, **values)
    assert ctx.notes["memory"] == model.fallbacks == [rung.name for rung in oom_ladder.FALLBACKS]
    assert np.abs(picture.astype(int) - whole).mean() < 2
    assert (painted(ctx, **values) == picture).all()


@pytest.mark.parametrize("family", ["stable-diffusion", "stable-diffusion-xl", "stable-diffusion-3", "z-image"])
def test_guidance_one_half_after_the_other_gives_the_same_picture(
    tiny_model: Callable[[str], Path], family: str
) -> None:
    values = {"prompt": "a fox", "negative_prompt": "blue", "model": str(tiny_model(family)), "steps": 2, "guidance": 4}
    values |= {"width": 32, "height": 32}
    ctx = testing.FakeContext()
    whole = painted(ctx, **values)
    pipe = loader.load(ctx, values["model"]).base
    denoiser = pipe.components.get("unet") or pipe.components["transformer"]
    inside = next(module for module in denoiser.modules() if isinstance(module, torch.nn.Linear))
    asked: list[int] = []
    with inside.register_forward_pre_hook(lambda *_: asked.append(1)):
        with sequential_batch.track_largest_batch(pipe) as largest:
            painted(ctx, **values)
        together = len(asked)
        sequential_batch.split_batches(pipe)
        apart = painted(ctx, **values)
    assert largest.size == 2
    assert len(asked) == 3 * together
    assert np.abs(apart.astype(int) - whole).max() <= 1


def test_without_guidance_there_is_nothing_to_take_apart(sd: Path) -> None:
    ctx = testing.FakeContext()
    model = loader.load(ctx, str(sd))
    short_of_memory(model.base.unet.mid_block, 100)
    with pytest.raises(api.OutOfMemory):
        painted(ctx, model=str(sd), steps=2, guidance=1)
    assert model.fallbacks == ON_A_CPU[:3]
