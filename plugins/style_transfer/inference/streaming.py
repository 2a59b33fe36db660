"""Stylizes an image of any size in bands of rows, without seams and within bounded memory."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..image_io import image16
from ..models.onnx import OnnxStyle
from . import streamed_graph
from .feature_map_store import FeatureMapStore
from .feature_maps import InputMap
from .streamed_graph import ReportProgress

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

    from ..models.style import Style

MEMORY = 512 * 2**20
"""Bytes of feature maps in main memory; on a GPU half of its free memory is used."""
CPU_BAND_BYTES, GPU_BAND_BYTES = 10 * 2**20, 256 * 2**20
"""Bytes of a band that is computed at once."""
MIN_SIDE = 16
"""Smallest side in px that is processed, so that the deepest layer has something to mirror."""
STATISTICS_FRACTION = 0.75
"""Approximate fraction of the work after which all statistics are known."""


def stylize(
    style: Style | OnnxStyle,
    rgb: NDArray[Any],
    scratch: Path,
    report_progress: ReportProgress,
    *,
    store: FeatureMapStore | None = None,
) -> NDArray[np.uint16]:
    """Stylize [h, w, 3] of uint8 or uint16; the result is uint16.

    Feature maps that do not fit into memory go to `scratch`, or where `store` puts them. `report_progress` gets the
    fraction (0..1) of the work that is done, and may raise. Sides that are no multiples of the style's stride are
    mirrored at the right and the bottom, and cropped. Raises BadInput where the disk is too full.
    """
    import numpy as np
    import torch

    if isinstance(style, OnnxStyle):
        return style.stylize(rgb, report_progress)
    height, width = rgb.shape[:2]
    padded_height, padded_width = (
        max(MIN_SIDE, side) + -max(MIN_SIDE, side) % style.stride for side in (height, width)
    )
    row_indices = image16.mirror_indices(height, padded_height)
    column_indices = image16.mirror_indices(width, padded_width)
    half = float(np.iinfo(rgb.dtype).max) / 2

    def read(top: int, bottom: int) -> Tensor:
        rows = rgb[top:bottom] if bottom <= height else rgb[row_indices[top:bottom]]
        rows = rows if padded_width == width else rows[:, column_indices]
        values = torch.from_numpy(rows.astype(np.float32)).to(style.device)
        return style.to_input(values.permute(2, 0, 1)[None].contiguous() / half - 1.0)

    store = store or create_store(scratch, style.device)
    result = np.empty((height, width, 3), np.uint16)
    with torch.inference_mode():
        output = streamed_graph.stream_network(
            style.network,
            InputMap((3, padded_height, padded_width), read),
            store,
            lambda fraction: report_progress(STATISTICS_FRACTION * fraction),
        )
        for top, bottom in output.split_into_bands(store.band_bytes):
            if top >= height:
                break
            rows = (style.from_output(output.compute_rows(top, bottom))[0] + 1.0) * 32767.5
            pixels = rows.round().permute(1, 2, 0).cpu().numpy().astype(np.uint16)
            result[top:bottom] = pixels[: height - top, :width]
            report_progress(STATISTICS_FRACTION + (1 - STATISTICS_FRACTION) * min(1.0, bottom / height))
    return result


def create_store(scratch: Path, device: str) -> FeatureMapStore:
    """Create a store for the feature maps of one image."""
    import torch

    if device.startswith("cuda"):
        return FeatureMapStore(scratch, device, torch.cuda.mem_get_info(device)[0] // 2, GPU_BAND_BYTES)
    return FeatureMapStore(scratch, device, MEMORY, CPU_BAND_BYTES if device == "cpu" else GPU_BAND_BYTES)
