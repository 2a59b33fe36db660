"""What a job would take, told by a real worker while it does something else."""

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
    JobProgress,
    MemoryFreed,
)
from studio.core.paths import Home
from studio.worker.devices import Device
from studio.worker.estimates import HostEstimateContext
from studio.worker.models.cache import ModelCache
from tests.worker.worker_client import Worker, of, write_plugin

TELL = '''
import sys
import threading

asked = threading.Event()

class Tell(api.Tool):
    """Knows what it takes."""

    id = "tell.do"
    title = "Tell"

    class Params(api.Params):
        prompt: api.Prompt = ""
        steps: api.Count = 4
        endless: bool = False
        gate: str = ""

    def run(self, params, ctx):
        while params.endless:
            yield api.Progress(1, 0)
        asked.wait()
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
        asked.set()
        words = len(params.prompt.split())
        return api.Estimate(10 * params.steps, params.steps, "tell", {"prompt": f"{words} words on the {ctx.device}"})


class Silent(Tell):
    """Knows nothing."""

    id = "tell.nothing"
    title = "Nothing"

    estimate = api.Tool.estimate

    def run(self, params, ctx):
        yield api.Text("done")


@api.hookimpl
def studio_tools():
    return [Tell, Silent]
'''


def plugins(home: Home) -> None:
    write_plugin(home, "tell", TELL)


def ask(worker: Worker, id: str, tool: str = "tell.do", **values: object) -> None:
    worker.tell(EstimateRequest(id, tool, values))


def test_it_is_told_while_a_job_runs(shared: Worker) -> None:
    job = shared.start("tell.do", endless=True)
    shared.hear(JobProgress)
    ask(shared, "a", prompt="a red fox", steps=3)
    told = shared.hear(EstimateResult)
    assert (told.id, told.memory, told.work, told.rate) == ("a", 30, 3.0, "tell")
    assert told.notes == {"prompt": "3 words on the cpu"}
    assert told.device.startswith("cpu")
    shared.tell(Cancel(job))
    assert of(shared.end(job), JobCancelled)


@pytest.mark.parametrize(
    "values",
    [{"prompt": "fail"}, {"prompt": "exit"}, {"prompt": "nonsense"}, {"steps": "many"}, {"nobody": 1}],
)
def test_what_goes_wrong_is_an_empty_answer(shared: Worker, values: dict[str, object]) -> None:
    shared.tell(EstimateRequest("wrong", "tell.do", values))
    assert shared.hear(EstimateResult) == EstimateResult(id="wrong")
    ask(shared, "right", prompt="fox")
    assert shared.hear(EstimateResult).work == 4


def test_tools_that_tell_nothing_or_are_not_there_answer_too(shared: Worker) -> None:
    ask(shared, "silent", "tell.nothing")
    assert shared.hear(EstimateResult) == EstimateResult(id="silent")
    ask(shared, "missing", "tell.missing")
    assert shared.hear(EstimateResult) == EstimateResult(id="missing")


@pytest.mark.skipif(os.name == "nt", reason="waits at a named pipe")
def test_of_one_tool_only_the_newest_question_waits(shared: Worker, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    ask(shared, "first", gate=str(gate))
    with gate.open("w"):  # opens once the first is being answered
        ask(shared, "overtaken", steps=1)
        ask(shared, "newest", steps=2)
        shared.tell(FreeMemory())
        shared.hear(MemoryFreed)  # so the questions before it were read
    assert shared.hear(EstimateResult).id == "first"
    assert shared.hear(EstimateResult) == EstimateResult(
        id="newest", memory=20, work=2.0, rate="tell", notes={"prompt": "0 words on the cpu"}, device=_device(shared)
    )


def test_a_job_tells_how_long_its_work_took(shared: Worker) -> None:
    (finished,) = of(shared.run("tell.do", steps=5), JobFinished)
    assert finished.timing is not None
    assert (finished.timing.rate, finished.timing.work) == ("tell", 5.0)
    assert finished.timing.seconds > 0
    assert finished.timing.device == _device(shared)


def test_a_draft_and_what_goes_on_after_a_pause_teach_nothing(shared: Worker, tmp_path: Path) -> None:
    shared.run("tell.do")  # from here on `run` waits for no question
    (tmp_path / "tape").touch()
    for more in ({"draft": True}, {"checkpoint_dir": str(tmp_path)}):
        (finished,) = of(shared.run("tell.do", more=more), JobFinished)
        assert finished.timing is None
    (finished,) = of(shared.run("tell.nothing"), JobFinished)
    assert finished.timing is None


def test_what_was_spent_loading_is_counted_once() -> None:
    import time

    cache = ModelCache(lambda: (1, 1), lambda: None)
    began = time.monotonic()
    cache.load("outer", lambda: cache.load("inner", lambda: sum(range(10_000))))
    spent = cache.seconds_loading
    assert 0 < spent <= time.monotonic() - began
    cache.load("outer", lambda: pytest.fail("it is there"))
    assert cache.seconds_loading == spent


def _device(worker: Worker) -> str:
    (told,) = {message.device for message in worker.said if isinstance(message, EstimateResult) and message.device}
    return told


def test_a_model_of_the_hub_is_where_it_was_fetched_to(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_CACHE", str(home.root / "hub"))
    around = HostEstimateContext(home, Device("cpu", "float32", "2 cores"))
    assert around.model("org/name") == "org/name"
    (home.models / "org--name").mkdir()
    assert around.model("org/name") == home.models / "org--name"
    assert around.dtype.itemsize == 4
    with pytest.raises(BadInput, match="There is no starter model named nobody"):
        around.starter("nobody")
