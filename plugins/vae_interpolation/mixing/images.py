"""Pictures of any size and format, brought to a size that an autoencoder can encode."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from studio import api
from studio.api.images import FitMode, Size

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL.Image import Image
    from torch import Tensor

    from ..models.codec import Codec

SIDE_MULTIPLE = 8
"""Sides are multiples of this: video encoders need even sides, most autoencoders multiples of eight."""


def read_pictures(
    paths: Iterable[Path], size: int, codec: Codec, *, fit: FitMode = "crop", background: str = "#ffffff"
) -> list[NDArray[np.float32]]:
    """Read pictures as [height, width, 3] in 0..1, all of one size that the codec can encode.

    `size` is the long side in pixels, rounded to what the codec needs. The first picture gives the
    aspect ratio; a global codec needs squares. `crop` fills the frame and cuts off the rest, `pad` shows
    all with `background` around it; `background` also shows through transparent parts.
    Raises BadInput as `api.images.open_picture` does.
    """
    first, *others = paths
    picture = api.images.open_picture(first)
    frame = compute_frame_size(picture.size, size, codec)
    pictures = [_to_frame(picture, frame, fit, background)]
    return pictures + [read_picture(path, frame, fit=fit, background=background) for path in others]


def read_picture(path: Path, frame: Size, *, fit: FitMode = "crop", background: str = "#ffffff") -> NDArray[np.float32]:
    """Read a picture as [height, width, 3] in 0..1, in a frame of (width, height)."""
    return _to_frame(api.images.open_picture(path), frame, fit, background)


def report_encoding(pictures: Sequence[NDArray[np.float32]], ctx: api.Context) -> Iterator[NDArray[np.float32]]:
    """Yield each picture after reporting progress, which is also a cancel point."""
    for number, picture in enumerate(pictures):
        ctx.emit(api.Progress(number, len(pictures), "Encoding the images"))
        yield picture


def compute_frame_size(picture_size: Size, longest: int, codec: Codec) -> Size:
    """Return the size of a frame with a picture's aspect ratio and a long side near `longest` px."""
    if not codec.is_spatial:
        side = api.images.round_to_multiple(longest, SIDE_MULTIPLE)
        return side, side
    return api.images.size_for_model(picture_size, longest, math.lcm(SIDE_MULTIPLE, codec.factor))


def to_tensor(picture: NDArray[np.float32]) -> Tensor:
    """Convert [height, width, 3] in 0..1 to a tensor [1, 3, height, width] in -1..1."""
    import torch

    return torch.from_numpy(picture).permute(2, 0, 1)[None].contiguous() * 2.0 - 1.0


def to_picture(image: Tensor) -> NDArray[np.uint8]:
    """Convert a tensor [1, 3, height, width] in -1..1 to [height, width, 3] in 0..255."""
    return api.images.to_uint8(image[0])


def shrink(picture: NDArray[np.float32], longest: int, codec: Codec) -> NDArray[np.float32]:
    """Return a copy of [h, w, 3] in 0..1 with a long side near `longest` px, of a size that the codec can encode."""
    import numpy as np
    from PIL import Image

    height, width = picture.shape[:2]
    small = Image.fromarray((picture * 255.0 + 0.5).astype(np.uint8))
    small = small.resize(compute_frame_size((width, height), longest, codec), Image.Resampling.BOX)
    return api.images.from_uint8(np.asarray(small), api.images.UNIT, channels_first=False)


def arrange_grid(
    tiles: Sequence[NDArray[np.uint8]], columns: int, *, gap: int = 8, background: str = "#ffffff"
) -> Image:
    """Return pictures of one size side by side, row by row, `gap` px apart."""
    from PIL import Image

    height, width = tiles[0].shape[:2]
    rows = math.ceil(len(tiles) / columns)
    grid = Image.new("RGB", (columns * (width + gap) - gap, rows * (height + gap) - gap), background)
    for number, tile in enumerate(tiles):
        row, column = divmod(number, columns)
        grid.paste(Image.fromarray(tile), (column * (width + gap), row * (height + gap)))
    return grid


def _to_frame(picture: Image, frame: Size, mode: FitMode, background: str) -> NDArray[np.float32]:
    import numpy as np

    opaque = api.images.flatten_alpha(picture, background)
    fitted = api.images.fit(opaque, frame, mode=mode, background=background)
    return api.images.from_uint8(np.asarray(fitted), api.images.UNIT, channels_first=False)
