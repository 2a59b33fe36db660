"""Saved models give standardised latents, and the same pictures as before."""

from pathlib import Path

import pytest
import torch
from diffusers import AutoencoderKL

from plugins.vae_interpolation.models import networks
from plugins.vae_interpolation.training import vae_kinds


def test_a_spatial_model_gives_standard_latents_and_the_same_pictures(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = networks.build_spatial_vae((8, 8), size=32).eval()
    with torch.no_grad():
        model.quant_conv.bias.copy_(torch.arange(8.0))
    images = torch.rand(6, 3, 32, 32, generator=torch.Generator().manual_seed(1)) * 2 - 1
    kind = vae_kinds.SpatialKind()
    with torch.no_grad():
        mean, logvar = kind.posterior(model, images)
        made = kind.decode(model, mean)
        kind.save(model, tmp_path / "model", mean)
        saved = AutoencoderKL.from_pretrained(tmp_path / "model", torch_dtype=torch.float32)
        standard, spread = kind.posterior(saved, images)
        again = kind.decode(saved, standard)
    assert saved.config.scaling_factor == 1.0
    assert standard.mean((0, 2, 3)).abs().max() < 0.02
    assert standard.std((0, 2, 3)).tolist() == pytest.approx([1.0] * 4, abs=0.02)
    assert torch.allclose(again, made, atol=0.02)
    noise = (0.5 * logvar).exp() / mean.std((0, 2, 3))[:, None, None]
    assert torch.allclose((0.5 * spread).exp(), noise, rtol=0.02)


def test_a_model_without_the_outer_convolutions_gets_a_scaling_factor(tmp_path: Path) -> None:
    model = AutoencoderKL(
        block_out_channels=(8,), norm_num_groups=8, latent_channels=4, use_quant_conv=False, use_post_quant_conv=False
    )
    vae_kinds.SpatialKind().save(model, tmp_path, torch.randn(8, 4, 16, 16) * 4)
    assert AutoencoderKL.from_pretrained(tmp_path).config.scaling_factor == pytest.approx(0.25, abs=0.01)


def test_saving_does_not_change_the_model(tmp_path: Path) -> None:
    model = networks.build_spatial_vae((8, 8), size=32)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    vae_kinds.SpatialKind().save(model, tmp_path, torch.randn(2, 4, 8, 8) * 3 + 1)
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
