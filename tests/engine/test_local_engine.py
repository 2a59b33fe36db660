"""The local engine with the fake worker: jobs, lanes, drafts, crashes and pauses."""

from __future__ import annotations

import os
import signal
import time

import psutil
import pytest

from studio.core.errors import Failure, FailureKind, StudioError
from studio.core.job import Job, JobState, Lane
from studio.core.messages import JobNotice, JobProgress, PreviewFrame
from studio.core.paths import Home
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
from studio.library.library import Library
from tests.engine.conftest import EngineFactory, RecordedEngine, make_recipe
from tests.fixtures.events import EventRecorder


def failure_of(job: Job) -> Failure:
    assert job.failure is not None
    return job.failure


def test_a_job_reports_its_events_in_order(ready_engine: RecordedEngine, library: Library) -> None:
    engine, recorder = ready_engine
    (job,) = engine.submit(make_recipe("progress 3", "preview", "save"))
    assert job.state is JobState.QUEUED
    recorder.wait_for_state(job, JobState.RUNNING)
    assert recorder.wait_for(JobProgress).step == 3
    assert recorder.wait_for(PreviewFrame).pixels == b"\1\2\3"
    creation = recorder.wait_for(Created).creation
    done = recorder.wait_for_state(job, JobState.DONE)
    assert done.outputs == (creation.id,)
    stored = library.get(creation.id)
    assert stored is not None
    assert stored.recipe is not None
    assert stored.recipe.tool == "fake.paint"
    assert [job.state for job in engine.jobs()] == [JobState.DONE]


def test_count_submits_jobs_with_consecutive_seeds_that_wrap(make_engine: EngineFactory) -> None:
    engine, _ = make_engine()
    jobs = engine.submit(make_recipe("save", seed=2**32 - 2), count=3)
    assert [job.recipe.seed for job in jobs] == [2**32 - 2, 2**32 - 1, 0]
    assert len({job.id for job in jobs}) == 3


def test_the_catalogue_is_cached_for_the_next_start(make_engine: EngineFactory) -> None:
    engine, recorder = make_engine()
    assert not engine.catalogue.tools
    engine.start()
    recorder.wait_for(CatalogueChanged)
    engine, _ = make_engine()
    assert set(engine.catalogue.tools) == {"fake.paint", "fake.train"}
    assert engine.catalogue.fingerprint


def test_training_does_not_block_the_interactive_lane(ready_engine: RecordedEngine) -> None:
    engine, recorder = ready_engine
    (training,) = engine.submit(make_recipe("wait", tool="fake.train"))
    assert training.lane is Lane.TRAINING
    recorder.wait_for(JobProgress, lambda event: event.job == training.id)
    (picture,) = engine.submit(make_recipe("save"))
    recorder.wait_for_state(picture, JobState.DONE)
    assert [job.id for job in engine.running()] == [training.id]


def test_without_a_start_ahead_a_worker_starts_with_its_first_job(make_engine: EngineFactory) -> None:
    engine, recorder = make_engine()
    engine.start(ahead=False)
    (training,) = engine.submit(make_recipe("save", tool="fake.train"))
    recorder.wait_for_state(training, JobState.DONE)
    assert {event.lane for event in recorder.events if isinstance(event, WorkerChanged)} == {training.lane}
    (picture,) = engine.submit(make_recipe("save"))
    recorder.wait_for_state(picture, JobState.DONE)


def test_an_idle_training_worker_ends(make_engine: EngineFactory) -> None:
    engine, recorder = make_engine(idle_limit=0.05)
    engine.start()
    recorder.wait_until_ready()
    (job,) = engine.submit(make_recipe("save", tool="fake.train"))
    recorder.wait_for_state(job, JobState.DONE)
    gone = recorder.wait_for(
        WorkerChanged, lambda event: event.lane is Lane.TRAINING and event.state is WorkerState.GONE
    )
    assert gone.sentence == ""
    (again,) = engine.submit(make_recipe("save", tool="fake.train"))
    recorder.wait_for_state(again, JobState.DONE)


def test_soft_cancel_keeps_the_worker(ready_engine: RecordedEngine) -> None:
    engine, recorder = ready_engine
    (job,) = engine.submit(make_recipe("wait"))
    recorder.wait_for(JobProgress)
    engine.cancel(job.id)
    recorder.wait_for_state(job, JobState.CANCELLED)
    (after,) = engine.submit(make_recipe("save"))
    recorder.wait_for_state(after, JobState.DONE)
    states = [event.state for event in recorder.events if isinstance(event, WorkerChanged)]
    assert WorkerState.RESTARTING not in states


def test_a_worker_that_ignores_a_cancel_is_ended_and_other_jobs_continue(ready_engine: RecordedEngine) -> None:
    engine, recorder = ready_engine
    deaf, after = engine.submit(make_recipe("deaf"))[0], engine.submit(make_recipe("save"))[0]
    recorder.wait_for(JobProgress)
    engine.cancel(deaf.id)
    cancelled = recorder.wait_for_state(deaf, JobState.CANCELLED)
    assert cancelled.crashes == 0
    restart = recorder.wait_for(WorkerChanged, lambda event: event.state is WorkerState.RESTARTING)
    assert restart.sentence == "Paint did not stop in time, so its worker was ended."
    recorder.wait_for_state(after, JobState.DONE)


def test_cancel_ends_a_queued_job_and_cancel_all_spares_a_paused_one(ready_engine: RecordedEngine) -> None:
    engine, recorder = ready_engine
    running, *queued = engine.submit(make_recipe("wait"), count=4)
    recorder.wait_for(JobProgress)
    engine.cancel(queued[0].id)
    recorder.wait_for_state(queued[0], JobState.CANCELLED)
    (paused,) = engine.submit(make_recipe("save"))
    engine.pause(paused.id)
    recorder.wait_for_state(paused, JobState.PAUSED)
    engine.cancel_all()
    recorder.wait_for_state(running, JobState.CANCELLED)
    states = {job.id: job.state for job in engine.jobs()}
    assert states.pop(paused.id) is JobState.PAUSED
    assert set(states.values()) == {JobState.CANCELLED}


@pytest.mark.parametrize(
    ("step", "cause"),
    [
        ("crash 3", "the worker ended unexpectedly (exit status 3)"),
        ("signal SIGSEGV", "the worker crashed in native code (SIGSEGV)"),
        ("signal SIGKILL", "the system ended the worker, as it does when memory runs out"),
    ],
)
def test_a_crash_fails_one_job_and_reports_its_cause(ready_engine: RecordedEngine, step: str, cause: str) -> None:
    engine, recorder = ready_engine
    crashing, good = engine.submit(make_recipe("save", step))[0], engine.submit(make_recipe("save"))[0]
    failed = recorder.wait_for_state(crashing, JobState.FAILED)
    assert failure_of(failed).kind is FailureKind.CRASHED
    assert failure_of(failed).sentence == f"Paint failed: {cause}. The other jobs continue."
    assert failed.crashes == 1
    assert len(failed.outputs) == 1, "what was saved before the crash stays"
    recorder.wait_for_state(good, JobState.DONE)


def test_the_details_of_a_crash_are_the_last_lines_of_the_worker(ready_engine: RecordedEngine) -> None:
    engine, recorder = ready_engine
    (job,) = engine.submit(make_recipe("crash 1"))
    assert failure_of(recorder.wait_for_state(job, JobState.FAILED)).details == "the end is near"


def test_a_second_crash_sets_a_job_aside_until_it_is_resumed(ready_engine: RecordedEngine) -> None:
    engine, recorder = ready_engine
    (job,) = engine.submit(make_recipe("checkpoint", "crash 1"))
    recorder.wait_for_state(job, JobState.FAILED)
    engine.resume(job.id)
    aside = recorder.wait_for_state(job, JobState.SET_ASIDE)
    assert aside.crashes == 2
    assert failure_of(aside).sentence.startswith("Paint crashed the worker twice and was set aside")
    engine.resume(job.id)
    assert recorder.wait_for(JobNotice).text == "xxx", "the checkpoints of the earlier runs are still there"
    assert recorder.wait_for_state(job, JobState.SET_ASIDE).crashes == 3


def test_a_hung_worker_is_ended(ready_engine: RecordedEngine) -> None:
    engine, recorder = ready_engine
    engine.configure(Settings(hang_limit=0.5))
    (job,) = engine.submit(make_recipe("hang"))
    failed = recorder.wait_for_state(job, JobState.FAILED)
    engine.configure(Settings())  # the next one may take its time to start
    assert "did not answer" in failure_of(failed).sentence
    recorder.wait_until_ready()


def test_a_worker_that_sends_an_invalid_message_is_ended(
    ready_engine: RecordedEngine, caplog: pytest.LogCaptureFixture
) -> None:
    engine, recorder = ready_engine
    (job,) = engine.submit(make_recipe("nonsense"))
    assert failure_of(recorder.wait_for_state(job, JobState.FAILED)).kind is FailureKind.CRASHED
    assert "sent an invalid message" in caplog.text


def test_a_worker_that_ends_at_three_starts_is_given_up_with_its_error(make_engine: EngineFactory) -> None:
    engine, recorder = make_engine("--broken")
    engine.start()
    gone = recorder.wait_for(WorkerChanged, lambda event: event.state is WorkerState.GONE)
    assert "3 times in a row" in gone.sentence
    assert "there is no torch here" in gone.sentence
    starts = [
        event for event in recorder.events if isinstance(event, WorkerChanged) and event.state is not WorkerState.GONE
    ]
    assert len(starts) == 3
    (job,) = engine.submit(make_recipe("save"))
    recorder.wait_for_state(job, JobState.QUEUED)
    engine.reload_plugins()
    recorder.wait_for(WorkerChanged, lambda event: event.state is WorkerState.GONE)


def test_a_missing_worker_command_is_reported(home: Home, library: Library) -> None:
    engine = LocalEngine(home, library, Settings(), worker=("/nowhere/python",))
    try:
        recorder = EventRecorder()
        engine.subscribe(recorder)
        engine.start()
        gone = recorder.wait_for(WorkerChanged, lambda event: event.state is WorkerState.GONE)
        assert gone.sentence.startswith("The worker cannot be started: No such file")
    finally:
        engine.close()


def test_resume_continues_from_the_checkpoint_of_a_pause(ready_engine: RecordedEngine) -> None:
    engine, recorder = ready_engine
    (job,) = engine.submit(make_recipe("checkpoint", "wait", tool="fake.train"))
    assert recorder.wait_for(JobNotice).text == "x"
    recorder.wait_for(JobProgress)
    engine.pause(job.id)
    recorder.wait_for_state(job, JobState.PAUSED)
    engine.resume(job.id)
    assert recorder.wait_for(JobNotice).text == "xx"
    recorder.wait_for(JobProgress)
    engine.cancel(job.id)
    recorder.wait_for_state(job, JobState.CANCELLED)


def test_a_job_that_pauses_by_itself_says_why_until_it_goes_on(ready_engine: RecordedEngine) -> None:
    engine, recorder = ready_engine
    (job,) = engine.submit(make_recipe("full", tool="fake.train"))
    for _ in range(2):
        paused = recorder.wait_for(JobChanged, lambda event: event.job.state is JobState.PAUSED).job
        assert paused.failure == Failure(FailureKind.CANNOT_WRITE, "The disk is full.")
        engine.resume(job.id)
        queued = recorder.wait_for(JobChanged, lambda event: event.job.state is JobState.QUEUED).job
        assert queued.failure is None


def test_a_job_that_cannot_be_paused_gets_a_notice(ready_engine: RecordedEngine) -> None:
    engine, recorder = ready_engine
    (job,) = engine.submit(make_recipe("wait"))
    recorder.wait_for(JobProgress)
    engine.pause(job.id)
    assert recorder.wait_for(JobNotice).text == "Paint cannot be paused."


def test_a_draft_runs_before_queued_jobs_and_leaves_no_job(ready_engine: RecordedEngine) -> None:
    engine, recorder = ready_engine
    engine.set_queue_paused(True)
    (job,) = engine.submit(make_recipe("save"))
    draft = engine.draft(make_recipe("preview"))
    assert recorder.wait_for(PreviewFrame).job == draft
    assert recorder.wait_for(JobForgotten).id == draft
    assert [queued.id for queued in engine.jobs()] == [job.id]


def test_a_draft_waits_for_the_first_worker(make_engine: EngineFactory) -> None:
    engine, recorder = make_engine()
    draft = engine.draft(make_recipe("preview"))
    engine.start(ahead=False)
    assert recorder.wait_for(PreviewFrame).job == draft


def test_a_draft_that_crashes_leaves_no_job(ready_engine: RecordedEngine) -> None:
    engine, recorder = ready_engine
    draft = engine.draft(make_recipe("crash 1"))
    assert recorder.wait_for(JobForgotten).id == draft
    restart = recorder.wait_for(WorkerChanged, lambda event: event.state is WorkerState.RESTARTING)
    assert restart.sentence.startswith("Paint failed: the worker ended unexpectedly")
    assert engine.jobs() == []


def test_a_newer_draft_cancels_the_older(ready_engine: RecordedEngine) -> None:
    engine, recorder = ready_engine
    old = engine.draft(make_recipe("wait"))
    recorder.wait_for(JobProgress)
    new = engine.draft(make_recipe("preview"))
    assert recorder.wait_for(JobForgotten).id == old
    assert recorder.wait_for(PreviewFrame).job == new


def test_a_submitted_job_cancels_a_draft(ready_engine: RecordedEngine) -> None:
    engine, recorder = ready_engine
    draft = engine.draft(make_recipe("wait"))
    recorder.wait_for(JobProgress)
    (job,) = engine.submit(make_recipe("save"))
    assert recorder.wait_for(JobForgotten).id == draft
    recorder.wait_for_state(job, JobState.DONE)


def test_a_draft_waits_for_the_running_job(ready_engine: RecordedEngine) -> None:
    engine, recorder = ready_engine
    (job,) = engine.submit(make_recipe("wait"))
    recorder.wait_for(JobProgress)
    engine.draft(make_recipe("preview"))
    engine.cancel(job.id)
    recorder.wait_for_state(job, JobState.CANCELLED)
    recorder.wait_for(PreviewFrame)
    assert not [event for event in recorder.events if isinstance(event, WorkerChanged) and event.sentence]


def test_a_paused_queue_starts_no_job_even_after_a_restart(make_engine: EngineFactory) -> None:
    engine, _ = make_engine()
    engine.set_queue_paused(True)
    (job,) = engine.submit(make_recipe("save"))
    engine, recorder = make_engine()
    assert engine.queue_paused
    engine.start()
    recorder.wait_until_ready()
    recorder.wait_for(MemoryChanged)
    assert engine.jobs()[0].state is JobState.QUEUED
    engine.set_queue_paused(False)
    recorder.wait_for_state(job, JobState.DONE)


def test_jobs_are_reordered(ready_engine: RecordedEngine) -> None:
    engine, recorder = ready_engine
    engine.set_queue_paused(True)
    first, second, third = engine.submit(make_recipe("save"), count=3)
    engine.move(third.id, first.id)
    recorder.wait_for(JobChanged, lambda event: event.job.id == third.id and event.job.position < 1)
    engine.move(first.id, None)
    recorder.wait_for(JobChanged, lambda event: event.job.id == first.id and event.job.position == 2)
    engine.set_queue_paused(False)
    ended = [recorder.wait_for(JobChanged, lambda event: event.job.state is JobState.DONE).job.id for _ in range(3)]
    assert ended == [third.id, second.id, first.id]


def test_close_queues_the_running_job_again_without_a_crash(make_engine: EngineFactory) -> None:
    engine, recorder = make_engine()
    engine.start()
    (job,) = engine.submit(make_recipe("checkpoint", "wait", tool="fake.train"))
    recorder.wait_for(JobProgress)
    engine, recorder = make_engine()
    (kept,) = engine.jobs()
    assert (kept.id, kept.state, kept.interruptions, kept.crashes) == (job.id, JobState.QUEUED, 0, 0)
    engine.start()
    assert recorder.wait_for(JobNotice).text == "xx"


def test_a_missing_input_file_fails_its_job(ready_engine: RecordedEngine) -> None:
    engine, recorder = ready_engine
    (job,) = engine.submit(make_recipe("save", inputs={"image": "sha256:" + "0" * 64}))
    failure = failure_of(recorder.wait_for_state(job, JobState.FAILED))
    assert failure.kind is FailureKind.BAD_INPUT
    assert failure.sentence.startswith("The file for image is no longer in the library.")


def test_forget_removes_a_job_and_its_checkpoints(ready_engine: RecordedEngine, home: Home) -> None:
    engine, recorder = ready_engine
    (job,) = engine.submit(make_recipe("checkpoint", "fail"))
    recorder.wait_for_state(job, JobState.FAILED)
    assert (home.jobs / job.id).is_dir()
    engine.forget(job.id)
    recorder.wait_for(JobForgotten)
    assert not (home.jobs / job.id).exists()
    assert engine.jobs() == []


def test_the_checkpoint_of_a_cancelled_job_stays_for_a_day(
    ready_engine: RecordedEngine, make_engine: EngineFactory, home: Home
) -> None:
    engine, recorder = ready_engine
    (job,) = engine.submit(make_recipe("checkpoint", "wait", tool="fake.train"))
    recorder.wait_for(JobProgress)
    engine.cancel(job.id)
    recorder.wait_for_state(job, JobState.CANCELLED)
    folder = home.jobs / job.id
    for hours, is_kept in ((23, True), (25, False)):
        then = time.time() - hours * 3600
        for path in (folder, *folder.rglob("*")):
            os.utime(path, (then, then))
        engine, recorder = make_engine()
        engine.start()
        recorder.wait_until_ready()
        assert folder.exists() is is_kept
    engine.resume(job.id)
    recorder.wait_for(JobProgress)
    engine.cancel(job.id)


def test_memory_is_reported_and_freed(ready_engine: RecordedEngine) -> None:
    engine, recorder = ready_engine
    assert recorder.wait_for(MemoryChanged).memory == 1000
    engine.free_memory()
    assert recorder.wait_for(JobNotice).text == "5 MB of memory were released."


def test_a_new_device_restarts_an_idle_worker(ready_engine: RecordedEngine) -> None:
    engine, recorder = ready_engine
    engine.configure(Settings(device="cuda:7"))
    device = recorder.wait_until_ready().device
    assert device is not None
    assert device.name == "cuda:7"


def test_a_second_studio_on_one_home_is_refused(make_engine: EngineFactory, home: Home, library: Library) -> None:
    make_engine()
    with pytest.raises(StudioError, match="already open"):
        LocalEngine(home, library, Settings())
    LocalEngine(home, library, Settings(), durable=False).close()


def test_checkpoints_of_the_command_line_are_on_the_disk_of_the_home(home: Home, library: Library) -> None:
    """The disk of temporary files may be small, and nothing could be moved from there in one step."""
    engine = LocalEngine(home, library, Settings(), durable=False)
    assert engine.training_record("job").folder.is_relative_to(home.root / "scratch")
    engine.close()
    assert [*(home.root / "scratch").iterdir()] == []


def test_an_error_in_a_listener_is_logged_and_jobs_continue(
    ready_engine: RecordedEngine, caplog: pytest.LogCaptureFixture
) -> None:
    engine, recorder = ready_engine

    def fail(_event: object) -> None:
        raise RuntimeError("no")

    unsubscribe = engine.subscribe(fail)
    (job,) = engine.submit(make_recipe("save"))
    recorder.wait_for_state(job, JobState.DONE)
    unsubscribe()
    assert "A listener failed" in caplog.text


@pytest.mark.skipif(os.name == "nt", reason="process groups are of POSIX")
def test_no_worker_outlives_close(ready_engine: RecordedEngine) -> None:
    engine, recorder = ready_engine
    engine.submit(make_recipe("deaf"))
    recorder.wait_for(JobProgress)
    (worker,) = psutil.Process().children()
    engine.close()
    assert not worker.is_running()


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="signals are of POSIX")
def test_a_worker_killed_while_idle_is_replaced(ready_engine: RecordedEngine) -> None:
    _, recorder = ready_engine
    (worker,) = psutil.Process().children()
    worker.kill()
    restart = recorder.wait_for(WorkerChanged, lambda event: event.state is WorkerState.RESTARTING)
    assert restart.sentence.startswith("The system ended the worker")
    recorder.wait_until_ready()
