"""The queue as a list that views can show."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Any

from PySide6.QtCore import QAbstractListModel, QModelIndex, QObject, QPersistentModelIndex, Qt, Signal

from studio.core.job import Job, JobState
from studio.core.messages import JobProgress

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
        return next((job for job in self._jobs if job.id == id), None)

    def progress(self, id: str) -> JobProgress | None:
        return self._progress.get(id)

    def status(self) -> QueueStatus:
        def in_state(state: JobState) -> tuple[Job, ...]:
            return tuple(job for job in self._jobs if job.state is state)

        return QueueStatus(
            running=in_state(JobState.RUNNING),
            queued=len(in_state(JobState.QUEUED)),
            paused=len(in_state(JobState.PAUSED)),
            failed=len(in_state(JobState.FAILED)) + len(in_state(JobState.SET_ASIDE)),
        )

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
        self.beginResetModel()
        self._jobs = sorted((job for job in jobs if job.id not in self._hidden), key=_sort_key)
        self.endResetModel()
        self.changed.emit()

    def put(self, job: Job) -> None:
        """Add a job, or set its new state."""
        if job.id in self._hidden:
            return
        if job.state is not JobState.RUNNING:
            self._progress.pop(job.id, None)
        old = next((row for row, known in enumerate(self._jobs) if known.id == job.id), None)
        if old is not None and _sort_key(self._jobs[old]) == _sort_key(job):
            self._jobs[old] = job
            self.dataChanged.emit(self.index(old), self.index(old))
        else:
            if old is not None:
                self._remove_row(old)
            row = next((i for i, known in enumerate(self._jobs) if _sort_key(known) > _sort_key(job)), len(self._jobs))
            self.beginInsertRows(QModelIndex(), row, row)
            self._jobs.insert(row, job)
            self.endInsertRows()
        self.changed.emit()

    def remove(self, id: str) -> None:
        row = next((row for row, job in enumerate(self._jobs) if job.id == id), None)
        if row is not None:
            self._remove_row(row)
            self._progress.pop(id, None)
            self.changed.emit()

    def set_progress(self, progress: JobProgress) -> None:
        row = next((row for row, job in enumerate(self._jobs) if job.id == progress.job), None)
        if row is None or self._jobs[row].state is not JobState.RUNNING:
            return
        self._progress[progress.job] = progress
        self.dataChanged.emit(self.index(row), self.index(row), [QueueRole.PROGRESS])
        self.progress_changed.emit(progress)

    # Removing, with a way back
    def hide(self, job: Job) -> None:
        """Take a job off the list, but not out of the engine, so that it can be shown again."""
        self._hidden.add(job.id)
        self.remove(job.id)

    def unhide(self, job: Job) -> None:
        self._hidden.discard(job.id)
        self.put(job)

    @property
    def hidden(self) -> frozenset[str]:
        return frozenset(self._hidden)

    def _remove_row(self, row: int) -> None:
        self.beginRemoveRows(QModelIndex(), row, row)
        del self._jobs[row]
        self.endRemoveRows()


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
