"""Seconds that a unit of work takes on each device, recorded from finished jobs and from the steps of running ones."""

from __future__ import annotations

import math
from pathlib import Path

import msgspec

from studio.core import edited_json
from studio.core.files import write_bytes_atomically
from studio.core.messages import EstimateResult, JobTiming
from studio.engine.interface import EstimateReady

NEWEST_WEIGHT = 0.5
"""Weight of the last job in the moving average: machines change, and a first job is seldom typical."""
MAX_RATES = 500
"""Rates kept for a device; the oldest are dropped."""

_OfDevice = dict[str, float]
_Rates = dict[str, _OfDevice]


class Rates:
    """Seconds by device and rate, in one small file. It is read each time, since others may write it as well."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def record(self, timing: JobTiming) -> None:
        """Add the time of a job to the average. Raises StudioError where the file cannot be written."""
        if not (timing.work > 0 and timing.seconds > 0 and math.isfinite(timing.seconds / timing.work)):
            return
        rates = self._load()
        of_device = rates.setdefault(timing.device, {})
        latest = timing.seconds / timing.work
        average = of_device.pop(timing.rate, latest)
        of_device[timing.rate] = average + NEWEST_WEIGHT * (latest - average)
        for oldest in list(of_device)[:-MAX_RATES]:
            del of_device[oldest]
        write_bytes_atomically(self._path, msgspec.json.format(msgspec.json.encode(rates), indent=1))

    def add_seconds(self, result: EstimateResult) -> EstimateReady:
        """Return an estimate with its time, if the rate is known."""
        has_work = bool(result.rate) and result.work > 0
        per_unit = self._load().get(result.device, {}).get(result.rate) if has_work else None
        seconds = None if per_unit is None else per_unit * result.work
        return EstimateReady(result.id, result.memory, seconds, result.notes, result.budget, result.disk)

    def _load(self) -> _Rates:
        members = edited_json.read(self._path).members.items()
        return {device: rates for device, value in members if (rates := edited_json.convert_items(value, _OfDevice))}
