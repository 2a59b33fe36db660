"""Seamless tiling makes edges meet, and leaves the model unchanged."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from plugins.diffusion.checkpoints.families import Task
from plugins.diffusion.models import loader
from plugins.diffusion.modifiers import seamless_tiling
from plugins.diffusion.pipeline import runner
from plugins.diffusion.tools.image_to_image import ImageToImage
from plugins.diffusion.tools.text_to_image import TextToImage
from studio import api, testing

AXES = {"both": (0, 1), "across": (1,), "down": (0,)}


def paint(ctx: testing.FakeContext, model: Path, latents: torch.Tensor, **values: Any) -> np.ndarray:
    params = TextToImage.Params(prompt="a fox", model=str(model), steps=2, **values)
    size = (2 * latents.shape[-1], 2 * latents.shape[-2])
    loaded = loader.load(ctx, str(model))
    return np.asarray(
        runner.run_pipeline(ctx, loaded, Task.TEXT_TO_IMAGE, params, size=size, extra_args={"latents": latents}), int
    )


@pytest.fixture
def noise() -> torch.Tensor:
    return torch.randn(1, 4, 16, 20, generator=torch.Generator().manual_seed(3))


@pytest.mark.parametrize("family", ["stable-diffusion", "stable-diffusion-xl"])
@pytest.mark.parametrize("edges", AXES)
def test_shifted_noise_gives_the_shifted_image(
    family: str, edges: str, noise: torch.Tensor, tiny_model: Callable[[str], Path]
) -> None:
    """Shifting the noise shifts the image only if no place of it differs from any other."""
    ctx, model = testing.FakeContext(), tiny_model(family)
    for axis in (0, 1):
        whole, shifted = (
            paint(ctx, model, latents, seamless=edges) for latents in (noise, noise.roll(4, dims=axis + 2))
        )
        differs = np.abs(shifted - np.roll(whole, 8, axis=axis)).max()
        assert differs <= 1 if axis in AXES[edges] else differs > 1


@pytest.mark.parametrize("in_tiles", [False, True])
def test_there_is_no_seam(sd: Path, in_tiles: bool) -> None:
    ctx = testing.FakeContext()
    loader.load(ctx, str(sd)).base.vae.use_tiling = in_tiles
    across, down = torch.meshgrid(torch.arange(32) * torch.pi / 16, torch.arange(32) * torch.pi / 16, indexing="xy")
    waves = torch.stack([across.sin(), down.cos(), (across + down).cos(), across.cos()])[None]
    plain, closed = (paint(ctx, sd, waves, seamless=way) for way in ("off", "both"))
    for axis in (0, 1):
        assert _seam_contrast(closed, axis) < 1.5 * _texture_contrast(closed, axis)
        assert _seam_contrast(plain, axis) > 2 * _seam_contrast(closed, axis)


def _seam_contrast(picture: np.ndarray, axis: int) -> float:
    first, last = picture.take(0, axis), picture.take(-1, axis)
    return float(np.abs(first - last).mean())


def _texture_contrast(picture: np.ndarray, axis: int) -> float:
    return float(np.abs(np.diff(picture, axis=axis)).mean(axis=tuple({0, 1, 2} - {axis})).max())


def test_the_encoder_pads_with_the_opposite_edge(sd: Path) -> None:
    ctx = testing.FakeContext()
    model = loader.load(ctx, str(sd))
    pipe = model.pipeline_for(Task.TEXT_TO_IMAGE)
    picture = torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(1))

    def encode(image: torch.Tensor) -> torch.Tensor:
        with torch.inference_mode():
            latents: torch.Tensor = pipe.vae.encode(image).latent_dist.mode()
            return latents

    before = encode(picture)
    with seamless_tiling.apply(ctx, model, pipe, TextToImage.Params(seamless="both")):
        assert torch.allclose(encode(picture.roll(8, dims=3)), encode(picture).roll(4, dims=3), atol=1e-4)
        assert torch.allclose(encode(picture.roll(8, dims=2)), encode(picture).roll(4, dims=2), atol=1e-4)
    assert torch.equal(encode(picture), before)


def test_the_model_is_unchanged_afterwards(sd: Path, tmp_path: Path, noise: torch.Tensor) -> None:
    ctx = testing.FakeContext()
    before = paint(ctx, sd, noise)
    assert (paint(ctx, sd, noise, seamless="both") != before).any()
    assert (paint(ctx, sd, noise) == before).all()
    Image.radial_gradient("L").resize((32, 32)).convert("RGB").save(tmp_path / "picture.png")
    values = {"model": str(sd), "image": tmp_path / "picture.png", "steps": 2, "seamless": "both"}
    assert testing.results(testing.run(ImageToImage, ctx, **values))


def test_transformers_are_refused(tiny_model: Callable[[str], Path]) -> None:
    with pytest.raises(api.BadInput, match="encodes the position of each pixel"):
        testing.run(TextToImage, model=str(tiny_model("flux")), seamless="both", steps=1, width=32, height=32)
