"""The prior learns the distribution of latents: two distant clusters come back as two clusters."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from plugins.vae_interpolation.models import networks
from plugins.vae_interpolation.training import prior

if TYPE_CHECKING:
    from plugins.vae_interpolation.models.networks import GlobalVae


def test_dreams_lie_near_the_latents() -> None:
    torch.set_num_threads(1)
    torch.manual_seed(0)
    model = networks.build_global_vae(networks.GlobalConfig(size=16, latent=4, channels=(8, 8), prior_width=64))
    centres = torch.tensor([[3.0, 0.0, 0.0, 0.0], [-3.0, 1.0, 0.0, 0.0]])
    mean = centres.repeat(64, 1)
    logvar = torch.full_like(mean, -4.0)
    before = _median_distance(model, centres)
    assert list(prior.fit(model, mean, logvar, steps=400, seed=0))[-1] == 400
    assert _median_distance(model, centres) < 0.4 * before
    assert not any(value.requires_grad for value in model.prior.parameters())


def _median_distance(model: GlobalVae, centres: torch.Tensor) -> float:
    """Return the median distance of dreams from the nearest centre."""
    with torch.no_grad():
        dreams = model.dream(torch.randn(200, 4, generator=torch.Generator().manual_seed(1)))
    return float(torch.cdist(dreams, centres).min(1).values.median())
