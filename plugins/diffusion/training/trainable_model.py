"""The interface between a trainer and the model that it trains."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Self

from studio import api

from .adapter import Layers
from .objective import Objective

if TYPE_CHECKING:
    from diffusers import AutoencoderKL
    from torch import Tensor, nn

Frame = tuple[int, int, int, int, int, int]
"""Crop conditioning of SDXL, in pixels: the original height and width, the top and left of the crop after the image is
scaled, and the height and width of the crop."""


class TrainableModel(ABC):
    """Networks, how they are called, and what they are to predict. Subclasses are dataclasses."""

    @property
    @abstractmethod
    def networks(self) -> dict[str, nn.Module]:
        """The networks by the names of their fields, which are those of a pipeline's components."""

    @property
    @abstractmethod
    def denoiser(self) -> Any:
        """The network that predicts, which is one of `networks`."""

    @property
    @abstractmethod
    def layer_names(self) -> Mapping[Layers, tuple[str, ...]]:
        """Names of the denoiser's layers that each choice of adapters adds to those before it."""

    @property
    def network(self) -> nn.ModuleDict:
        """All networks as one module."""
        from torch import nn

        return nn.ModuleDict(self.networks)

    def with_networks(self, networks: Mapping[str, nn.Module]) -> Self:
        """Return a copy with other networks in place of its own."""
        return replace(self, **networks)  # type: ignore[type-var]

    def read_texts(self, texts: Sequence[str], ctx: api.Context) -> Iterator[api.Event]:  # noqa: ARG002
        """Prepare for the captions and prompts of a training. Networks that are not needed any more are released."""
        yield from ()

    @abstractmethod
    def draw_times(self, fractions: Tensor, objective: Objective, side: tuple[int, int]) -> Tensor:
        """Return the time of each image, for fractions that are spread evenly over 0 to 1.

        `side` are the height and width of the latents.
        """

    @abstractmethod
    def predict(
        self, latents: Tensor, noise: Tensor, times: Tensor, texts: list[str], frames: Sequence[Frame | None]
    ) -> Tensor:
        """Return what the denoiser makes of latents [n, c, h, w] with noise, for n times, captions and frames."""

    @abstractmethod
    def choose_target(self, latents: Tensor, noise: Tensor, times: Tensor) -> Tensor:
        """Return what `predict` is to return."""

    @abstractmethod
    def weigh(self, objective: Objective, times: Tensor) -> Tensor | None:
        """Return the weight [n] of each time in the loss; None where all are 1."""

    @abstractmethod
    def render(self, prompts: Sequence[str], vae: AutoencoderKL, side: int, ctx: api.Context) -> Tensor:
        """Generate an image [3, s, s] in -1..1 for each prompt, always from the same noise.

        `side` is that of the latents.
        """
