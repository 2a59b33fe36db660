"""Numbers and words of strangers, who write them as they like: taken where they make sense, else left out."""

from __future__ import annotations

import math
from typing import Any

MOST = 2**64
MAX_WORDS = 1_000_000


def number(value: Any) -> float | None:
    """A finite number, also from text."""
    if isinstance(value, bool) or not isinstance(value, int | float | str) or len(str(value)[:65]) > 64:
        return None
    try:
        found = float(value)
    except (ValueError, OverflowError):
        return None
    return found if math.isfinite(found) and abs(found) < MOST else None


def whole(value: Any) -> int | None:
    """A whole number, exact up to 2⁶⁴, also from text."""
    if isinstance(value, str) and len(value) <= 64 and value.strip().lstrip("-").isdecimal():
        value = int(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return value if abs(value) < MOST else None
    found = number(value)
    return int(found) if found is not None and found == int(found) else None


def words(value: Any) -> str:
    return value.strip()[:MAX_WORDS] if isinstance(value, str) else ""
