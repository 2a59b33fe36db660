"""The job queue on disk. Most tests open the file a second time, as after a kill."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest
from msgspec.structs import replace

from studio.core.errors import StudioError
from studio.core.job import Job, JobState, Lane, create_job_id
from studio.engine.job_queue import MAX_ENDED, JobQueue
from tests.engine.conftest import make_recipe


def make_job(lane: Lane = Lane.INTERACTIVE) -> Job:
    return Job(id=create_job_id(), recipe=make_recipe("save"), lane=lane)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "queue.db"


def reopen(queue: JobQueue, path: Path) -> JobQueue:
    queue.close()
    return JobQueue(path)


def get(queue: JobQueue, job: str) -> Job:
    stored = queue.get(job)
    assert stored is not None
    return stored


def run(queue: JobQueue, job: str) -> None:
    queue.put(replace(get(queue, job), state=JobState.RUNNING))


def next_id(queue: JobQueue, lane: Lane) -> str:
    job = queue.next(lane)
    assert job is not None
    return job.id


def states_of(queue: JobQueue) -> dict[str, JobState]:
    return {job.id: job.state for job in queue.all()}


def test_jobs_keep_their_order_when_the_queue_is_reopened(path: Path) -> None:
    queue = JobQueue(path)
    first, second, third = queue.add([make_job(), make_job(), make_job()])
    queue.move(third.id, first.id)
    queue = reopen(queue, path)
    assert [job.id for job in queue.all()] == [third.id, first.id, second.id]
    queue.close()


def test_a_running_job_is_queued_again_and_set_aside_after_three_kills(path: Path) -> None:
    queue = JobQueue(path)
    (job,) = queue.add([make_job()])
    for interruptions in (1, 2):
        run(queue, job.id)
        queue = reopen(queue, path)
        stored = get(queue, job.id)
        assert (stored.state, stored.interruptions) == (JobState.QUEUED, interruptions)
    run(queue, job.id)
    queue = reopen(queue, path)
    stored = get(queue, job.id)
    assert stored.state is JobState.SET_ASIDE
    assert stored.failure is not None
    assert stored.failure.sentence == "The studio ended 3 times while this job ran, so it was set aside."
    assert queue.requeue(stored)[0].interruptions == 0
    queue.close()


def test_a_kill_does_not_undo_a_cancel(path: Path) -> None:
    queue = JobQueue(path)
    (job,) = queue.add([make_job()])
    run(queue, job.id)
    queue.mark_cancelled(job.id)
    queue.put(replace(get(queue, job.id), outputs=("a",)))
    queue = reopen(queue, path)
    assert get(queue, job.id).state is JobState.CANCELLED
    queue.requeue(get(queue, job.id))
    run(queue, job.id)
    queue = reopen(queue, path)
    assert get(queue, job.id).state is JobState.QUEUED, "the request to cancel ended with the job"
    queue.close()


def test_a_paused_job_stays_paused_and_keeps_its_place(path: Path) -> None:
    queue = JobQueue(path)
    first, second = queue.add([make_job(Lane.TRAINING), make_job(Lane.TRAINING)])
    queue.put(replace(first, state=JobState.PAUSED))
    queue = reopen(queue, path)
    assert next_id(queue, Lane.TRAINING) == second.id
    queue.requeue(get(queue, first.id))
    assert next_id(queue, Lane.TRAINING) == first.id
    queue.close()


def test_each_lane_has_its_own_next_job(path: Path) -> None:
    queue = JobQueue(path)
    training, picture = queue.add([make_job(Lane.TRAINING), make_job()])
    assert next_id(queue, Lane.INTERACTIVE) == picture.id
    assert next_id(queue, Lane.TRAINING) == training.id
    queue.close()


def test_ended_jobs_come_last_in_the_order_of_their_end(path: Path) -> None:
    queue = JobQueue(path)
    first, second, third = queue.add([make_job(), make_job(), make_job()])
    queue.put(replace(second, state=JobState.DONE))
    queue.put(replace(first, state=JobState.FAILED))
    expected = [third.id, second.id, first.id]
    assert [job.id for job in queue.all()] == expected
    queue = reopen(queue, path)
    assert [job.id for job in queue.all()] == expected
    queue.close()


def test_only_the_latest_ended_jobs_are_kept() -> None:
    queue = JobQueue(None)
    jobs = queue.add([make_job() for _ in range(MAX_ENDED + 3)])
    dropped = [id for job in jobs for id in queue.put(replace(job, state=JobState.DONE))]
    assert dropped == [job.id for job in jobs[:3]]
    assert len(queue.all()) == MAX_ENDED
    queue.close()


def test_only_ended_jobs_are_forgotten(path: Path) -> None:
    queue = JobQueue(path)
    waiting, ended = queue.add([make_job(), make_job()])
    queue.put(replace(ended, state=JobState.CANCELLED))
    assert not queue.forget(waiting.id)
    assert queue.forget(ended.id)
    assert not queue.forget(ended.id)
    queue = reopen(queue, path)
    assert list(states_of(queue)) == [waiting.id]
    queue.close()


def test_a_paused_queue_stays_paused(path: Path) -> None:
    queue = JobQueue(path)
    queue.paused = True
    queue = reopen(queue, path)
    assert queue.paused
    queue.close()


def test_a_queue_of_a_newer_studio_is_refused_and_stays_unchanged(path: Path) -> None:
    with sqlite3.connect(path) as base:
        base.execute("PRAGMA user_version = 99")
    base.close()
    before = path.read_bytes()
    with pytest.raises(StudioError, match="newer studio"):
        JobQueue(path)
    assert path.read_bytes() == before


def test_a_damaged_queue_is_put_aside_with_a_notice(path: Path) -> None:
    path.write_bytes(b"this was never a database " * 100)
    queue = JobQueue(path)
    assert "damaged" in queue.notice
    queue.add([make_job()])
    queue.close()
    (aside,) = path.parent.glob("queue.db.damaged-*")
    assert aside.read_bytes().startswith(b"this was never")


def test_jobs_that_cannot_be_written_are_refused(path: Path) -> None:
    queue = JobQueue(path)
    (job,) = queue.add([make_job()])
    queue.close()
    with pytest.raises(StudioError, match="cannot be written"):
        queue.add([make_job()])
    assert states_of(queue) == {job.id: JobState.QUEUED}


def test_a_new_state_that_cannot_be_written_is_kept_in_memory(path: Path) -> None:
    queue = JobQueue(path)
    (job,) = queue.add([make_job()])
    queue.close()
    with pytest.raises(StudioError):
        queue.put(replace(job, state=JobState.DONE))
    assert states_of(queue) == {job.id: JobState.DONE}, "or it would be run for ever"


def test_many_jobs_are_cancelled_in_one_transaction_and_queued_again(path: Path) -> None:
    queue = JobQueue(path)
    jobs = queue.add(make_job() for _ in range(300))
    statements: list[str] = []
    queue._base.set_trace_callback(statements.append)
    dropped = queue.put(*(replace(job, state=JobState.CANCELLED) for job in jobs))
    queue._base.set_trace_callback(None)
    assert sum(statement.startswith("BEGIN") for statement in statements) == 2  # the change, and what is dropped
    assert dropped == [job.id for job in jobs[:100]]
    assert len(queue.requeue(*jobs)) == 300
    queue = reopen(queue, path)
    assert [job.id for job in queue.waiting()] == [job.id for job in jobs]
    queue.close()


def test_the_next_job_is_the_first_of_its_lane(path: Path) -> None:
    queue = JobQueue(path)
    first, training, last = queue.add([make_job(), make_job(Lane.TRAINING), make_job()])
    queue.move(last.id, first.id)
    assert (next_id(queue, Lane.INTERACTIVE), next_id(queue, Lane.TRAINING)) == (last.id, training.id)
    queue.close()
