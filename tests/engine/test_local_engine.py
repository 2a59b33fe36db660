"""The engine with a worker that obeys its script."""

from __future__ import annotations

import os
import signal

import psutil
import pytest

from studio.core.errors import FailureKind, StudioError
from studio.core.job import JobState, Lane
from studio.core.messages import JobNotice, JobProgress, PreviewFrame
from studio.core.settings import Settings
from studio.engine.interface import (
    CatalogueChanged,
    Created,
    JobChanged,
    JobForgotten,
    MemoryChanged,
    WorkerChanged,
    WorkerState,
)
from studio.engine.local_engine import LocalEngine
from tests.engine.conftest import recipe
from tests.fixtures.events import EventRecorder


def test_a_job_runs_to_its_end_and_is_told_of_in_order(started, library):
    engine, recorder = started
    (job,) = engine.submit(recipe("progress 3", "preview", "save"))
    assert job.state is JobState.QUEUED
    recorder.wait_for_state(job, JobState.RUNNING)
    assert recorder.wait_for(JobProgress).step == 3
    assert recorder.wait_for(PreviewFrame).pixels == b"\1\2\3"
    creation = recorder.wait_for(Created).creation
    done = recorder.wait_for_state(job, JobState.DONE)
    assert done.outputs == (creation.id,)
    assert library.get(creation.id).recipe.tool == "fake.paint"
    assert [job.state for job in engine.jobs()] == [JobState.DONE]


def test_count_gives_seeds_that_count_up_and_wrap(make_engine):
    engine, _ = make_engine()
    jobs = engine.submit(recipe("save", seed=2**32 - 2), count=3)
    assert [job.recipe.seed for job in jobs] == [2**32 - 2, 2**32 - 1, 0]
    assert len({job.id for job in jobs}) == 3


def test_the_catalogue_is_there_before_the_worker_the_next_time(make_engine):
    engine, recorder = make_engine()
    assert not engine.catalogue.tools
    engine.start()
    recorder.wait_for(CatalogueChanged)
    engine, _ = make_engine()
    assert set(engine.catalogue.tools) == {"fake.paint", "fake.train"}
    assert engine.catalogue.fingerprint


def test_training_never_blocks_a_picture(started):
    engine, recorder = started
    (training,) = engine.submit(recipe("wait", tool="fake.train"))
    assert training.lane is Lane.TRAINING
    recorder.wait_for(JobProgress, lambda event: event.job == training.id)
    (picture,) = engine.submit(recipe("save"))
    recorder.wait_for_state(picture, JobState.DONE)
    assert [job.id for job in engine.running()] == [training.id]


def test_a_worker_starts_with_its_first_job_where_none_was_started_ahead(make_engine):
    engine, recorder = make_engine()
    engine.start(ahead=False)
    (training,) = engine.submit(recipe("save", tool="fake.train"))
    recorder.wait_for_state(training, JobState.DONE)
    assert {event.lane for event in recorder.events if isinstance(event, WorkerChanged)} == {training.lane}
    (picture,) = engine.submit(recipe("save"))
    recorder.wait_for_state(picture, JobState.DONE)


def test_an_idle_training_worker_ends(make_engine):
    engine, recorder = make_engine(idle_limit=0.05)
    engine.start()
    recorder.wait_until_ready()
    (job,) = engine.submit(recipe("save", tool="fake.train"))
    recorder.wait_for_state(job, JobState.DONE)
    gone = recorder.wait_for(
        WorkerChanged, lambda event: event.lane is Lane.TRAINING and event.state is WorkerState.GONE
    )
    assert gone.sentence == ""
    (again,) = engine.submit(recipe("save", tool="fake.train"))
    recorder.wait_for_state(again, JobState.DONE)


def test_soft_cancel_keeps_the_worker(started):
    engine, recorder = started
    (job,) = engine.submit(recipe("wait"))
    recorder.wait_for(JobProgress)
    engine.cancel(job.id)
    recorder.wait_for_state(job, JobState.CANCELLED)
    (after,) = engine.submit(recipe("save"))
    recorder.wait_for_state(after, JobState.DONE)
    states = [event.state for event in recorder.events if isinstance(event, WorkerChanged)]
    assert WorkerState.RESTARTING not in states


def test_hard_cancel_ends_a_worker_that_does_not_listen_and_the_rest_goes_on(started):
    engine, recorder = started
    deaf, after = engine.submit(recipe("deaf"))[0], engine.submit(recipe("save"))[0]
    recorder.wait_for(JobProgress)
    engine.cancel(deaf.id)
    cancelled = recorder.wait_for_state(deaf, JobState.CANCELLED)
    assert cancelled.crashes == 0
    told = recorder.wait_for(WorkerChanged, lambda event: event.state is WorkerState.RESTARTING)
    assert told.sentence == "Paint did not stop in time, so its worker was ended."
    recorder.wait_for_state(after, JobState.DONE)


def test_a_queued_job_is_cancelled_at_once_and_all_at_once(started):
    engine, recorder = started
    running, *queued = engine.submit(recipe("wait"), count=4)
    recorder.wait_for(JobProgress)
    engine.cancel(queued[0].id)
    recorder.wait_for_state(queued[0], JobState.CANCELLED)
    (paused,) = engine.submit(recipe("save"))
    engine.pause(paused.id)
    recorder.wait_for_state(paused, JobState.PAUSED)
    engine.cancel_all()
    recorder.wait_for_state(running, JobState.CANCELLED)
    states = {job.id: job.state for job in engine.jobs()}
    assert states.pop(paused.id) is JobState.PAUSED
    assert set(states.values()) == {JobState.CANCELLED}


@pytest.mark.parametrize(
    ("step", "said"),
    [
        ("crash 3", "the worker ended unexpectedly (exit status 3)"),
        ("signal SIGSEGV", "the worker crashed in native code (SIGSEGV)"),
        ("signal SIGKILL", "the system ended the worker, as it does when memory runs out"),
    ],
)
def test_a_crash_fails_one_job_and_says_so(started, step, said):
    engine, recorder = started
    bad, good = engine.submit(recipe("save", step))[0], engine.submit(recipe("save"))[0]
    failed = recorder.wait_for_state(bad, JobState.FAILED)
    assert failed.failure.kind is FailureKind.CRASHED
    assert failed.failure.sentence == f"Paint failed: {said}. The other jobs continue."
    assert failed.crashes == 1
    assert len(failed.outputs) == 1, "what was saved before the crash stays"
    recorder.wait_for_state(good, JobState.DONE)


def test_the_details_of_a_crash_are_what_the_worker_last_wrote(started):
    engine, recorder = started
    (job,) = engine.submit(recipe("crash 1"))
    assert recorder.wait_for_state(job, JobState.FAILED).failure.details == "the end is near"


def test_the_second_crash_sets_a_job_aside_and_a_third_run_must_be_asked_for(started):
    engine, recorder = started
    (job,) = engine.submit(recipe("kept", "crash 1"))
    recorder.wait_for_state(job, JobState.FAILED)
    engine.resume(job.id)
    aside = recorder.wait_for_state(job, JobState.SET_ASIDE)
    assert aside.crashes == 2
    assert aside.failure.sentence.startswith("Paint crashed the worker twice and was set aside")
    engine.resume(job.id)
    assert recorder.wait_for(JobNotice).text == "xxx", "what it kept is still there"
    assert recorder.wait_for_state(job, JobState.SET_ASIDE).crashes == 3


def test_a_hung_worker_is_ended(started):
    engine, recorder = started
    engine.configure(Settings(hang_limit=0.5))
    (job,) = engine.submit(recipe("hang"))
    failed = recorder.wait_for_state(job, JobState.FAILED)
    engine.configure(Settings())  # the next one may take its time to start
    assert "did not answer" in failed.failure.sentence
    recorder.wait_until_ready()


def test_a_worker_that_speaks_nonsense_is_ended(started, caplog):
    engine, recorder = started
    (job,) = engine.submit(recipe("nonsense"))
    assert recorder.wait_for_state(job, JobState.FAILED).failure.kind is FailureKind.CRASHED
    assert "sent an invalid message" in caplog.text


def test_a_worker_that_cannot_start_is_given_up_with_its_last_words(make_engine):
    engine, recorder = make_engine("--broken")
    engine.start()
    gone = recorder.wait_for(WorkerChanged, lambda event: event.state is WorkerState.GONE)
    assert "3 times in a row" in gone.sentence
    assert "there is no torch here" in gone.sentence
    starts = [
        event for event in recorder.events if isinstance(event, WorkerChanged) and event.state is not WorkerState.GONE
    ]
    assert len(starts) == 3
    (job,) = engine.submit(recipe("save"))
    recorder.wait_for_state(job, JobState.QUEUED)
    engine.reload_plugins()
    recorder.wait_for(WorkerChanged, lambda event: event.state is WorkerState.GONE)


def test_a_worker_that_cannot_be_started_at_all_is_said(home, library):
    engine = LocalEngine(home, library, Settings(), worker=("/nowhere/python",))
    try:
        recorder = EventRecorder()
        engine.subscribe(recorder)
        engine.start()
        gone = recorder.wait_for(WorkerChanged, lambda event: event.state is WorkerState.GONE)
        assert gone.sentence.startswith("The worker cannot be started: No such file")
    finally:
        engine.close()


def test_pause_keeps_state_and_resume_goes_on_from_it(started):
    engine, recorder = started
    (job,) = engine.submit(recipe("kept", "wait", tool="fake.train"))
    assert recorder.wait_for(JobNotice).text == "x"
    recorder.wait_for(JobProgress)
    engine.pause(job.id)
    recorder.wait_for_state(job, JobState.PAUSED)
    engine.resume(job.id)
    assert recorder.wait_for(JobNotice).text == "xx"
    recorder.wait_for(JobProgress)
    engine.cancel(job.id)
    recorder.wait_for_state(job, JobState.CANCELLED)


def test_what_cannot_be_paused_says_so(started):
    engine, recorder = started
    (job,) = engine.submit(recipe("wait"))
    recorder.wait_for(JobProgress)
    engine.pause(job.id)
    assert recorder.wait_for(JobNotice).text == "Paint cannot be paused."


def test_drafts_go_first_show_previews_and_leave_no_job(started):
    engine, recorder = started
    engine.set_queue_paused(True)
    (job,) = engine.submit(recipe("save"))
    draft = engine.draft(recipe("preview"))
    assert recorder.wait_for(PreviewFrame).job == draft
    assert recorder.wait_for(JobForgotten).id == draft
    assert [one.id for one in engine.jobs()] == [job.id]


def test_a_draft_waits_for_the_first_worker(make_engine):
    engine, recorder = make_engine()
    draft = engine.draft(recipe("preview"))
    engine.start(ahead=False)
    assert recorder.wait_for(PreviewFrame).job == draft


def test_a_draft_that_crashes_is_no_job(started):
    engine, recorder = started
    draft = engine.draft(recipe("crash 1"))
    assert recorder.wait_for(JobForgotten).id == draft
    told = recorder.wait_for(WorkerChanged, lambda event: event.state is WorkerState.RESTARTING)
    assert told.sentence.startswith("Paint failed: the worker ended unexpectedly")
    assert engine.jobs() == []


def test_a_newer_draft_ends_the_older(started):
    engine, recorder = started
    old = engine.draft(recipe("wait"))
    recorder.wait_for(JobProgress)
    new = engine.draft(recipe("preview"))
    assert recorder.wait_for(JobForgotten).id == old
    assert recorder.wait_for(PreviewFrame).job == new


def test_a_job_ends_a_draft(started):
    engine, recorder = started
    draft = engine.draft(recipe("wait"))
    recorder.wait_for(JobProgress)
    (job,) = engine.submit(recipe("save"))
    assert recorder.wait_for(JobForgotten).id == draft
    recorder.wait_for_state(job, JobState.DONE)


def test_drafts_do_not_end_a_running_job(started):
    engine, recorder = started
    (job,) = engine.submit(recipe("wait"))
    recorder.wait_for(JobProgress)
    engine.draft(recipe("preview"))
    engine.cancel(job.id)
    recorder.wait_for_state(job, JobState.CANCELLED)
    recorder.wait_for(PreviewFrame)
    assert not [event for event in recorder.events if isinstance(event, WorkerChanged) and event.sentence]


def test_a_held_queue_starts_nothing_until_released_also_after_a_restart(make_engine):
    engine, _ = make_engine()
    engine.set_queue_paused(True)
    (job,) = engine.submit(recipe("save"))
    engine, recorder = make_engine()
    assert engine.queue_paused
    engine.start()
    recorder.wait_until_ready()
    recorder.wait_for(MemoryChanged)
    assert engine.jobs()[0].state is JobState.QUEUED
    engine.set_queue_paused(False)
    recorder.wait_for_state(job, JobState.DONE)


def test_jobs_are_reordered(started):
    engine, recorder = started
    engine.set_queue_paused(True)
    first, second, third = engine.submit(recipe("save"), count=3)
    engine.move(third.id, first.id)
    recorder.wait_for(JobChanged, lambda event: event.job.id == third.id and event.job.position < 1)
    engine.move(first.id, None)
    recorder.wait_for(JobChanged, lambda event: event.job.id == first.id and event.job.position == 2)
    engine.set_queue_paused(False)
    ended = [recorder.wait_for(JobChanged, lambda event: event.job.state is JobState.DONE).job.id for _ in range(3)]
    assert ended == [third.id, second.id, first.id]


def test_a_clean_close_leaves_the_running_job_queued_and_unblamed(make_engine):
    engine, recorder = make_engine()
    engine.start()
    (job,) = engine.submit(recipe("kept", "wait", tool="fake.train"))
    recorder.wait_for(JobProgress)
    engine, recorder = make_engine()
    (kept,) = engine.jobs()
    assert (kept.id, kept.state, kept.interruptions, kept.crashes) == (job.id, JobState.QUEUED, 0, 0)
    engine.start()
    assert recorder.wait_for(JobNotice).text == "xx"


def test_an_input_that_is_gone_fails_its_job_in_a_sentence(started):
    engine, recorder = started
    (job,) = engine.submit(recipe("save", inputs={"image": "sha256:" + "0" * 64}))
    failure = recorder.wait_for_state(job, JobState.FAILED).failure
    assert failure.kind is FailureKind.BAD_INPUT
    assert failure.sentence.startswith("The file for image is no longer in the library.")


def test_ended_jobs_are_forgotten_with_what_they_kept(started, home):
    engine, recorder = started
    (job,) = engine.submit(recipe("kept", "fail"))
    recorder.wait_for_state(job, JobState.FAILED)
    assert (home.jobs / job.id).is_dir()
    engine.forget(job.id)
    recorder.wait_for(JobForgotten)
    assert not (home.jobs / job.id).exists()
    assert engine.jobs() == []


def test_memory_is_reported_and_given_back(started):
    engine, recorder = started
    assert recorder.wait_for(MemoryChanged).memory == 1000
    engine.free_memory()
    assert recorder.wait_for(JobNotice).text == "5 MB of memory were released."


def test_a_new_device_restarts_a_free_worker(started):
    engine, recorder = started
    engine.configure(Settings(device="cuda:7"))
    assert recorder.wait_until_ready().device.name == "cuda:7"


def test_two_studios_on_one_home_are_one_too_many(make_engine, home, library):
    make_engine()
    with pytest.raises(StudioError, match="already open"):
        LocalEngine(home, library, Settings())
    LocalEngine(home, library, Settings(), durable=False).close()


def test_a_listener_that_fails_harms_nobody(started, caplog):
    engine, recorder = started

    def bad(_event: object) -> None:
        raise RuntimeError("no")

    leave = engine.subscribe(bad)
    (job,) = engine.submit(recipe("save"))
    recorder.wait_for_state(job, JobState.DONE)
    leave()
    assert "A listener failed" in caplog.text


@pytest.mark.skipif(os.name == "nt", reason="process groups are of POSIX")
def test_no_worker_outlives_close(started):
    engine, recorder = started
    engine.submit(recipe("deaf"))
    recorder.wait_for(JobProgress)
    (worker,) = psutil.Process().children()
    engine.close()
    assert not worker.is_running()


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="signals are of POSIX")
def test_a_worker_killed_while_idle_is_replaced(started):
    _, recorder = started
    (worker,) = psutil.Process().children()
    worker.kill()
    told = recorder.wait_for(WorkerChanged, lambda event: event.state is WorkerState.RESTARTING)
    assert told.sentence.startswith("The system ended the worker")
    recorder.wait_until_ready()
