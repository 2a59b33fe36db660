"""A tiny autoencoder that lies in the models folder shows the steps, and changes nothing else."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import AutoencoderTiny
from safetensors.torch import save_file

from plugins.diffusion.pipeline import hooks
from plugins.diffusion.tools.text_to_image import TextToImage
from studio import api, testing
from studio.core import paths

STARTER = paths.resources_folder() / "starters" / "vae-spatial"


def tiny(stages: int = 2, channels: int = 4) -> AutoencoderTiny:
    """Halves the sides once less than it has stages. Untrained, it makes all grey, as the tiny models do."""
    torch.manual_seed(4)
    widths = {"encoder_block_out_channels": (8,) * stages, "decoder_block_out_channels": (8,) * stages}
    blocks = {"num_encoder_blocks": (1,) * stages, "num_decoder_blocks": (2, *(1,) * (stages - 1))}
    vae = AutoencoderTiny(latent_channels=channels, **widths, **blocks)
    torch.nn.init.constant_(vae.decoder.layers[-1].bias, 0.5)
    return vae


def as_folder(shelf: Path) -> None:
    tiny().save_pretrained(shelf / "taesd")


def as_file(shelf: Path) -> None:
    save_file(tiny().state_dict(), shelf / "taesd.safetensors")


def as_published(shelf: Path) -> None:
    weights = tiny().decoder.state_dict()
    named = [(name.split(".", 2), value) for name, value in weights.items()]
    save_file(
        {f"{int(layer) + 1}.{rest}": value for (_, layer, rest), value in named}, shelf / "taesd_decoder.safetensors"
    )


def with_more_channels(shelf: Path) -> None:
    tiny(channels=16).save_pretrained(shelf / "taef1")


def of_another_scale(shelf: Path) -> None:
    tiny(stages=4).save_pretrained(shelf / "taesd")


def under_another_name(shelf: Path) -> None:
    tiny().save_pretrained(shelf / "small")


def damaged(shelf: Path) -> None:
    (shelf / "taesd.safetensors").write_bytes(b"nothing")


@pytest.fixture
def ctx(tmp_path: Path) -> testing.FakeContext:
    (tmp_path / "models").mkdir()
    return testing.FakeContext(seed=1, folder=tmp_path)


def painted(ctx: testing.FakeContext, model: Path, **values: Any) -> tuple[np.ndarray, list[np.ndarray]]:
    """The picture, and its previews."""
    events = testing.run(TextToImage, ctx, model=str(model), prompt="a fox", steps=2, **values)
    (made,) = testing.results(events)
    assert isinstance(made, api.Image)
    return np.asarray(made.picture), [np.asarray(event.content) for event in events if isinstance(event, api.Preview)]


@pytest.mark.parametrize("put", [as_folder, as_file, as_published])
def test_it_shows_more_than_the_linear_map(put: Callable[[Path], None], ctx: testing.FakeContext, sd: Path) -> None:
    plain, (small, *_) = painted(testing.FakeContext(seed=1), sd)
    put(ctx.downloads)
    picture, (large, *_) = painted(ctx, sd)
    assert small.shape == large.shape == (32, 32, 3)
    assert (small != large).any()
    assert (picture == plain).all()


@pytest.mark.parametrize(("size", "shape"), [((128, 64), (64, 128)), ((2048, 1024), (256, 512)), ((8, 8), (16, 16))])
def test_a_preview_has_the_shape_of_the_picture(size: tuple[int, int], shape: tuple[int, int]) -> None:
    assert hooks.resize_preview(np.zeros((16, 16, 3), np.uint8), size).shape == (*shape, 3)


def test_every_layout_holds_the_same_decoder(sd: Path, tmp_path: Path) -> None:
    shown = []
    for put in (as_folder, as_file, as_published):
        shelf = tmp_path / put.__name__ / "models"
        shelf.mkdir(parents=True)
        put(shelf)
        shown.append(painted(testing.FakeContext(seed=1, folder=shelf.parent), sd)[1][0])
    assert (shown[0] == shown[1]).all()
    assert (shown[0] == shown[2]).all()


@pytest.mark.parametrize("put", [with_more_channels, of_another_scale, under_another_name, damaged])
def test_one_that_does_not_fit_is_left_alone(put: Callable[[Path], None], ctx: testing.FakeContext, sd: Path) -> None:
    _, (plain, *_) = painted(testing.FakeContext(seed=1), sd)
    put(ctx.downloads)
    _, (shown, *_) = painted(ctx, sd)
    assert (shown == plain).all()
    told = [event.text for event in ctx.events if isinstance(event, api.Notice)]
    assert any("taesd.safetensors cannot be read as a tiny autoencoder" in text for text in told) == (put is damaged)


def test_one_that_was_trained_for_other_latents_is_left_alone(sd: Path, tmp_path: Path) -> None:
    model = Path(shutil.copytree(sd, tmp_path / "trained"))
    shutil.rmtree(model / "vae")
    shutil.copytree(STARTER, model / "vae")
    _, (plain, *_) = painted(testing.FakeContext(), model, width=64, height=64)
    of_another_scale(testing.FakeContext(folder=tmp_path).downloads)
    _, (shown, *_) = painted(testing.FakeContext(folder=tmp_path), model, width=64, height=64)
    assert (shown == plain).all()


def test_flow_models_are_shown_too(ctx: testing.FakeContext, tiny_model: Callable[[str], Path]) -> None:
    _, (plain, *_) = painted(testing.FakeContext(seed=1), tiny_model("flux"), width=32, height=32)
    with_more_channels(ctx.downloads)
    as_folder(ctx.downloads)
    _, (shown, *_) = painted(ctx, tiny_model("flux"), width=32, height=32)
    assert (shown != plain).any()
