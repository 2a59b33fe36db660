"""Smooth warps that align the shapes of one picture with those of another.

The warp between two pictures is the flow of one stationary velocity field, so it can be evaluated at
any time, is invertible, and never folds or tears (Arsigny et al. 2006; Ashburner 2007; Vercauteren et
al. 2009). Fields are [1, 2, rows, columns], x before y, in units of half the picture's sides, so they
are independent of the resolution. They give the offset at which a pixel is sampled.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch
    from torch import Tensor

SQUARINGS = 6
FIRST_LEVELS = ((12, 60), (24, 50), (48, 40))
"""(long side of the velocity field in cells, optimisation steps) from coarse to fine, for the first flow."""
NEXT_LEVELS = ((24, 30), (48, 30))
"""Levels of each softer flow, which starts from the one before."""
STIFFNESSES = (1.2, 0.6, 0.3, 0.15)
"""Weights of the bending of the field against the difference of the pictures. At 1.2 shapes move
a little towards each other; at 0.15 similar pictures fit closely, and unlike faces become distorted."""
BORDER_FADE = 1 / 8
"""Fraction of the picture over which the flow across its border fades to zero."""


@dataclass(frozen=True)
class Flow:
    """A flow from the shapes of a first picture (pose 0) to those of a second (pose 1)."""

    velocity: Tensor

    def warp_first(self, pose: float) -> Tensor:
        """Return the field that warps the first picture to a pose in 0..1."""
        return integrate(self.velocity, -pose)

    def warp_second(self, pose: float) -> Tensor:
        """Return the field that warps the second picture to a pose in 0..1."""
        return integrate(self.velocity, 1.0 - pose)

    @property
    def bending(self) -> float:
        """Mean deformation: 0 for none, about 1 where everything is stretched to double its size."""
        return float(_bending(self.velocity))


def integrate(velocity: Tensor, time: float = 1.0) -> Tensor:
    """Integrate a velocity field over a time by scaling and squaring (its exponential)."""
    field: Tensor = velocity * (time / 2**SQUARINGS)
    for _ in range(SQUARINGS):
        field = compose(field, field)
    return field


def compose(outer: Tensor, inner: Tensor) -> Tensor:
    """Return the field that samples through `inner` and then `outer`; it stays within the picture."""
    grid = _grid_of(inner)
    return (grid + inner + _sample(outer, inner, "bilinear")).clamp(-1.0, 1.0) - grid


def warp(image: Tensor, field: Tensor | None, mode: str = "bicubic") -> Tensor:
    """Return an image [1, c, h, w] sampled through a field; without a field, the image itself."""
    from torch.nn import functional

    if field is None:
        return image
    field = functional.interpolate(field.to(image), image.shape[-2:], mode="bilinear", align_corners=False)
    return _sample(image, field, mode)


def find_flows(first: Tensor, second: Tensor) -> Iterator[Flow]:
    """Yield flows between two pictures [1, 3, h, w] of one size, each softer than the one before.

    Each minimises the difference of colours and edges, with both pictures warped half-way, plus a
    stiffness times the bending. Pictures of unlike scenes have no true correspondence: the flow then
    pulls large shapes gently towards each other. Computed on the CPU, so that devices agree.
    """
    import torch

    with torch.inference_mode(False):
        a, b = (_features(image.detach().float().cpu().clone()) for image in (first, second))
        velocity = torch.zeros(1, 2, 2, 2)
    for number, stiffness in enumerate(STIFFNESSES):
        with _one_thread():
            velocity = _refine(a, b, velocity, stiffness, NEXT_LEVELS if number else FIRST_LEVELS)
        yield Flow(_constrain(velocity))


def _refine(a: Tensor, b: Tensor, velocity: Tensor, stiffness: float, levels: Sequence[tuple[int, int]]) -> Tensor:
    import torch
    from torch.nn import functional

    height, width = a.shape[-2:]
    with torch.inference_mode(False), torch.enable_grad():
        for level, steps in levels:
            rows, columns = (max(4, round(level * side / max(height, width))) for side in (height, width))
            small_a, small_b = (functional.interpolate(image, (rows, columns), mode="area") for image in (a, b))
            velocity = functional.interpolate(velocity, (rows, columns), mode="bilinear", align_corners=False)
            velocity = velocity.detach().requires_grad_(True)
            optimizer = torch.optim.Adam([velocity], lr=0.5 / level)
            for _ in range(steps):
                optimizer.zero_grad()
                inside = _constrain(velocity)
                difference = warp(small_a, integrate(inside, -0.5), "bilinear")
                difference = difference - warp(small_b, integrate(inside, 0.5), "bilinear")
                mismatch = (difference.square().sum(1) + 1e-3).sqrt().mean()
                torch.autograd.backward(mismatch + stiffness * _bending(inside))
                optimizer.step()
    return velocity.detach()


@contextmanager
def _one_thread() -> Iterator[None]:
    """Use one thread: fields this small are slower with several, and much slower on a busy machine."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _features(image: Tensor) -> Tensor:
    """Return the colours without their mean, and the edge strength, scaled to equal weight."""
    import torch
    from torch.nn import functional

    grey = image.mean(1, keepdim=True)
    across = functional.pad(grey[..., 1:] - grey[..., :-1], (0, 1))
    down = functional.pad(grey[..., 1:, :] - grey[..., :-1, :], (0, 0, 0, 1))
    edges = (across.square() + down.square() + 1e-6).sqrt()
    colour = image - image.mean((2, 3), keepdim=True)
    return torch.cat([colour / colour.std().clamp_min(1e-3), 0.5 * edges / edges.mean().clamp_min(1e-3)], 1)


def _constrain(velocity: Tensor) -> Tensor:
    """Return a smooth velocity field that does not cross the border, from unconstrained parameters."""
    return _smooth(velocity) * _border_mask(*velocity.shape[-2:])


def _smooth(field: Tensor) -> Tensor:
    import torch
    from torch.nn import functional

    kernel = torch.tensor([1.0, 4.0, 6.0, 4.0, 1.0]) / 16.0
    square = (kernel[:, None] * kernel[None]).expand(2, 1, 5, 5)
    return functional.conv2d(functional.pad(field, (2, 2, 2, 2), mode="replicate"), square, groups=2)


def _bending(field: Tensor) -> Tensor:
    """Return the mean squared slope of a field: 1 where a shape is stretched to double its size."""
    rows, columns = field.shape[-2:]
    across = (field[..., 1:] - field[..., :-1]) * (columns / 2)
    down = (field[..., 1:, :] - field[..., :-1, :]) * (rows / 2)
    return across.square().mean() + down.square().mean()


def _border_mask(rows: int, columns: int) -> Tensor:
    """Return factors [1, 2, rows, columns] that keep the flow from crossing the picture's border."""
    import torch

    x, y = ((torch.arange(count) + 0.5) / count for count in (columns, rows))
    x, y = ((torch.minimum(side, 1.0 - side) / BORDER_FADE).clamp(max=1.0) for side in (x, y))
    return torch.stack([x[None, :].expand(rows, columns), y[:, None].expand(rows, columns)])[None]


def _sample(image: Tensor, field: Tensor, mode: str) -> Tensor:
    from torch.nn import functional

    grid = (_grid_of(field) + field).permute(0, 2, 3, 1)
    return functional.grid_sample(image, grid, mode=mode, padding_mode="border", align_corners=False)


def _grid_of(field: Tensor) -> Tensor:
    return _identity_grid(*field.shape[-2:], field.device, field.dtype)


@lru_cache(maxsize=8)
def _identity_grid(rows: int, columns: int, device: torch.device, dtype: torch.dtype) -> Tensor:
    """Return the centre of each cell of a field, [1, 2, rows, columns] in -1..1."""
    import torch

    with torch.inference_mode(False):
        x, y = ((torch.arange(count, device=device, dtype=dtype) * 2 + 1) / count - 1 for count in (columns, rows))
        return torch.stack([x.expand(rows, columns), y[:, None].expand(rows, columns)])[None].contiguous()
