"""Detects faces with BlazeFace (arXiv:1907.05047): boxes with six points, on a whole image and on tiles of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from .networks import Network

SIDE = 256
"""Side of the network's input in pixels."""
MIN_SCORE = 0.4
"""Candidates with lower scores are dropped. The mesh decides on those below the score of a certain face."""
MAX_OVERLAP = 0.3
"""Intersection over union from which two candidates are the same face."""
MAX_CONTAINED = 0.5
"""Part of the smaller box inside another one from which it is dropped, such as an eye in a tile."""
TILE_OVERLAP = 0.25
"""Part of a tile that it shares with the next one."""


@dataclass(frozen=True)
class Detection:
    """A face candidate, in pixels of the image. `points` [6, 2]: the eyes (left in the image first), the tip of the
    nose, the mouth, the ears."""

    score: float
    left: float
    top: float
    right: float
    bottom: float
    points: NDArray[np.float32]
    level: int = 0
    """0 if found in the whole image, else the number of times that it was halved into tiles."""

    @property
    def width(self) -> float:
        return self.right - self.left

    @property
    def height(self) -> float:
        return self.bottom - self.top

    @property
    def side(self) -> float:
        return max(self.width, self.height)


def detect(network: Network, image: NDArray[np.uint8], level: int = 0) -> list[Detection]:
    """Detect faces in an image [h, w, 3] (RGB), best first.

    At a `level` above 0 the image is searched in tiles, with a side of its long side / 2**level, for smaller faces.
    """
    found = []
    for top, left, side in list_tiles(image.shape[0], image.shape[1], level):
        tile = image[max(0, top) : top + side, max(0, left) : left + side]
        found += [replace(one, level=level) for one in _detect_in_tile(network, tile, left, top)]
    return merge(found)


def list_tiles(height: int, width: int, level: int) -> Iterator[tuple[int, int, int]]:
    """Yield top, left and side of overlapping square tiles. At level 0 it is one square around the image."""
    side = max(1, round(max(height, width) / 2**level))
    for top in _list_offsets(height, side):
        for left in _list_offsets(width, side):
            yield top, left, side


def _list_offsets(length: int, side: int) -> list[int]:
    if length <= side:
        return [0]
    count = 1 + -(-(length - side) // max(1, round(side * (1 - TILE_OVERLAP))))
    return [round(index * (length - side) / (count - 1)) for index in range(count)]


def _detect_in_tile(network: Network, tile: NDArray[np.uint8], left: int, top: int) -> list[Detection]:
    import cv2
    import numpy as np

    height, width = tile.shape[:2]
    scale = SIDE / max(height, width)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    resized = cv2.resize(tile, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
    x, y = (SIDE - size[0]) // 2, (SIDE - size[1]) // 2
    square = np.zeros((SIDE, SIDE, 3), np.uint8)
    square[y : y + size[1], x : x + size[0]] = resized
    raw, logits = network(square.astype(np.float32) / 127.5 - 1)
    scores = 1 / (1 + np.exp(-np.clip(logits, -80, 80)))
    chosen = np.flatnonzero(scores >= MIN_SCORE)
    values = raw.reshape(-1, 16)[chosen] / SIDE
    values[:, :2] += _build_anchors()[chosen]
    points = values[:, 4:].reshape(-1, 6, 2) + _build_anchors()[chosen][:, None]
    offset = np.array([x, y], np.float32)
    shift = np.array([left, top], np.float32)
    detections = []
    for score, box, own in zip(scores[chosen], values, points, strict=True):
        center = (box[:2] * SIDE - offset) / scale + shift
        half = np.abs(box[2:4]) * SIDE / scale / 2
        (low_x, low_y), (high_x, high_y) = (center - half).tolist(), (center + half).tolist()
        own_points = (own * SIDE - offset) / scale + shift
        detections.append(Detection(float(score), low_x, low_y, high_x, high_y, own_points))
    return _suppress(detections)


@cache
def _build_anchors() -> NDArray[np.float32]:
    """Return the centres of the anchors [896, 2] in 0..1: two for each cell of 16 px, six for each of 32 px."""
    import numpy as np

    layers = []
    for cells, repeats in ((SIDE // 16, 2), (SIDE // 32, 6)):
        y, x = np.divmod(np.arange(cells * cells), cells)
        layers.append(np.repeat((np.stack([x, y], 1) + 0.5) / cells, repeats, axis=0))
    return np.concatenate(layers).astype(np.float32)


def _suppress(detections: Sequence[Detection]) -> list[Detection]:
    """Replace overlapping candidates by their mean, weighted by their scores."""
    import numpy as np

    left = sorted(detections, key=lambda one: -one.score)
    kept = []
    while left:
        best = left[0]
        same = [one for one in left if _overlap(best, one) > MAX_OVERLAP] or [best]
        left = [one for one in left if one is not best and _overlap(best, one) <= MAX_OVERLAP]
        weights = np.array([one.score for one in same])
        boxes = np.array([(one.left, one.top, one.right, one.bottom) for one in same])
        points = np.stack([one.points for one in same])
        left_x, top, right_x, bottom = np.average(boxes, axis=0, weights=weights).tolist()
        mean = np.average(points, axis=0, weights=weights).astype(np.float32)
        kept.append(Detection(best.score, left_x, top, right_x, bottom, mean))
    return kept


def merge(detections: Sequence[Detection]) -> list[Detection]:
    """Drop candidates that are the same face as another one, or a part of it. The one of the coarser level stays."""
    kept: list[Detection] = []
    for one in sorted(detections, key=lambda one: (one.level, -one.score)):
        if all(_overlap(one, other) <= MAX_OVERLAP and _contained(one, other) <= MAX_CONTAINED for other in kept):
            kept.append(one)
    return sorted(kept, key=lambda one: -one.score)


def _intersection(one: Detection, other: Detection) -> float:
    width = min(one.right, other.right) - max(one.left, other.left)
    height = min(one.bottom, other.bottom) - max(one.top, other.top)
    return max(0.0, width) * max(0.0, height)


def _overlap(one: Detection, other: Detection) -> float:
    both = _intersection(one, other)
    return both / max(1e-6, one.width * one.height + other.width * other.height - both)


def _contained(one: Detection, other: Detection) -> float:
    return _intersection(one, other) / max(1e-6, min(one.width * one.height, other.width * other.height))
