"""Ways to paint faster are laid over a model for one job, and the model comes out as it went in."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from plugins.diffusion.models import loader
from plugins.diffusion.modifiers.step_cache import CacheState
from plugins.diffusion.tools.image_to_image import ImageToImage
from plugins.diffusion.tools.text_to_image import TextToImage
from studio import api, testing
from tests.plugins.diffusion.pipeline.test_pause import Pausing

CACHES = ["first_block", "taylor", "attention", "magnitude"]


def picture(ctx: testing.FakeContext, tool: type[api.Tool] = TextToImage, **values: Any) -> np.ndarray:
    made = testing.results(testing.run(tool, ctx, **values))[-1]
    assert isinstance(made, api.Image)
    return np.asarray(made.picture)


@pytest.fixture
def flux(tiny_model: Callable[[str], Path]) -> Path:
    return tiny_model("flux")


@pytest.fixture
def calm(flux: Path) -> testing.FakeModels:
    """The model made to heed the time little, so that its steps are alike enough for one to be skipped."""
    ctx = testing.FakeContext()
    time = loader.load(ctx, str(flux)).base.transformer.time_text_embed.timestep_embedder.linear_2
    with torch.no_grad():
        time.weight.mul_(0.01)
    return ctx.models


def test_nothing_is_chosen_by_itself(sd: Path) -> None:
    params = TextToImage.Params()
    assert (params.skip, params.attention, params.compiled, params.channels_last) == ("off", "auto", False, False)


@pytest.mark.parametrize("skip", CACHES)
def test_work_is_skipped_and_the_model_comes_out_as_it_went_in(flux: Path, calm: testing.FakeModels, skip: str) -> None:
    ctx = testing.FakeContext(seed=3, models=calm)
    values = {"prompt": "a fox", "model": str(flux), "steps": 8, "width": 32, "height": 32}
    denoiser = loader.load(ctx, str(flux)).base.transformer
    attention = denoiser.single_transformer_blocks[-1].attn
    before = [set(vars(module)) for module in denoiser.modules()]
    calls: list[int] = []
    with attention.to_q.register_forward_hook(lambda *_: calls.append(1)):
        whole = picture(ctx, **values)
        assert len(calls) == 8
        calls.clear()
        skipped = picture(ctx, skip=skip, **values)
        assert 0 < len(calls) < 8
    assert skipped.shape == whole.shape
    assert [set(vars(module)) for module in denoiser.modules()] == before
    assert (picture(ctx, **values) == whole).all()


@pytest.mark.parametrize("skip", CACHES)
def test_a_pause_changes_nothing_of_what_is_skipped(
    flux: Path, calm: testing.FakeModels, tmp_path: Path, skip: str
) -> None:
    values = {"prompt": "a fox", "model": str(flux), "steps": 8, "width": 32, "height": 32, "skip": skip}
    whole = picture(testing.FakeContext(seed=3, models=calm), **values)
    pausing = Pausing(seed=3, folder=tmp_path, models=calm)
    pausing.after = 5
    with pytest.raises(api.Paused):
        testing.run(TextToImage, pausing, **values)
    assert (picture(testing.FakeContext(seed=3, folder=tmp_path, models=calm), **values) == whole).all()


def test_memory_that_runs_out_changes_nothing_of_what_is_skipped(flux: Path) -> None:
    values = {"prompt": "a fox", "model": str(flux), "steps": 8, "width": 32, "height": 32, "skip": "taylor"}
    ctx = testing.FakeContext(seed=3)
    base = loader.load(ctx, str(flux)).base
    base.vae.enable_tiling()  # or that would be the first step of the ladder, and change the picture
    whole = picture(ctx, **values)
    calls: list[int] = []

    def refuse(*_: Any) -> None:
        calls.append(1)
        if len(calls) == 3:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")

    with base.transformer.single_transformer_blocks[-1].attn.register_forward_pre_hook(refuse):
        assert (picture(ctx, **values) == whole).all()
    assert ctx.notes["memory"] == ["vae slicing"]


def test_a_cache_begins_empty(flux: Path) -> None:
    denoiser = loader.load(testing.FakeContext(), str(flux)).base.transformer
    from diffusers import FirstBlockCacheConfig

    denoiser.enable_cache(FirstBlockCacheConfig())
    assert CacheState(denoiser).capture() == [{}]


@pytest.mark.parametrize("skip", CACHES)
def test_a_family_whose_steps_stand_alone_says_so(sd: Path, skip: str) -> None:
    with pytest.raises(api.BadInput, match="supports no step cache"):
        testing.run(TextToImage, model=str(sd), steps=1, skip=skip)


def test_a_task_that_a_cache_does_not_know_is_refused(flux: Path, tmp_path: Path) -> None:
    Image.new("RGB", (32, 32), "grey").save(tmp_path / "grey.png")
    values = {"image": tmp_path / "grey.png", "model": str(flux), "steps": 2, "width": 32, "height": 32}
    ctx = testing.FakeContext()
    for skip in ("first_block", "taylor", "attention"):
        with pytest.raises(api.BadInput, match="does not support this step cache in this tool"):
            picture(ctx, ImageToImage, skip=skip, **values)
    assert picture(ctx, ImageToImage, skip="magnitude", **values).any()


@pytest.mark.parametrize(("attention", "same"), [("flash", True), ("math", False)])
def test_attention_is_computed_as_was_chosen(sd: Path, attention: str, same: bool) -> None:
    values = {"prompt": "a fox", "model": str(sd), "steps": 2}
    usual, chosen = (
        picture(testing.FakeContext(), **values),
        picture(testing.FakeContext(), attention=attention, **values),
    )
    assert np.abs(usual.astype(int) - chosen).max() <= (0 if same else 1)


def test_attention_that_is_not_to_be_had_is_refused_with_a_sentence(sd: Path, flux: Path) -> None:
    for folder, attention, sentence in (
        (sd, "efficient", "does not work with this model on cpu"),
        (sd, "xformers", "is no transformer"),
        (flux, "xformers", "not installed"),
        (flux, "sage", "not installed"),
        (flux, "flash_package", "not installed"),
    ):
        with pytest.raises(api.BadInput, match=sentence):
            testing.run(TextToImage, model=str(folder), steps=1, attention=attention)


def test_channels_last_is_for_one_picture(sd: Path, flux: Path) -> None:
    ctx = testing.FakeContext()
    values = {"prompt": "a fox", "model": str(sd), "steps": 2}
    whole = picture(ctx, **values)
    assert np.abs(whole.astype(int) - picture(ctx, channels_last=True, **values)).max() <= 1
    assert (picture(ctx, **values) == whole).all()
    with pytest.raises(api.BadInput, match="has no U-Net"):
        testing.run(TextToImage, model=str(flux), steps=1, channels_last=True)


def test_without_a_compiler_a_sentence_says_which_one(sd: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", "no-such-compiler")
    ctx = testing.FakeContext()
    with pytest.raises(api.BadInput, match="needs the C\\+\\+ compiler no-such-compiler"):
        testing.run(TextToImage, ctx, model=str(sd), steps=1, compiled=True)
    assert picture(ctx, model=str(sd), steps=1).any()
