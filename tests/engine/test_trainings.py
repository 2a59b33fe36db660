"""Each kind of training with the real worker: from a folder with broken files, killed, finished early, used at once."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from PIL import Image
from safetensors.numpy import load_file

from studio.core.job import Job, JobState
from studio.core.paths import Home
from studio.core.settings import Settings
from studio.core.training_record import TrainingChanges, of_model
from studio.engine.interface import Created, JobChanged
from studio.engine.local_engine import LocalEngine
from studio.engine.recipe_builder import build_recipe
from studio.library.creation import Creation
from studio.library.library import Library
from tests.fixtures.events import EventRecorder

pytestmark = pytest.mark.skipif(os.name == "nt", reason="kills with signals of POSIX")
STEPS = 12
KINDS: dict[str, tuple[str, dict[str, Any]]] = {
    "autoencoder": ("vae.train", {"size": 64, "width": "tiny", "batch": 2, "kind": "spatial"}),
    "style from an effect": ("style.train", {"network": "tiny", "size": 64, "batch": 1, "kind": "effect"}),
    "lora": ("diffusion.train", {"kind": "lora", "size": 64, "batch": 1, "rank": 2, "prompts": ["a fox"]}),
    "writer": ("writer.train", {"kind": "new", "size": "tiny", "batch": 2, "context": 32, "vocabulary": 300}),
}


@pytest.fixture
def data(tmp_path: Path) -> dict[str, Path]:
    """Folders of pictures and of texts, each with files that cannot be read."""
    pictures, texts = tmp_path / "pictures", tmp_path / "texts"
    pictures.mkdir()
    texts.mkdir()
    random = np.random.default_rng(3)
    for number in range(20):
        pixels = random.integers(0, 255, (6, 8, 3), np.uint8).repeat(12, 0).repeat(12, 1)
        Image.fromarray(pixels).save(pictures / f"fox {number}.png")
        (texts / f"tale {number}.txt").write_text(f"Fox number {number} sat by the river and looked.\n" * 40, "utf-8")
    (pictures / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n broken")
    (pictures / "empty.jpg").write_bytes(b"")
    (texts / "broken.txt").write_bytes(bytes(range(256)) * 8)
    return {"pictures": pictures, "texts": texts}


@pytest.fixture
def studio(tmp_path: Path) -> Iterator[tuple[LocalEngine, Library, EventRecorder]]:
    library = Library(Home(tmp_path / "home"))
    library.open()
    engine, recorder = LocalEngine(library.home, library, Settings(device="cpu")), EventRecorder()
    engine.subscribe(recorder)
    engine.start()
    recorder.wait_until_ready()
    yield engine, library, recorder
    engine.close(at_once=True)
    library.close()


def submit(engine: LocalEngine, library: Library, kind: str, data: dict[str, Path], **more: Any) -> Job:
    tool, values = KINDS[kind]
    folder = data["texts" if tool == "writer.train" else "pictures"]
    values = {"folder": str(folder), "title": kind, "steps": STEPS, "preview_every": 6, **values, **more}
    (job,) = engine.submit(build_recipe(engine.catalogue.tools[tool], values, 7, library))
    return job


def finish(recorder: EventRecorder, job: Job) -> Creation:
    """Wait for the end of a training and return its model."""
    ended = recorder.wait_for(JobChanged, lambda event: event.job.id == job.id and event.job.state.ended).job
    assert ended.state is JobState.DONE, ended.failure
    return next(event.creation for event in recorder.events[::-1] if isinstance(event, Created))


def weights_of(model: Creation) -> dict[str, np.ndarray]:
    folder = Path(model.path)
    files = sorted(file for file in folder.rglob("*.safetensors"))
    return {f"{file.relative_to(folder)}:{name}": value for file in files for name, value in load_file(file).items()}


@pytest.mark.parametrize("kind", KINDS)
def test_a_training_survives_a_kill_and_its_record_stays(
    kind: str, studio: tuple[LocalEngine, Library, EventRecorder], data: dict[str, Path]
) -> None:
    engine, library, recorder = studio
    whole = finish(recorder, submit(engine, library, kind, data))
    killed = submit(engine, library, kind, data)
    record = engine.training_record(killed.id)
    wait_for(lambda: any(point.step >= 5 for point in record.read_measures()))
    kill_training_worker()
    recorder.wait_for_state(killed, JobState.FAILED)
    engine.resume(killed.id)
    again = finish(recorder, killed)
    expected, found = weights_of(whole), weights_of(again)
    assert expected.keys() == found.keys()
    assert all(np.array_equal(value, found[name]) for name, value in expected.items())
    steps = [point.step for point in of_model(Path(again.path)).read_measures() if "loss" in point.values]
    assert steps == [*range(1, STEPS + 1)]
    assert of_model(Path(again.path)).read_previews()[-1].step == STEPS


@pytest.mark.parametrize("kind", ["autoencoder", "lora"])
def test_a_training_is_finished_early_and_keeps_an_intermediate_model(
    kind: str, studio: tuple[LocalEngine, Library, EventRecorder], data: dict[str, Path]
) -> None:
    engine, library, recorder = studio
    job = submit(engine, library, kind, data, steps=5000, preview_every=1000, keep_every=3)
    record = engine.training_record(job.id)
    wait_for(lambda: any(point.step >= 4 for point in record.read_measures()))
    record.write_changes(TrainingChanges(finish=True))
    model = finish(recorder, job)
    titles = [event.creation.title for event in recorder.events if isinstance(event, Created)]
    assert titles[0] == f"{kind} (step 3)"
    assert titles[-1] == kind
    assert 4 <= max(point.step for point in of_model(Path(model.path)).read_measures()) < 5000


def wait_for(is_done: Any, seconds: float = 120) -> None:
    end = time.monotonic() + seconds
    while not is_done():
        assert time.monotonic() < end, "the training does not get there"
        time.sleep(0.02)


def kill_training_worker() -> None:
    """Kill the worker of the training lane, as the system does when memory is short."""
    for child in psutil.Process().children(recursive=True):
        command = child.cmdline()
        if "studio.worker" in command and command[command.index("--lane") + 1] == "training":
            child.send_signal(signal.SIGKILL)
