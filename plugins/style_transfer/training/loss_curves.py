"""How the losses of a training went, kept with it, and drawn small."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

BINS = 160
COLOURS = ((230, 110, 60), (70, 140, 220), (90, 170, 90), (190, 100, 190), (200, 170, 50))
GROUND, GRID = (250, 250, 250), (225, 225, 225)


class Curves:
    """The mean of each loss in each of 160 equal parts of a training. They lie in the buffers of `kept`, so that a
    checkpoint can take them along."""

    def __init__(self, names: Sequence[str], steps: int) -> None:
        import torch

        self.names, self.steps = names, steps
        self.kept: Any = torch.nn.Module()
        self.kept.register_buffer("sums", torch.zeros(len(names), BINS, dtype=torch.float64))
        self.kept.register_buffer("counts", torch.zeros(len(names), BINS, dtype=torch.float64))

    def add(self, step: int, values: Mapping[str, float]) -> None:
        """The losses of a step, counted from 0."""
        place = min(BINS - 1, step * BINS // max(1, self.steps))
        for number, name in enumerate(self.names):
            if name in values:
                self.kept.sums[number, place] += values[name]
                self.kept.counts[number, place] += 1

    def means(self) -> dict[str, NDArray[np.float64]]:
        """By name, one number for each part; NaN where nothing was learnt."""
        sums, counts = self.kept.sums.numpy(), self.kept.counts.numpy()
        found = np.divide(sums, counts, out=np.full_like(sums, np.nan), where=counts > 0)
        return dict(zip(self.names, found, strict=True))

    def plot(self, width: int, height: int = 96) -> NDArray[np.uint8]:
        """[height, width, 3]: each loss as a line of its own scale, from 0 to its highest, with its name."""
        import cv2

        picture = np.full((height, width, 3), GROUND, np.uint8)
        top, bottom = 20, height - 6
        for share in (0.0, 0.5, 1.0):
            y = round(top + share * (bottom - top))
            cv2.line(picture, (6, y), (width - 6, y), GRID, 1)
        left = 6
        for number, (name, values) in enumerate(self.means().items()):
            known = np.flatnonzero(np.isfinite(values))
            colour = COLOURS[number % len(COLOURS)]
            label = f"{name} {values[known[-1]]:.3f}" if len(known) else name
            cv2.putText(picture, label, (left, 13), cv2.FONT_HERSHEY_SIMPLEX, 0.36, colour, 1, cv2.LINE_AA)
            left += cv2.getTextSize(label, cv2.FONT_HERSHEY_SIMPLEX, 0.36, 1)[0][0] + 12
            if len(known) < 2:
                continue
            x = 6 + known / (BINS - 1) * (width - 12)
            y = bottom - values[known] / max(float(values[known].max()), 1e-9) * (bottom - top)
            points = np.stack([x, y], 1) * 16
            cv2.polylines(picture, [points.round().astype(np.int32)], False, colour, 1, cv2.LINE_AA, 4)
        return picture
