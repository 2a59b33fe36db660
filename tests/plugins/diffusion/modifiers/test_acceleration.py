"""Accelerations apply to one job, and leave the model unchanged."""

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


def paint(ctx: testing.FakeContext, tool: type[api.Tool] = TextToImage, **values: Any) -> np.ndarray:
    result = testing.results(testing.run(tool, ctx, **values))[-1]
    assert isinstance(result, api.Image)
    return np.asarray(result.picture)


@pytest.fixture
def flux(tiny_model: Callable[[str], Path]) -> Path:
    return tiny_model("flux")


@pytest.fixture
def similar_steps(flux: Path) -> testing.FakeModels:
    """Reduce the influence of the timestep, so that steps are similar enough for one to be skipped."""
    ctx = testing.FakeContext()
    time = loader.load(ctx, str(flux)).base.transformer.time_text_embed.timestep_embedder.linear_2
    with torch.no_grad():
        time.weight.mul_(0.01)
    return ctx.models


def test_all_accelerations_are_off_by_default(sd: Path) -> None:
    params = TextToImage.Params()
    assert (params.skip, params.attention, params.compiled, params.channels_last) == ("off", "auto", False, False)


@pytest.mark.parametrize("skip", CACHES)
def test_a_step_cache_skips_work_and_leaves_the_model_unchanged(
    flux: Path, similar_steps: testing.FakeModels, skip: str
) -> None:
    ctx = testing.FakeContext(seed=3, models=similar_steps)
    values: dict[str, Any] = {"prompt": "a fox", "model": str(flux), "steps": 8, "width": 32, "height": 32}
    denoiser = loader.load(ctx, str(flux)).base.transformer
    attention = denoiser.single_transformer_blocks[-1].attn
    before = [set(vars(module)) for module in denoiser.modules()]
    calls: list[int] = []
    with attention.to_q.register_forward_hook(lambda *_: calls.append(1)):
        whole = paint(ctx, **values)
        assert len(calls) == 8
        calls.clear()
        skipped = paint(ctx, skip=skip, **values)
        assert 0 < len(calls) < 8
    assert skipped.shape == whole.shape
    assert [set(vars(module)) for module in denoiser.modules()] == before
    assert (paint(ctx, **values) == whole).all()


@pytest.mark.parametrize("skip", CACHES)
def test_a_paused_image_with_a_step_cache_resumes_with_the_same_pixels(
    flux: Path, similar_steps: testing.FakeModels, tmp_path: Path, skip: str
) -> None:
    values: dict[str, Any] = {
        "prompt": "a fox",
        "model": str(flux),
        "steps": 8,
        "width": 32,
        "height": 32,
        "skip": skip,
    }
    whole = paint(testing.FakeContext(seed=3, models=similar_steps), **values)
    pausing = Pausing(seed=3, folder=tmp_path, models=similar_steps)
    pausing.after = 5
    with pytest.raises(api.Paused):
        testing.run(TextToImage, pausing, **values)
    assert (paint(testing.FakeContext(seed=3, folder=tmp_path, models=similar_steps), **values) == whole).all()


def test_running_out_of_memory_with_a_step_cache_keeps_the_pixels(flux: Path) -> None:
    values: dict[str, Any] = {
        "prompt": "a fox",
        "model": str(flux),
        "steps": 8,
        "width": 32,
        "height": 32,
        "skip": "taylor",
    }
    ctx = testing.FakeContext(seed=3)
    base = loader.load(ctx, str(flux)).base
    base.vae.enable_tiling()  # or that would be the first step of the ladder, and change the picture
    whole = paint(ctx, **values)
    calls: list[int] = []

    def refuse(*_: object) -> None:
        calls.append(1)
        if len(calls) == 3:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")

    with base.transformer.single_transformer_blocks[-1].attn.register_forward_pre_hook(refuse):
        assert (paint(ctx, **values) == whole).all()
    assert ctx.notes["memory"] == ["vae slicing"]


def test_a_new_cache_is_empty(flux: Path) -> None:
    denoiser = loader.load(testing.FakeContext(), str(flux)).base.transformer
    from diffusers import FirstBlockCacheConfig

    denoiser.enable_cache(FirstBlockCacheConfig())
    assert CacheState(denoiser).capture() == [{}]


@pytest.mark.parametrize("skip", CACHES)
def test_a_family_without_step_caches_is_refused(sd: Path, skip: str) -> None:
    with pytest.raises(api.BadInput, match="supports no step cache"):
        testing.run(TextToImage, model=str(sd), steps=1, skip=skip)


def test_a_task_without_cache_contexts_is_refused(flux: Path, tmp_path: Path) -> None:
    Image.new("RGB", (32, 32), "grey").save(tmp_path / "grey.png")
    values: dict[str, Any] = {"image": tmp_path / "grey.png", "model": str(flux), "steps": 2, "width": 32, "height": 32}
    ctx = testing.FakeContext()
    for skip in ("first_block", "taylor", "attention"):
        with pytest.raises(api.BadInput, match="does not support this step cache in this tool"):
            paint(ctx, ImageToImage, skip=skip, **values)
    assert paint(ctx, ImageToImage, skip="magnitude", **values).any()


@pytest.mark.parametrize(("attention", "same"), [("flash", True), ("math", False)])
def test_the_chosen_attention_backend_is_used(sd: Path, attention: str, same: bool) -> None:
    values: dict[str, Any] = {"prompt": "a fox", "model": str(sd), "steps": 2}
    usual, chosen = (
        paint(testing.FakeContext(), **values),
        paint(testing.FakeContext(), attention=attention, **values),
    )
    assert np.abs(usual.astype(int) - chosen).max() <= (0 if same else 1)


def test_an_unavailable_attention_backend_is_refused(sd: Path, flux: Path) -> None:
    for folder, attention, sentence in (
        (sd, "efficient", "does not work with this model on cpu"),
        (sd, "xformers", "is no transformer"),
        (flux, "xformers", "not installed"),
        (flux, "sage", "not installed"),
        (flux, "flash_package", "not installed"),
    ):
        with pytest.raises(api.BadInput, match=sentence):
            testing.run(TextToImage, model=str(folder), steps=1, attention=attention)


def test_channels_last_applies_to_one_image(sd: Path, flux: Path) -> None:
    ctx = testing.FakeContext()
    values: dict[str, Any] = {"prompt": "a fox", "model": str(sd), "steps": 2}
    whole = paint(ctx, **values)
    assert np.abs(whole.astype(int) - paint(ctx, channels_last=True, **values)).max() <= 1
    assert (paint(ctx, **values) == whole).all()
    with pytest.raises(api.BadInput, match="has no U-Net"):
        testing.run(TextToImage, model=str(flux), steps=1, channels_last=True)


def test_a_missing_compiler_is_named(sd: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", "no-such-compiler")
    ctx = testing.FakeContext()
    with pytest.raises(api.BadInput, match="needs the C\\+\\+ compiler no-such-compiler"):
        testing.run(TextToImage, ctx, model=str(sd), steps=1, compiled=True)
    assert paint(ctx, model=str(sd), steps=1).any()
