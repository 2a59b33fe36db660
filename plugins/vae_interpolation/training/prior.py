"""Training of the prior of a `GlobalVae`, so that it turns noise into latents of new pictures."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

    from ..models.networks import GlobalVae

LEARNING_RATE = 2e-3
BATCH = 256


def fit(model: GlobalVae, mean: Tensor, logvar: Tensor, steps: int, seed: int) -> Iterator[int]:
    """Train `model.prior` on posteriors [n, latent] and yield the number of each step.

    Rectified flow (Liu et al. 2022): the network learns the straight path from noise to a latent that is
    sampled from a posterior. The learning rate falls to zero along a cosine.
    """
    import torch

    generator = torch.Generator("cpu").manual_seed(seed)
    prior = model.prior.requires_grad_(True).train()
    spread = (mean.var(0) + logvar.exp().mean(0)).sqrt().clamp(min=1e-3)
    prior.mean.copy_(mean.mean(0))
    prior.std.copy_(spread)
    mean, deviation = (mean - mean.mean(0)) / spread, (0.5 * logvar).exp() / spread
    optimizer = torch.optim.AdamW(prior.parameters(), LEARNING_RATE, weight_decay=1e-2)
    for step in range(steps):
        optimizer.param_groups[0]["lr"] = LEARNING_RATE * (0.5 + 0.5 * math.cos(math.pi * step / steps))
        rows = torch.randint(len(mean), (BATCH,), generator=generator)
        noise, posterior_noise = torch.randn(2, BATCH, mean.shape[1], generator=generator).to(mean.device)
        time = torch.rand(BATCH, generator=generator).to(mean.device)
        rows = rows.to(mean.device)
        latents = mean[rows] + deviation[rows] * posterior_noise
        points = noise + time[:, None] * (latents - noise)
        loss = (prior(points, time) - (latents - noise)).square().mean()
        optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        optimizer.step()
        yield step + 1
    prior.requires_grad_(False).eval()
