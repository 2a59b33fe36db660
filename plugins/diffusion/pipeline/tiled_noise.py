"""One field of noise for a whole picture, of which each tile is given its own piece."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from ..patching import patched_method

if TYPE_CHECKING:
    from torch import Generator, Tensor


class TiledNoise:
    """Noise under a picture of `size` (width, height) pixels. Where tiles lie over each other, they get the same."""

    def __init__(self, size: tuple[int, int], generator: Callable[[], Generator]) -> None:
        self._size = size
        self._generator = generator
        self._whole: Tensor | None = None

    @contextmanager
    def under(self, pipe: Any, left: int, top: int, width: int) -> Iterator[None]:
        """The sampler of a pipeline that paints a tile `width` pixels wide adds this noise to its picture.

        Pipelines that add noise in another way keep their own.
        """

        def add_noise(own: Callable[..., Any]) -> Callable[..., Any]:
            return lambda sample, noise, timesteps: own(sample, self.cut(noise, left, top, width), timesteps)

        def scale_noise(own: Callable[..., Any]) -> Callable[..., Any]:
            return lambda sample, timestep, noise: own(sample, timestep, self.cut(noise, left, top, width))

        name, wrap = (
            ("scale_noise", scale_noise) if hasattr(pipe.scheduler, "scale_noise") else ("add_noise", add_noise)
        )
        with patched_method(pipe.scheduler, name, wrap):
            yield

    def cut(self, like: Tensor, left: int, top: int, width: int) -> Tensor:
        """The piece at a tile's place, in the shape and kind of `like` [..., h, w], whose `w` stands for `width`."""
        import torch

        if like.ndim < 4:
            return like
        height, across = like.shape[-2:]
        factor = width // across
        if self._whole is None:
            whole = (*like.shape[:-2], *(-(-side // factor) for side in reversed(self._size)))
            self._whole = torch.randn(whole, generator=self._generator())
        x, y = left // factor, top // factor
        return self._whole[..., y : y + height, x : x + across].to(like)
