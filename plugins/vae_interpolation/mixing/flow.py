"""Smooth warps that bring the shapes of one picture onto those of another.

The warp between two pictures is the flow of one stationary velocity field, so it can be followed
to any point on the way, runs backwards as well as forwards, and never folds or tears (Arsigny et
al. 2006; Ashburner 2007; Vercauteren et al. 2009). Fields are [1, 2, rows, columns], x before y, in
half picture sides, so they belong to no resolution. They say where a pixel is looked up.
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
COARSE = ((12, 60), (24, 50), (48, 40))
"""Long side of the velocity field in cells, from coarse to fine, and steps at each, for the first flow."""
FINE = ((24, 30), (48, 30))
"""The same for each softer one, which goes on from the one before."""
STIFFNESSES = (1.2, 0.6, 0.3, 0.15)
"""Weights of the bending of the field against the difference of the pictures. At 1.2 shapes lean
towards each other; at 0.15 like pictures fit closely, and the faces of unlike ones turn to mush."""
FENCE = 1 / 8
"""Share of the picture over which the flow across its border fades to nothing."""


@dataclass(frozen=True)
class Flow:
    """The way from a first picture's shapes (pose 0) to a second's (pose 1)."""

    velocity: Tensor

    def of_first(self, pose: float) -> Tensor:
        """The field that brings the first picture to a pose."""
        return exponential(self.velocity, -pose)

    def of_second(self, pose: float) -> Tensor:
        """The field that brings the second picture to a pose."""
        return exponential(self.velocity, 1.0 - pose)

    @property
    def bending(self) -> float:
        """How much shapes are stretched on the way: 0 for none, about 1 for double their size everywhere."""
        return float(_bending(self.velocity))


def exponential(velocity: Tensor, time: float = 1.0) -> Tensor:
    """The field of flowing along `velocity` for a time, by scaling and squaring."""
    field: Tensor = velocity * (time / 2**SQUARINGS)
    for _ in range(SQUARINGS):
        field = composed(field, field)
    return field


def composed(outer: Tensor, inner: Tensor) -> Tensor:
    """The field that looks up through `inner` first, and through `outer` from there; never outside the picture."""
    still = _places_of(inner)
    return (still + inner + _looked_up(outer, inner, "bilinear")).clamp(-1.0, 1.0) - still


def warped(image: Tensor, field: Tensor | None, mode: str = "bicubic") -> Tensor:
    """`image` [1, c, h, w] looked up through `field`; the same image without one."""
    from torch.nn import functional

    if field is None:
        return image
    field = functional.interpolate(field.to(image), image.shape[-2:], mode="bilinear", align_corners=False)
    return _looked_up(image, field, mode)


def flows(first: Tensor, second: Tensor) -> Iterator[Flow]:
    """Flows between two pictures [1, 3, h, w] of one size, ever softer, each found when it is asked for.

    Each minimises the difference of colours and edges, both pictures met half-way, plus a
    stiffness times the bending. Pictures of unlike scenes have no true correspondence: then
    what is found is a gentle pull of large shapes towards each other. It runs on the CPU, so
    that devices agree.
    """
    import torch

    with torch.inference_mode(False):
        a, b = (_features(image.detach().float().cpu().clone()) for image in (first, second))
        velocity = torch.zeros(1, 2, 2, 2)
    for number, stiffness in enumerate(STIFFNESSES):
        with _one_thread():
            velocity = _softer(a, b, velocity, stiffness, FINE if number else COARSE)
        yield Flow(_kept_inside(velocity))


def _softer(a: Tensor, b: Tensor, velocity: Tensor, stiffness: float, levels: Sequence[tuple[int, int]]) -> Tensor:
    import torch
    from torch.nn import functional

    height, width = a.shape[-2:]
    with torch.inference_mode(False), torch.enable_grad():
        for level, steps in levels:
            rows, columns = (max(4, round(level * side / max(height, width))) for side in (height, width))
            small_a, small_b = (functional.interpolate(image, (rows, columns), mode="area") for image in (a, b))
            velocity = functional.interpolate(velocity, (rows, columns), mode="bilinear", align_corners=False)
            velocity = velocity.detach().requires_grad_(True)
            optimiser = torch.optim.Adam([velocity], lr=0.5 / level)
            for _ in range(steps):
                optimiser.zero_grad()
                inside = _kept_inside(velocity)
                met = warped(small_a, exponential(inside, -0.5), "bilinear")
                met = met - warped(small_b, exponential(inside, 0.5), "bilinear")
                unlike = (met.square().sum(1) + 1e-3).sqrt().mean()
                torch.autograd.backward(unlike + stiffness * _bending(inside))
                optimiser.step()
    return velocity.detach()


@contextmanager
def _one_thread() -> Iterator[None]:
    """Fields this small are slower with several threads, and much slower where others work too."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _features(image: Tensor) -> Tensor:
    """Colour without its mean, and the strength of edges, each scaled to the same importance."""
    import torch
    from torch.nn import functional

    grey = image.mean(1, keepdim=True)
    across = functional.pad(grey[..., 1:] - grey[..., :-1], (0, 1))
    down = functional.pad(grey[..., 1:, :] - grey[..., :-1, :], (0, 0, 0, 1))
    edges = (across.square() + down.square() + 1e-6).sqrt()
    colour = image - image.mean((2, 3), keepdim=True)
    return torch.cat([colour / colour.std().clamp_min(1e-3), 0.5 * edges / edges.mean().clamp_min(1e-3)], 1)


def _kept_inside(velocity: Tensor) -> Tensor:
    """The velocity that is meant by the numbers that are learnt: smooth, and not across the border."""
    return _smoothed(velocity) * _fence(*velocity.shape[-2:])


def _smoothed(field: Tensor) -> Tensor:
    import torch
    from torch.nn import functional

    kernel = torch.tensor([1.0, 4.0, 6.0, 4.0, 1.0]) / 16.0
    square = (kernel[:, None] * kernel[None]).expand(2, 1, 5, 5)
    return functional.conv2d(functional.pad(field, (2, 2, 2, 2), mode="replicate"), square, groups=2)


def _bending(field: Tensor) -> Tensor:
    """Mean square of the slopes of the field: 1 where a shape is stretched to double its size."""
    rows, columns = field.shape[-2:]
    across = (field[..., 1:] - field[..., :-1]) * (columns / 2)
    down = (field[..., 1:, :] - field[..., :-1, :]) * (rows / 2)
    return across.square().mean() + down.square().mean()


def _fence(rows: int, columns: int) -> Tensor:
    """Factors [1, 2, rows, columns] that keep the flow from crossing the picture's border."""
    import torch

    x, y = ((torch.arange(count) + 0.5) / count for count in (columns, rows))
    x, y = ((torch.minimum(side, 1.0 - side) / FENCE).clamp(max=1.0) for side in (x, y))
    return torch.stack([x[None, :].expand(rows, columns), y[:, None].expand(rows, columns)])[None]


def _looked_up(image: Tensor, field: Tensor, mode: str) -> Tensor:
    from torch.nn import functional

    grid = (_places_of(field) + field).permute(0, 2, 3, 1)
    return functional.grid_sample(image, grid, mode=mode, padding_mode="border", align_corners=False)


def _places_of(field: Tensor) -> Tensor:
    return _places(*field.shape[-2:], field.device, field.dtype)


@lru_cache(maxsize=8)
def _places(rows: int, columns: int, device: torch.device, dtype: torch.dtype) -> Tensor:
    """Where each cell of a field stands, [1, 2, rows, columns] in -1..1."""
    import torch

    with torch.inference_mode(False):
        x, y = ((torch.arange(count, device=device, dtype=dtype) * 2 + 1) / count - 1 for count in (columns, rows))
        return torch.stack(torch.broadcast_tensors(x[None, :], y[:, None]))[None].contiguous()
