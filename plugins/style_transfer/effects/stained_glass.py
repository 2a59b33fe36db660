"""Stained glass effect: cells that follow the colours of a photo, between lines of lead."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .drawing import Floats, blur, compute_luminance, make_noise, simplify, smoothstep
from .printing import from_oklab, to_oklab

CELL = 22
"""Distance between the centres of neighbouring cells in px."""
ROUNDS = 4
"""Iterations of SLIC."""
COLOUR_WEIGHTS = (9.0, 20.0, 20.0)
"""Weights of the OKLab channels in the assignment of pixels to cells."""
DISTANCE_WEIGHT = 1.8
"""Weight of the distance, in cells, in the assignment of pixels to cells."""
LEAD = np.array([0.055, 0.055, 0.065], np.float32)


def make_stained_glass(image: Floats, rng: np.random.Generator) -> Floats:
    """Make pieces of one colour each, brighter in the middle, between dark lead."""
    import cv2

    smooth = simplify(image, rounds=2)
    cells = segment_superpixels(blur(to_oklab(smooth), 1.6), CELL, rng)
    count = int(cells.max()) + 1
    sizes = np.maximum(np.bincount(cells.ravel(), minlength=count), 1)
    means = np.stack([np.bincount(cells.ravel(), smooth[..., band].ravel(), count) / sizes for band in range(3)], 1)
    colours = deepen_colours(means.astype(np.float32))
    edge = np.zeros(cells.shape, bool)
    edge[:, 1:] |= cells[:, 1:] != cells[:, :-1]
    edge[1:] |= cells[1:] != cells[:-1]
    distance = np.minimum(cv2.distanceTransform((~edge).astype(np.uint8), cv2.DIST_L2, 5), 4 * CELL)
    lead = smoothstep(2.3, 1.1, distance)
    glow = 0.86 + 0.24 * smoothstep(0.0, 9.0, distance)
    ripple = 0.035 * make_noise(cells.shape, 4.0, rng) + 0.02 * make_noise(cells.shape, 1.6, rng)
    detail = 0.35 * (compute_luminance(smooth) - compute_luminance(blur(smooth, 6.0)))
    pane = np.clip(colours[cells] * (glow + ripple)[..., None] + detail[..., None], 0, 1)
    sheen = 0.10 * smoothstep(0.55, 0.0, distance)[..., None]
    window: Floats = pane + (LEAD + sheen - pane) * lead[..., None]
    return window


def deepen_colours(colours: Floats) -> Floats:
    """Raise the saturation of sRGB colours, [n, 3]."""
    lab = to_oklab(colours)
    lab[..., 0] = np.clip(0.10 + 0.95 * lab[..., 0], 0, 1)
    lab[..., 1:] *= 1.7
    return from_oklab(lab)


def segment_superpixels(lab: Floats, cell: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Segment [h, w, 3] OKLab values into cells about `cell` px wide; returns the cell number of each pixel, [h, w].

    Uses simple linear iterative clustering (SLIC, Achanta and others 2012) from a staggered grid with random offsets.
    The centres are computed at half the size, and the pixels assigned at full size.
    """
    import cv2

    height, width = lab.shape[:2]
    rows, columns = max(1, round(height / cell)), max(1, round(width / cell))
    down, across = np.meshgrid(np.arange(rows), np.arange(columns), indexing="ij")
    jitter = rng.uniform(-0.28, 0.28, (2, rows, columns))
    grid_centres = np.dstack([down + 0.5 + jitter[0], across + 0.5 + 0.25 * (-1.0) ** down + jitter[1]])
    grid_centres = grid_centres.astype(np.float32).reshape(-1, 2)
    features = _compute_features(lab, rows, columns)
    half = cv2.resize(lab, (max(1, width // 2), max(1, height // 2)), interpolation=cv2.INTER_AREA)
    coarse = _compute_features(np.asarray(half, np.float32), rows, columns)
    half_height, half_width = half.shape[:2]
    scale, limit = [half_height / rows, half_width / columns], [half_height - 1, half_width - 1]
    positions = np.clip(grid_centres * scale, 0, limit)
    indices = positions.astype(int)
    centres = coarse[indices[:, 0], indices[:, 1]].copy()
    centres[:, 3:] = grid_centres * DISTANCE_WEIGHT
    for _ in range(ROUNDS):
        assigned = _assign_to_nearest(coarse, centres, rows, columns).ravel()
        sizes = np.bincount(assigned, minlength=len(centres))
        sums = [np.bincount(assigned, coarse[..., band].ravel(), len(centres)) for band in range(5)]
        occupied = sizes > 0
        centres[occupied] = (np.stack(sums, 1)[occupied] / sizes[occupied, None]).astype(np.float32)
    return _assign_to_nearest(features, centres, rows, columns)


def _compute_features(lab: Floats, rows: int, columns: int) -> Floats:
    """Return the weighted colour and position of each pixel, [h, w, 5]."""
    height, width = lab.shape[:2]
    y, x = np.mgrid[:height, :width].astype(np.float32)
    places = [(y + 0.5) * rows / height * DISTANCE_WEIGHT, (x + 0.5) * columns / width * DISTANCE_WEIGHT]
    return np.dstack([lab * np.array(COLOUR_WEIGHTS, np.float32), *places]).astype(np.float32)


def _assign_to_nearest(features: Floats, centres: Floats, rows: int, columns: int) -> NDArray[np.int64]:
    """Return the number of the nearest centre, [h, w], among the nine around each pixel."""
    row = np.clip((features[..., 3] / DISTANCE_WEIGHT).astype(np.int64), 0, rows - 1)
    column = np.clip((features[..., 4] / DISTANCE_WEIGHT).astype(np.int64), 0, columns - 1)
    best = np.full(row.shape, np.inf, np.float32)
    assigned = np.zeros(row.shape, np.int64)
    for dy in (-1, 0, 1):
        for dx in (-1, 0, 1):
            number = np.clip(row + dy, 0, rows - 1) * columns + np.clip(column + dx, 0, columns - 1)
            difference = features - centres[number]
            distance = np.einsum("hwk,hwk->hw", difference, difference)
            closer = distance < best
            best[closer], assigned[closer] = distance[closer], number[closer]
    return assigned
