"""The order of the images in a training that goes through all of them in each epoch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from .buckets import Shape


class EpochOrder:
    """Batches of image numbers. In each epoch every number comes once for each time that it is listed.

    The images of a batch have one shape. The order depends on the seed and the epoch alone. Where regularisation
    images are listed, as many of them are used in an epoch as of the others.
    """

    def __init__(
        self,
        numbers: Sequence[int],
        shapes: Mapping[int, Shape],
        batch_size: int,
        seed: int,
        *,
        regularisation: Sequence[int] = (),
    ) -> None:
        self._batch_size, self._seed = batch_size, seed
        balanced = [
            regularisation[place % len(regularisation)] for place in range(len(numbers) if regularisation else 0)
        ]
        self._by_shape: dict[Shape, list[int]] = {}
        for number in (*numbers, *balanced):
            self._by_shape.setdefault(shapes[number], []).append(number)
        self.batches_per_epoch = sum(-(-len(group) // batch_size) for group in self._by_shape.values())
        self._epoch, self._batches = -1, list[list[int]]()

    def draw(self, index: int) -> list[int]:
        """Return the numbers of a batch; `index` counts the batches of all epochs from 0."""
        epoch, place = divmod(index, self.batches_per_epoch)
        if epoch != self._epoch:
            self._epoch, self._batches = epoch, self._shuffle(epoch)
        return self._batches[place]

    def _shuffle(self, epoch: int) -> list[list[int]]:
        rng = np.random.default_rng((self._seed, epoch, 1))
        batches = []
        for _, group in sorted(self._by_shape.items()):
            order = [group[place] for place in rng.permutation(len(group))]
            batches += [order[start : start + self._batch_size] for start in range(0, len(order), self._batch_size)]
        return [batches[place] for place in rng.permutation(len(batches))]
