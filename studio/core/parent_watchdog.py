"""Ends a child process when its studio ends, also while a C call holds the GIL.

The child is a worker, or the reader of foreign files. Its main loop ends it at the end of standard
input, which is the usual way. A C call that never gives the GIL back starves that loop, so the end
must come from outside Python:

- On Linux and macOS a watcher is forked before anything else is loaded. It holds nothing, waits
  for the end of the studio or of the worker, and kills the worker if the studio went first.
  (`PR_SET_PDEATHSIG` would do the same without a process, but it fires at the end of the
  *thread* that spawned the worker, so a studio that restarts a worker from a short-lived thread
  would lose it at once.)
- On Windows a native wait on the studio's process calls `ExitProcess` in the system's own
  thread pool. Written from its documentation and not tried here.
"""

from __future__ import annotations

import os
import select
import signal
import sys
import time
from contextlib import suppress
from typing import NoReturn

_POLL_SECONDS = 0.2


def start() -> None:
    """Watch the studio's process. Call before any thread is started."""
    studio = os.getppid()
    if sys.platform == "win32":
        _exit_with_parent(studio)
        return
    worker = os.getpid()
    if os.fork() == 0:
        _watch(studio, worker)
    if os.getppid() != studio:
        os._exit(0)


def _watch(studio: int, worker: int) -> NoReturn:
    """Run the watcher: a copy of the young worker that never returns from here."""
    try:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        os.closerange(0, min(os.sysconf("SC_OPEN_MAX"), 65536))
        if _wait_for_first_exit(studio, worker) == studio:
            with suppress(ProcessLookupError):
                os.kill(worker, signal.SIGKILL)
            if os.getpgrp() == worker:  # with what it has started, such as an encoder
                os.killpg(worker, signal.SIGKILL)
    finally:
        os._exit(0)


def _wait_for_first_exit(studio: int, worker: int) -> int:
    """Wait until either process ends, and return its id; the worker's, if both have ended."""
    try:
        if sys.platform == "linux":
            return _wait_by_pidfd(studio, worker)
        return _wait_by_kqueue(studio, worker)
    except (OSError, AttributeError):  # an old kernel, or a sandbox without these calls
        return _wait_by_polling(studio, worker)


def _wait_by_pidfd(studio: int, worker: int) -> int:
    ends = {}
    for process in (worker, studio):
        try:
            ends[os.pidfd_open(process)] = process
        except ProcessLookupError:
            return process
    poll = select.poll()
    for end in ends:
        poll.register(end, select.POLLIN)
    exited = {ends[end] for end, _ in poll.poll()}
    return worker if worker in exited else studio


def _wait_by_kqueue(studio: int, worker: int) -> int:
    queue = select.kqueue()  # type: ignore[attr-defined,unused-ignore]
    for process in (worker, studio):
        exit_of = select.kevent(  # type: ignore[attr-defined,unused-ignore]
            process,
            filter=select.KQ_FILTER_PROC,  # type: ignore[attr-defined,unused-ignore]
            flags=select.KQ_EV_ADD,  # type: ignore[attr-defined,unused-ignore]
            fflags=select.KQ_NOTE_EXIT,  # type: ignore[attr-defined,unused-ignore]
        )
        try:
            queue.control([exit_of], 0)
        except ProcessLookupError:
            return process
    exited = {event.ident for event in queue.control(None, 2)}
    return worker if worker in exited else studio


def _wait_by_polling(studio: int, worker: int) -> int:
    while True:
        if os.getppid() != worker:
            return worker
        try:
            os.kill(studio, 0)
        except ProcessLookupError:
            return studio
        except PermissionError:
            pass
        time.sleep(_POLL_SECONDS)


def _exit_with_parent(studio: int) -> None:
    if sys.platform != "win32":
        return
    import ctypes

    kernel = ctypes.WinDLL("kernel32", use_last_error=True)
    kernel.OpenProcess.restype = ctypes.c_void_p
    synchronize, once, for_ever = 0x00100000, 0x00000008, 0xFFFFFFFF
    process = kernel.OpenProcess(synchronize, False, studio)
    if not process:
        os._exit(0)
    wait = ctypes.c_void_p()
    exit_process = ctypes.cast(kernel.ExitProcess, ctypes.c_void_p)
    kernel.RegisterWaitForSingleObject(
        ctypes.byref(wait), ctypes.c_void_p(process), exit_process, None, ctypes.c_ulong(for_ever), ctypes.c_ulong(once)
    )
