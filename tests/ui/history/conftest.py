"""A small real library: an imported picture, a styled one, an animation and a text."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image
from pytestqt.qtbot import QtBot

from studio.core.paths import Home
from studio.core.recipe import REFERENCE, PluginRef, Recipe
from studio.library.creation import Creation
from studio.library.library import Library
from studio.library.storage import writer
from studio.state.library.history_model import HistoryModel
from tests.ui.history.sample_library import SampleLibrary


@pytest.fixture
def library(home: Home) -> Iterator[Library]:
    library = Library(home)
    library.open()
    yield library
    library.close()


def recipe(tool: str, prompt: str, second: int, seed: int = 7, parents: tuple[str, ...] = ()) -> Recipe:
    return Recipe(
        tool=tool,
        plugin=PluginRef(tool.partition(".")[0]),
        params={"prompt": prompt},
        seed=seed,
        inputs={"image": REFERENCE + parents[0]} if parents else {},
        parents=list(parents),
        created=f"2026-01-02T03:04:{second:02d}.000Z",
    )


def make(library: Library, colour: tuple[int, int, int], recipe: Recipe) -> Creation:
    return library.add(writer.save_image(library.home, Image.new("RGB", (48, 32), colour), recipe))


@pytest.fixture
def sample(library: Library, tmp_path: Path) -> SampleLibrary:
    """The creations, newest first: tale, morph, painted, photo."""
    home = library.home
    photo = make(library, (200, 30, 30), recipe("import.photo", "coffee", 1))
    painted = make(library, (30, 200, 30), recipe("style.transfer", "Impressionist", 2, 41882, (photo.id,)))
    frames = [Image.new("RGB", (48, 32), (10 * n, 0, 0)) for n in range(4)]
    morphed = recipe("vae.morph", "Morph", 3, parents=(painted.id,))
    morph = library.add(writer.save_animation(home, frames, morphed, fps=10, loop=True, format="gif"))
    tale = library.add(
        writer.save_text(home, "Once upon a time.", recipe("writer.story", "fox", 4), title="The lantern fox")
    )
    return SampleLibrary(library, photo, painted, morph, tale)


@pytest.fixture
def model(sample: SampleLibrary, qtbot: QtBot) -> Iterator[HistoryModel]:
    model = HistoryModel(sample.library)
    yield model
    model.close()


@pytest.fixture
def searched(model: HistoryModel, qtbot: QtBot) -> HistoryModel:
    """The history model after its first search."""
    with qtbot.waitSignal(model.searched):
        model.search()
    return model
