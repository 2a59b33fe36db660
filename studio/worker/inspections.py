"""Inspections of training data, made on a thread of their own beside the jobs."""

from __future__ import annotations

import logging
import threading
import time
from concurrent.futures import ThreadPoolExecutor

from studio import api
from studio.core.data_report import DataReport
from studio.core.errors import Cancelled, StudioError, describe_exception
from studio.core.messages import InspectionProgress, InspectionResult, InspectRequest
from studio.worker.jobs.errors import validate_params
from studio.worker.stdio import Outbox

_log = logging.getLogger(__name__)
PROGRESS_SECONDS = 0.1
"""Seconds between two messages about the progress."""


class Inspector:
    """Runs one inspection at a time. A new request ends the one before it."""

    def __init__(self, outbox: Outbox) -> None:
        self.tools: dict[str, type[api.Tool]] = {}
        self._outbox = outbox
        self._executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix="inspections")
        self._lock = threading.Lock()
        self._newest = ""

    def request(self, request: InspectRequest) -> None:
        """Return at once; `InspectionProgress` and `InspectionResult` follow."""
        with self._lock:
            self._newest = request.id
        self._executor.submit(self._answer, request)

    def cancel(self, id: str) -> None:
        with self._lock:
            if self._newest == id:
                self._newest = ""

    def is_wanted(self, id: str) -> bool:
        with self._lock:
            return self._newest == id

    def _answer(self, request: InspectRequest) -> None:
        if not self.is_wanted(request.id):
            return
        try:
            result = InspectionResult(id=request.id, report=self._inspect(request))
        except Cancelled:
            return
        except StudioError as error:
            result = InspectionResult(id=request.id, sentence=str(error))
        except BaseException as error:  # nothing that a plugin does may end this thread
            _log.exception("the inspection of the data of %s failed", request.tool)
            sentence = f"The data could not be checked: {describe_exception(error)}."
            result = InspectionResult(id=request.id, sentence=sentence)
        if result.report is None and not result.sentence:
            result = InspectionResult(id=request.id, sentence="This tool has no data to check.")
        self._outbox.send(result)

    def _inspect(self, request: InspectRequest) -> DataReport | None:
        tool = self.tools[request.tool]
        params = validate_params(tool, request.values)
        report = tool().inspect_data(params, _Inspection(self, self._outbox, request.id))
        if not isinstance(report, DataReport | None):
            raise TypeError(f"a report must be an api.data_report.DataReport, and is {type(report).__name__}")
        return report


class _Inspection:
    """Implements `api.data_report.InspectionContext`."""

    def __init__(self, inspector: Inspector, outbox: Outbox, id: str) -> None:
        self._inspector, self._outbox, self._id = inspector, outbox, id
        self._reported = 0.0

    def report_progress(self, done: int, total: int) -> None:
        if not self._inspector.is_wanted(self._id):
            raise Cancelled
        now = time.monotonic()
        if now - self._reported >= PROGRESS_SECONDS:
            self._reported = now
            self._outbox.send(InspectionProgress(self._id, done, total))
