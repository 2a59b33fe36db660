"""Moves parts of an image by handle and target points (DragGAN: Pan et al., arXiv:2305.10973).

Each step moves the features around the handles a little towards their targets, by optimising the styles of the coarse
layers, and then finds where the handles have come to by their features.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from studio import api

from . import features

if TYPE_CHECKING:
    from torch import Tensor

    from ..models.gan_model import GanModel

LEARNING_RATE = 0.02
MOVED_SHARE = 0.4
"""Fraction of the layers, the first ones, whose styles are changed. Later ones would repaint the part instead."""
HANDLE_RADIUS = 0.06
SEARCH_RADIUS = 0.06
"""Radii around a handle, as fractions of the longer side."""
REACHED = 0.015
MASK_WEIGHT = 20.0
MAX_POINTS = 16
MIN_FEATURE_SIDE = 16


@dataclass(frozen=True)
class DragStep:
    """The state after a step."""

    styles: Tensor
    """[layers, style size] on the CPU."""
    image: Tensor
    """[channels, height, width] in -1..1 on the CPU."""
    distance: float
    """Largest distance of a handle from its target, as a fraction of the longer side."""


def parse_points(texts: Sequence[str]) -> list[api.PointPair]:
    """Parse pairs such as "30, 40 > 55, 40": x and y in per cent of width and height. Raises BadInput."""
    pairs = []
    for text in texts:
        pair = api.parse_point_pair(text)
        if pair is None:
            raise api.BadInput(
                f"“{text[:100]}” is not a pair of points.", "Write X, Y > X, Y in per cent, such as 30, 40 > 55, 40."
            )
        pairs.append(pair)
    return pairs


def drag(
    model: GanModel, styles: Tensor, pairs: Sequence[api.PointPair], *, steps: int, region: Tensor | None = None
) -> Iterator[DragStep]:
    """Drag the image of styles [layers, style size]; yields the state after each step, until all handles arrive.

    `region` [1, 1, h, w] is 1 where the image may change. Raises BadInput for a model whose features cannot be read,
    and when every handle is at its target.
    """
    import torch
    from torch.nn import functional

    generator: Any = model.generator
    size = _choose_size(model)
    height, width = generator.image_size
    scale = max(height, width)
    corner = torch.tensor([width, height], dtype=torch.float32)
    handles = [torch.tensor(pair.handle) * corner for pair in pairs]
    targets = [torch.tensor(pair.target) * corner for pair in pairs]
    if all(float((target - one).norm()) / scale <= REACHED for one, target in zip(handles, targets, strict=True)):
        raise api.BadInput("Every point is at its target already.", "Draw longer arrows.")
    count = max(1, round(MOVED_SHARE * len(styles)))
    fixed = styles.to(model.device)[count:]
    keep = None if region is None else (1 - region).to(model.device)

    def synthesize(moved: Tensor) -> tuple[Tensor, Tensor]:
        with features.record_features(model, size) as recorded:
            image = generator.synthesize(torch.cat([moved, fixed])[None])
        maps = functional.interpolate(recorded[0].float(), (height, width), mode="bilinear", align_corners=False)
        return image, maps

    with torch.enable_grad():
        moved = styles.to(model.device)[:count].clone().requires_grad_(True)
        optimizer = torch.optim.Adam([moved], lr=LEARNING_RATE)
        with torch.no_grad():
            _, first = synthesize(moved)
        references = [_sample(first, handle[None])[0] for handle in handles]
        for _ in range(steps):
            _, maps = synthesize(moved)
            loss = torch.zeros((), device=model.device)
            for handle, target in zip(handles, targets, strict=True):
                way = target - handle
                if float(way.norm()) / scale <= REACHED:
                    continue
                patch = _list_patch(handle, max(1.0, HANDLE_RADIUS * scale))
                step = way / max(1.0, float(way.norm()))
                loss = loss + (_sample(maps, patch + step) - _sample(maps, patch).detach()).abs().mean()
            if keep is not None:
                loss = loss + MASK_WEIGHT * ((maps - first) * keep).abs().mean()
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            with torch.no_grad():
                image, maps = synthesize(moved)
            radius = max(2.0, SEARCH_RADIUS * scale)
            handles = [_track(maps, one, ref, radius) for one, ref in zip(handles, references, strict=True)]
            ways = [float((target - one).norm()) / scale for one, target in zip(handles, targets, strict=True)]
            state = torch.cat([moved.detach(), fixed]).cpu().clone()
            yield DragStep(state, image[0].float().clamp(-1, 1).cpu(), max(ways))
            if max(ways) <= REACHED:
                return


def _choose_size(model: GanModel) -> int:
    """Return the layer whose features are compared: the largest up to a quarter of the image, but not a tiny one."""
    sizes = features.list_sizes(model)
    quarter = min(model.generator.image_size) // 4
    fitting = [size for size in sizes if size <= max(quarter, MIN_FEATURE_SIDE)]
    return (fitting or sizes)[-1]


def _list_patch(centre: Tensor, radius: float) -> Tensor:
    """Return the points (x, y) [n, 2] within a radius in px."""
    import torch

    reach = int(radius)
    steps = torch.arange(-reach, reach + 1, dtype=torch.float32)
    offsets = torch.cartesian_prod(steps, steps)
    return centre + offsets[offsets.norm(dim=1) <= radius]


def _sample(maps: Tensor, points: Tensor) -> Tensor:
    """Return the features [n, c] of maps [1, c, h, w] at points (x, y) in px, between places linearly."""
    import torch
    from torch.nn import functional

    height, width = maps.shape[2:]
    scale = torch.tensor([width, height], dtype=torch.float32)
    grid = (2 * points / scale - 1).to(maps.device)[None, None]
    sampled = functional.grid_sample(maps, grid, padding_mode="border", align_corners=False)
    return sampled[0, :, 0].T


def _track(maps: Tensor, handle: Tensor, reference: Tensor, radius: float) -> Tensor:
    """Return the point near a handle whose features are the most like the reference."""
    points = _list_patch(handle, radius)
    distances = (_sample(maps, points) - reference).abs().sum(dim=1)
    return points[int(distances.argmin())]
