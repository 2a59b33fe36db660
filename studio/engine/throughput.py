"""How long a unit of work takes on each device, learnt from the jobs that were done."""

from __future__ import annotations

import math
from pathlib import Path

import msgspec

from studio.core.files import write_bytes_atomically
from studio.core.messages import EstimateResult, JobTiming
from studio.engine.interface import EstimateReady

NEWEST = 0.5
"""What the last job counts in the moving average: machines change, and a first job is seldom typical."""
MOST = 500
"""Rates kept for a device; those that were learnt longest ago go."""

_Rates = dict[str, dict[str, float]]


class Rates:
    """Seconds by device and rate, in one small file, which is read each time: others may write it as well."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def learn(self, measured: JobTiming) -> None:
        """Raises StudioError where it cannot be written."""
        if not (measured.work > 0 and measured.seconds > 0 and math.isfinite(measured.seconds / measured.work)):
            return
        found = self._load()
        known = found.setdefault(measured.device, {})
        last = measured.seconds / measured.work
        before = known.pop(measured.rate, last)
        known[measured.rate] = before + NEWEST * (last - before)
        for old in list(known)[:-MOST]:
            del known[old]
        write_bytes_atomically(self._path, msgspec.json.format(msgspec.json.encode(found), indent=1))

    def estimate(self, told: EstimateResult) -> EstimateReady:
        """With the time, where enough is known for it."""
        a_unit = self._load().get(told.device, {}).get(told.rate) if told.rate and told.work > 0 else None
        seconds = None if a_unit is None else a_unit * told.work
        return EstimateReady(told.id, told.memory, seconds, told.notes, told.budget)

    def _load(self) -> _Rates:
        try:
            return msgspec.json.decode(self._path.read_bytes(), type=_Rates)
        except (OSError, msgspec.MsgspecError, UnicodeError):
            return {}
