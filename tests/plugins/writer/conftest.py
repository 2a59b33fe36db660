"""A folder of small texts, and tiny models that learnt from them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tqdm import tqdm

from plugins.writer.tools.train import WriterTrain
from studio import api, testing

TINY = {"size": "tiny", "vocabulary": 400, "context": 32, "batch": 4, "steps": 6, "preview_every": 3}
ANIMALS = ("fox", "owl", "hen", "goat", "cat", "dog", "bear", "mouse")


@pytest.fixture(scope="session", autouse=True)
def no_thread_for_bars() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tqdm, "monitor_interval", 0)
        yield


def told(animal: str, number: int) -> str:
    return f"Once there was a {animal}. The {animal} had {number} friends.\n\nThey lived in a wood, and were glad."


@pytest.fixture(scope="session")
def texts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("texts")
    lines = [{"title": f"The {animal}", "text": told(animal, n)} for n in range(2, 7) for animal in ANIMALS]
    (folder / "fairy-tales.jsonl").write_text("\n".join(map(json.dumps, lines)), encoding="utf-8")
    poems = [{"title": animal, "text": f"O {animal},\nmy {animal},\nsing to me."} for animal in ANIMALS]
    (folder / "poems.jsonl").write_text("\n".join(map(json.dumps, poems)), encoding="utf-8")
    (folder / "note.txt").write_text("A note about foxes and owls.", encoding="utf-8")
    return folder


def trained(texts: Path, folder: Path, **values: Any) -> Path:
    """The folder of a model that was trained by the tool."""
    ctx = testing.FakeContext(seed=3, folder=folder)
    (result,) = testing.results(testing.run(WriterTrain, ctx, **{**TINY, "folder": texts, **values}))
    assert isinstance(result, api.Trained)
    return result.folder


@pytest.fixture(scope="session")
def writer(texts: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return trained(texts, tmp_path_factory.mktemp("writer"))


@pytest.fixture(scope="session")
def guesser(texts: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return trained(texts, tmp_path_factory.mktemp("guesser"), kind="masked")
