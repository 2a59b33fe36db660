"""Find images that show nearly the same, by a perceptual hash of small thumbnails."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

THUMBNAIL_SIDE = 32
"""Side in px of the thumbnails that are compared."""
HASH_SIDE = 8
"""The hash has this number of frequencies squared, 64 bits."""
MAX_DISTANCE = 5
"""Maximum number of bits in which the hashes of nearly equal images differ."""
MAX_DIFFERENCE = 0.2
"""Maximum difference of nearly equal thumbnails, relative to their contrast. Copies that were scaled or compressed
again have up to 0.12, and different images of one subject in one place more than 0.25."""
_BANDS = MAX_DISTANCE + 1
"""With more bands of bits than differing bits, one band at least is equal."""
_MAX_NEIGHBOURS = 48
"""Number of images with an equal band that each one is compared with, so that the time stays linear."""


def hash_thumbnails(thumbnails: NDArray[np.uint8]) -> NDArray[np.uint64]:
    """Return a 64-bit perceptual hash (pHash) of each thumbnail [n, 32, 32, 3]: signs of its low DCT frequencies."""
    import numpy as np

    grey = thumbnails.astype(np.float32) @ np.array([0.299, 0.587, 0.114], np.float32)
    basis = _build_dct_basis()
    low = (basis @ grey @ basis.T).reshape(len(grey), -1)
    bits = low > np.median(low[:, 1:], axis=1, keepdims=True)
    packed: NDArray[np.uint64] = np.packbits(bits, axis=1).view(np.uint64).ravel()
    return packed


def find_similar(thumbnails: NDArray[np.uint8]) -> dict[int, int]:
    """Return {number of a thumbnail: number of the first one that shows nearly the same}, in linear time."""
    import numpy as np

    if len(thumbnails) < 2:
        return {}
    hashes = hash_thumbnails(thumbnails)
    similar: dict[int, int] = {}
    for band in range(_BANDS):
        keys = _take_band(hashes, band)
        order = np.argsort(keys, kind="stable")  # stable, so that the left one of a pair comes first
        for offset in range(1, min(_MAX_NEIGHBOURS, len(order) - 1) + 1):
            equal = keys[order[:-offset]] == keys[order[offset:]]
            if not equal.any():
                break
            left, right = order[:-offset][equal], order[offset:][equal]
            near = _count_bits(hashes[left] ^ hashes[right]) <= MAX_DISTANCE
            for one, other in zip(left[near].tolist(), right[near].tolist(), strict=True):
                if one < similar.get(other, other) and _compare(thumbnails[one], thumbnails[other]) <= MAX_DIFFERENCE:
                    similar[other] = one
    return similar


@cache
def _build_dct_basis() -> NDArray[np.float32]:
    import numpy as np

    frequencies, positions = np.arange(HASH_SIDE)[:, None], np.arange(THUMBNAIL_SIDE)[None]
    return np.cos(np.pi * frequencies * (2 * positions + 1) / (2 * THUMBNAIL_SIDE)).astype(np.float32)


def _compare(one: NDArray[np.uint8], other: NDArray[np.uint8]) -> float:
    """Return the root mean square difference of two thumbnails, less their mean colours, relative to their contrast."""
    import numpy as np

    first, second = (pixels - pixels.mean(axis=(0, 1), dtype=np.float32) for pixels in (one, other))
    contrast = (float(np.sqrt((first**2).mean())) + float(np.sqrt((second**2).mean()))) / 2
    return float(np.sqrt(((first - second) ** 2).mean())) / max(contrast, 1e-6)


def _take_band(hashes: NDArray[np.uint64], band: int) -> NDArray[np.uint64]:
    import numpy as np

    start, end = 64 * band // _BANDS, 64 * (band + 1) // _BANDS
    return (hashes >> np.uint64(start)) & np.uint64((1 << (end - start)) - 1)


def _count_bits(values: NDArray[np.uint64]) -> NDArray[np.int64]:
    import numpy as np

    counts: NDArray[np.int64] = np.unpackbits(values.view(np.uint8).reshape(len(values), 8), axis=1).sum(axis=1)
    return counts
