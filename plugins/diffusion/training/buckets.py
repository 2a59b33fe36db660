"""Aspect-ratio buckets: shapes of about the same number of pixels, one of which each image is scaled and cropped to."""

from __future__ import annotations

import math
from functools import lru_cache

MAX_RATIO = 3.0
"""Longer sides than this times the shorter side are cropped."""
Shape = tuple[int, int]
"""Height and width in pixels."""


def bucket_step(size: int) -> int:
    """Return the number of pixels that the sides of buckets are multiples of: 64, and less for small sizes."""
    return max(8, min(64, size // 8))


@lru_cache
def list_buckets(size: int) -> tuple[Shape, ...]:
    """List the shapes with at most size² pixels whose sides are multiples of `bucket_step`."""
    step = bucket_step(size)
    shapes = set()
    for width in range(step, int(size * math.sqrt(MAX_RATIO)) + step, step):
        height = size * size // width // step * step
        if height and max(width / height, height / width) <= MAX_RATIO:
            shapes |= {(height, width), (width, height)}
    return tuple(sorted(shapes))


def choose_bucket(height: int, width: int, size: int) -> Shape:
    """Return the bucket whose aspect ratio is nearest to that of an image."""
    ratio = math.log(height / width)
    return min(list_buckets(size), key=lambda shape: (abs(math.log(shape[0] / shape[1]) - ratio), -shape[0] * shape[1]))
