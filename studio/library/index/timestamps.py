"""Conversion between ISO 8601, which recipes store, and milliseconds since 1970, by which the index sorts."""

from __future__ import annotations

import time
from datetime import UTC, datetime

_YEAR = 366 * 86_400


def to_milliseconds(text: str) -> int | None:
    """Parse an ISO 8601 time; UTC if it has no zone. Return None if it is invalid, before 1970 or over a year ahead."""
    try:
        moment = datetime.fromisoformat(text)
        moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        milliseconds = round(moment.timestamp() * 1000)
    except (ValueError, OverflowError):  # the first and last hours of the calendar have no time in some zones
        return None
    return milliseconds if 0 <= milliseconds <= (time.time() + _YEAR) * 1000 else None


def to_iso(milliseconds: int) -> str:
    return datetime.fromtimestamp(milliseconds / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
