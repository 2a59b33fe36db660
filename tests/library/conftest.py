from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from studio.core.paths import Home
from studio.library.creation import Creation
from studio.library.library import Library
from studio.library.storage import writer
from tests.fixtures.wheels import package, pip_index, wheel
from tests.library import factories

__all__ = ["package", "pip_index", "wheel"]


@pytest.fixture
def library(home: Home) -> Iterator[Library]:
    library = Library(home)
    library.open()
    yield library
    library.close()


@pytest.fixture
def make_creation(library: Library) -> Callable[..., Creation]:
    """A function that saves a new image in the library."""
    count = iter(range(1_000_000))

    def make(prompt: str = "a red fox in snow", **values: object) -> Creation:
        seed = next(count)
        recipe = factories.make_recipe(prompt, **{"seed": seed, **values})  # type: ignore[arg-type]
        return library.add(writer.save_image(library.home, factories.make_picture(seed), recipe))

    return make
