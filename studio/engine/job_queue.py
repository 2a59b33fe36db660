"""The queue of jobs, each a row on disk, so that a kill loses none."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

import msgspec
from msgspec.structs import replace

from studio.core.errors import StudioError
from studio.core.files import describe_full_disk, is_disk_full
from studio.core.job import Job, JobState, Lane
from studio.engine.crash_policy import after_interruption

_MIGRATIONS = (
    """
    CREATE TABLE jobs (
        id TEXT PRIMARY KEY,
        job BLOB NOT NULL,
        stop INTEGER NOT NULL DEFAULT 0,
        ended INTEGER NOT NULL DEFAULT 0
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE said (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;
    """,
)
"""`stop` marks a running job that was asked to end; `ended` is when it did, in ns, for the order."""

_PUT = """
    INSERT INTO jobs (id, job, ended) VALUES (?1, ?2, ?3)
    ON CONFLICT (id) DO UPDATE SET job = ?2, ended = ?3, stop = stop * ?4
"""

MAX_ENDED = 200


class JobQueue:
    """Jobs in order, in memory and, with a path, in an SQLite file that is ahead of it.

    Safe to call from any thread. What a method was given is on disk when it returns; it
    raises StudioError, and but for `put` changes nothing, where the disk does not take it.
    """

    def __init__(self, path: Path | None) -> None:
        """Raises StudioError for a file written by a newer studio. A damaged file is put
        aside, and `notice` says so."""
        self.notice = ""
        self._lock = threading.RLock()
        self._jobs: dict[str, Job] = {}
        self._path = path
        self._base = self._open(path)
        self._paused = self._read_setting("held") == "yes"
        self._load()

    def close(self) -> None:
        with self._lock:
            self._base.close()

    @property
    def paused(self) -> bool:
        return self._paused

    @paused.setter
    def paused(self, on: bool) -> None:
        with self._lock:
            self._execute([("REPLACE INTO said VALUES ('held', ?)", ("yes" if on else "no",))])
            self._paused = on

    def get(self, job: str) -> Job | None:
        with self._lock:
            return self._jobs.get(job)

    def all(self) -> list[Job]:
        """Return jobs that have not ended, in order; then the ended ones, newest last."""
        with self._lock:
            return self.waiting() + [job for job in self._jobs.values() if job.state.ended]

    def waiting(self) -> list[Job]:
        """Return jobs that have not ended, in order."""
        with self._lock:
            return sorted((job for job in self._jobs.values() if not job.state.ended), key=lambda job: job.position)

    def next(self, lane: Lane) -> Job | None:
        """Return the first job that may start in a lane."""
        with self._lock:
            ready = (job for job in self._jobs.values() if job.state is JobState.QUEUED and job.lane is lane)
            return min(ready, key=lambda job: job.position, default=None)

    def add(self, jobs: Iterable[Job]) -> list[Job]:
        """Put jobs at the end, all or none."""
        with self._lock:
            last = self._last_position()
            added = [replace(job, position=last + place) for place, job in enumerate(jobs, 1)]
            self._store(added)
            return added

    def put(self, *jobs: Job) -> list[str]:
        """Store the new state of jobs, all at once. Returns the ids of ended jobs that were dropped to keep the list
        short.

        It is kept in memory even where the disk does not take it.
        """
        with self._lock:
            known = {job.id: self._jobs.get(job.id) for job in jobs}
            self._jobs.update({job.id: job for job in jobs})
            self._store(jobs)
            ended = [job for job in jobs if job.state.ended and not ((old := known[job.id]) and old.state.ended)]
            for job in ended:
                self._jobs[job.id] = self._jobs.pop(job.id)
            return self._drop_old() if ended else []

    def requeue(self, *jobs: Job) -> list[Job]:
        """Queue jobs again, all at once: a paused one keeps its place, others go last in their order."""
        with self._lock:
            last = self._last_position()
            queued = []
            for job in jobs:
                last += job.state is not JobState.PAUSED
                position = job.position if job.state is JobState.PAUSED else last
                queued.append(replace(job, state=JobState.QUEUED, failure=None, interruptions=0, position=position))
            self._store(queued)
            return queued

    def move(self, job: str, before: str | None) -> list[Job]:
        """Put a job before another, or last. Returns the jobs whose place changed."""
        with self._lock:
            order = [other for other in self.waiting() if other.id != job]
            moved = self._jobs.get(job)
            if moved is None or moved.state.ended:
                return []
            place = next((at for at, other in enumerate(order) if other.id == before), len(order))
            order.insert(place, moved)
            changed = [replace(other, position=float(at)) for at, other in enumerate(order) if other.position != at]
            self._store(changed)
            return changed

    def mark_cancelled(self, job: str) -> None:
        """Note that a running job is being cancelled, so that a kill does not bring it back."""
        with self._lock:
            self._execute([("UPDATE jobs SET stop = 1 WHERE id = ?", (job,))])

    def forget(self, *jobs: str) -> list[str]:
        """Drop ended jobs, all at once. Returns the ids of those that there were."""
        with self._lock:
            ended = [id for id in jobs if (known := self._jobs.get(id)) and known.state.ended]
            self._delete(ended)
            return ended

    def _last_position(self) -> float:
        return max((job.position for job in self._jobs.values()), default=0.0)

    def _drop_old(self) -> list[str]:
        ended = [job.id for job in self._jobs.values() if job.state.ended]
        old = ended[:-MAX_ENDED]
        self._delete(old)
        return old

    def _delete(self, ids: Sequence[str]) -> None:
        if ids:
            self._execute([("DELETE FROM jobs WHERE id = ?", (id,)) for id in ids])
        for id in ids:
            del self._jobs[id]

    def _store(self, jobs: Iterable[Job]) -> None:
        jobs = list(jobs)
        now = time.time_ns()
        rows = [
            (job.id, msgspec.json.encode(job), now if job.state.ended else 0, job.state is JobState.RUNNING)
            for job in jobs
        ]
        self._execute([(_PUT, row) for row in rows])
        self._jobs.update({job.id: job for job in jobs})

    def _execute(self, statements: Sequence[tuple[str, tuple[object, ...]]]) -> None:
        try:
            with self._base:
                self._base.execute("BEGIN IMMEDIATE")
                for statement, values in statements:
                    self._base.execute(statement, values)
        except sqlite3.Error as error:
            raise _cannot_store(error, self._path) from error

    def _read_setting(self, name: str) -> str:
        row = self._base.execute("SELECT value FROM said WHERE name = ?", (name,)).fetchone()
        return str(row[0]) if row else ""

    def _load(self) -> None:
        """Read all jobs. Those that ran when the studio was killed are queued again; marked ones are cancelled."""
        changed = []
        for body, stop in self._base.execute("SELECT job, stop FROM jobs ORDER BY ended, id").fetchall():
            job = msgspec.json.decode(body, type=Job)
            self._jobs[job.id] = job
            if job.state is JobState.RUNNING:
                changed.append(replace(job, state=JobState.CANCELLED) if stop else after_interruption(job))
        if changed:
            self._store(changed)

    def _open(self, path: Path | None) -> sqlite3.Connection:
        if path is None:
            return _connect(":memory:")
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            return _connect(str(path))
        except sqlite3.DatabaseError as error:
            if isinstance(error, sqlite3.OperationalError):
                raise _cannot_store(error, path) from error
            aside = path.with_name(f"{path.name}.damaged-{time.time_ns()}")
            for ending in ("", "-wal", "-shm"):
                part = path.with_name(path.name + ending)
                if part.exists():
                    part.rename(aside.with_name(aside.name + ending))
            self.notice = (
                f"The list of jobs was damaged, so a new one was started. The old file is kept as {aside.name}."
            )
            return _connect(str(path))


def _connect(path: str) -> sqlite3.Connection:
    base = sqlite3.connect(path, check_same_thread=False, isolation_level=None, timeout=10)
    try:
        (version,) = base.execute("PRAGMA user_version").fetchone()
        if version > len(_MIGRATIONS):
            raise StudioError("The list of jobs was written by a newer studio.", "Update the studio to open it.")
        base.execute("PRAGMA journal_mode = WAL")
        base.execute("PRAGMA synchronous = FULL")
        for number, migration in enumerate(_MIGRATIONS[version:], version + 1):
            base.executescript(f"BEGIN IMMEDIATE; {migration} PRAGMA user_version = {number}; COMMIT;")
        base.execute("SELECT count(*) FROM jobs").fetchone()
    except BaseException:
        base.close()
        raise
    return base


def _cannot_store(error: sqlite3.Error, path: Path | None = None) -> StudioError:
    if is_disk_full(error):
        return describe_full_disk("the job", path.parent if path else Path())
    return StudioError(f"The list of jobs cannot be written: {error}.", "Check the studio's folder: `studio doctor`.")
