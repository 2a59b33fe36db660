"""An image goes on in another tool, with its prompt."""

from __future__ import annotations

import numpy as np
import pytest

from studio.core.descriptor import Catalogue, PluginDescriptor
from studio.core.recipe import PluginRef, Recipe
from studio.library.creation import Creation
from studio.library.storage import writer
from studio.state.session import Session
from tests.fixtures.engine import make_property, make_tool

IMAGE = make_property("string", "image", default=None)
LIST = {"type": "array", "items": IMAGE, "default": [], "maxItems": 2, "title": "Images"}
REPAINT = make_tool("paint.repaint", "Repaint", {"prompt": make_property("string", "prompt"), "image": IMAGE})
MIX = make_tool("paint.mix", "Mix", {"images": LIST})
TEACH = make_tool("paint.teach", "Teach", {"liked": LIST}, output="model")
DREAM = make_tool("paint.dream", "Dream", {"steps": make_property("integer", default=1)})


@pytest.fixture
def painting(session: Session) -> Session:
    plugin = PluginDescriptor(name="paint", title="Painting", tools=(TEACH, DREAM, REPAINT, MIX))
    session.workspace.set_catalogue(Catalogue((plugin,)))
    return session


def make_image(session: Session, colour: int, prompt: str = "a fox") -> Creation:
    recipe = Recipe(tool=DREAM.id, plugin=PluginRef("paint"), params={"prompt": prompt})
    pixels = np.full((4, 4, 3), colour, np.uint8)
    return session.library.add(writer.save_image(session.home, pixels, recipe))


def test_tools_that_take_an_image_are_listed_and_those_that_make_models_last(painting: Session) -> None:
    titles = [use.title for use in painting.image_uses.list_uses()]
    assert titles == ["Painting: Repaint", "Painting: Mix", "Painting: Teach"]


def test_an_image_brings_its_prompt_into_an_empty_form_and_undo_takes_both_out(painting: Session) -> None:
    image = make_image(painting, 1)
    repaint = painting.image_uses.list_uses()[0]
    painting.image_uses.use(image, repaint)
    assert painting.workspace.tool == REPAINT
    assert painting.workspace.values() == {"image": image.path, "prompt": "a fox"}
    painting.image_uses.use(make_image(painting, 2, "a bear"), repaint)
    assert painting.workspace.value("prompt") == "a fox"
    painting.undo.undo()
    painting.undo.undo()
    assert not painting.workspace.value("image")
    assert not painting.workspace.value("prompt")


def test_a_list_is_filled_up_to_its_limit(painting: Session) -> None:
    mix = painting.image_uses.list_uses()[1]
    images = [make_image(painting, colour) for colour in range(3)]
    for image in images:
        painting.image_uses.use(image, mix)
    assert painting.workspace.value("images") == [image.path for image in images[:2]]
