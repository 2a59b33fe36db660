"""Estimates that a real worker gives while it runs other jobs."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from studio.core.errors import BadInput
from studio.core.messages import (
    Cancel,
    EstimateRequest,
    EstimateResult,
    FreeMemory,
    JobCancelled,
    JobFinished,
    JobNotice,
    JobProgress,
    MemoryFreed,
    WorkMeasured,
)
from studio.core.paths import Home
from studio.worker.devices import Device
from studio.worker.estimates import HostEstimateContext
from studio.worker.models.cache import ModelCache
from tests.worker.worker_client import Worker, filter_messages, write_plugin

PLUGIN = '''
import sys
import threading

estimated = threading.Event()

class Paint(api.Tool):
    """Knows what it takes."""

    id = "paint.do"
    title = "Paint"

    class Params(api.Params):
        prompt: api.Prompt = ""
        steps: api.Count = 4
        endless: bool = False
        gate: str = ""

    def run(self, params, ctx):
        while params.endless:
            yield api.Progress(1, 0)
        estimated.wait()
        yield api.Text("done")

    def estimate(self, params, ctx):
        if params.gate:
            open(params.gate).read()
        if params.prompt == "fail":
            raise ValueError("no idea")
        if params.prompt == "exit":
            sys.exit(3)
        if params.prompt == "nonsense":
            return api.Estimate(work=float("nan"))
        estimated.set()
        words = len(params.prompt.split())
        return api.Estimate(10 * params.steps, params.steps, "paint", {"prompt": f"{words} words on the {ctx.device}"})


class Measured(Paint):
    """Measures itself while it runs."""

    id = "paint.measured"
    title = "Measured"

    def run(self, params, ctx):
        yield api.WorkDone(0.25, 2.0)
        while params.endless:
            yield api.Progress(1, 0)
        yield api.Text("done")


class Silent(Paint):
    """Knows nothing."""

    id = "paint.nothing"
    title = "Nothing"

    estimate = api.Tool.estimate

    def run(self, params, ctx):
        yield api.Text("done")


class Slow(Paint):
    """Estimates slowly."""

    id = "paint.slow"
    title = "Slow"
    answered = False

    def estimate(self, params, ctx):
        sum(range(10_000_000))
        Slow.answered = True

    def run(self, params, ctx):
        yield api.Notice(f"answered: {Slow.answered}")
        yield api.Text("done")


@api.hookimpl
def studio_tools():
    return [Slow, Paint, Measured, Silent]
'''


def write_plugins(home: Home) -> None:
    write_plugin(home, "paint", PLUGIN)


def request(worker: Worker, id: str, tool: str = "paint.do", **values: object) -> None:
    worker.send(EstimateRequest(id, tool, values))


def test_an_estimate_arrives_while_a_job_runs(worker: Worker) -> None:
    job = worker.start("paint.do", endless=True)
    worker.wait_for(JobProgress)
    request(worker, "a", prompt="a red fox", steps=3)
    result = worker.wait_for(EstimateResult)
    assert (result.id, result.memory, result.work, result.rate) == ("a", 30, 3.0, "paint")
    assert result.notes == {"prompt": "3 words on the cpu"}
    assert result.device.startswith("cpu")
    worker.send(Cancel(job))
    assert filter_messages(worker.wait_for_end(job), JobCancelled)


@pytest.mark.parametrize(
    "values",
    [{"prompt": "fail"}, {"prompt": "exit"}, {"prompt": "nonsense"}, {"steps": "many"}, {"nobody": 1}],
)
def test_an_estimate_that_fails_is_empty(worker: Worker, values: dict[str, object]) -> None:
    worker.send(EstimateRequest("wrong", "paint.do", values))
    assert worker.wait_for(EstimateResult) == EstimateResult(id="wrong")
    request(worker, "right", prompt="fox")
    assert worker.wait_for(EstimateResult).work == 4


def test_a_tool_without_an_estimate_and_a_missing_tool_answer_too(worker: Worker) -> None:
    request(worker, "silent", "paint.nothing")
    assert worker.wait_for(EstimateResult) == EstimateResult(id="silent")
    request(worker, "missing", "paint.missing")
    assert worker.wait_for(EstimateResult) == EstimateResult(id="missing")


def test_work_that_a_tool_reports_is_timed_also_if_the_job_is_cancelled(worker: Worker) -> None:
    job = worker.start("paint.measured", steps=8)
    messages = worker.wait_for_end(job)
    (measured,) = filter_messages(messages, WorkMeasured)
    assert (measured.timing.rate, measured.timing.work, measured.timing.seconds) == ("paint", 2.0, 2.0)
    assert filter_messages(messages, JobFinished)[0].timing is None
    job = worker.start("paint.measured", steps=8, endless=True)
    worker.wait_for(JobProgress)
    worker.send(Cancel(job))
    messages = worker.wait_for_end(job)
    assert filter_messages(messages, JobCancelled)


@pytest.mark.skipif(os.name == "nt", reason="waits at a named pipe")
def test_a_newer_request_for_a_tool_replaces_the_waiting_one(worker: Worker, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    request(worker, "first", gate=str(gate))
    with gate.open("w"):  # opens once the first is being answered
        request(worker, "overtaken", steps=1)
        request(worker, "newest", steps=2)
        worker.send(FreeMemory())
        worker.wait_for(MemoryFreed)  # so the requests before it were read
    assert worker.wait_for(EstimateResult).id == "first"
    assert worker.wait_for(EstimateResult) == EstimateResult(
        id="newest",
        memory=20,
        work=2.0,
        rate="paint",
        notes={"prompt": "0 words on the cpu"},
        device=_find_device(worker),
    )


def test_a_finished_job_reports_its_timing(worker: Worker) -> None:
    (finished,) = filter_messages(worker.run("paint.do", steps=5), JobFinished)
    assert finished.timing is not None
    assert (finished.timing.rate, finished.timing.work) == ("paint", 5.0)
    assert finished.timing.seconds > 0
    assert finished.timing.device == _find_device(worker)


def test_a_draft_and_a_resumed_job_report_no_timing(worker: Worker, tmp_path: Path) -> None:
    worker.run("paint.do")  # after it no request waits
    (tmp_path / "tape").touch()
    for options in ({"draft": True}, {"checkpoint_dir": str(tmp_path)}):
        (finished,) = filter_messages(worker.run("paint.do", options=options), JobFinished)
        assert finished.timing is None
    (finished,) = filter_messages(worker.run("paint.nothing"), JobFinished)
    assert finished.timing is None


def test_nested_loading_time_is_counted_once() -> None:
    import time

    cache = ModelCache(lambda: (1, 1), lambda: None)
    began = time.monotonic()
    cache.load("outer", lambda: cache.load("inner", lambda: sum(range(10_000))))
    spent = cache.seconds_loading
    assert 0 < spent <= time.monotonic() - began
    cache.load("outer", lambda: pytest.fail("it is there"))
    assert cache.seconds_loading == spent


def _find_device(worker: Worker) -> str:
    (device,) = {
        message.device for message in worker.received if isinstance(message, EstimateResult) and message.device
    }
    return device


def test_a_downloaded_hub_model_is_its_folder(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_CACHE", str(home.root / "hub"))
    context = HostEstimateContext(home, Device("cpu", "float32", "2 cores"))
    assert context.model("org/name") == "org/name"
    (home.models / "org--name").mkdir()
    assert context.model("org/name") == home.models / "org--name"
    assert context.dtype.itemsize == 4
    with pytest.raises(BadInput, match="There is no starter model named nobody"):
        context.starter("nobody")


def test_a_job_begins_after_the_first_estimate_of_its_tool(worker: Worker) -> None:
    """Both may import the same library, which must not happen on two threads at once."""
    job = worker.start("paint.slow")
    (notice,) = filter_messages(worker.wait_for_end(job), JobNotice)
    assert notice.text == "answered: True"
