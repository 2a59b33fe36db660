"""The main thread: reads messages, so that a cancel arrives in the middle of a step."""

from __future__ import annotations

import logging
import os
import sys
import threading
from typing import BinaryIO, NoReturn

import msgspec

from studio.core import messages
from studio.core.job import Lane
from studio.core.messages import (
    Cancel,
    CancelInspection,
    EstimateRequest,
    FreeMemory,
    InspectRequest,
    Pause,
    Reload,
    RunJob,
    Shutdown,
    ToWorker,
)
from studio.core.paths import Home
from studio.worker import devices
from studio.worker.gpu_thread import GpuThread
from studio.worker.plugins.import_guard import ImportGuard
from studio.worker.stdio import Outbox

_log = logging.getLogger(__name__)
HEARTBEAT_SECONDS = 1.0


def serve(reader: BinaryIO, outbox: Outbox, *, home: Home, lane: Lane, device: str, import_limit: float) -> NoReturn:
    """Handle messages until the studio sends `Shutdown` or closes the pipe; then end the process."""
    import_guard = ImportGuard(home.root / f"importing-{lane.value}.json", import_limit)
    gpu = GpuThread(outbox, home=home, device=device, import_guard=import_guard)
    gpu.start()
    arguments = (outbox, gpu, import_guard)
    threading.Thread(target=_send_heartbeats, args=arguments, name="heartbeat", daemon=True).start()
    while (message := _read_message(reader)) is not None:
        _handle(message, gpu)
        if isinstance(message, Shutdown):
            break
    # Without the interpreter's own end: it would wait for what a plugin left running.
    sys.stderr.flush()
    os._exit(0)


def _read_message(reader: BinaryIO) -> ToWorker | None:
    try:
        return messages.read_to_worker(reader)
    except (OSError, ValueError, msgspec.MsgspecError):
        _log.exception("a message of the studio cannot be read")
        return None


def _handle(message: ToWorker, gpu: GpuThread) -> None:
    match message:
        case RunJob():
            gpu.run(message)
        case EstimateRequest():
            gpu.estimator.request(message)
        case InspectRequest():
            gpu.inspector.request(message)
        case CancelInspection(id):
            gpu.inspector.cancel(id)
        case Cancel(job):
            gpu.cancel(job)
        case Pause(job):
            gpu.pause(job)
        case FreeMemory():
            gpu.free_memory()
        case Reload():
            gpu.reload()
        case Shutdown():
            gpu.stop()


def _send_heartbeats(outbox: Outbox, gpu: GpuThread, import_guard: ImportGuard) -> None:
    never = threading.Event()
    while True:
        outbox.send(devices.build_heartbeat(gpu.device))
        import_guard.exit_if_hung()
        never.wait(HEARTBEAT_SECONDS)
