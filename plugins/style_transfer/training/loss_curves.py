"""Records the losses of a training and plots them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

BINS = 160
COLOURS = ((230, 110, 60), (70, 140, 220), (90, 170, 90), (190, 100, 190), (200, 170, 50))
BACKGROUND, GRID = (250, 250, 250), (225, 225, 225)
LEFT = 6
"""Left and right margin in px."""


class LossCurves:
    """The mean of each loss in each of 160 equal parts of a training.

    The values are buffers of the module `buffers`, so that a checkpoint can hold them.
    """

    def __init__(self, names: Sequence[str], steps: int) -> None:
        import torch

        self.names, self.steps = names, steps
        self.buffers = torch.nn.Module()
        self.buffers.register_buffer("sums", torch.zeros(len(names), BINS, dtype=torch.float64))
        self.buffers.register_buffer("counts", torch.zeros(len(names), BINS, dtype=torch.float64))

    def add(self, step: int, losses: Mapping[str, float]) -> None:
        """Add the losses of a step, counted from 0."""
        bin_number = min(BINS - 1, step * BINS // max(1, self.steps))
        sums, counts = self.buffers.get_buffer("sums"), self.buffers.get_buffer("counts")
        for number, name in enumerate(self.names):
            if name in losses:
                sums[number, bin_number] += losses[name]
                counts[number, bin_number] += 1

    def compute_means(self) -> dict[str, NDArray[np.float64]]:
        """Return the mean of each bin by the loss's name; NaN where nothing was recorded."""
        sums, counts = (self.buffers.get_buffer(name).numpy() for name in ("sums", "counts"))
        means = np.divide(sums, counts, out=np.full_like(sums, np.nan), where=counts > 0)
        return dict(zip(self.names, means, strict=True))

    def plot(self, width: int, height: int = 96) -> NDArray[np.uint8]:
        """Plot each loss as a line scaled from 0 to its maximum, with its name, [height, width, 3]."""
        import cv2

        image = np.full((height, width, 3), BACKGROUND, np.uint8)
        top, bottom = 20, height - 6
        for fraction in (0.0, 0.5, 1.0):
            grid_y = round(top + fraction * (bottom - top))
            cv2.line(image, (LEFT, grid_y), (width - LEFT, grid_y), GRID, 1)
        label_x = LEFT
        for number, (name, means) in enumerate(self.compute_means().items()):
            known = np.flatnonzero(np.isfinite(means))
            colour = COLOURS[number % len(COLOURS)]
            label = f"{name} {means[known[-1]]:.3f}" if len(known) else name
            cv2.putText(image, label, (label_x, 13), cv2.FONT_HERSHEY_SIMPLEX, 0.36, colour, 1, cv2.LINE_AA)
            label_x += cv2.getTextSize(label, cv2.FONT_HERSHEY_SIMPLEX, 0.36, 1)[0][0] + 12
            if len(known) < 2:
                continue
            x = LEFT + known / (BINS - 1) * (width - 2 * LEFT)
            y = bottom - means[known] / max(float(means[known].max()), 1e-9) * (bottom - top)
            points = np.stack([x, y], 1) * 16
            cv2.polylines(image, [points.round().astype(np.int32)], False, colour, 1, cv2.LINE_AA, 4)
        return image
