"""The queue as a list that views can show."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

from PySide6.QtCore import QAbstractListModel, QModelIndex, QObject, QPersistentModelIndex, Qt, Signal

from studio.core.job import Job, JobState
from studio.core.messages import JobProgress
from studio.core.recipe import REFERENCE

MAX_SINGLE_CHANGES = 16
"""Rows that change one by one; where more change together, the list is sorted anew."""
Index = QModelIndex | QPersistentModelIndex


class QueueRole(IntEnum):
    JOB = Qt.ItemDataRole.UserRole + 1
    PROGRESS = Qt.ItemDataRole.UserRole + 2


@dataclass(frozen=True)
class QueueStatus:
    """The running jobs, and the numbers of others."""

    running: tuple[Job, ...]
    queued: int
    paused: int
    failed: int


_ORDER = {JobState.RUNNING: 0, JobState.PAUSED: 1, JobState.QUEUED: 2}


class QueueModel(QAbstractListModel):
    """Running jobs first, then those that wait in their order, then those that ended, newest first."""

    changed = Signal()
    """A job was added or removed, or has another state. Progress alone does not count."""
    progress_changed = Signal(object)

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._jobs: list[Job] = []
        self._by_id: dict[str, Job] = {}
        self._status: QueueStatus | None = None
        self._progress: dict[str, JobProgress] = {}
        self._hidden: set[str] = set()

    def rowCount(self, parent: Index = QModelIndex()) -> int:  # noqa: B008, N802
        return 0 if parent.isValid() else len(self._jobs)

    def data(self, index: Index, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        if not index.isValid() or index.row() >= len(self._jobs):
            return None
        job = self._jobs[index.row()]
        if role == QueueRole.JOB:
            return job
        if role == QueueRole.PROGRESS:
            return self._progress.get(job.id)
        if role in (Qt.ItemDataRole.DisplayRole, Qt.ItemDataRole.AccessibleTextRole):
            return f"{job.recipe.tool}, {job.state.value}"
        return None

    def jobs(self) -> tuple[Job, ...]:
        return tuple(self._jobs)

    def job(self, id: str) -> Job | None:
        return self._by_id.get(id)

    def count_users(self, ids: Sequence[str]) -> int:
        """Count the jobs that have not ended and need one of these creations."""
        needed = set(ids)
        return sum(not job.state.ended and not needed.isdisjoint(_list_needs(job)) for job in self._jobs)

    def progress(self, id: str) -> JobProgress | None:
        return self._progress.get(id)

    def status(self) -> QueueStatus:
        if self._status is None:
            count = Counter(job.state for job in self._jobs)
            self._status = QueueStatus(
                running=tuple(job for job in self._jobs if job.state is JobState.RUNNING),
                queued=count[JobState.QUEUED],
                paused=count[JobState.PAUSED],
                failed=count[JobState.FAILED] + count[JobState.SET_ASIDE],
            )
        return self._status

    def neighbours(self, id: str) -> tuple[Job | None, Job | None, Job | None]:
        """Return the queued job before a queued job, the one after it, and the one after that."""
        queued = [job for job in self._jobs if job.state is JobState.QUEUED]
        at = next((i for i, job in enumerate(queued) if job.id == id), None)
        if at is None:
            return None, None, None

        def job_at(i: int) -> Job | None:
            return queued[i] if 0 <= i < len(queued) else None

        return job_at(at - 1), job_at(at + 1), job_at(at + 2)

    # Changes by the engine
    def reset(self, jobs: list[Job]) -> None:
        self._set_jobs(job for job in jobs if job.id not in self._hidden)

    def put(self, *jobs: Job) -> None:
        """Add jobs, or set their new states. Of a job that comes twice the last state counts."""
        changed = {job.id: job for job in jobs if job.id not in self._hidden}
        for job in changed.values():
            if job.state is not JobState.RUNNING:
                self._progress.pop(job.id, None)
        if len(changed) > MAX_SINGLE_CHANGES:
            self._set_jobs(({job.id: job for job in self._jobs} | changed).values())
        elif changed:
            for job in changed.values():
                self._put_row(job)
            self._announce()

    def remove(self, *ids: str) -> None:
        gone = [id for id in ids if id in self._by_id]
        for id in gone:
            self._progress.pop(id, None)
        if len(gone) > MAX_SINGLE_CHANGES:
            left_out = set(gone)
            self._set_jobs([job for job in self._jobs if job.id not in left_out])
        elif gone:
            for id in gone:
                self._remove_row(self._find_row(id))
            self._announce()

    def set_progress(self, progress: JobProgress) -> None:
        job = self._by_id.get(progress.job)
        if job is None or job.state is not JobState.RUNNING:
            return
        row = self._find_row(job.id)
        self._progress[progress.job] = progress
        self.dataChanged.emit(self.index(row), self.index(row), [QueueRole.PROGRESS])
        self.progress_changed.emit(progress)

    # Removing, with a way back
    def hide(self, jobs: Sequence[Job]) -> None:
        """Take jobs off the list, but not out of the engine, so that they can be shown again."""
        self._hidden.update(job.id for job in jobs)
        self.remove(*(job.id for job in jobs))

    def unhide(self, jobs: Sequence[Job]) -> None:
        self._hidden.difference_update(job.id for job in jobs)
        self.put(*jobs)

    @property
    def hidden(self) -> frozenset[str]:
        return frozenset(self._hidden)

    def _set_jobs(self, jobs: Iterable[Job]) -> None:
        self.beginResetModel()
        self._jobs = sorted(jobs, key=_sort_key)
        self._by_id = {job.id: job for job in self._jobs}
        self.endResetModel()
        self._announce()

    def _put_row(self, job: Job) -> None:
        old = self._by_id.get(job.id)
        self._by_id[job.id] = job
        if old is not None:
            row = self._find_row_of(old)
            if _sort_key(old) == _sort_key(job):
                self._jobs[row] = job
                self.dataChanged.emit(self.index(row), self.index(row))
                return
            self.beginRemoveRows(QModelIndex(), row, row)
            del self._jobs[row]
            self.endRemoveRows()
        row = bisect_right(self._jobs, _sort_key(job), key=_sort_key)
        self.beginInsertRows(QModelIndex(), row, row)
        self._jobs.insert(row, job)
        self.endInsertRows()

    def _remove_row(self, row: int) -> None:
        self.beginRemoveRows(QModelIndex(), row, row)
        del self._by_id[self._jobs[row].id]
        del self._jobs[row]
        self.endRemoveRows()

    def _find_row(self, id: str) -> int:
        return self._find_row_of(self._by_id[id])

    def _find_row_of(self, job: Job) -> int:
        """Return the row of a job that is in the list: jobs with the same key stand beside each other."""
        row = bisect_left(self._jobs, _sort_key(job), key=_sort_key)
        while self._jobs[row].id != job.id:
            row += 1
        return row

    def _announce(self) -> None:
        self._status = None
        self.changed.emit()


def _sort_key(job: Job) -> tuple[int, float, int]:
    """Sort ended jobs by their ids, newest first: ids begin with the time."""
    if job.state.ended:
        return 3, 0.0, -_time(job)
    return _ORDER[job.state], job.position, _time(job)


def _time(job: Job) -> int:
    try:
        return int(job.id, 16)
    except ValueError:
        return 0


def _list_needs(job: Job) -> Iterator[str]:
    """Yield the texts among a job's parameters, and the ids of its inputs."""
    for value in job.recipe.params.values():
        yield from (item for item in (value if isinstance(value, list) else [value]) if isinstance(item, str))
    yield from (reference.removeprefix(REFERENCE) for reference in job.recipe.inputs.values())
