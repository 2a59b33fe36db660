"""Estimates of memory and work, made on a thread of their own so that a running job does not delay them."""

from __future__ import annotations

import logging
import math
import threading
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from studio import api
from studio.core.errors import describe_exception
from studio.core.messages import EstimateRequest, EstimateResult, JobTiming
from studio.core.paths import Home
from studio.library.models import hub_cache
from studio.worker.devices import Device
from studio.worker.jobs import context
from studio.worker.jobs.errors import validate_params
from studio.worker.stdio import Outbox

if TYPE_CHECKING:
    import torch

_log = logging.getLogger(__name__)

MAX_NOTE_LENGTH = 80
_FIRST_TIMEOUT = 15.0
"""Seconds that a job waits for the first estimate of its tool, with its imports."""
_TIMEOUT = 0.2
"""Seconds that the end of a job waits for its estimate; only a shorter job has to wait."""


@dataclass(frozen=True)
class HostEstimateContext:
    """Implements `api.EstimateContext`. Models that are looked up here are not written into recipes."""

    home: Home
    target: Device

    @property
    def device(self) -> str:
        return self.target.name

    @property
    def dtype(self) -> torch.dtype:
        return self.target.torch_dtype

    def starter(self, name: str) -> Path:
        return context.find_starter(name)

    def model(self, choice: str) -> Path | str:
        model = context.find_model(self.home, choice)
        return model if isinstance(model, Path) else hub_cache.find_downloaded(self.home, model) or model


class Estimator:
    """Answers one request at a time. Of each tool only the newest request waits; older ones are dropped."""

    def __init__(self, outbox: Outbox, home: Home) -> None:
        self.tools: dict[str, type[api.Tool]] = {}
        self._outbox = outbox
        self._home = home
        self._device: Device | None = None
        self._device_known = threading.Event()
        self._executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix="estimates")
        self._lock = threading.Lock()
        self._waiting: dict[str, EstimateRequest] = {}
        self._last: dict[str, tuple[api.Params, api.Estimate | None]] = {}
        self._logged_errors: dict[str, str] = {}

    def set_device(self, device: Device | None) -> None:
        """Begin to answer requests. `device` is None where there is none."""
        self._device = device
        self._device_known.set()

    def request(self, request: EstimateRequest) -> None:
        """Return at once; `EstimateResult` follows."""
        with self._lock:
            is_queued = request.tool in self._waiting
            self._waiting[request.tool] = request
        if not is_queued:
            self._executor.submit(self._answer, request.tool)

    def estimate_job(self, tool: type[api.Tool], params: api.Params) -> Future[api.Estimate | None]:
        """Estimate a job that begins now; a tool that has just answered the same request is not called again.

        Waits for the first estimate of a tool, which may import what the tool imports as well. A library that replaces
        its own module while it is imported, such as diffusers, gives the other thread half a module.
        """
        pending = self._executor.submit(self._estimate_once, tool, params)
        if tool.id not in self._last:
            wait([pending], _FIRST_TIMEOUT)
        return pending

    def job_timing(
        self, pending: Future[api.Estimate | None], seconds: float, fraction: float = 1.0
    ) -> JobTiming | None:
        """Return how long a fraction of a job's work took; None where its tool does not estimate work."""
        try:
            estimate = pending.result(_TIMEOUT)
        except TimeoutError:
            return None
        if estimate is None or not estimate.rate or estimate.work <= 0 or self._device is None:
            return None
        return JobTiming(
            rate=estimate.rate, work=fraction * estimate.work, seconds=seconds, device=_speed_key(self._device)
        )

    def _answer(self, name: str) -> None:
        self._device_known.wait()
        with self._lock:
            request = self._waiting.pop(name)
        estimate = self._estimate_request(request)
        if estimate is None or self._device is None:
            self._outbox.send(EstimateResult(id=request.id))
            return
        self._outbox.send(
            EstimateResult(
                id=request.id,
                memory=estimate.memory,
                work=estimate.work,
                rate=estimate.rate,
                notes=dict(estimate.notes),
                budget=estimate.budget,
                device=_speed_key(self._device),
                disk=estimate.disk,
            )
        )

    def _estimate_request(self, request: EstimateRequest) -> api.Estimate | None:
        tool = self.tools.get(request.tool)
        if tool is None:
            return None
        try:
            params = validate_params(tool, request.values)
        except Exception as error:  # half-typed values may be anything
            _log.debug("%s cannot be estimated with these values: %s", request.tool, error)
            return None
        return self._estimate(tool, params)

    def _estimate_once(self, tool: type[api.Tool], params: api.Params) -> api.Estimate | None:
        last = self._last.get(tool.id)
        return last[1] if last is not None and last[0] == params else self._estimate(tool, params)

    def _estimate(self, tool: type[api.Tool], params: api.Params) -> api.Estimate | None:
        if self._device is None:
            return None
        estimate = None
        try:
            estimate = _check_estimate(tool().estimate(params, HostEstimateContext(self._home, self._device)))
        except BaseException as error:  # nothing that a plugin does may end this thread
            description = describe_exception(error)
            if self._logged_errors.get(tool.id) != description:
                _log.info("the estimate of %s failed", tool.id, exc_info=True)
            self._logged_errors[tool.id] = description
        self._last[tool.id] = params, estimate
        return estimate


def _check_estimate(estimate: api.Estimate | None) -> api.Estimate | None:
    """Return the estimate with plain numbers and short notes. Raises TypeError or ValueError where it has others."""
    if estimate is None:
        return None
    if not isinstance(estimate, api.Estimate):
        raise TypeError(f"an estimate must be an api.Estimate, and is {estimate!r}")
    work = float(estimate.work)
    if not math.isfinite(work):
        raise ValueError(f"the work is {work}")
    notes = {str(name): " ".join(str(note).split())[:MAX_NOTE_LENGTH] for name, note in estimate.notes.items()}
    if not isinstance(estimate.budget, api.TokenBudget | None):
        raise TypeError(f"a budget must be an api.TokenBudget, and is {estimate.budget!r}")
    memory, disk = max(0, int(estimate.memory)), max(0, int(estimate.disk))
    return api.Estimate(memory, max(0.0, work), str(estimate.rate), notes, estimate.budget, disk)


def _speed_key(device: Device) -> str:
    """Return a text that is equal for devices of equal speed."""
    return f"{device.kind} {device.title} {device.dtype}"
