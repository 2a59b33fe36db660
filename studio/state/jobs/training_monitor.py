"""A training as the window shows it: its measures and previews, and the artist's changes to it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from msgspec.structs import replace
from PySide6.QtCore import QObject, QTimer, Signal

from studio.core.training_record import PreviewEntry, ReadPosition, TrainingChanges, TrainingRecord

POLL_INTERVAL = 500
"""Milliseconds between two looks at the record of a running training."""
MAX_MEASURES = 24
"""Number of measures that are shown."""


@dataclass
class MeasureSeries:
    """The values of a measure. `steps` and `values` have the same length."""

    steps: list[int] = field(default_factory=list)
    values: list[float] = field(default_factory=list)


class TrainingMonitor(QObject):
    """Follows the record of a training, which another process writes."""

    measures_changed = Signal()
    previews_changed = Signal()

    def __init__(self, record: TrainingRecord, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.record = record
        self.series: dict[str, MeasureSeries] = {}
        self.previews: list[PreviewEntry] = []
        self._position = ReadPosition()
        self._timer = QTimer(self, interval=POLL_INTERVAL)
        self._timer.timeout.connect(self.refresh)

    def set_following(self, on: bool) -> None:
        """Look at the record again and again, or no longer."""
        self.refresh()
        if on:
            self._timer.start()
        else:
            self._timer.stop()

    def set_record(self, record: TrainingRecord) -> None:
        """Go on with another copy of the record, such as that in the folder of the trained model."""
        self.record, self._position = record, ReadPosition()
        self.refresh()

    def refresh(self) -> None:
        """Read what has been recorded since the last look. What is known stays if the record is removed."""
        if not self.record.exists():
            return
        before = self._position
        points, self._position = self.record.read_new_measures(before)
        if is_anew := self._position.file != before.file:  # the training resumed from an earlier step
            self.series.clear()
        for point in points:
            for name, value in point.values.items():
                if name not in self.series and len(self.series) >= MAX_MEASURES:
                    continue
                series = self.series.setdefault(name, MeasureSeries())
                series.steps.append(point.step)
                series.values.append(value)
        if points or is_anew:
            self.measures_changed.emit()
        previews = self.record.read_previews()
        if previews != self.previews:
            self.previews = previews
            self.previews_changed.emit()

    def latest(self, name: str) -> float | None:
        """Return the last value of a measure."""
        series = self.series.get(name)
        return series.values[-1] if series else None

    @property
    def last_step(self) -> int:
        return max((series.steps[-1] for series in self.series.values()), default=0)

    # Changes to the training
    @property
    def changes(self) -> TrainingChanges:
        return self.record.read_changes()

    def change(self, **values: Any) -> None:
        """Ask the training for changes, by the fields of `TrainingChanges`. Raises CannotWrite."""
        self.record.write_changes(replace(self.changes, **values))

    def request_preview(self) -> None:
        self.change(previews_requested=self.changes.previews_requested + 1)

    def request_model(self) -> None:
        """Ask for a copy of the model as it is now."""
        self.change(models_requested=self.changes.models_requested + 1)

    def finish(self) -> None:
        """Ask the training to end now and keep its model."""
        self.change(finish=True)
