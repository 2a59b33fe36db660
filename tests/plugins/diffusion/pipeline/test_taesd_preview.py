"""A tiny autoencoder in the models folder makes the previews and changes nothing else."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
import torch
from diffusers import AutoencoderTiny
from safetensors.torch import save_file

from plugins.diffusion.pipeline import hooks, taesd_preview
from plugins.diffusion.tools.text_to_image import TextToImage
from studio import api, testing
from studio.core import paths

STARTER = paths.resources_folder() / "starters" / "vae-spatial"


def build_tiny_autoencoder(stages: int = 2, channels: int = 4) -> AutoencoderTiny:
    """Build an autoencoder that halves the sides once less than it has stages. Untrained, it makes everything grey."""
    torch.manual_seed(4)
    widths = {"encoder_block_out_channels": (8,) * stages, "decoder_block_out_channels": (8,) * stages}
    blocks = {"num_encoder_blocks": (1,) * stages, "num_decoder_blocks": (2, *(1,) * (stages - 1))}
    vae = AutoencoderTiny(latent_channels=channels, **widths, **blocks)
    torch.nn.init.constant_(vae.decoder.layers[-1].bias, 0.5)
    return vae


def put_folder(folder: Path) -> None:
    build_tiny_autoencoder().save_pretrained(folder / "taesd")


def put_file(folder: Path) -> None:
    save_file(build_tiny_autoencoder().state_dict(), folder / "taesd.safetensors")


def put_published_decoder(folder: Path) -> None:
    weights = build_tiny_autoencoder().decoder.state_dict()
    named = [(name.split(".", 2), value) for name, value in weights.items()]
    save_file(
        {f"{int(layer) + 1}.{rest}": value for (_, layer, rest), value in named}, folder / "taesd_decoder.safetensors"
    )


def put_published_pickle(folder: Path) -> None:
    weights = build_tiny_autoencoder().decoder.state_dict()
    named = [(name.split(".", 2), value) for name, value in weights.items()]
    torch.save({f"{int(layer) + 1}.{rest}": value for (_, layer, rest), value in named}, folder / "taesd_decoder.pth")


def put_more_channels(folder: Path) -> None:
    build_tiny_autoencoder(channels=16).save_pretrained(folder / "taef1")


def put_another_scale(folder: Path) -> None:
    build_tiny_autoencoder(stages=4).save_pretrained(folder / "taesd")


def put_another_name(folder: Path) -> None:
    build_tiny_autoencoder().save_pretrained(folder / "small")


def put_damaged_file(folder: Path) -> None:
    (folder / "taesd.safetensors").write_bytes(b"nothing")


@pytest.fixture
def ctx(tmp_path: Path) -> testing.FakeContext:
    (tmp_path / "models").mkdir()
    return testing.FakeContext(seed=1, folder=tmp_path)


def generate(ctx: testing.FakeContext, model: Path, **values: Any) -> tuple[np.ndarray, list[np.ndarray]]:
    """Generate an image, and return it with its previews."""
    events = testing.run(TextToImage, ctx, model=str(model), prompt="a fox", steps=2, **values)
    (made,) = testing.results(events)
    assert isinstance(made, api.Image)
    return np.asarray(made.picture), [np.asarray(event.content) for event in events if isinstance(event, api.Preview)]


@pytest.mark.parametrize("put", [put_folder, put_file, put_published_decoder, put_published_pickle])
def test_tiny_autoencoder_replaces_the_linear_map(
    put: Callable[[Path], None], ctx: testing.FakeContext, sd: Path
) -> None:
    plain, (small, *_) = generate(testing.FakeContext(seed=1), sd)
    put(ctx.downloads)
    picture, (large, *_) = generate(ctx, sd)
    assert small.shape == large.shape == (32, 32, 3)
    assert (small != large).any()
    assert (picture == plain).all()


@pytest.mark.parametrize(("size", "shape"), [((128, 64), (64, 128)), ((2048, 1024), (256, 512)), ((8, 8), (16, 16))])
def test_preview_has_the_shape_of_the_image(size: tuple[int, int], shape: tuple[int, int]) -> None:
    assert hooks.resize_preview(np.zeros((16, 16, 3), np.uint8), size).shape == (*shape, 3)


def test_every_layout_gives_the_same_previews(sd: Path, tmp_path: Path) -> None:
    previews = []
    for put in (put_folder, put_file, put_published_decoder, put_published_pickle):
        folder = tmp_path / put.__name__ / "models"
        folder.mkdir(parents=True)
        put(folder)
        previews.append(generate(testing.FakeContext(seed=1, folder=folder.parent), sd)[1][0])
    assert all((previews[0] == other).all() for other in previews[1:])


@pytest.mark.parametrize("put", [put_more_channels, put_another_scale, put_another_name, put_damaged_file])
def test_unsuitable_autoencoder_is_ignored(put: Callable[[Path], None], ctx: testing.FakeContext, sd: Path) -> None:
    _, (plain, *_) = generate(testing.FakeContext(seed=1), sd)
    put(ctx.downloads)
    _, (previews, *_) = generate(ctx, sd)
    assert (previews == plain).all()
    notices = [event.text for event in ctx.events if isinstance(event, api.Notice)]
    assert any("taesd.safetensors cannot be read as a tiny autoencoder" in text for text in notices) == (
        put is put_damaged_file
    )


def test_autoencoder_for_other_latents_is_ignored(sd: Path, tmp_path: Path) -> None:
    model = Path(shutil.copytree(sd, tmp_path / "trained"))
    shutil.rmtree(model / "vae")
    shutil.copytree(STARTER, model / "vae")
    _, (plain, *_) = generate(testing.FakeContext(), model, width=64, height=64)
    put_another_scale(testing.FakeContext(folder=tmp_path).downloads)
    _, (previews, *_) = generate(testing.FakeContext(folder=tmp_path), model, width=64, height=64)
    assert (previews == plain).all()


def test_flow_models_have_previews_too(ctx: testing.FakeContext, tiny_model: Callable[[str], Path]) -> None:
    _, (plain, *_) = generate(testing.FakeContext(seed=1), tiny_model("flux"), width=32, height=32)
    put_more_channels(ctx.downloads)
    put_folder(ctx.downloads)
    _, (previews, *_) = generate(ctx, tiny_model("flux"), width=32, height=32)
    assert (previews != plain).any()


@pytest.mark.parametrize("name", ["sana", "flux2-klein"])
def test_families_with_autoencoders_of_their_own_have_previews(
    name: str, ctx: testing.FakeContext, tiny_model: Callable[[str], Path]
) -> None:
    """As TAESANA and TAEF2 make them."""
    _, (plain, *_) = generate(testing.FakeContext(seed=1), tiny_model(name), width=64, height=64)
    put_published_pickle(ctx.downloads)
    _, (previews, *_) = generate(ctx, tiny_model(name), width=64, height=64)
    assert (previews != plain).any()


def test_normalized_latents_are_those_of_the_denoiser() -> None:
    """FLUX.2 sees patches of latents through a batch norm, and TAEF2 decodes what it sees."""
    from diffusers import Flux2KleinPipeline

    norm = torch.nn.BatchNorm2d(16, affine=False).eval()
    norm.running_mean, norm.running_var = torch.linspace(-1, 1, 16), torch.linspace(0.5, 2, 16)

    class Pipe:
        vae = SimpleNamespace(bn=norm)
        _patchify_latents = staticmethod(Flux2KleinPipeline._patchify_latents)
        _unpatchify_latents = staticmethod(Flux2KleinPipeline._unpatchify_latents)

    latents = torch.randn(1, 4, 6, 6, generator=torch.Generator().manual_seed(0))
    normalized = taesd_preview._normalize(cast("Any", Pipe()), latents)
    seen = norm(Flux2KleinPipeline._patchify_latents(latents))
    assert torch.allclose(Flux2KleinPipeline._patchify_latents(normalized), seen, atol=1e-5)
