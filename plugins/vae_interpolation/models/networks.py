"""The two kinds of autoencoder: one with a latent picture, one with a single latent vector.

The spatial kind is diffusers' `AutoencoderKL`, so that diffusion pipelines can use a model that is
trained here. The global kind, `GlobalVae`, is small: a residual encoder and decoder around one latent
vector, and a prior that has learnt the distribution of the vectors, so that it can generate pictures.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, cast

from studio import api

if TYPE_CHECKING:
    from diffusers import AutoencoderKL
    from torch import Tensor, nn

    class Prior(nn.Module):
        """A rectified flow from normal noise to standardised latents."""

        mean: Tensor
        std: Tensor

    class GlobalVae(nn.Module):
        """The type of `build_global_vae`, which defines the class itself when torch is needed."""

        config: GlobalConfig
        prior: Prior

        def encode(self, images: Tensor) -> tuple[Tensor, Tensor]: ...
        def decode(self, latents: Tensor) -> Tensor: ...
        def dream(self, noise: Tensor) -> Tensor: ...


TIME_FREQUENCIES = 8
PRIOR_BLOCKS = 2
DREAM_STEPS = 24

WEIGHTS = "diffusion_pytorch_model.safetensors"
"""File name of the weights in diffusers, used for both kinds."""


def build_spatial_vae(
    channels: Sequence[int] = (32, 48, 64, 96), size: int = 128, latent_channels: int = 4
) -> AutoencoderKL:
    """Build an untrained `AutoencoderKL` with one block per level; each level but the first halves the size.

    It has no attention, so that it can be used at any size that is a multiple of its factor.
    """
    from diffusers import AutoencoderKL

    return AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * len(channels),
        up_block_types=("UpDecoderBlock2D",) * len(channels),
        block_out_channels=tuple(channels),
        layers_per_block=1,
        latent_channels=latent_channels,
        norm_num_groups=8,
        sample_size=size,
        mid_block_add_attention=False,
        force_upcast=False,
        scaling_factor=1.0,
    )


@dataclass(frozen=True)
class GlobalConfig:
    """Configuration of a `GlobalVae`: pictures of `size` px square, `latent` values for a picture.

    The size is halved between two `channels`.
    """

    size: int = 64
    latent: int = 96
    channels: tuple[int, ...] = (16, 32, 48, 64, 32)
    prior_width: int = 144
    scaling_factor: float = 1.0

    @property
    def grid(self) -> int:
        """Side of the smallest feature map in cells."""
        return self.size >> (len(self.channels) - 1)


def build_global_vae(config: GlobalConfig | None = None) -> GlobalVae:
    """Build an untrained `GlobalVae`.

    `.encode(images) -> (mean, logvar)`, `.decode(latents) -> images`, `.dream(noise) -> latents`.
    Images are [n, 3, size, size] in -1..1; means, log-variances, latents and noise [n, latent].
    `dream` turns standard normal noise into latents of new pictures. Its prior is a rectified flow (Liu
    et al. 2022) that is fitted to the latents afterwards, because the latents of a small network are
    less normal than its loss asks for.
    """
    return _define_global_vae()(config or GlobalConfig())


def save_global(model: GlobalVae, folder: Path, *, half: bool = True) -> None:
    """Write `config.json` and the weights, in float16 unless `half` is off."""
    import torch
    from safetensors.torch import save_file

    folder.mkdir(parents=True, exist_ok=True)
    dtype = torch.float16 if half else torch.float32
    save_file(
        {name: value.detach().to("cpu", dtype).contiguous() for name, value in model.state_dict().items()},
        folder / WEIGHTS,
        metadata={"format": "pt"},
    )
    config = {"_class_name": "GlobalVae", **asdict(model.config)}
    (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")


def load_global(folder: Path) -> GlobalVae:
    """Load the `GlobalVae` in a folder in float32 on the CPU. Raises BadInput for another or a damaged model."""
    from safetensors.torch import load_file

    damaged = api.BadInput(f"The model in {folder.name} is incomplete or damaged.", "Choose another.")
    with api.model_files.quiet_load(damaged):
        config = json.loads((folder / "config.json").read_bytes())
        if config.pop("_class_name", "") != "GlobalVae":
            raise api.BadInput(f"{folder.name} is not a global autoencoder.", "Choose another.")
        config["channels"] = tuple(config["channels"])
        model = build_global_vae(GlobalConfig(**config))
        model.load_state_dict(load_file(folder / WEIGHTS))
    return model.float().eval()


@cache
def _define_global_vae() -> Callable[[GlobalConfig], GlobalVae]:
    """Define the class on first use, because its base class needs torch to be imported."""
    import torch
    from torch import nn
    from torch.nn import functional

    class Residual(nn.Module):
        def __init__(self, width: int) -> None:
            super().__init__()
            self.body = nn.Sequential(
                nn.GroupNorm(8, width),
                nn.SiLU(),
                nn.Conv2d(width, width, 3, padding=1),
                nn.GroupNorm(8, width),
                nn.SiLU(),
                nn.Conv2d(width, width, 3, padding=1),
            )

        def forward(self, x: Tensor) -> Tensor:
            difference: Tensor = self.body(x)
            return x + difference

    class Up(nn.Module):
        def __init__(self, width: int, out: int) -> None:
            super().__init__()
            self.conv = nn.Conv2d(width, out, 3, padding=1)

        def forward(self, x: Tensor) -> Tensor:
            enlarged: Tensor = self.conv(functional.interpolate(x, scale_factor=2.0, mode="nearest"))
            return enlarged

    class PriorModule(nn.Module):
        """Predicts the velocity, at `time` in 0..1, from normal noise to standardised latents."""

        def __init__(self, latent: int, width: int) -> None:
            super().__init__()
            self.mean: Tensor
            self.std: Tensor
            self.register_buffer("mean", torch.zeros(latent))
            self.register_buffer("std", torch.ones(latent))
            self.enter = nn.Linear(latent + 2 * TIME_FREQUENCIES, width)
            self.blocks = nn.ModuleList(
                nn.Sequential(nn.LayerNorm(width), nn.Linear(width, width), nn.SiLU(), nn.Linear(width, width))
                for _ in range(PRIOR_BLOCKS)
            )
            self.leave = nn.Linear(width, latent)

        def forward(self, x: Tensor, time: Tensor) -> Tensor:
            angles = time[:, None] * torch.pi * 2.0 ** torch.arange(TIME_FREQUENCIES, device=x.device)
            inner = self.enter(torch.cat([x, angles.sin(), angles.cos()], dim=1))
            for block in self.blocks:
                inner = inner + block(inner)
            velocity: Tensor = self.leave(inner)
            return velocity

    class GlobalVaeModule(nn.Module):
        def __init__(self, config: GlobalConfig) -> None:
            super().__init__()
            self.config = config
            widths, cells = config.channels, config.grid**2
            down: list[nn.Module] = [nn.Conv2d(3, widths[0], 3, padding=1)]
            for width, next_width in pairwise(widths):
                down += [Residual(width), nn.Conv2d(width, next_width, 3, stride=2, padding=1)]
            last = widths[-1]
            down += [Residual(last), nn.GroupNorm(8, last), nn.SiLU(), nn.Flatten()]
            self.encoder = nn.Sequential(*down, nn.Linear(last * cells, 2 * config.latent))
            up: list[nn.Module] = [
                nn.Linear(config.latent, last * cells),
                nn.Unflatten(1, (last, config.grid, config.grid)),
                Residual(last),
            ]
            for width, next_width in pairwise(widths[::-1]):
                up += [Residual(width), Up(width, next_width)]
            first = widths[0]
            up += [Residual(first), nn.GroupNorm(8, first), nn.SiLU(), nn.Conv2d(first, 3, 3, padding=1)]
            self.decoder = nn.Sequential(*up)
            self.prior = PriorModule(config.latent, config.prior_width)

        def encode(self, images: Tensor) -> tuple[Tensor, Tensor]:
            mean, logvar = self.encoder(images).chunk(2, dim=1)
            return mean, logvar.clamp(-12.0, 6.0)

        def decode(self, latents: Tensor) -> Tensor:
            images: Tensor = self.decoder(latents)
            return images

        def dream(self, noise: Tensor) -> Tensor:
            x = noise
            for step in range(DREAM_STEPS):
                time = torch.full((len(x),), step / DREAM_STEPS, device=x.device)
                middle = x + self.prior(x, time) * (0.5 / DREAM_STEPS)
                x = x + self.prior(middle, time + 0.5 / DREAM_STEPS) / DREAM_STEPS
            return x * self.prior.std + self.prior.mean

    return cast("Callable[[GlobalConfig], GlobalVae]", GlobalVaeModule)
