"""Computes what a UNet is trained to predict, and weights the noise levels in the loss."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from diffusers import DDIMScheduler
    from torch import Generator, Tensor

Weighting = Literal["none", "min_snr", "debiased"]
TimestepSampling = Literal["shifted", "logit_normal", "uniform"]
_MIN_SNR, _MAX_SNR = 1e-3, 1e3
"""Bounds of the signal-to-noise ratio in debiased estimation, where the weights would grow without limit."""


@dataclass(frozen=True)
class Objective:
    """The loss is the weighted mean of the squared error of noise, velocity or denoised latents."""

    weighting: Weighting = "none"
    """`min_snr` weighs by min(SNR, γ) of the denoised latents (Hang et al. 2023, arXiv 2303.09556), `debiased` by the
    square root of 1 / SNR (Yu et al. 2023, arXiv 2310.08442)."""
    gamma: float = 5.0
    noise_offset: float = 0.0
    """Amount of noise that is the same in all pixels of a channel (Guttenberg 2023)."""
    timesteps: TimestepSampling = "shifted"
    """Distribution of the noise levels of models that learn by flow matching. Others have an even one."""

    def draw_noise(self, latents: Tensor, generator: Generator) -> Tensor:
        """Return noise for latents [n, c, h, w] on the CPU."""
        import torch

        noise = torch.randn(latents.shape, generator=generator)
        if self.noise_offset:
            noise += self.noise_offset * torch.randn(*latents.shape[:2], 1, 1, generator=generator)
        return noise

    def weigh(self, scheduler: DDIMScheduler, times: Tensor) -> Tensor | None:
        """Return the weight [n] of each timestep; None where all are 1."""
        if self.weighting == "none":
            return None
        signal: Tensor = scheduler.alphas_cumprod.to(times.device)[times]
        ratio: Tensor = signal / (1 - signal)
        prediction = scheduler.config.prediction_type
        if self.weighting == "debiased":
            bounded = ratio.clamp(_MIN_SNR, _MAX_SNR)
            return 1 / (bounded + 1) if prediction == "v_prediction" else bounded.rsqrt()
        limited = ratio.clamp(max=self.gamma)
        match prediction:
            case "v_prediction":
                return limited / (ratio + 1)
            case "epsilon":
                return (self.gamma / ratio).clamp(max=1)
            case _:
                return limited


def choose_prediction_target(scheduler: DDIMScheduler, latents: Tensor, noise: Tensor, times: Tensor) -> Tensor:
    """Return what the UNet is trained to predict: velocity, noise, or the denoised latents."""
    match scheduler.config.prediction_type:
        case "v_prediction":
            velocity: Tensor = scheduler.get_velocity(latents, noise, times)
            return velocity
        case "epsilon":
            return noise
        case _:
            return latents
