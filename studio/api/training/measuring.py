"""A training of a few steps that only measures what the whole one would take."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import psutil

from studio.api.context import Context
from studio.api.events import Event, Progress
from studio.api.training.params import TrainingParams
from studio.api.training.state import NotFiniteError
from studio.api.training.step_timer import WARM_UP_STEPS, StepTimer
from studio.core.errors import Cancelled
from studio.core.training_record import TrainingMeasurement

if TYPE_CHECKING:
    from studio.api.training.loop import Training

MIN_STEPS, MAX_STEPS = 5, 200
"""Number of steps that are measured, as far as `MIN_SECONDS` and `MAX_SECONDS` allow."""
MIN_SECONDS, MAX_SECONDS = 4.0, 60.0


def measure(
    training: Training, ctx: Context, params: TrainingParams, preview: Callable[[], Iterator[Event]], disk: int
) -> Iterator[Event]:
    """Run some steps, one preview and one checkpoint, write the measurement into the record, and raise Cancelled.

    `disk` is the number of bytes that the whole training will write.
    """
    begin, steps = time.monotonic(), training.steps
    timer = StepTimer(steps)
    attempts = 0
    while attempts < MAX_STEPS + WARM_UP_STEPS and not _is_enough(timer, time.monotonic() - begin):
        attempts += 1
        start = time.monotonic()
        try:
            training.step()
        except NotFiniteError:
            continue
        timer.add_step(time.monotonic() - start)
        yield Progress(0, 0, f"Measuring the training: {attempts} steps")
    start = time.monotonic()
    for _ in preview():
        ctx.check_cancelled()
    timer.add_preview(time.monotonic() - start)
    training.save()
    training.training_record.write_measurement(
        TrainingMeasurement(
            steps=steps,
            measured_steps=timer.steps,
            seconds_per_step=timer.seconds_per_step,
            seconds_per_preview=timer.seconds_per_preview,
            previews=steps // params.preview_every + (steps % params.preview_every > 0),
            seconds_measuring=time.monotonic() - begin,
            memory=read_peak_memory(ctx.device),
            disk=disk,
            steps_per_epoch=training.steps_per_epoch,
        )
    )
    if done := timer.report(params.preview_every, is_last=True):
        yield done
    raise Cancelled


def read_peak_memory(device: str) -> int:
    """Return the largest number of bytes that this process has used on a device so far; 0 if unknown."""
    import torch

    kind = torch.device(device).type
    if kind == "cuda":
        return torch.cuda.max_memory_reserved(device)
    if kind == "xpu":
        return torch.xpu.max_memory_reserved(device)
    if kind == "mps":
        return torch.mps.driver_allocated_memory()
    if sys.platform == "win32":
        return int(psutil.Process().memory_info().peak_wset)
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def _is_enough(timer: StepTimer, seconds: float) -> bool:
    return timer.steps >= MIN_STEPS and (timer.seconds >= MIN_SECONDS or seconds >= MAX_SECONDS)
