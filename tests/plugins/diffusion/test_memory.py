"""Down the ladder, one rung for each time that torch says that memory has run out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from plugins.diffusion import loading, memory
from plugins.diffusion.paint import Paint
from studio import api, testing

ON_A_CPU = ["vae tiling", "vae slicing", "attention slicing"]


def short_of_memory(module: Any, times: int) -> None:
    """Its next `times` calls end as torch ends them when memory runs out."""
    left = [times]

    def refuse(*_: Any) -> None:
        if left[0]:
            left[0] -= 1
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")

    module.register_forward_pre_hook(refuse)


@pytest.mark.parametrize(("times", "part"), [(1, "unet"), (2, "text_encoder"), (3, "unet")])
def test_each_time_one_rung_is_taken_and_said(sd: Path, times: int, part: str) -> None:
    values = {"prompt": "a fox", "model": str(sd), "steps": 2}
    (whole,) = testing.results(testing.run(Paint, **values))
    ctx = testing.FakeContext()
    model = loading.load(ctx, str(sd))
    inside = model.base.unet.mid_block if part == "unet" else model.base.text_encoder
    short_of_memory(inside, times)
    (picture,) = testing.results(testing.run(Paint, ctx, **values))
    assert ctx.notes["memory"] == model.rungs == ON_A_CPU[:times]
    assert len([event for event in ctx.events if isinstance(event, api.Notice)]) == times
    assert isinstance(picture, api.Image)
    assert isinstance(whole, api.Image)
    assert np.asarray(picture.picture).shape == np.asarray(whole.picture).shape


def test_memory_that_runs_out_while_decoding_costs_no_denoising(sd: Path) -> None:
    ctx = testing.FakeContext()
    model = loading.load(ctx, str(sd))
    short_of_memory(model.base.vae.decoder.mid_block, 2)
    calls: list[int] = []
    model.base.unet.conv_in.register_forward_hook(lambda *_: calls.append(1))
    testing.run(Paint, ctx, model=str(sd), steps=3)
    assert len(calls) == 3


def test_at_the_foot_of_the_ladder_a_sentence_says_so(sd: Path) -> None:
    ctx = testing.FakeContext()
    short_of_memory(loading.load(ctx, str(sd)).base.unet.mid_block, 100)
    with pytest.raises(api.OutOfMemory, match="more memory than there is"):
        testing.run(Paint, ctx, model=str(sd), steps=2)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="offload needs an accelerator")
def test_every_rung_on_an_accelerator(sd: Path) -> None:
    ctx = testing.FakeContext(device="cuda:0")
    model = loading.load(ctx, str(sd))
    short_of_memory(model.base.unet.mid_block, len(memory.LADDER))
    testing.run(Paint, ctx, model=str(sd), steps=2)
    assert model.rungs == [rung.name for rung in memory.LADDER]
