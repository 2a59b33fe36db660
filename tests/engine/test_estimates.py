"""What a job would take, and how the engine learns how long work takes."""

from __future__ import annotations

import pytest

from studio.core.descriptor import ToolDescriptor
from studio.core.errors import BadInput
from studio.core.job import JobState
from studio.core.messages import EstimateResult, JobTiming
from studio.engine import throughput
from studio.engine.interface import EstimateReady
from studio.engine.recipe_builder import resolve_paths
from studio.engine.throughput import Rates
from tests.engine.conftest import recipe


def told(engine, recorder, values=None):
    id = engine.estimate("fake.paint", values or {})
    return recorder.wait_for(EstimateReady, lambda event: event.id == id)


def done(engine, recorder, *do):
    (job,) = engine.submit(recipe(*do))
    recorder.wait_for_state(job, JobState.DONE)


def test_the_time_is_known_once_a_job_was_done(started, make_engine):
    engine, recorder = started
    first = told(engine, recorder)
    assert (first.memory, first.seconds) == (7, None)
    done(engine, recorder, "took 2 10")
    assert told(engine, recorder).seconds == 20
    done(engine, recorder, "took 2 20")
    assert told(engine, recorder).seconds == 30
    engine, recorder = make_engine()
    engine.start()
    recorder.wait_until_ready()
    assert told(engine, recorder).seconds == 30


def test_no_worker_is_started_for_it(make_engine):
    engine, recorder = make_engine()
    lost = engine.estimate("fake.paint", {})
    engine.start()
    recorder.wait_until_ready()
    assert told(engine, recorder).memory == 7
    assert lost not in [event.id for event in recorder.events if isinstance(event, EstimateReady)]


def test_a_value_that_is_wrong_gives_an_empty_answer(started):
    engine, recorder = started
    answer = told(engine, recorder, {"colour": "red"})
    assert answer == EstimateReady(answer.id)


def test_files_are_found_where_they_lie_and_nothing_is_adopted(library, tmp_path):
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
    found = resolve_paths(tool, {"image": str(path), "images": [f"sha256:{creation.id}", creation.id[:12]]}, library)
    assert found == {"image": str(path), "images": [creation.path, creation.path]}
    with pytest.raises(BadInput, match="Picture is missing"):
        resolve_paths(tool, {}, library)


def test_rates_are_kept_apart_by_device_and_the_oldest_go(tmp_path, monkeypatch):
    monkeypatch.setattr(throughput, "MAX_RATES", 2)
    learnt = Rates(tmp_path / "rates.json")

    def learn(rate, seconds, device="cpu"):
        learnt.record(JobTiming(rate=rate, work=2.0, seconds=seconds, device=device))

    def seconds(rate, device="cpu"):
        return learnt.add_seconds(EstimateResult(id="e", work=4.0, rate=rate, device=device)).seconds

    learn("a", 1.0)
    learn("a", 8.0, "gpu")
    assert (seconds("a"), seconds("a", "gpu"), seconds("b")) == (2.0, 16.0, None)
    learn("b", 1.0)
    learn("a", 1.0)
    learn("c", 1.0)
    assert (seconds("a"), seconds("b"), seconds("c")) == (2.0, None, 2.0)
    learn("a", float("inf"))
    assert seconds("a") == 2.0
    (tmp_path / "rates.json").write_text("{damaged")
    assert seconds("a") is None
    learn("a", 3.0)
    assert seconds("a") == 6.0
