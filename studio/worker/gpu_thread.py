"""The GPU thread: imports plugins and runs jobs, one at a time."""

from __future__ import annotations

import logging
import os
import shutil
import threading
from collections.abc import Callable
from pathlib import Path
from queue import SimpleQueue

import psutil

from studio.core import settings
from studio.core.messages import JobFailed, MemoryFreed, Ready, RunJob
from studio.core.paths import Home
from studio.worker import devices
from studio.worker.devices import Device
from studio.worker.estimates import Estimator
from studio.worker.inspections import Inspector
from studio.worker.jobs import seeding
from studio.worker.jobs.context import JobSignals
from studio.worker.jobs.runner import JobRunner
from studio.worker.models.cache import ModelCache
from studio.worker.models.evicted_state import EvictedStates
from studio.worker.plugins import sources
from studio.worker.plugins.discovery import discover
from studio.worker.plugins.import_guard import ImportGuard
from studio.worker.stdio import Outbox

_log = logging.getLogger(__name__)

DEVICE_LOST = 71
"""Exit status after a fault of the device that only a new process recovers from."""


class GpuThread:
    """Does everything that may take long, in the order of the messages."""

    def __init__(self, outbox: Outbox, *, home: Home, device: str, import_guard: ImportGuard) -> None:
        self.device: Device | None = None
        """None until torch was asked."""
        self.estimator = Estimator(outbox, home)
        self.inspector = Inspector(outbox)
        self._outbox = outbox
        self._home = home
        self._wanted_device = device
        self._import_guard = import_guard
        self._scratch = home.root / "scratch"
        self._evicted_states = EvictedStates(self._scratch / f"{os.getpid()}-evicted")
        self._models = ModelCache(
            lambda: devices.read_memory(self._choose_device()),
            lambda: devices.release_memory(self.device),
            self._evicted_states,
        )
        self._runner = JobRunner(
            outbox,
            home=home,
            scratch=self._scratch,
            models=self._models,
            estimator=self.estimator,
            choose_device=self._choose_device,
        )
        self._signals: dict[str, JobSignals] = {}
        self._calls: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._serve, name="gpu", daemon=True)

    def start(self) -> None:
        self._calls.put(self._load_plugins)
        self._calls.put(self._warm_up)
        self._thread.start()

    def run(self, run: RunJob) -> None:
        self._signals[run.job] = signals = JobSignals()
        self._calls.put(lambda: self._run(run, signals))

    def cancel(self, job: str) -> None:
        """Cancel a job at its next cancel point. Does nothing if the job has ended."""
        if (signals := self._signals.get(job)) is not None:
            signals.cancel.set()

    def pause(self, job: str) -> None:
        if (signals := self._signals.get(job)) is not None:
            signals.pause.set()

    def reload(self) -> None:
        self._calls.put(self._reload)

    def free_memory(self) -> None:
        self._calls.put(self._free_memory)

    def stop(self) -> None:
        """Pause or cancel all jobs, and return when they have ended. Does not wait for imports."""
        if self._signals:
            for signals in list(self._signals.values()):
                signals.pause.set()
                signals.cancel.set()
            self._calls.put(None)
            self._thread.join()
        else:
            self._import_guard.release()
        self._evicted_states.forget_all()

    def _serve(self) -> None:
        _remove_stale(self._scratch)
        while (call := self._calls.get()) is not None:
            try:
                call()
            except BaseException:  # nothing that a plugin does may end this thread
                _log.exception("unexpected")

    def _run(self, run: RunJob, signals: JobSignals) -> None:
        outcome = self._runner.run(run, signals)
        self._outbox.send(outcome)
        del self._signals[run.job]
        if isinstance(outcome, JobFailed) and self.device is not None and not devices.is_usable(self.device.name):
            _log.error("the device %s is unusable after a fault: a new worker is needed", self.device.name)
            os._exit(DEVICE_LOST)

    def _load_plugins(self) -> None:
        disabled = settings.load(self._home.settings).disabled_plugins
        plugins = discover(sources.find_sources(self._home), disabled=disabled, guard=self._import_guard.guard)
        self._runner.plugins = plugins
        self.estimator.tools = self.inspector.tools = plugins.tools
        self._outbox.send(Ready(plugins.catalogue, devices.describe_device(self.device)))

    def _reload(self) -> None:
        self._runner.plugins.unload()
        self._models.forget()
        self._load_plugins()

    def _warm_up(self) -> None:
        """Import torch before the first job waits for it."""
        try:
            if self._choose_device().kind == "cpu":
                seeding.prefer_deterministic()
        finally:
            self.estimator.set_device(self.device)
        self._outbox.send(devices.build_heartbeat(self.device))

    def _choose_device(self) -> Device:
        if self.device is None:
            self.device = devices.choose(self._wanted_device)
            _log.info("the device is %s (%s)", self.device.name, self.device.title)
        return self.device

    def _free_memory(self) -> None:
        before = devices.read_used_memory(self.device)
        self._models.clear()
        self._outbox.send(MemoryFreed(max(0, before - devices.read_used_memory(self.device))))


def _remove_stale(parent: Path) -> None:
    """Remove the scratch folders of workers that were killed."""
    for folder in parent.glob("*-*"):
        owner = folder.name.partition("-")[0]
        if owner.isdecimal() and not psutil.pid_exists(int(owner)):
            shutil.rmtree(folder, ignore_errors=True)
