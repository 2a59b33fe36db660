"""Measures the steps of a training, for the forecast of the next one."""

from __future__ import annotations

from studio.api.events import WorkDone

WARM_UP_STEPS = 3
"""Number of steps at the beginning and after a resume that are not measured: memory is allocated and caches fill."""
FIRST_REPORT, LAST_INTERVAL = 2.0, 60.0
"""Seconds of steps until the first report, and between the later ones; the time doubles in between."""


class StepTimer:
    """Averages the seconds of steps, and adds to each its share of the previews.

    `planned_steps` is the number of steps that the tool's estimate counts.
    """

    def __init__(self, planned_steps: int) -> None:
        self._planned = planned_steps
        self._skipped = self._steps = self._previews = 0
        self._seconds = self._preview_seconds = 0.0
        self._reported_steps, self._reported_seconds = 0, 0.0
        self._interval = FIRST_REPORT

    @property
    def steps(self) -> int:
        """Number of steps that were measured."""
        return self._steps

    @property
    def seconds(self) -> float:
        """Seconds that these took."""
        return self._seconds

    @property
    def seconds_per_step(self) -> float:
        """Mean seconds of a step without previews; 0 before the first one that counts."""
        return self._seconds / self._steps if self._steps else 0.0

    @property
    def seconds_per_preview(self) -> float:
        """Mean seconds of a preview; 0 before the first one."""
        return self._preview_seconds / self._previews if self._previews else 0.0

    def add_step(self, seconds: float) -> None:
        """Add the time of a step, which does not count while the training warms up."""
        if self._skipped < WARM_UP_STEPS:
            self._skipped += 1
            return
        self._steps += 1
        self._seconds += seconds

    def add_preview(self, seconds: float) -> None:
        """Add the time of a preview and its evaluation."""
        self._previews += 1
        self._preview_seconds += seconds

    def report(self, preview_every: int, *, is_last: bool = False) -> WorkDone | None:
        """Return the time of the steps since the last report, if it is due or the training ends."""
        steps, seconds = self._steps - self._reported_steps, self._seconds - self._reported_seconds
        if not steps or not (is_last or seconds >= self._interval):
            return None
        self._reported_steps, self._reported_seconds = self._steps, self._seconds
        self._interval = min(2 * self._interval, LAST_INTERVAL)
        share = steps * self.seconds_per_preview / preview_every
        return WorkDone(steps / self._planned, seconds + share)
