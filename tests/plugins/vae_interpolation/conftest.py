"""Real models of each kind, as small as they come, and pictures to feed them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from plugins.vae_interpolation.models import networks
from tests.plugins.vae_interpolation.fixtures.shapes import disk

SIDE = 64


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def kl_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An `AutoencoderKL` with attention, of factor 4."""
    from diffusers import AutoencoderKL

    torch.manual_seed(1)
    model = AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 3,
        up_block_types=("UpDecoderBlock2D",) * 3,
        block_out_channels=(8, 8, 16),
        latent_channels=3,
        norm_num_groups=8,
        sample_size=SIDE,
    )
    folder = tmp_path_factory.mktemp("models") / "tiny-kl"
    model.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An `AutoencoderTiny` of factor 4."""
    from diffusers import AutoencoderTiny

    torch.manual_seed(2)
    model = AutoencoderTiny(
        encoder_block_out_channels=(8, 8, 8),
        decoder_block_out_channels=(8, 8, 8),
        num_encoder_blocks=(1, 2, 1),
        num_decoder_blocks=(1, 2, 1),
    )
    folder = tmp_path_factory.mktemp("models") / "tiny-ae"
    model.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def global_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A `GlobalVae` of 32 px with a latent of 8 values."""
    torch.manual_seed(3)
    config = networks.GlobalConfig(size=32, latent=8, channels=(8, 8, 8), prior_width=16)
    folder = tmp_path_factory.mktemp("models") / "tiny-global"
    networks.save_global(networks.build_global_vae(config), folder)
    return folder


@pytest.fixture(scope="session")
def kl_weights(kl_folder: Path) -> dict[str, torch.Tensor]:
    weights: dict[str, torch.Tensor] = load_file(kl_folder / "diffusion_pytorch_model.safetensors")
    return weights


@pytest.fixture
def changed_config(kl_folder: Path, tmp_path: Path) -> Callable[..., Path]:
    """A copy of the KL folder with other values in its config."""

    def change(**values: object) -> Path:
        folder = tmp_path / "changed"
        folder.mkdir()
        config = json.loads((kl_folder / "config.json").read_text("utf-8")) | values
        (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
        weights = "diffusion_pytorch_model.safetensors"
        (folder / weights).write_bytes((kl_folder / weights).read_bytes())
        return folder

    return change


@pytest.fixture
def disks(tmp_path: Path) -> list[Path]:
    """Four pictures of a disk in different places, sizes, shapes and formats."""
    left = Image.fromarray((disk(0.35, 0.5) * 255).astype(np.uint8))
    right = Image.fromarray((disk(0.65, 0.5, size=(120, 80)) * 255).astype(np.uint8))
    up = Image.fromarray((disk(0.5, 0.35, size=(70, 90)) * 255).astype(np.uint8))
    clear = Image.fromarray((disk(0.5, 0.65) * 255).astype(np.uint8)).convert("RGBA")
    clear.putalpha(Image.linear_gradient("L").resize(clear.size))
    paths = [tmp_path / name for name in ("left.png", "right.jpg", "up.gif", "clear.webp")]
    left.save(paths[0])
    right.save(paths[1], quality=95)
    up.quantize(32).save(paths[2])
    clear.save(paths[3], lossless=True)
    return paths
