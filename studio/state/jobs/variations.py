"""The results of the latest Generate, to look through, keep and discard."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

from PySide6.QtCore import QObject, Signal

from studio.core.job import Job
from studio.engine.interface import Created
from studio.library.creation import Creation

_MAX_EARLY = 32


class Variations(QObject):
    """`chosen` is the one on the canvas. One that was kept stays, with a tick."""

    changed = Signal()
    shown = Signal(object)
    """A creation that should be on the canvas now."""

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._jobs: frozenset[str] = frozenset()
        self._expected = 0
        self._items: list[Creation] = []
        self._kept: set[str] = set()
        self._chosen = -1
        self._by_hand = False
        self.is_followed = True
        """Whether the canvas shows new results and previews, and not something that the artist has opened."""
        self._early: OrderedDict[str, list[Creation]] = OrderedDict()

    @property
    def items(self) -> Sequence[Creation]:
        return tuple(self._items)

    @property
    def expected(self) -> int:
        """Number of jobs of the latest Generate."""
        return self._expected

    @property
    def jobs(self) -> frozenset[str]:
        return self._jobs

    @property
    def chosen(self) -> Creation | None:
        return self._items[self._chosen] if 0 <= self._chosen < len(self._items) else None

    def is_kept(self, creation: Creation) -> bool:
        return creation.id in self._kept

    def begin(self, jobs: Sequence[Job]) -> None:
        """Start anew for the jobs of a new Generate."""
        self._jobs = frozenset(job.id for job in jobs)
        self._expected = len(jobs)
        self._items, self._kept, self._chosen, self._by_hand = [], set(), -1, False
        self.changed.emit()
        for job in jobs:
            for creation in self._early.pop(job.id, []):
                self._append(creation)

    def add(self, event: Created) -> None:
        """Add a result, and show it if `is_followed`.

        Results of other jobs are remembered for a while, for a `begin` that is on its way.
        """
        if event.job in self._jobs:
            self._append(event.creation, show=self.is_followed)
            return
        self._early.setdefault(event.job, []).append(event.creation)
        while len(self._early) > _MAX_EARLY:
            self._early.popitem(last=False)

    def choose(self, index: int, *, by_hand: bool = True) -> None:
        if not 0 <= index < len(self._items):
            return
        self._by_hand = self._by_hand or by_hand
        self._chosen = index
        self.changed.emit()
        self.shown.emit(self._items[index])

    def step(self, by: int) -> None:
        """Choose the next result or the previous one; after the last, the first."""
        if self._items:
            self.choose((self._chosen + by) % len(self._items))

    def keep(self) -> None:
        """Keep the chosen result and choose the next one that is not kept."""
        chosen = self.chosen
        if chosen is None:
            return
        self._kept.add(chosen.id)
        rest = [i for i, item in enumerate(self._items) if item.id not in self._kept]
        if rest:
            self.choose(next((i for i in rest if i > self._chosen), rest[0]))
        else:
            self.changed.emit()

    def take_out(self, creation: Creation) -> int:
        """Remove a result and return its index, so that it can be put back; -1 if it is not here."""
        at = next((i for i, item in enumerate(self._items) if item.id == creation.id), -1)
        if at >= 0:
            del self._items[at]
            if self._items and self._chosen >= at:
                self._chosen = min(self._chosen, len(self._items) - 1)
                self.shown.emit(self._items[self._chosen])
            self.changed.emit()
        return at

    def put_back(self, creation: Creation, at: int) -> None:
        if at >= 0 and all(item.id != creation.id for item in self._items):
            self._items.insert(min(at, len(self._items)), creation)
            self.choose(min(at, len(self._items) - 1))

    def close(self) -> None:
        self._items, self._kept, self._chosen, self._jobs, self._expected = [], set(), -1, frozenset(), 0
        self.changed.emit()

    def _append(self, creation: Creation, *, show: bool = True) -> None:
        if any(item.id == creation.id for item in self._items):
            return
        self._items.append(creation)
        if self._by_hand or not show:
            self.changed.emit()
        else:
            self.choose(len(self._items) - 1, by_hand=False)
