"""A LoRA that is extracted from a tuned model turns its base into that model."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from plugins.diffusion.tools.extract_lora import ExtractLora
from plugins.diffusion.tools.merge_loras import MergeLoras
from studio import api, testing
from tests.plugins.diffusion.checkpoints.test_single_file import Checkpoint, Shrink, save_checkpoint, sd1, shrink
from tests.plugins.diffusion.weights.lora_samples import make, notices, read

__all__ = ["sd1", "shrink"]
DENOISER = "unet/diffusion_pytorch_model.safetensors"


@pytest.fixture(autouse=True)
def seed() -> None:
    torch.manual_seed(1)


def tune(model: Path, folder: Path, *ends: str, file: str = DENOISER, rank: int = 64) -> Path:
    """Copy a model and change its tensors with these ends of names by changes of a rank."""
    tuned = Path(shutil.copytree(model, folder))
    tensors = load_file(tuned / file)
    for name, value in tensors.items():
        if name.endswith(ends or ("",)) and value.is_floating_point():
            matrix = value.reshape(len(value), -1)
            change = torch.randn(len(matrix), rank) @ torch.randn(rank, matrix.shape[1]) * 0.05
            tensors[name] = value + change.reshape(value.shape)
    save_file(tensors, tuned / file)
    return tuned


def state(folder: Path, file: str = DENOISER) -> dict[str, torch.Tensor]:
    tensors: dict[str, torch.Tensor] = load_file(folder / file)
    return tensors


def test_the_full_rank_reproduces_the_tuned_model(tiny_model: Callable[[str], Path], tmp_path: Path) -> None:
    base = tiny_model("stable-diffusion-xl")
    tuned = tune(base, tmp_path / "tuned")
    tuned = tune(tuned, tmp_path / "both", "q_proj.weight", "fc1.weight", file="text_encoder/model.safetensors")
    values: dict[str, Any] = {"model": str(base), "tuned": str(tuned), "precision": "float32"}
    made = make(ExtractLora, testing.FakeContext(1), **values, layers="all", rank=32)
    assert made.notes["relative_error"] < 1e-4
    merged = make(MergeLoras, testing.FakeContext(1), model=str(base), loras=[str(made.folder)])
    for file in (DENOISER, "text_encoder/model.safetensors"):
        expected, before, after = state(tuned, file), state(base, file), state(merged.folder, file)
        assert any(not value.equal(before[name]) for name, value in expected.items())
        for name, value in expected.items():
            torch.testing.assert_close(after[name], value, atol=1e-4, rtol=1e-3)


def test_diffusers_reads_the_file_and_computes_as_the_tuned_model(sd: Path, tmp_path: Path) -> None:
    from diffusers import StableDiffusionPipeline, UNet2DConditionModel

    tuned = tune(sd, tmp_path / "tuned", "to_q.weight", "to_out.0.weight", "conv1.weight", "proj_in.weight", rank=3)
    made = make(ExtractLora, testing.FakeContext(1), model=str(sd), tuned=str(tuned), rank=3, title="Tuned")
    tensors, metadata = read(made)
    assert all(name.startswith("lora_unet_") for name in tensors)
    assert {name.partition(".")[2] for name in tensors} == {"lora_down.weight", "lora_up.weight", "alpha"}
    expected = {
        "ss_network_dim": "3",
        "ss_network_alpha": "3",
        "ss_network_module": "networks.lora",
        "ss_network_args": '{"conv_dim": "3", "conv_alpha": "3"}',
        "ss_base_model_version": "sd_v1",
        "ss_sd_model_name": sd.name,
        "ss_output_name": "Tuned",
        "modelspec.architecture": "stable-diffusion-v1/lora",
        "modelspec.title": "Tuned",
    }
    assert {name: metadata.get(name) for name in expected} == expected
    assert made.notes["relative_error"] < 1e-3
    pipe = StableDiffusionPipeline.from_pretrained(sd)
    pipe.load_lora_weights(made.folder)
    inputs = (torch.randn(1, 4, 16, 16), 500, torch.randn(1, 7, 32))
    with torch.no_grad():
        result, plain = pipe.unet(*inputs).sample, UNet2DConditionModel.from_pretrained(sd / "unet")(*inputs).sample
        wanted = UNet2DConditionModel.from_pretrained(tuned / "unet")(*inputs).sample
    assert (result - wanted).abs().max() < 0.02 * (plain - wanted).abs().max()


def test_the_error_is_that_of_the_discarded_singular_values(sd: Path, tmp_path: Path) -> None:
    name = "down_blocks.1.attentions.0.transformer_blocks.0.attn1.to_q.weight"
    tuned = tune(sd, tmp_path / "tuned", name)
    values: dict[str, Any] = {"model": str(sd), "tuned": str(tuned), "precision": "float32"}
    squares = torch.linalg.svdvals(state(tuned)[name] - state(sd)[name]).square()
    ctx = testing.FakeContext(1)
    made = make(ExtractLora, ctx, **values, rank=4)
    assert made.notes["relative_error"] == pytest.approx(float((squares[4:].sum() / squares.sum()).sqrt()), rel=1e-3)
    assert "The LoRA keeps the difference but for" in notices(ctx)
    kept = make(ExtractLora, testing.FakeContext(1), **values, rank=16, kept=0.9)
    rank = int((squares.cumsum(0) < 0.81 * squares.sum()).sum()) + 1
    assert kept.notes["rank"] == str(rank)
    assert kept.notes["relative_error"] <= (1 - 0.81) ** 0.5


def test_what_the_layers_leave_out_counts_as_error(sd: Path, tmp_path: Path) -> None:
    tuned = tune(sd, tmp_path / "tuned", "to_q.weight", "conv1.weight", "norm1.weight", rank=2)
    values: dict[str, Any] = {"model": str(sd), "tuned": str(tuned), "rank": 2}
    errors = [
        make(ExtractLora, testing.FakeContext(1), **values, layers=layers).notes["relative_error"]
        for layers in ("attention", "convolutions", "all")
    ]
    assert errors[0] > errors[1] > errors[2]
    assert errors[2] < 1e-3


def test_a_single_file_is_compared_with_a_folder(sd1: Checkpoint, shrink: Shrink, tmp_path: Path) -> None:
    folder, weights = sd1
    file = save_checkpoint(weights, tmp_path / "base.safetensors", family=shrink("stable-diffusion-1", folder))
    tuned = tune(folder, tmp_path / "tuned", "to_k.weight", rank=2)
    made = make(ExtractLora, testing.FakeContext(1), model=str(file), tuned=str(tuned), rank=2)
    assert {name.partition(".")[0].rpartition("_to_")[2] for name in read(made)[0]} == {"k"}
    assert made.notes["relative_error"] < 1e-3


def test_rounding_to_16_bits_is_no_difference(sd: Path, tmp_path: Path) -> None:
    tuned = tune(sd, tmp_path / "tuned", "attn1.to_q.weight", rank=2)
    half = {name: value.half() for name, value in state(tuned).items()}
    save_file(half, tuned / DENOISER)
    made = make(ExtractLora, testing.FakeContext(1), model=str(sd), tuned=str(tuned), rank=2)
    assert all("attn1_to_q" in name for name in read(made)[0])


def test_transformers_get_the_names_of_diffusers(tiny_model: Callable[[str], Path], tmp_path: Path) -> None:
    from diffusers import FluxPipeline

    base, file = tiny_model("flux"), "transformer/diffusion_pytorch_model.safetensors"
    tuned = tune(base, tmp_path / "tuned", "to_q.weight", "ff.net.2.weight", file=file, rank=2)
    made = make(ExtractLora, testing.FakeContext(1), model=str(base), tuned=str(tuned), rank=2)
    tensors, metadata = read(made)
    assert {name.rpartition(".lora_")[2] for name in tensors} == {"A.weight", "B.weight"}
    assert metadata["modelspec.architecture"] == "flux/lora"
    pipe = FluxPipeline.from_pretrained(base)
    pipe.load_lora_weights(made.folder)
    pipe.fuse_lora()
    layer = pipe.transformer.transformer_blocks[0].attn.to_q
    name = "transformer_blocks.0.attn.to_q.weight"
    weight = layer.base_layer.weight
    torch.testing.assert_close(weight, state(tuned, file)[name], atol=2e-3, rtol=1e-2)
    assert (weight - state(base, file)[name]).abs().max() > 0.02


def refused(**values: Any) -> str:
    with pytest.raises(api.BadInput) as raised:
        make(ExtractLora, testing.FakeContext(1), **values)
    return str(raised.value)


def test_models_that_do_not_belong_together_are_refused(
    sd: Path, tiny_model: Callable[[str], Path], tmp_path: Path
) -> None:
    other = tune(sd, tmp_path / "tuned", "to_q.weight")
    assert "is chosen as the base model and as the tuned model" in refused(model=str(sd), tuned=str(sd))
    copy = shutil.copytree(sd, tmp_path / "copy")
    assert "have the same weights, so there is nothing to extract" in refused(model=str(sd), tuned=str(copy))
    sentence = refused(model=str(sd), tuned=str(tiny_model("stable-diffusion-xl")))
    assert "is a model of Stable Diffusion XL" in sentence
    sentence = refused(model=str(sd), tuned=str(other), rank=2000)
    assert "A rank of 2000 is higher than the layers of tuned allow" in sentence
    norms = tune(sd, tmp_path / "norms", "norm1.weight")
    assert "only in layers that are not extracted" in refused(model=str(sd), tuned=str(norms), rank=2)
    from tests.plugins.diffusion.fixtures import tiny

    wide = tiny.stable_diffusion(tmp_path / "wide", width=48)
    assert "was not tuned from stable-diffusion: " in refused(model=str(sd), tuned=str(wide), rank=2)
    lora = make(ExtractLora, testing.FakeContext(1), model=str(sd), tuned=str(other), rank=2)
    assert "is a LoRA, which changes another model" in refused(model=str(sd), tuned=str(lora.folder))
