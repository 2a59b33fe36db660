"""Estimates for a model in a single file."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import torch
from safetensors.torch import save_file

from plugins.diffusion.checkpoints import clip_tokenizer, metadata
from plugins.diffusion.pipeline import token_count
from plugins.diffusion.tools.text_to_image import TextToImage
from studio import testing


def test_single_file_is_recognised_by_its_header(tmp_path: Path) -> None:
    file = tmp_path / "model.safetensors"
    unet = "model.diffusion_model.input_blocks"
    weights = {
        f"{unet}.1.1.transformer_blocks.0.attn2.to_k.weight": torch.zeros(320, 768, dtype=torch.float16),
        f"{unet}.2.1.transformer_blocks.0.attn2.to_k.weight": torch.zeros(320, 768, dtype=torch.float16),
        f"{unet}.0.0.weight": torch.zeros(320, 4, 3, 3, dtype=torch.float16),
        "model_ema.decay": torch.zeros(1000, dtype=torch.float16),
    }
    save_file(weights, file)
    found = metadata.metadata_of(testing.FakeContext(), str(file))
    assert found is not None
    assert (found.pipeline, found.size, found.multiple) == ("StableDiffusion", 512, 8)
    assert found.weight_count == 2 * 320 * 768 + 320 * 4 * 9
    estimate = testing.estimate(TextToImage, model=str(file), prompt="a red apple")
    assert estimate is not None
    assert estimate.notes == {"prompt": "3 of 75 tokens", "shape": "512 × 512"}


def test_clip_tokenizer_is_used_without_a_table() -> None:
    real, counter = clip_tokenizer.build_tokenizer(), token_count.load_counter([], None, in_chunks=True)
    assert counter is not None
    for text in ("a red fox, 3d", "狐 🦊 don't", "x" * 300):
        assert counter.tokenizer.encode(text, add_special_tokens=False).ids == (
            real(text, add_special_tokens=False, verbose=False).input_ids
        )


def test_missing_components_are_counted_from_the_folder_beside_the_file(
    tiny_model: Callable[[str], Path], tmp_path: Path
) -> None:
    file = tmp_path / "flux.safetensors"
    weights = {"double_blocks.0.img_attn.norm.key_norm.scale": torch.zeros(8), "img_in.weight": torch.zeros(8, 64)}
    save_file(weights, file)
    ctx = testing.FakeContext()
    assert metadata.metadata_of(ctx, str(file)) is None
    shutil.copytree(tiny_model("flux"), tmp_path / "flux")
    whole, found = metadata.metadata_of(ctx, str(tmp_path / "flux")), metadata.metadata_of(ctx, str(file))
    assert whole is not None
    assert found is not None
    assert found.weight_count == 8 + 8 * 64 + whole.weight_count - whole.denoiser_weight_count
    assert found.tokenizer_folders == whole.tokenizer_folders
