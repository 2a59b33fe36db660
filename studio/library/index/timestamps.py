"""Times as recipes write them, ISO 8601, and as the index orders them, milliseconds since 1970."""

from __future__ import annotations

import time
from datetime import UTC, datetime

_YEAR = 366 * 86_400


def to_milliseconds(written: str) -> int | None:
    """None where it is no time, or one before 1970 or more than a year ahead."""
    try:
        moment = datetime.fromisoformat(written)
    except ValueError:
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    found = round(moment.timestamp() * 1000)
    return found if 0 <= found <= (time.time() + _YEAR) * 1000 else None


def to_iso(moment: int) -> str:
    return datetime.fromtimestamp(moment / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
