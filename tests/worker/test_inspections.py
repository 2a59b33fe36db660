"""Inspections of training data that a real worker makes while it runs other jobs."""

from __future__ import annotations

from studio.core.messages import CancelInspection, InspectionProgress, InspectionResult, InspectRequest
from studio.core.paths import Home
from tests.worker.worker_client import Worker, write_plugin

PLUGIN = '''
import time
from studio.api import data_report

class Learn(api.Tool):
    """Learns."""

    id = "learn.do"
    title = "Learn"
    output = "text"

    class Params(api.Params):
        mode: str = ""

    def run(self, params, ctx):
        yield api.Text("done")

    def inspect_data(self, params, ctx):
        if params.mode == "fail":
            raise ValueError("no idea")
        if params.mode == "refuse":
            raise api.BadInput("There is no folder.", "Check the path.")
        if params.mode == "nonsense":
            return 3
        while params.mode == "endless":
            ctx.report_progress(1, 2)
        return data_report.DataReport(advice=params.mode)


@api.hookimpl
def studio_tools():
    return [Learn]
'''


def write_plugins(home: Home) -> None:
    write_plugin(home, "learn", PLUGIN)


def test_a_report_arrives(worker: Worker) -> None:
    worker.send(InspectRequest("a", "learn.do", {"mode": "much"}))
    result = worker.wait_for(InspectionResult)
    assert result.id == "a"
    assert result.report is not None
    assert result.report.advice == "much"


def test_what_goes_wrong_is_a_sentence(worker: Worker) -> None:
    for mode, sentence in (
        ("fail", "The data could not be checked: "),
        ("refuse", "There is no folder. Check the path."),
        ("nonsense", "The data could not be checked: "),
    ):
        worker.send(InspectRequest(mode, "learn.do", {"mode": mode}))
        result = worker.wait_for(InspectionResult)
        assert result.report is None
        assert result.sentence.startswith(sentence)


def test_a_cancelled_or_replaced_inspection_ends_without_an_answer(worker: Worker) -> None:
    worker.send(InspectRequest("first", "learn.do", {"mode": "endless"}))
    assert worker.wait_for(InspectionProgress) == InspectionProgress("first", 1, 2)
    worker.send(InspectRequest("second", "learn.do", {"mode": "endless"}))
    while worker.wait_for(InspectionProgress).id != "second":
        pass
    worker.send(CancelInspection("second"))
    worker.send(InspectRequest("third", "learn.do", {}))
    assert worker.wait_for(InspectionResult).id == "third"
