"""Weights that exist only in half precision are found, downloaded and loaded."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from plugins.diffusion.checkpoints import hub_files, metadata, weight_variants
from plugins.diffusion.tools.text_to_image import TextToImage
from studio import api, testing


@pytest.fixture(scope="module")
def half(sd: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Save the tiny model in 16 bits without a variant, and as a variant with a sharded denoiser."""
    import torch
    from diffusers import StableDiffusionPipeline

    usual, variant = tmp_path_factory.mktemp("usual") / "half", tmp_path_factory.mktemp("variant") / "half"
    pipe = StableDiffusionPipeline.from_pretrained(sd, dtype=torch.float16)
    pipe.save_pretrained(usual)
    pipe.save_pretrained(variant, variant="fp16")
    for file in (variant / "unet").glob("*.safetensors"):
        file.unlink()
    pipe.unet.save_pretrained(variant / "unet", variant="fp16", max_shard_size="50KB")
    return usual, variant


def paint(model: Path) -> np.ndarray[Any, Any]:
    (result,) = testing.results(
        testing.run(TextToImage, testing.FakeContext(1), prompt="fox", model=str(model), steps=2)
    )
    assert isinstance(result, api.Image)
    return np.asarray(result.picture)


def test_a_folder_of_variants_gives_the_same_image(half: tuple[Path, Path]) -> None:
    usual, variant = half
    assert len([*(variant / "unet").glob("*.fp16-0000*.safetensors")]) > 1
    assert (paint(variant) == paint(usual)).all()
    assert metadata.count_weights(variant / "unet") == metadata.count_weights(usual / "unet")


def test_all_files_of_a_variant_are_downloaded(half: tuple[Path, Path]) -> None:
    files = {path.relative_to(half[1]).as_posix() for path in half[1].rglob("*") if path.is_file()}
    others = {"unet/diffusion_pytorch_model.non_ema.safetensors", "vae/diffusion_pytorch_model.bf16.safetensors"}
    listed = {name: api.hub.HubFile(name, 1, "") for name in files | others}
    index = json.loads((half[1] / "model_index.json").read_bytes())
    assert set(hub_files.pipeline_files("org/half", listed, index)) == files


@pytest.mark.parametrize(
    ("files", "variant", "wanted"),
    [
        (["model.safetensors", "model.fp16.safetensors"], None, ["model.safetensors"]),
        (["model.bf16.safetensors", "model.fp16.safetensors"], "fp16", ["model.fp16.safetensors"]),
        (
            ["model.bf16-00001-of-00002.safetensors", "model.safetensors.index.bf16.json"],
            "bf16",
            ["model.bf16-00001-of-00002.safetensors", "model.safetensors.index.bf16.json"],
        ),
        (
            ["model-00001-of-00002.fp16.safetensors", "model.safetensors.fp16.index.json", "model.non_ema.safetensors"],
            "fp16",
            ["model-00001-of-00002.fp16.safetensors", "model.safetensors.fp16.index.json"],
        ),
        (["model.non_ema.safetensors", "other.safetensors", "model.fp16.bin"], None, []),
    ],
)
def test_the_variant_is_chosen_from_the_file_names(files: list[str], variant: str | None, wanted: list[str]) -> None:
    assert weight_variants.choose_variant(files) == (variant, wanted)
