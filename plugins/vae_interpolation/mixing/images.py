"""Pictures of any size and kind, brought to one size."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeAlias

from studio import api

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL.Image import Image as Picture
    from torch import Tensor

    from ..models.codec import Codec

Fit: TypeAlias = Literal["crop", "pad"]
STEP = 8
"""Sides are multiples of this: video encoders want even sides, most autoencoders eight."""


def read_all(
    paths: Iterable[Path], size: int, codec: Codec, *, fit: Fit = "crop", ground: str = "#ffffff"
) -> list[NDArray[np.float32]]:
    """The pictures as [height, width, 3] in 0..1, all of one size that the codec can take.

    `size` is the long side in pixels, as near as the codec's factor allows. The first
    picture gives the shape; a global codec knows squares only. `crop` fills the frame and
    cuts what stands over, `pad` shows all with `ground` around it, and `ground` shows
    through where pictures are transparent.
    """
    first, *others = paths
    image = api.images.open_picture(first)
    frame = frame_size(image.size, size, codec)
    return [_fitted(image, frame, fit, ground), *(read_one(path, frame, fit=fit, ground=ground) for path in others)]


def read_one(path: Path, frame: tuple[int, int], *, fit: Fit = "crop", ground: str = "#ffffff") -> NDArray[np.float32]:
    """A picture as [height, width, 3] in 0..1, brought to a frame of (width, height)."""
    return _fitted(api.images.open_picture(path), frame, fit, ground)


def one_by_one(pictures: Sequence[NDArray[np.float32]], ctx: api.Context) -> Iterator[NDArray[np.float32]]:
    """Each picture in turn, with a word to the artist, and a chance to stop, before it."""
    for number, picture in enumerate(pictures):
        ctx.emit(api.Progress(number, len(pictures), "Encoding the pictures"))
        yield picture


def frame_size(shape: tuple[int, int], size: int, codec: Codec) -> tuple[int, int]:
    """Width and height of a frame in a picture's shape, with a long side near `size`."""
    if not codec.spatial:
        return max(STEP, round(size / STEP) * STEP), max(STEP, round(size / STEP) * STEP)
    step = math.lcm(STEP, codec.factor)
    width, height = (max(1, round(side * size / max(shape) / step)) * step for side in shape)
    return width, height


def to_tensor(picture: NDArray[np.float32]) -> Tensor:
    """[height, width, 3] in 0..1 to [1, 3, height, width] in -1..1."""
    import torch

    return torch.from_numpy(picture).permute(2, 0, 1)[None].contiguous() * 2.0 - 1.0


def to_picture(image: Tensor) -> NDArray[np.uint8]:
    """[1, 3, height, width] in -1..1 to [height, width, 3] in 0..255."""
    import torch

    scaled = ((image[0].float().clamp(-1.0, 1.0) + 1.0) * 127.5).round().to(torch.uint8)
    return scaled.permute(1, 2, 0).contiguous().cpu().numpy()


def shrunk(picture: NDArray[np.float32], size: int, codec: Codec) -> NDArray[np.float32]:
    """A copy with a long side of about `size` pixels, of a size that the codec can take."""
    import numpy as np
    from PIL import Image

    height, width = picture.shape[:2]
    small = Image.fromarray((picture * 255.0 + 0.5).astype(np.uint8))
    small = small.resize(frame_size((width, height), size, codec), Image.Resampling.BOX)
    return np.asarray(small, dtype=np.float32) / np.float32(255.0)


def sheet(tiles: Sequence[NDArray[np.uint8]], columns: int, *, gap: int = 8, ground: str = "#ffffff") -> Picture:
    """Pictures of one size side by side, row by row, `gap` pixels apart."""
    from PIL import Image

    height, width = tiles[0].shape[:2]
    rows = math.ceil(len(tiles) / columns)
    whole = Image.new("RGB", (columns * (width + gap) - gap, rows * (height + gap) - gap), ground)
    for number, tile in enumerate(tiles):
        row, column = divmod(number, columns)
        whole.paste(Image.fromarray(tile), (column * (width + gap), row * (height + gap)))
    return whole


def _fitted(image: Picture, frame: tuple[int, int], fit: Fit, ground: str) -> NDArray[np.float32]:
    import numpy as np
    from PIL import Image, ImageOps

    if image.mode == "RGBA":
        flat = Image.new("RGBA", image.size, ground)
        flat.alpha_composite(image)
        image = flat.convert("RGB")
    if fit == "crop":
        image = ImageOps.fit(image, frame, Image.Resampling.LANCZOS)
    else:
        image = ImageOps.pad(image, frame, Image.Resampling.LANCZOS, color=ground)
    return np.asarray(image, dtype=np.float32) / np.float32(255.0)
