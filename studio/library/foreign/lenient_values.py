"""Conversion of untrusted values, which may have any type, to numbers and text."""

from __future__ import annotations

import math

from studio.core.untrusted_files import make_valid

MAX_NUMBER = 2**64
MAX_LENGTH = 1_000_000


def to_float(value: object) -> float | None:
    """Convert a number or text to a finite float. Return None for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float | str) or len(str(value)[:65]) > 64:
        return None
    try:
        result = float(value)
    except (ValueError, OverflowError):
        return None
    return result if math.isfinite(result) and abs(result) < MAX_NUMBER else None


def to_int(value: object) -> int | None:
    """Convert a number or text to an int, exact up to 2⁶⁴. Return None for anything else."""
    if isinstance(value, str) and len(value) <= 64 and value.strip().lstrip("-").isdecimal():
        value = int(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return value if abs(value) < MAX_NUMBER else None
    result = to_float(value)
    return int(result) if result is not None and result == int(result) else None


def to_text(value: object) -> str:
    """Strip a text and cut it to `MAX_LENGTH` characters. Return an empty string for anything else."""
    return make_valid(value.strip()[:MAX_LENGTH]) if isinstance(value, str) else ""
