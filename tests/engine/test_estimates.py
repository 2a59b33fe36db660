"""Estimates of memory and time, and the rates that the engine learns from finished jobs."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from studio.core.descriptor import ToolDescriptor
from studio.core.errors import BadInput
from studio.core.job import JobState
from studio.core.messages import EstimateResult, JobProgress, JobTiming
from studio.engine import throughput
from studio.engine.interface import EstimateReady
from studio.engine.local_engine import LocalEngine
from studio.engine.recipe_builder import resolve_paths
from studio.engine.throughput import Rates
from studio.library.library import Library
from tests.engine.conftest import EngineFactory, RecordedEngine, make_recipe
from tests.fixtures.events import EventRecorder


def estimate(engine: LocalEngine, recorder: EventRecorder, values: Mapping[str, object] | None = None) -> EstimateReady:
    id = engine.estimate("fake.paint", values or {})
    return recorder.wait_for(EstimateReady, lambda event: event.id == id)


def run(engine: LocalEngine, recorder: EventRecorder, *steps: str) -> None:
    (job,) = engine.submit(make_recipe(*steps))
    recorder.wait_for_state(job, JobState.DONE)


def test_the_time_is_estimated_from_finished_jobs(ready_engine: RecordedEngine, make_engine: EngineFactory) -> None:
    engine, recorder = ready_engine
    first = estimate(engine, recorder)
    assert (first.memory, first.seconds) == (7, None)
    run(engine, recorder, "timing 2 10")
    assert estimate(engine, recorder).seconds == 20
    run(engine, recorder, "timing 2 20")
    assert estimate(engine, recorder).seconds == 30
    engine, recorder = make_engine()
    engine.start()
    recorder.wait_until_ready()
    assert estimate(engine, recorder).seconds == 30


def test_a_job_that_is_cancelled_leaves_the_time_of_its_steps(ready_engine: RecordedEngine) -> None:
    engine, recorder = ready_engine
    (job,) = engine.submit(make_recipe("measured 2 10", "wait"))
    recorder.wait_for_state(job, JobState.RUNNING)
    recorder.wait_for(JobProgress, lambda event: event.job == job.id)
    engine.cancel(job.id)
    recorder.wait_for_state(job, JobState.CANCELLED)
    assert estimate(engine, recorder).seconds == 20


def test_an_estimate_starts_no_worker(make_engine: EngineFactory) -> None:
    engine, recorder = make_engine()
    unanswered = engine.estimate("fake.paint", {})
    engine.start()
    recorder.wait_until_ready()
    assert estimate(engine, recorder).memory == 7
    assert unanswered not in [event.id for event in recorder.events if isinstance(event, EstimateReady)]


def test_a_wrong_value_gives_an_empty_estimate(ready_engine: RecordedEngine) -> None:
    engine, recorder = ready_engine
    answer = estimate(engine, recorder, {"colour": "red"})
    assert answer == EstimateReady(answer.id)


def test_files_are_found_in_place_and_nothing_is_imported(library: Library, tmp_path: Path) -> None:
    picture = {"type": "string", "studio": {"widget": "image"}}
    tool = ToolDescriptor(
        id="a.b",
        title="B",
        plugin="a",
        schema={
            "properties": {"image": picture, "images": {"type": "array", "items": picture, "default": []}},
            "required": ["image"],
        },
    )
    path = tmp_path / "sea.png"
    known = tmp_path / "known.txt"
    known.write_text("some words")
    creation = library.import_file(known)
    paths = resolve_paths(tool, {"image": str(path), "images": [f"sha256:{creation.id}", creation.id[:12]]}, library)
    assert paths == {"image": str(path), "images": [creation.path, creation.path]}
    with pytest.raises(BadInput, match="Image is missing"):
        resolve_paths(tool, {}, library)


def test_rates_are_stored_by_device_and_the_oldest_are_dropped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(throughput, "MAX_RATES", 2)
    rates = Rates(tmp_path / "rates.json")

    def record(rate: str, seconds: float, device: str = "cpu") -> None:
        rates.record(JobTiming(rate=rate, work=2.0, seconds=seconds, device=device))

    def seconds_of(rate: str, device: str = "cpu") -> float | None:
        return rates.add_seconds(EstimateResult(id="e", work=4.0, rate=rate, device=device)).seconds

    record("a", 1.0)
    record("a", 8.0, "gpu")
    assert (seconds_of("a"), seconds_of("a", "gpu"), seconds_of("b")) == (2.0, 16.0, None)
    record("b", 1.0)
    record("a", 1.0)
    record("c", 1.0)
    assert (seconds_of("a"), seconds_of("b"), seconds_of("c")) == (2.0, None, 2.0)
    record("a", float("inf"))
    assert seconds_of("a") == 2.0
    (tmp_path / "rates.json").write_text("{damaged")
    assert seconds_of("a") is None
    record("a", 3.0)
    assert seconds_of("a") == 6.0
