"""Flow matching (Lipman et al. 2023, arXiv 2210.02747; Liu et al. 2023, arXiv 2209.03003).

At the noise level σ from 0 to 1, latents are (1 - σ) · image + σ · noise, and the velocity from image to noise is
learned.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from .objective import Objective, TimestepSampling

if TYPE_CHECKING:
    from torch import Tensor

_EDGE = 1e-4
"""Distance of fractions from 0 and 1, where the logit is infinite."""


def find_shift(scheduler: Mapping[str, Any], tokens: int) -> float:
    """Return the factor by which the sampler of a model moves noise levels up, for images of so many tokens."""
    from diffusers.pipelines.flux.pipeline_flux import calculate_shift

    if not scheduler.get("use_dynamic_shifting"):
        return float(scheduler.get("shift") or scheduler.get("flow_shift") or 1.0)
    names = ("base_image_seq_len", "max_image_seq_len", "base_shift", "max_shift")
    values = {name.replace("image_seq", "seq"): scheduler[name] for name in names if name in scheduler}
    shift = float(calculate_shift(tokens, **values))
    return shift if scheduler.get("time_shift_type") == "linear" else math.exp(shift)


def draw_noise_levels(fractions: Tensor, sampling: TimestepSampling, shift: float) -> Tensor:
    """Return noise levels for fractions that are spread evenly over 0 to 1.

    `logit_normal` prefers the middle (Esser et al. 2024, arXiv 2403.03206); `shifted` moves these levels as the sampler
    does, since larger images need more noise to lose their shapes.
    """
    import torch

    if sampling == "uniform":
        return fractions
    levels: Tensor = torch.special.ndtri(fractions.clamp(_EDGE, 1 - _EDGE)).sigmoid()
    return levels if sampling == "logit_normal" else shift * levels / (1 + (shift - 1) * levels)


def add_noise(latents: Tensor, noise: Tensor, levels: Tensor) -> Tensor:
    """Return latents [n, c, h, w] at n noise levels."""
    fractions = levels.view(-1, 1, 1, 1)
    return (1 - fractions) * latents + fractions * noise


def weigh(objective: Objective, levels: Tensor) -> Tensor | None:
    """Return the weight [n] of the velocity's error at each noise level; None where all are 1.

    The weightings are stated for errors of the image, which is σ² times that of the velocity, or of the noise, which is
    (1 - σ)² times that.
    """
    match objective.weighting:
        case "none":
            return None
        case "min_snr":
            return ((1 - levels) ** 2).minimum(objective.gamma * levels**2)
        case "debiased":
            return levels * (1 - levels)
