"""Noise for a whole image, of which each tile gets its own region."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from ..patching import patched_method

if TYPE_CHECKING:
    from diffusers import DiffusionPipeline
    from torch import Generator, Tensor

    AddNoise = Callable[[Tensor, Tensor, Tensor], Tensor]


class TiledNoise:
    """Noise for an image of `size` (width, height) in pixels. Tiles get the same noise where they overlap."""

    def __init__(self, size: tuple[int, int], generator: Callable[[], Generator]) -> None:
        self._size = size
        self._generator = generator
        self._noise: Tensor | None = None

    @contextmanager
    def use_in(self, pipe: DiffusionPipeline, left: int, top: int, width: int) -> Iterator[None]:
        """Make a pipeline add this noise to a tile `width` pixels wide at (left, top), until the block ends.

        Pipelines that add noise in another way keep their own.
        """

        def add_noise(method: AddNoise) -> AddNoise:
            return lambda sample, noise, timesteps: method(sample, self.crop(noise, left, top, width), timesteps)

        def scale_noise(method: AddNoise) -> AddNoise:
            return lambda sample, timestep, noise: method(sample, timestep, self.crop(noise, left, top, width))

        has_scale_noise = hasattr(pipe.scheduler, "scale_noise")
        name, wrap = ("scale_noise", scale_noise) if has_scale_noise else ("add_noise", add_noise)
        with patched_method(pipe.scheduler, name, wrap):
            yield

    def crop(self, like: Tensor, left: int, top: int, width: int) -> Tensor:
        """Return the noise of a tile in the shape and dtype of `like` [..., h, w], where `w` stands for `width` px."""
        import torch

        if like.ndim < 4:
            return like
        rows, columns = like.shape[-2:]
        factor = width // columns
        if self._noise is None:
            shape = (*like.shape[:-2], *(-(-side // factor) for side in reversed(self._size)))
            self._noise = torch.randn(shape, generator=self._generator())
        x, y = left // factor, top // factor
        return self._noise[..., y : y + rows, x : x + columns].to(like)
