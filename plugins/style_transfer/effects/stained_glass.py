"""A stained glass window of a photo: cells that follow its colours, held in lead."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .drawing import Floats, blurred, luminance, noise, simplified, smoothstep
from .printing import from_oklab, oklab

CELL = 22
"""Pixels from the middle of a cell to the next."""
ROUNDS = 4
COLOUR = (9.0, 20.0, 20.0)
SPREAD = 1.8
"""How much lightness and colours count, and how much the distance, when a pixel chooses its cell."""
LEAD = np.array([0.055, 0.055, 0.065], np.float32)


def stained_glass(picture: Floats, chance: np.random.Generator) -> Floats:
    """Pieces of one colour each, brighter in the middle where the light comes through, between dark leading."""
    import cv2

    calm = simplified(picture, rounds=2)
    cells = superpixels(blurred(oklab(calm), 1.6), CELL, chance)
    count = int(cells.max()) + 1
    sizes = np.maximum(np.bincount(cells.ravel(), minlength=count), 1)
    colours = np.stack([np.bincount(cells.ravel(), calm[..., band].ravel(), count) / sizes for band in range(3)], 1)
    colours = stained(colours.astype(np.float32))
    edge = np.zeros(cells.shape, bool)
    edge[:, 1:] |= cells[:, 1:] != cells[:, :-1]
    edge[1:] |= cells[1:] != cells[:-1]
    away = np.minimum(cv2.distanceTransform((~edge).astype(np.uint8), cv2.DIST_L2, 5), 4 * CELL)
    lead = smoothstep(2.3, 1.1, away)
    glow = 0.86 + 0.24 * smoothstep(0.0, 9.0, away)
    ripple = 0.035 * noise(cells.shape, 4.0, chance) + 0.02 * noise(cells.shape, 1.6, chance)
    detail = 0.35 * (luminance(calm) - luminance(blurred(calm, 6.0)))
    pane = np.clip(colours[cells] * (glow + ripple)[..., None] + detail[..., None], 0, 1)
    sheen = 0.10 * smoothstep(0.55, 0.0, away)[..., None]
    return pane + (LEAD + sheen - pane) * lead[..., None]


def stained(colours: Floats) -> Floats:
    """Deeper colours, as glass has them."""
    lab = oklab(colours)
    lab[..., 0] = np.clip(0.10 + 0.95 * lab[..., 0], 0, 1)
    lab[..., 1:] *= 1.7
    return from_oklab(lab)


def superpixels(lab: Floats, cell: int, chance: np.random.Generator) -> NDArray[np.int64]:
    """[h, w] numbers of cells about `cell` px wide that keep to the colours of [h, w, 3]: simple linear iterative
    clustering (Achanta and others 2012) from a staggered grid that is shaken a little.

    The middles are found at half the size, and the pixels shared out at the full one.
    """
    import cv2

    height, width = lab.shape[:2]
    rows, columns = max(1, round(height / cell)), max(1, round(width / cell))
    down, across = np.meshgrid(np.arange(rows), np.arange(columns), indexing="ij")
    shaken = chance.uniform(-0.28, 0.28, (2, rows, columns))
    middles = np.dstack([down + 0.5 + shaken[0], across + 0.5 + 0.25 * (-1.0) ** down + shaken[1]])
    middles = middles.astype(np.float32).reshape(-1, 2)
    whole = _seen(lab, rows, columns)
    half = cv2.resize(lab, (max(1, width // 2), max(1, height // 2)), interpolation=cv2.INTER_AREA)
    coarse = _seen(half, rows, columns)
    at = np.clip(middles * [half.shape[0] / rows, half.shape[1] / columns], 0, [half.shape[0] - 1, half.shape[1] - 1])
    inside = at.astype(int)
    centres = coarse[inside[:, 0], inside[:, 1]].copy()
    centres[:, 3:] = middles * SPREAD
    for _ in range(ROUNDS):
        chosen = _nearest(coarse, centres, rows, columns).ravel()
        sizes = np.bincount(chosen, minlength=len(centres))
        sums = [np.bincount(chosen, coarse[..., band].ravel(), len(centres)) for band in range(5)]
        full = sizes > 0
        centres[full] = (np.stack(sums, 1)[full] / sizes[full, None]).astype(np.float32)
    return _nearest(whole, centres, rows, columns)


def _seen(lab: Floats, rows: int, columns: int) -> Floats:
    """[h, w, 5]: what is compared, colour and place."""
    height, width = lab.shape[:2]
    y, x = np.mgrid[:height, :width].astype(np.float32)
    places = [(y + 0.5) * rows / height * SPREAD, (x + 0.5) * columns / width * SPREAD]
    return np.dstack([lab * np.array(COLOUR, np.float32), *places]).astype(np.float32)


def _nearest(seen: Floats, centres: Floats, rows: int, columns: int) -> NDArray[np.int64]:
    """[h, w] numbers of the centres most alike, among the nine around each pixel."""
    row = np.clip((seen[..., 3] / SPREAD).astype(np.int64), 0, rows - 1)
    column = np.clip((seen[..., 4] / SPREAD).astype(np.int64), 0, columns - 1)
    best = np.full(row.shape, np.inf, np.float32)
    chosen = np.zeros(row.shape, np.int64)
    for dy in (-1, 0, 1):
        for dx in (-1, 0, 1):
            number = np.clip(row + dy, 0, rows - 1) * columns + np.clip(column + dx, 0, columns - 1)
            difference = seen - centres[number]
            away = np.einsum("hwk,hwk->hw", difference, difference)
            closer = away < best
            best[closer], chosen[closer] = away[closer], number[closer]
    return chosen
