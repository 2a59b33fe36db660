"""The state of a job after its worker, or the studio, ended while it ran."""

from __future__ import annotations

import signal

from msgspec.structs import replace

from studio.core.errors import Failure, FailureKind
from studio.core.job import Job, JobState

MAX_CRASHES = 2
MAX_INTERRUPTIONS = 3


def after_crash(job: Job, title: str, reason: str, log: str = "") -> Job:
    """Return the job after its worker crashed: failed the first time, set aside from the second time on.

    `reason` is a clause about "the worker"; `log` is the end of what it wrote.
    """
    crashes = job.crashes + 1
    if crashes < MAX_CRASHES:
        sentence = f"{title} failed: {reason}. The other jobs continue."
        return replace(job, state=JobState.FAILED, crashes=crashes, failure=Failure(FailureKind.CRASHED, sentence, log))
    times = "twice" if crashes == MAX_CRASHES else f"{crashes} times"
    sentence = f"{title} crashed the worker {times} and was set aside. Last time: {reason}."
    return replace(job, state=JobState.SET_ASIDE, crashes=crashes, failure=Failure(FailureKind.CRASHED, sentence, log))


def after_interruption(job: Job) -> Job:
    """Return the job after the studio was killed: queued again, set aside from the third time on."""
    interruptions = job.interruptions + 1
    if interruptions < MAX_INTERRUPTIONS:
        return replace(job, state=JobState.QUEUED, interruptions=interruptions)
    sentence = f"The studio ended {interruptions} times while this job ran, so it was set aside."
    failure = Failure(FailureKind.INTERRUPTED, sentence)
    return replace(job, state=JobState.SET_ASIDE, interruptions=interruptions, failure=failure)


def describe_exit(status: int) -> str:
    """Describe an exit status as a clause about "the worker"."""
    if status >= 0:
        return f"the worker ended unexpectedly (exit status {status})"
    try:
        name = signal.Signals(-status).name
    except ValueError:
        name = f"signal {-status}"
    match name:
        case "SIGKILL":
            return "the system ended the worker, as it does when memory runs out"
        case "SIGSEGV" | "SIGBUS" | "SIGILL" | "SIGFPE" | "SIGABRT":
            return f"the worker crashed in native code ({name})"
        case _:
            return f"another program ended the worker ({name})"
