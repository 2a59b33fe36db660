"""A folder of small texts, tiny models trained on them, and helpers that run a tool."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from tqdm import tqdm

from plugins.writer.generation.template_renderer import renderer
from plugins.writer.tools.train import WriterTrain
from studio import api, testing

TINY = {"size": "tiny", "vocabulary": 400, "context": 32, "batch": 4, "steps": 6, "preview_every": 3}
ANIMALS = ("fox", "owl", "hen", "goat", "cat", "dog", "bear", "mouse")


@pytest.fixture(scope="session", autouse=True)
def no_progress_bar_thread() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tqdm, "monitor_interval", 0)
        yield


@pytest.fixture(autouse=True)
def no_template_process() -> Iterator[None]:
    """End the process that applies chat templates, which belongs to a worker."""
    yield
    renderer.close()


def tale_about(animal: str, number: int) -> str:
    return f"Once there was a {animal}. The {animal} had {number} friends.\n\nThey lived in a wood, and were glad."


@pytest.fixture(scope="session")
def texts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with 40 tales, 8 poems and a note."""
    folder = tmp_path_factory.mktemp("texts")
    lines = [{"title": f"The {animal}", "text": tale_about(animal, n)} for n in range(2, 7) for animal in ANIMALS]
    (folder / "fairy-tales.jsonl").write_text("\n".join(map(json.dumps, lines)), encoding="utf-8")
    poems = [{"title": animal, "text": f"O {animal},\nmy {animal},\nsing to me."} for animal in ANIMALS]
    (folder / "poems.jsonl").write_text("\n".join(map(json.dumps, poems)), encoding="utf-8")
    (folder / "note.txt").write_text("A note about foxes and owls.", encoding="utf-8")
    return folder


def run_text(tool: type[api.Tool], ctx: testing.FakeContext | None = None, /, **values: object) -> api.Text:
    """Run a tool and return its text."""
    text = testing.results(testing.run(tool, ctx, **values))[-1]
    assert isinstance(text, api.Text)
    return text


def run_estimate(tool: type[api.Tool], /, **values: object) -> api.Estimate:
    """Return the estimate of a tool, which must give one."""
    estimate = testing.estimate(tool, None, **values)
    assert estimate is not None
    return estimate


def run_budget(tool: type[api.Tool], /, **values: object) -> api.TokenBudget:
    """Return the token budget of a tool, which must give one."""
    budget = run_estimate(tool, **values).budget
    assert budget is not None
    return budget


def train_model(texts: Path, folder: Path, **values: object) -> Path:
    """Train a tiny model with the tool and return its folder."""
    ctx = testing.FakeContext(seed=3, folder=folder)
    return run_training(ctx, folder=texts, **values).folder


def run_training(ctx: testing.FakeContext, /, **values: object) -> api.Trained:
    """Train a tiny model with the tool."""
    (result,) = testing.results(testing.run(WriterTrain, ctx, **{**TINY, **values}))
    assert isinstance(result, api.Trained)
    return result


@pytest.fixture(scope="session")
def causal_model(texts: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train_model(texts, tmp_path_factory.mktemp("causal"))


@pytest.fixture(scope="session")
def masked_model(texts: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train_model(texts, tmp_path_factory.mktemp("masked"), kind="masked")
