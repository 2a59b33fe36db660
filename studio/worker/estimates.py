"""What jobs will take, told on a thread of its own, so that the window hears it while another job runs."""

from __future__ import annotations

import logging
import math
import threading
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from studio import api
from studio.core.messages import EstimateRequest, EstimateResult, JobTiming
from studio.core.paths import Home
from studio.library.models import hub_cache
from studio.worker.devices import Device
from studio.worker.jobs import context
from studio.worker.jobs.errors import validated
from studio.worker.stdio import Outbox

if TYPE_CHECKING:
    import torch

_log = logging.getLogger(__name__)

LONGEST_NOTE = 80
_LATE = 0.2
"""Seconds that the end of a job waits for its estimate; only a job that is shorter than that notices."""


@dataclass(frozen=True)
class Surroundings:
    """Implements `api.EstimateContext`. Nothing that is looked up here comes into a recipe."""

    home: Home
    on: Device

    @property
    def device(self) -> str:
        return self.on.name

    @property
    def dtype(self) -> torch.dtype:
        return self.on.torch_dtype

    def starter(self, name: str) -> Path:
        return context.starter(name)

    def model(self, choice: str) -> Path | str:
        found = context.model(self.home, choice)
        return found if isinstance(found, Path) else hub_cache.downloaded(self.home, found) or found


class Estimates:
    """One question at a time. Of each tool only the newest waits; one that was overtaken is not answered."""

    def __init__(self, outbox: Outbox, home: Home) -> None:
        self.tools: dict[str, type[api.Tool]] = {}
        """Those that were found last."""
        self._outbox = outbox
        self._home = home
        self._device: Device | None = None
        self._ready = threading.Event()
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="estimates")
        self._lock = threading.Lock()
        self._newest: dict[str, EstimateRequest] = {}
        self._last: dict[str, tuple[api.Params, api.Estimate | None]] = {}
        self._complaints: dict[str, str] = {}

    def ready(self, device: Device | None) -> None:
        """The device is known, or it is known that there is none; before that nothing is answered."""
        self._device = device
        self._ready.set()

    def ask(self, ask: EstimateRequest) -> None:
        """`EstimateResult` follows. Returns at once."""
        with self._lock:
            waits = ask.tool in self._newest
            self._newest[ask.tool] = ask
        if not waits:
            self._thread.submit(self._answer, ask.tool)

    def of_job(self, tool: type[api.Tool], params: api.Params) -> Future[api.Estimate | None]:
        """What a job that begins now will take, known soon; a tool that was just asked that is not asked again."""
        return self._thread.submit(self._remembered, tool, params)

    def measured(self, found: Future[api.Estimate | None], seconds: float) -> JobTiming | None:
        """What the end of a job teaches; None where its tool told nothing of its work."""
        try:
            estimate = found.result(_LATE)
        except TimeoutError:
            return None
        if estimate is None or not estimate.rate or estimate.work <= 0 or self._device is None:
            return None
        return JobTiming(rate=estimate.rate, work=estimate.work, seconds=seconds, device=_key(self._device))

    def _answer(self, name: str) -> None:
        self._ready.wait()
        with self._lock:
            ask = self._newest.pop(name)
        found = self._asked(ask)
        if found is None or self._device is None:
            self._outbox.send(EstimateResult(id=ask.id))
            return
        self._outbox.send(
            EstimateResult(
                id=ask.id,
                memory=found.memory,
                work=found.work,
                rate=found.rate,
                notes=dict(found.notes),
                budget=found.budget,
                device=_key(self._device),
            )
        )

    def _asked(self, ask: EstimateRequest) -> api.Estimate | None:
        tool = self.tools.get(ask.tool)
        if tool is None:
            return None
        try:
            params = validated(tool, ask.values)
        except Exception as error:  # what is half typed may be anything
            _log.debug("%s was asked with values that do not fit: %s", ask.tool, error)
            return None
        return self._estimate(tool, params)

    def _remembered(self, tool: type[api.Tool], params: api.Params) -> api.Estimate | None:
        last = self._last.get(tool.id)
        return last[1] if last is not None and last[0] == params else self._estimate(tool, params)

    def _estimate(self, tool: type[api.Tool], params: api.Params) -> api.Estimate | None:
        if self._device is None:
            return None
        found = None
        try:
            found = _checked(tool().estimate(params, Surroundings(self._home, self._device)))
        except BaseException as error:  # nothing that a plugin does may end this thread
            said = f"{type(error).__name__}: {error}"
            if self._complaints.get(tool.id) != said:
                _log.info("%s could not tell what it would take", tool.id, exc_info=True)
            self._complaints[tool.id] = said
        self._last[tool.id] = params, found
        return found


def _checked(found: api.Estimate | None) -> api.Estimate | None:
    """With numbers that are numbers, and notes that are short. Raises TypeError or ValueError for others."""
    if found is None:
        return None
    if not isinstance(found, api.Estimate):
        raise TypeError(f"an estimate must be an api.Estimate, and is {found!r}")
    work = float(found.work)
    if not math.isfinite(work):
        raise ValueError(f"the work is {work}")
    notes = {str(name): " ".join(str(note).split())[:LONGEST_NOTE] for name, note in found.notes.items()}
    if not isinstance(found.budget, api.TokenBudget | None):
        raise TypeError(f"a budget must be an api.TokenBudget, and is {found.budget!r}")
    return api.Estimate(max(0, int(found.memory)), max(0.0, work), str(found.rate), notes, found.budget)


def _key(device: Device) -> str:
    """Equal for devices that are equally fast."""
    return f"{device.kind} {device.title} {device.dtype}"
