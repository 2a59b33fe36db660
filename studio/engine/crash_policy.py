"""What becomes of a job whose worker, or whose studio, ended under it."""

from __future__ import annotations

import signal

from msgspec.structs import replace

from studio.core.errors import Failure, FailureKind
from studio.core.job import Job, JobState

MOST_CRASHES = 2
MOST_INTERRUPTIONS = 3


def crashed(job: Job, title: str, reason: str, log: str = "") -> Job:
    """After the worker ended: failed the first time, set aside from the second on.

    `reason` is a clause about "the worker"; `log` is the end of what it wrote.
    """
    crashes = job.crashes + 1
    if crashes < MOST_CRASHES:
        sentence = f"{title} failed: {reason}. The other jobs go on."
        return replace(job, state=JobState.FAILED, crashes=crashes, failure=Failure(FailureKind.CRASHED, sentence, log))
    times = "twice" if crashes == MOST_CRASHES else f"{crashes} times"
    sentence = f"{title} took the worker down {times} and was set aside; the last time, {reason}."
    return replace(job, state=JobState.SET_ASIDE, crashes=crashes, failure=Failure(FailureKind.CRASHED, sentence, log))


def interrupted(job: Job) -> Job:
    """After the studio itself was killed: queued again, set aside from the third time on."""
    interruptions = job.interruptions + 1
    if interruptions < MOST_INTERRUPTIONS:
        return replace(job, state=JobState.QUEUED, interruptions=interruptions)
    sentence = f"The studio ended {interruptions} times while this ran, so it was set aside."
    failure = Failure(FailureKind.INTERRUPTED, sentence)
    return replace(job, state=JobState.SET_ASIDE, interruptions=interruptions, failure=failure)


def reason_of(status: int) -> str:
    """Why a process with this exit status ended, as a clause about "the worker"."""
    if status >= 0:
        return f"the worker ended unexpectedly (exit status {status})"
    try:
        name = signal.Signals(-status).name
    except ValueError:
        name = f"signal {-status}"
    match name:
        case "SIGKILL":
            return "the worker was ended by the system, as happens when memory runs out"
        case "SIGSEGV" | "SIGBUS" | "SIGILL" | "SIGFPE" | "SIGABRT":
            return f"the worker crashed in native code ({name})"
        case _:
            return f"the worker was ended from outside ({name})"
