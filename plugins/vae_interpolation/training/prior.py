"""Fitting the prior of a `GlobalVae` to the latents of its pictures, so that noise becomes pictures like them."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor

LEARNING_RATE = 2e-3
BATCH = 256


def fit(model: Any, mean: Tensor, logvar: Tensor, steps: int, seed: int) -> Iterator[int]:
    """Trains `model.prior` on posteriors [n, latent] and yields after each step.

    Rectified flow: the network learns the straight way from noise to a latent drawn from a
    posterior. The learning rate falls to zero along a cosine.
    """
    import torch

    chance = torch.Generator("cpu").manual_seed(seed)
    prior = model.prior.requires_grad_(True).train()
    spread = (mean.var(0) + logvar.exp().mean(0)).sqrt().clamp(min=1e-3)
    prior.mean.copy_(mean.mean(0))
    prior.std.copy_(spread)
    mean, deviation = (mean - mean.mean(0)) / spread, (0.5 * logvar).exp() / spread
    optimizer = torch.optim.AdamW(prior.parameters(), LEARNING_RATE, weight_decay=1e-2)
    for step in range(steps):
        optimizer.param_groups[0]["lr"] = LEARNING_RATE * (0.5 + 0.5 * math.cos(math.pi * step / steps))
        rows = torch.randint(len(mean), (BATCH,), generator=chance)
        noise, blur = torch.randn(2, BATCH, mean.shape[1], generator=chance).to(mean.device)
        time = torch.rand(BATCH, generator=chance).to(mean.device)
        rows = rows.to(mean.device)
        goal = mean[rows] + deviation[rows] * blur
        way = noise + time[:, None] * (goal - noise)
        loss = (prior(way, time) - (goal - noise)).square().mean()
        optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        optimizer.step()
        yield step + 1
    prior.requires_grad_(False).eval()
