"""Pairs of points on an image, as text: a handle and its target, x and y in per cent of width and height."""

from __future__ import annotations

import re
from typing import NamedTuple

MAX_LENGTH = 100
_NUMBER = r"\s*(\d{1,3}(?:\.\d{1,6})?)\s*"
_PAIR = re.compile(rf"{_NUMBER},{_NUMBER}>{_NUMBER},{_NUMBER}")


class PointPair(NamedTuple):
    """Where a part is, and where it should go: (x, y) as fractions of width and height, 0..1."""

    handle: tuple[float, float]
    target: tuple[float, float]


def parse_pair(text: str) -> PointPair | None:
    """Parse a pair such as "30, 40 > 55, 40"; None for any other text."""
    found = _PAIR.fullmatch(text) if len(text) <= MAX_LENGTH else None
    values = [float(value) / 100 for value in found.groups()] if found else []
    if not values or max(values) > 1:
        return None
    return PointPair((values[0], values[1]), (values[2], values[3]))


def format_pair(pair: PointPair) -> str:
    """Return the text of a pair, to a tenth of a per cent."""
    (x, y), (to_x, to_y) = pair
    return f"{_format(x)}, {_format(y)} > {_format(to_x)}, {_format(to_y)}"


def _format(fraction: float) -> str:
    return f"{round(min(1.0, max(0.0, fraction)) * 100, 1):g}"
