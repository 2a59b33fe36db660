"""Another autoencoder decodes one image, with its own scale, and leaves the model unchanged."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import AutoencoderKL
from PIL import Image
from safetensors.torch import save_file

from plugins.diffusion.checkpoints.families import Task
from plugins.diffusion.models import loader
from plugins.diffusion.modifiers.vae_override import apply
from plugins.diffusion.tools.image_to_image import ImageToImage
from plugins.diffusion.tools.text_to_image import TextToImage
from studio import api, testing
from studio.core import paths
from tests.plugins.diffusion.fixtures import tiny

STARTER = paths.resources_folder() / "starters" / "vae-spatial"


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Save an autoencoder that fits the tiny models, with another scaling factor."""
    torch.manual_seed(5)
    folder = tmp_path_factory.mktemp("vaes") / "warm"
    tiny.build_vae(scaling_factor=0.5).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def original(other: Path) -> Path:
    """Save its weights in one file, with the tensor names of the original implementation."""
    vae = AutoencoderKL.from_pretrained(other)
    names: dict[str, torch.Tensor] = {}
    for name, value in vae.state_dict().items():
        for ours, theirs in _BLOCKS.items():
            name = name.replace(ours, theirs)
        linear = name.startswith(("encoder.mid.attn", "decoder.mid.attn")) and name.endswith(".weight")
        names[name] = value[:, :, None, None] if linear and value.ndim == 2 else value
    file = other.parent / "warm.safetensors"
    save_file({name: value.contiguous() for name, value in names.items()}, file)
    return file


_BLOCKS = {
    "conv_norm_out": "norm_out",
    "mid_block.attentions.0": "mid.attn_1",
    "mid_block.resnets.0": "mid.block_1",
    "mid_block.resnets.1": "mid.block_2",
    "group_norm": "norm",
    "to_out.0": "proj_out",
    "to_q": "q",
    "to_k": "k",
    "to_v": "v",
    "conv_shortcut": "nin_shortcut",
    "down_blocks.0.resnets": "down.0.block",
    "down_blocks.1.resnets": "down.1.block",
    "down_blocks.0.downsamplers.0": "down.0.downsample",
    "up_blocks.0.resnets": "up.1.block",
    "up_blocks.1.resnets": "up.0.block",
    "up_blocks.0.upsamplers.0": "up.1.upsample",
}


def paint(ctx: testing.FakeContext, model: Path, tool: type[api.Tool] = TextToImage, **values: Any) -> np.ndarray:
    (made,) = testing.results(testing.run(tool, ctx, model=str(model), prompt="a fox", steps=2, **values))
    ctx.events.clear()
    assert isinstance(made, api.Image)
    return np.asarray(made.picture)


@pytest.mark.parametrize("family", ["stable-diffusion", "stable-diffusion-xl"])
def test_it_replaces_the_own_autoencoder_for_one_image(
    family: str, other: Path, tiny_model: Callable[[str], Path]
) -> None:
    ctx, model = testing.FakeContext(seed=1), tiny_model(family)
    before = paint(ctx, model)
    assert (paint(ctx, model, vae=str(other)) != before).any()
    assert (paint(ctx, model) == before).all()
    assert len(ctx.models.loaded) == 2


def test_it_encodes_input_images_too(other: Path, sd: Path, tmp_path: Path) -> None:
    Image.radial_gradient("L").resize((32, 32)).convert("RGB").save(tmp_path / "picture.png")
    ctx = testing.FakeContext(seed=1)
    own, with_other = (
        paint(ctx, sd, ImageToImage, image=tmp_path / "picture.png", vae=vae) for vae in (None, str(other))
    )
    assert (own != with_other).any()


def test_its_own_scale_and_preview_are_used(other: Path, sd: Path) -> None:
    ctx = testing.FakeContext()
    model = loader.load(ctx, str(sd))
    pipe, own = model.pipeline_for(Task.TEXT_TO_IMAGE), model.preview
    with apply(ctx, model, pipe, TextToImage.Params(vae=str(other))):
        assert pipe.vae.config.scaling_factor == 0.5
        assert model.preview is not own
    assert pipe.vae.config.scaling_factor == 0.18215
    assert model.preview is own


def test_a_single_file_is_loaded_with_the_models_own_configuration(other: Path, original: Path, sd: Path) -> None:
    ctx = testing.FakeContext()
    model = loader.load(ctx, str(sd))
    pipe = model.pipeline_for(Task.TEXT_TO_IMAGE)
    wanted = AutoencoderKL.from_pretrained(other).state_dict()
    with apply(ctx, model, pipe, TextToImage.Params(vae=str(original))):
        assert pipe.vae.config.scaling_factor == 0.18215
        found = pipe.vae.state_dict()
    assert found.keys() == wanted.keys()
    assert all(torch.equal(found[name], wanted[name]) for name in wanted)


def test_the_autoencoder_of_another_model_can_be_used(sd: Path, other: Path, tmp_path: Path) -> None:
    lender = Path(shutil.copytree(sd, tmp_path / "lender"))
    shutil.rmtree(lender / "vae")
    shutil.copytree(other, lender / "vae")
    ctx = testing.FakeContext(seed=1)
    assert (paint(ctx, sd, vae=str(lender)) == paint(ctx, sd, vae=str(other))).all()


def test_memory_fallbacks_stay_with_the_model(other: Path, sd: Path) -> None:
    ctx = testing.FakeContext()
    model = loader.load(ctx, str(sd))
    pipe = model.pipeline_for(Task.TEXT_TO_IMAGE)
    params = TextToImage.Params(vae=str(other))
    with apply(ctx, model, pipe, params):
        pipe.vae.enable_tiling()
        model.fallbacks.append("vae tiling")
    assert pipe.vae.use_tiling
    with apply(ctx, model, pipe, params):
        assert pipe.vae.use_tiling


@pytest.fixture
def with_starter(sd: Path, tmp_path: Path) -> Path:
    """Copy the tiny model with a trained autoencoder."""
    model = Path(shutil.copytree(sd, tmp_path / "trained"))
    shutil.rmtree(model / "vae")
    shutil.copytree(STARTER, model / "vae")
    return model


def test_an_autoencoder_for_other_latents_is_refused(with_starter: Path, tmp_path: Path) -> None:
    ctx = testing.FakeContext(seed=1)
    size: dict[str, Any] = {"width": 64, "height": 64}
    assert (paint(ctx, with_starter, vae=str(STARTER), **size) == paint(ctx, with_starter, **size)).all()
    torch.manual_seed(2)
    AutoencoderKL.from_config(AutoencoderKL.load_config(STARTER)).save_pretrained(tmp_path / "strange")
    with pytest.raises(api.BadInput, match="strange was trained for other latents than those of trained"):
        paint(ctx, with_starter, vae=str(tmp_path / "strange"), **size)


def save_pickle(folder: Path) -> str:
    shutil.copytree(STARTER, folder / "old")
    (folder / "old/diffusion_pytorch_model.safetensors").rename(folder / "old/diffusion_pytorch_model.bin")
    return str(folder / "old")


def save_wide(folder: Path) -> str:
    tiny.build_vae(16).save_pretrained(folder / "wide")
    return str(folder / "wide")


def save_truncated(folder: Path) -> str:
    shutil.copytree(STARTER, folder / "cut")
    weights = folder / "cut/diffusion_pytorch_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-10])
    return str(folder / "cut")


def save_denoiser(folder: Path) -> str:
    save_file({"model.diffusion_model.x": torch.zeros(1)}, folder / "unet.safetensors")
    return str(folder / "unet.safetensors")


def save_larger(folder: Path) -> str:
    save_file(AutoencoderKL.from_pretrained(STARTER).state_dict(), folder / "larger.safetensors")
    return str(folder / "larger.safetensors")


@pytest.mark.parametrize(
    ("family", "make", "sentence"),
    [
        ("stable-diffusion", lambda _: str(STARTER), "4 channels at 1/8 of the size, .* needs 4 channels at 1/2"),
        ("stable-diffusion", save_wide, "16 channels at 1/2 of the size, .* needs 4 channels"),
        ("stable-diffusion", save_pickle, "is a pickle and is not opened"),
        ("stable-diffusion", save_truncated, "ends too early"),
        ("stable-diffusion", save_denoiser, "and no autoencoder"),
        ("stable-diffusion", save_larger, "incomplete, or not of the kind"),
        ("stable-diffusion", lambda folder: str(folder), "is no autoencoder"),
        ("sana", lambda _: str(STARTER), "with its own autoencoder only"),
    ],
)
def test_an_autoencoder_that_does_not_fit_is_refused(
    family: str, make: Callable[[Path], str], sentence: str, tiny_model: Callable[[str], Path], tmp_path: Path
) -> None:
    ctx, model = testing.FakeContext(), tiny_model(family)
    with pytest.raises(api.BadInput, match=sentence):
        paint(ctx, model, vae=make(tmp_path), width=32, height=32)
    assert paint(ctx, model, width=32, height=32).shape == (32, 32, 3)
