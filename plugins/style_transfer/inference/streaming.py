"""A picture of any size, painted without seams within bounded memory."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..image_io import image16
from ..models.onnx import OnnxStyle
from . import streamed_graph
from .feature_map_store import Store
from .feature_maps import Given

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

    from ..models.style import Style

MEMORY = 512 * 2**20
"""Bytes that inner pictures may take in the main memory; a graphics card gives half of what it has free."""
CACHED, BAND = 10 * 2**20, 256 * 2**20
"""Bytes that are computed at once on a processor, and on a graphics card."""
LEAST = 16
"""Sides are at least this many pixels, so that the deepest layer has something to mirror."""
PASSES = 0.75
"""The share of the work that is done when all statistics are known, about."""


def painted(
    style: Style | OnnxStyle,
    rgb: NDArray[Any],
    scratch: Path,
    tick: Callable[[float], None],
    *,
    store: Store | None = None,
) -> NDArray[np.uint16]:
    """[h, w, 3] of uint8 or uint16 in the style, as uint16.

    What does not fit into memory goes through `scratch`, or as `store` says. `tick` is told the share of the work
    that is done (0..1), and may raise. Sides that are no multiples of the style's stride are mirrored at the right
    and the bottom, and cut back. Raises BadInput where the disk is too full.
    """
    import numpy as np
    import torch

    if isinstance(style, OnnxStyle):
        return style.paint(rgb, tick)
    height, width = rgb.shape[:2]
    tall, wide = (max(LEAST, side) + -max(LEAST, side) % style.stride for side in (height, width))
    down, across = image16.mirrored(height, tall), image16.mirrored(width, wide)
    half = float(np.iinfo(rgb.dtype).max) / 2

    def read(top: int, bottom: int) -> Tensor:
        rows = rgb[top:bottom] if bottom <= height else rgb[down[top:bottom]]
        rows = rows if wide == width else rows[:, across]
        values = torch.from_numpy(rows.astype(np.float32)).to(style.device)
        return style.enter(values.permute(2, 0, 1)[None].contiguous() / half - 1.0)

    store = store or room(scratch, style.device)
    made = np.empty((height, width, 3), np.uint16)
    with torch.inference_mode():
        plane = streamed_graph.streamed(
            style.network, Given((3, tall, wide), read), store, lambda share: tick(PASSES * share)
        )
        for top, bottom in plane.bands(store.band):
            if top >= height:
                break
            rows = (style.leave(plane.rows(top, bottom))[0] + 1.0) * 32767.5
            made[top:bottom] = rows.round().permute(1, 2, 0).cpu().numpy().astype(np.uint16)[: height - top, :width]
            tick(PASSES + (1 - PASSES) * min(1.0, bottom / height))
    return made


def room(scratch: Path, device: str) -> Store:
    """For the inner pictures of one picture."""
    import torch

    if device.startswith("cuda"):
        return Store(scratch, device, torch.cuda.mem_get_info(device)[0] // 2, BAND)
    return Store(scratch, device, MEMORY, CACHED if device == "cpu" else BAND)
