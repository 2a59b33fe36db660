"""Rounds the times of frames to the units of a format, so that the sum never drifts."""

from __future__ import annotations

from fractions import Fraction


class TimeRounder:
    """Turns times of frames into whole units. Each frame begins within half a unit of its true time."""

    def __init__(self, unit: Fraction) -> None:
        """`unit` is the format's unit in seconds."""
        self._unit = unit
        self._true_end = Fraction(0)
        self._end = 0

    def round(self, seconds: Fraction) -> int:
        """Return the units for which the next frame is shown."""
        self._true_end += seconds
        begin, self._end = self._end, round(self._true_end / self._unit)
        return self._end - begin
