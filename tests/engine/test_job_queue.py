"""Jobs on disk, as they are after a kill: each test opens the file a second time."""

from __future__ import annotations

import sqlite3

import pytest
from msgspec.structs import replace

from studio.core.errors import StudioError
from studio.core.job import Job, JobState, Lane, create_job_id
from studio.engine.job_queue import MAX_ENDED, JobQueue
from tests.engine.conftest import recipe


def job(**more: object) -> Job:
    return Job(id=create_job_id(), recipe=recipe("save"), **more)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "queue.db"


def reopened(queue: JobQueue, path) -> JobQueue:
    queue.close()
    return JobQueue(path)


def states(queue: JobQueue) -> dict[str, JobState]:
    return {job.id: job.state for job in queue.all()}


def test_jobs_return_in_order(path):
    queue = JobQueue(path)
    first, second, third = queue.add([job(), job(), job()])
    queue.move(third.id, first.id)
    queue = reopened(queue, path)
    assert [one.id for one in queue.all()] == [third.id, first.id, second.id]
    queue.close()


def test_what_was_running_is_queued_again_and_set_aside_the_third_time(path):
    queue = JobQueue(path)
    (one,) = queue.add([job()])
    for interruptions in (1, 2):
        queue.put(replace(queue.get(one.id), state=JobState.RUNNING))
        queue = reopened(queue, path)
        found = queue.get(one.id)
        assert (found.state, found.interruptions) == (JobState.QUEUED, interruptions)
    queue.put(replace(queue.get(one.id), state=JobState.RUNNING))
    queue = reopened(queue, path)
    found = queue.get(one.id)
    assert found.state is JobState.SET_ASIDE
    assert found.failure.sentence == "The studio ended 3 times while this job ran, so it was set aside."
    assert queue.requeue(found).interruptions == 0
    queue.close()


def test_a_kill_does_not_undo_the_wish_to_cancel(path):
    queue = JobQueue(path)
    (one,) = queue.add([job()])
    queue.put(replace(one, state=JobState.RUNNING))
    queue.mark_cancelled(one.id)
    queue.put(replace(queue.get(one.id), outputs=("a",)))
    queue = reopened(queue, path)
    assert queue.get(one.id).state is JobState.CANCELLED
    queue.requeue(queue.get(one.id))
    queue.put(replace(queue.get(one.id), state=JobState.RUNNING))
    queue = reopened(queue, path)
    assert queue.get(one.id).state is JobState.QUEUED, "the wish ended with the cancel"
    queue.close()


def test_paused_jobs_stay_paused_and_keep_their_place(path):
    queue = JobQueue(path)
    first, second = queue.add([job(lane=Lane.TRAINING), job(lane=Lane.TRAINING)])
    queue.put(replace(first, state=JobState.PAUSED))
    queue = reopened(queue, path)
    assert queue.next(Lane.TRAINING).id == second.id
    queue.requeue(queue.get(first.id))
    assert queue.next(Lane.TRAINING).id == first.id
    queue.close()


def test_each_lane_has_its_own_next(path):
    queue = JobQueue(path)
    training, picture = queue.add([job(lane=Lane.TRAINING), job()])
    assert queue.next(Lane.INTERACTIVE).id == picture.id
    assert queue.next(Lane.TRAINING).id == training.id
    queue.close()


def test_ended_jobs_stand_last_in_the_order_of_their_end(path):
    queue = JobQueue(path)
    first, second, third = queue.add([job(), job(), job()])
    queue.put(replace(second, state=JobState.DONE))
    queue.put(replace(first, state=JobState.FAILED))
    expected = [third.id, second.id, first.id]
    assert [one.id for one in queue.all()] == expected
    queue = reopened(queue, path)
    assert [one.id for one in queue.all()] == expected
    queue.close()


def test_only_the_latest_ended_jobs_are_kept():
    queue = JobQueue(None)
    jobs = queue.add([job() for _ in range(MAX_ENDED + 3)])
    dropped = [gone for one in jobs for gone in queue.put(replace(one, state=JobState.DONE))]
    assert dropped == [one.id for one in jobs[:3]]
    assert len(queue.all()) == MAX_ENDED
    queue.close()


def test_only_ended_jobs_are_forgotten(path):
    queue = JobQueue(path)
    waiting, ended = queue.add([job(), job()])
    queue.put(replace(ended, state=JobState.CANCELLED))
    assert not queue.forget(waiting.id)
    assert queue.forget(ended.id)
    assert not queue.forget(ended.id)
    queue = reopened(queue, path)
    assert list(states(queue)) == [waiting.id]
    queue.close()


def test_a_paused_queue_stays_paused(path):
    queue = JobQueue(path)
    queue.paused = True
    queue = reopened(queue, path)
    assert queue.paused
    queue.close()


def test_a_newer_studios_queue_is_refused_and_untouched(path):
    with sqlite3.connect(path) as base:
        base.execute("PRAGMA user_version = 99")
    base.close()
    before = path.read_bytes()
    with pytest.raises(StudioError, match="newer studio"):
        JobQueue(path)
    assert path.read_bytes() == before


def test_a_damaged_queue_is_put_aside_and_said(path):
    path.write_bytes(b"this was never a database " * 100)
    queue = JobQueue(path)
    assert "damaged" in queue.notice
    queue.add([job()])
    queue.close()
    (aside,) = path.parent.glob("queue.db.damaged-*")
    assert aside.read_bytes().startswith(b"this was never")


def test_what_the_disk_does_not_take_is_refused_and_nothing_changes(path):
    queue = JobQueue(path)
    (one,) = queue.add([job()])
    queue.close()
    with pytest.raises(StudioError, match="cannot be written"):
        queue.add([job()])
    assert states(queue) == {one.id: JobState.QUEUED}


def test_what_became_of_a_job_counts_even_where_the_disk_does_not_take_it(path):
    queue = JobQueue(path)
    (one,) = queue.add([job()])
    queue.close()
    with pytest.raises(StudioError):
        queue.put(replace(one, state=JobState.DONE))
    assert states(queue) == {one.id: JobState.DONE}, "or it would be run for ever"
