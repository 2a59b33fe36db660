"""Weights and vocabularies that are damaged or missing get a sentence, and never make an arbitrary picture."""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from plugins.diffusion.models import loader
from plugins.diffusion.tools.text_to_image import TextToImage
from studio import api, testing

UNET, VAE = "unet/diffusion_pytorch_model.safetensors", "vae/diffusion_pytorch_model.safetensors"
TEXT_ENCODER = "text_encoder/model.safetensors"
POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:0123\nsize 5\n"


@pytest.fixture
def copy(sd: Path, tmp_path: Path) -> Path:
    shutil.copytree(sd, tmp_path / "copy")
    return tmp_path / "copy"


def change_weights(file: Path, change: Callable[[dict[str, Tensor]], dict[str, Tensor]]) -> None:
    save_file(change(load_file(file)), file, metadata={"format": "pt"})


def read_error(folder: Path) -> str:
    with pytest.raises(api.BadInput) as raised:
        loader.load(testing.FakeContext(), str(folder))
    return str(raised.value)


@pytest.mark.parametrize("file", [UNET, VAE, TEXT_ENCODER])
@pytest.mark.parametrize("number", [0, -1])
def test_an_absent_weight_is_named(copy: Path, file: str, number: int) -> None:
    absent = sorted(load_file(copy / file))[number]
    change_weights(copy / file, lambda weights: {name: weights[name] for name in weights if name != absent})
    assert f"The {file.partition('/')[0]} of copy lacks a weight, such as " in read_error(copy)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("file", [UNET, VAE, TEXT_ENCODER])
def test_a_number_that_is_not_finite_is_named(copy: Path, file: str, value: float) -> None:
    def spoil(weights: dict[str, Tensor]) -> dict[str, Tensor]:
        weights[sorted(weights)[3]].view(-1)[-1] = value
        return weights

    change_weights(copy / file, spoil)
    sentence = read_error(copy)
    assert sentence.startswith(f"The {file.partition('/')[0]} of copy is damaged: ")
    assert "not finite" in sentence


@pytest.mark.parametrize("dtype", [torch.int8, torch.uint8, torch.int32])
@pytest.mark.parametrize("file", [UNET, VAE, TEXT_ENCODER])
def test_whole_numbers_without_a_scale_are_refused(copy: Path, file: str, dtype: torch.dtype) -> None:
    change_weights(copy / file, lambda weights: {name: (50 * value.abs()).to(dtype) for name, value in weights.items()})
    assert f"The {file.partition('/')[0]} of copy has whole numbers" in read_error(copy)


def test_superfluous_weights_are_told(copy: Path) -> None:
    change_weights(copy / UNET, lambda weights: {**weights, "down_blocks.7.conv.weight": torch.zeros(2)})
    ctx = testing.FakeContext()
    loader.load(ctx, str(copy))
    (notice,) = [event for event in ctx.events if isinstance(event, api.Notice)]
    assert "1 weights in the unet of copy have no place in it, such as down_blocks.7.conv.weight" in notice.text


def test_a_tokenizer_without_vocabulary_is_refused(copy: Path) -> None:
    (copy / "tokenizer/tokenizer.json").unlink()
    assert read_error(copy).startswith("The tokenizer of copy has no vocabulary")


@pytest.mark.parametrize("file", ["tokenizer/tokenizer.json", UNET, "scheduler/scheduler_config.json"])
def test_a_pointer_inside_a_folder_is_named(copy: Path, file: str) -> None:
    (copy / file).write_text(POINTER, "utf-8")
    assert read_error(copy).startswith(f"{file} of copy is a Git LFS pointer")


def test_an_output_that_is_not_finite_is_an_error(copy: Path) -> None:
    def make_huge(weights: dict[str, Tensor]) -> dict[str, Tensor]:
        name = next(name for name in weights if name.endswith("conv_out.weight"))
        weights[name] = torch.full_like(weights[name], 3e38)
        return weights

    change_weights(copy / UNET, make_huge)
    with pytest.raises(api.BadInput, match="copy computed numbers that are no colours"):
        testing.run(TextToImage, testing.FakeContext(), model=str(copy), steps=2)


def test_the_loaders_of_the_libraries_are_put_back(sd: Path) -> None:
    from diffusers import ModelMixin
    from transformers import PreTrainedModel

    own = [vars(base)["from_pretrained"] for base in (ModelMixin, PreTrainedModel)]
    loader.load(testing.FakeContext(), str(sd))
    assert [vars(base)["from_pretrained"] for base in (ModelMixin, PreTrainedModel)] == own
