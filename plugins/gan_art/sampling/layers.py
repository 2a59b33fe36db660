"""Ranges of a generator's layers: coarse, middle and fine, or numbers."""

from __future__ import annotations

import re

from studio import api

RANGE = 4
"""Layers of the coarse and the middle range of a large generator: 4 and 8 px, and 16 and 32 px."""


def split_layers(count: int) -> tuple[range, range, range]:
    """Return the coarse, the middle and the fine layers, as StyleGAN's authors call them.

    A generator with few layers is split into thirds. One that has a single style has it in all three.
    """
    if count == 1:
        return range(1), range(1), range(1)
    size = RANGE if count > 2 * RANGE else -(-count // 3)
    middle = min(2 * size, count)
    return range(size), range(size, middle), range(middle, count)


def parse_layers(text: str, count: int) -> list[int]:
    """Return the numbers of layers in a text such as ``0-3, 7``. Raises BadInput for any other text."""
    numbers: set[int] = set()
    for part in filter(None, re.split(r"[,\s]+", text.strip())):
        found = re.fullmatch(r"(\d{1,4})(?:[-–](\d{1,4}))?", part)
        if found is None:
            raise api.BadInput(f"“{part}” names no layers.", "Write numbers and ranges, such as 0-3, 7.")
        first, last = int(found[1]), int(found[2] or found[1])
        if not first <= last < count:
            raise api.BadInput(f"There are no layers {part}.", f"This model has the layers 0 to {count - 1}.")
        numbers |= {*range(first, last + 1)}
    return sorted(numbers)
