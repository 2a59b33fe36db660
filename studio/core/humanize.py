"""Bytes and seconds, as people say them."""

from __future__ import annotations

UNITS = ((1 << 40, "TB"), (1 << 30, "GB"), (1 << 20, "MB"), (1 << 10, "KB"))


def format_bytes(count: int) -> str:
    """As in "3.1 GB"."""
    for size, unit in UNITS:
        if count >= size:
            return f"{count / size:.1f} {unit}" if count < 10 * size else f"{count / size:.0f} {unit}"
    return f"{count} bytes"


def format_seconds(seconds: float) -> str:
    """As in "a moment", "0.9 s", "40 s", "3 min", "1 h 20 min"."""
    if seconds < 0.05:
        return "a moment"
    if seconds < 10:
        return f"{seconds:.1f} s"
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    if minutes < 60:
        return f"{minutes} min"
    return f"{minutes // 60} h {minutes % 60} min" if minutes % 60 else f"{minutes // 60} h"
