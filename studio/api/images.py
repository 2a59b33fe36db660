"""Open, resize and convert pictures: between files, Pillow images, uint8 arrays and model tensors.

Pictures are Pillow images, or arrays of shape [height, width, channels]. Tensors have the shape
[channels, height, width] or [batch, channels, height, width].
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from studio.core.image_limits import MAX_PIXELS
from studio.core.images import (
    IMAGE_SUFFIXES,
    is_image_file,
    open_picture,
    open_undecoded,
    read_orientation,
)

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray
    from PIL.Image import Image
    from torch import Tensor

__all__ = [
    "IMAGE_SUFFIXES",
    "MAX_PIXELS",
    "SIGNED",
    "UNIT",
    "FitMode",
    "Size",
    "ValueRange",
    "fit",
    "flatten_alpha",
    "from_uint8",
    "is_image_file",
    "limit_size",
    "open_picture",
    "open_undecoded",
    "read_orientation",
    "read_upright_size",
    "resize_for_model",
    "round_to_multiple",
    "shrink_shorter_side",
    "size_for_model",
    "to_uint8",
]

Size: TypeAlias = tuple[int, int]
"""Width and height in pixels."""
ValueRange: TypeAlias = tuple[float, float]
"""The values of black and white."""
FitMode: TypeAlias = Literal["crop", "pad"]
SIGNED: ValueRange = (-1.0, 1.0)
"""The range of most diffusion models, autoencoders and GANs."""
UNIT: ValueRange = (0.0, 1.0)


def read_upright_size(path: Path) -> Size | None:
    """Return the size of an upright image from its header; None for one that only `open_picture` can read."""
    try:
        with open_undecoded(path) as image:
            width, height = image.size
            return (height, width) if read_orientation(image) > 4 else (width, height)
    except Exception:
        return None


def flatten_alpha(picture: Image, background: str = "#ffffff") -> Image:
    """Return a picture without transparency, composited over a background colour ("#rrggbb" or a name).

    An RGBA picture becomes RGB. A picture of another mode is returned as it is.
    """
    from PIL import Image

    if picture.mode != "RGBA":
        return picture
    canvas = Image.new("RGBA", picture.size, background)
    canvas.alpha_composite(picture)
    return canvas.convert("RGB")


def fit(picture: Image, size: Size, *, mode: FitMode = "crop", background: str = "#ffffff") -> Image:
    """Return a picture resized to exactly `size` with its proportions kept (Lanczos).

    `crop` fills the size and cuts equal amounts off opposite edges; `pad` shows the whole picture with
    `background` around it. A picture of that size is returned as it is.
    """
    from PIL import Image, ImageOps

    if picture.size == size:
        return picture
    if mode == "pad":
        return ImageOps.pad(picture, size, Image.Resampling.LANCZOS, color=background)
    return ImageOps.fit(picture, size, Image.Resampling.LANCZOS)


def resize_for_model(picture: Image, longest: int, multiple: int = 8) -> Image:
    """Return a picture with a long side near `longest` px and both sides multiples of `multiple`.

    The size is that of `size_for_model`; what exceeds it after scaling is cropped.
    """
    return fit(picture, size_for_model(picture.size, longest, multiple))


def size_for_model(size: Size, longest: int, multiple: int = 8) -> Size:
    """Return the size with the proportions of `size`, a long side near `longest` px, and sides that are multiples.

    Most autoencoders halve a picture three times, so 8 is the usual multiple.
    """
    width, height = (round_to_multiple(side * longest / max(size), multiple) for side in size)
    return width, height


def round_to_multiple(length: float, multiple: int) -> int:
    """Return the multiple nearest to a length, at least one of it."""
    return max(1, round(length / multiple)) * multiple


def limit_size(size: Size, longest: int) -> Size:
    """Return a size scaled down to a long side of at most `longest` px; 0 means that there is no limit."""
    if not longest or max(size) <= longest:
        return size
    width, height = (max(1, round(side * longest / max(size))) for side in size)
    return width, height


def shrink_shorter_side(picture: Image, side: int) -> Image:
    """Return a picture scaled down to a shorter side of `side` px (Lanczos); a smaller one is returned as it is."""
    from PIL import Image

    scale = side / min(picture.size)
    if scale >= 1:
        return picture
    width, height = (max(1, round(length * scale)) for length in picture.size)
    return picture.resize((width, height), Image.Resampling.LANCZOS)


def to_uint8(image: Tensor | NDArray[np.floating[Any]], value_range: ValueRange = SIGNED) -> NDArray[np.uint8]:
    """Return the 8-bit pixels of a model's output, rounded to nearest; values outside the range are clipped.

    A tensor on any device, [c, h, w] or [n, c, h, w], becomes an array [h, w, c] or [n, h, w, c]. An array keeps
    its shape. The result is contiguous.
    """
    import numpy as np

    low, high = value_range
    factor = 255.0 / (high - low)
    if isinstance(image, np.ndarray):
        return np.ascontiguousarray(((image.clip(low, high) - low) * factor).round().astype(np.uint8))
    import torch

    scaled = ((image.detach().float().clamp(low, high) - low) * factor).round().to(torch.uint8)
    pixels: NDArray[np.uint8] = scaled.movedim(-3, -1).contiguous().cpu().numpy()
    return pixels


def from_uint8(
    pixels: NDArray[np.uint8], value_range: ValueRange = SIGNED, *, channels_first: bool = True
) -> NDArray[np.float32]:
    """Return 8-bit pixels [h, w, c] or [n, h, w, c] as float32 in a value range.

    With `channels_first` the result is [c, h, w] or [n, c, h, w], as `torch.from_numpy` and models take it: a view
    whose memory order is that of the pixels (torch's channels_last). Without it the shape stays.
    """
    import numpy as np

    low, high = value_range
    values = pixels.astype(np.float32) / np.float32(255.0 / (high - low))
    if low:
        values += np.float32(low)
    return np.moveaxis(values, -1, -3) if channels_first else values
