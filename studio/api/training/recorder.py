"""Writes the record of a running training, and reads the artist's changes to it."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from msgspec.structs import replace

from studio.api.events import Preview
from studio.core.training_record import FOLDER, MeasurePoint, PreviewEntry, TrainingChanges, TrainingRecord

FIRST_STEPS = 20
"""Number of steps of which each is recorded."""
INTERVAL = 1.0
"""Seconds between two points that are recorded after the first steps."""
POLL_INTERVAL = 0.5
"""Seconds between two looks for changes."""


class Recorder:
    """Averages measures between two points of the record, which lies in a folder beside the checkpoint."""

    def __init__(self, checkpoint_dir: Path) -> None:
        self.record = TrainingRecord(checkpoint_dir / FOLDER)
        self._sums: dict[str, float] = {}
        self._counts: dict[str, int] = {}
        self._recorded_at = self._polled_at = 0.0
        self._stamp = 0

    def add(self, measures: Mapping[str, float]) -> None:
        """Add the values of a step."""
        for name, value in measures.items():
            self._sums[name] = self._sums.get(name, 0.0) + value
            self._counts[name] = self._counts.get(name, 0) + 1

    def write_point(self, step: int, seconds: float, *, force: bool = False) -> None:
        """Write the means of the values since the last point, at the latest after `INTERVAL` or with `force`."""
        now = time.monotonic()
        if not self._sums or not (force or step <= FIRST_STEPS or now - self._recorded_at >= INTERVAL):
            return
        means = {name: value / self._counts[name] for name, value in self._sums.items()}
        self.record.append_measures(MeasurePoint(step, round(seconds, 3), means))
        self.clear()
        self._recorded_at = now

    def write_preview(self, step: int, preview: Preview, prompts: Sequence[str], seed: int) -> Preview:
        """Write a preview, and return it with its picture computed."""
        from PIL import Image

        entry = PreviewEntry(step, preview.label, prompts=[*prompts], seed=seed)
        content = preview.content
        if isinstance(content, str):
            self.record.add_text(replace(entry, text=content))
            return preview
        picture = content() if callable(content) else content
        image = picture if isinstance(picture, Image.Image) else Image.fromarray(np.asarray(picture, np.uint8))
        self.record.add_picture(entry, image)
        return Preview(picture, preview.label)

    def read_changes(self) -> TrainingChanges | None:
        """Return the changes, if there are other ones than at the last look."""
        now = time.monotonic()
        if now - self._polled_at < POLL_INTERVAL:
            return None
        self._polled_at = now
        stamp = self.record.changes_stamp()
        if stamp == self._stamp:
            return None
        self._stamp = stamp
        return self.record.read_changes()

    def clear(self) -> None:
        """Drop the values since the last point."""
        self._sums.clear()
        self._counts.clear()
