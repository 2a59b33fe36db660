"""A model goes into the right field of a tool, and its training goes on from it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pytestqt.qtbot import QtBot

from studio.core.descriptor import Catalogue, PluginDescriptor, ToolDescriptor
from studio.core.recipe import PluginRef, Recipe
from studio.library.creation import Creation
from studio.library.storage import writer
from studio.state.session import Session
from tests.fixtures.engine import make_property, make_tool


def model_field(kind: str, **more: Any) -> dict[str, Any]:
    return make_property("string", "model", default="", studio_more={"model": kind}, **more)


LORAS = {"type": "array", "items": model_field("lora"), "default": [], "maxItems": 2, "title": "LoRAs"}
PAINT = make_tool(
    "paint.image", "Paint", {"prompt": make_property("string", "prompt"), "model": model_field("big"), "loras": LORAS}
)
BLEND = make_tool(
    "paint.blend", "Blend", {"model": model_field("big small"), "second": model_field("big", title="Second model")}
)
KINDS = make_property("string", enum=["new", "full", "lora"], default="new")
STEPS = make_property("integer", default=1000)
TRAIN = make_tool(
    "paint.train", "Train", {"kind": KINDS, "model": model_field("big"), "steps": STEPS, "size": STEPS}, output="model"
)
CONTINUE = make_tool(
    "paint.tune", "Tune", {"other": model_field("small"), "start_from": model_field("small"), "steps": STEPS},
    output="model",
)  # fmt: skip


@pytest.fixture
def painting(session: Session) -> Session:
    plugin = PluginDescriptor(name="paint", title="Painting", tools=(TRAIN, PAINT, BLEND, CONTINUE))
    session.workspace.set_catalogue(Catalogue((plugin,)))
    return session


def make_model(
    session: Session, folder: Path, model_kind: str, tool: ToolDescriptor = TRAIN, /, **params: object
) -> Creation:
    folder.mkdir()
    (folder / "model.safetensors").write_text(folder.name)
    recipe = Recipe(tool=tool.id, plugin=PluginRef("paint"), params=params, seed=9)
    return session.library.add(writer.save_model(session.home, folder, recipe, title="My fox", kind=model_kind))


def titles(session: Session, kind: str) -> list[str]:
    return [use.title for use in session.model_uses.list_uses(kind)]


def test_tools_are_listed_by_the_kind_of_model(painting: Session) -> None:
    assert titles(painting, "lora") == ["Painting: Paint"]
    assert titles(painting, "big") == [
        "Painting: Paint", "Painting: Blend (Model)", "Painting: Blend (Second model)", "Painting: Train",
    ]  # fmt: skip
    assert titles(painting, "") == titles(painting, "unknown") == []


def test_a_model_goes_into_its_field_and_undo_takes_it_out(painting: Session, tmp_path: Path) -> None:
    model = make_model(painting, tmp_path / "job", "big")
    painting.workspace.choose(PAINT.id)
    painting.workspace.set_value("prompt", "a fox")
    painting.workspace.choose(TRAIN.id)
    painting.model_uses.use(model, painting.model_uses.list_uses("big")[0])
    assert painting.workspace.tool == PAINT
    assert painting.workspace.values() == {"prompt": "a fox", "model": model.id}
    painting.undo.undo()
    painting.workspace.choose(PAINT.id)
    assert painting.workspace.values() == {"prompt": "a fox"}


def test_a_lora_is_added_to_the_list_within_its_limit(painting: Session, tmp_path: Path) -> None:
    (use,) = painting.model_uses.list_uses("lora")
    loras = [make_model(painting, tmp_path / str(number), "lora") for number in range(3)]
    for lora in (loras[0], loras[1], loras[0], loras[2]):
        painting.model_uses.use(lora, use)
    assert painting.workspace.value("loras") == [loras[0].id, loras[1].id]
    assert [notice.text for notice in painting.notices.items] == ["LoRAs takes 2. Remove one first."]
    painting.undo.undo()
    assert painting.workspace.value("loras") == [loras[0].id]


def test_the_command_names_the_model(painting: Session, tmp_path: Path) -> None:
    model = make_model(painting, tmp_path / "job", "big")
    use = painting.model_uses.list_uses("big")[0]
    command = painting.model_uses.write_command(model, use)
    assert command == 'studio run paint.image --set model="My fox" --set prompt=…'


@pytest.mark.parametrize(("kind", "continued"), [("new", "full"), ("full", "full"), ("lora", "lora")])
def test_a_training_goes_on_from_its_model(
    qtbot: QtBot, painting: Session, tmp_path: Path, kind: str, continued: str
) -> None:
    model = make_model(painting, tmp_path / "job", "big", kind=kind, steps=50, size=64, model="starter")
    assert painting.model_uses.can_train_further(model)
    painting.workspace.choose(TRAIN.id)
    painting.workspace.set_value("steps", 7)
    painting.model_uses.train_further(model)
    qtbot.waitUntil(lambda: painting.workspace.value("size") == 64)
    assert painting.workspace.values() == {"kind": continued, "model": model.id, "size": 64}
    painting.undo.undo()
    assert painting.workspace.values() == {"steps": 7}


def test_a_tool_with_a_field_to_start_from_uses_it(qtbot: QtBot, painting: Session, tmp_path: Path) -> None:
    model = make_model(painting, tmp_path / "job", "small", CONTINUE, steps=50)
    painting.model_uses.train_further(model)
    qtbot.waitUntil(lambda: painting.workspace.tool == CONTINUE)
    assert painting.workspace.values() == {"start_from": model.id}


def test_a_model_that_no_training_starts_from_says_so(painting: Session, tmp_path: Path) -> None:
    lora = make_model(painting, tmp_path / "job", "lora", kind="lora")
    assert not painting.model_uses.can_train_further(lora)
    painting.model_uses.train_further(lora)
    assert painting.notices.items[0].text == "The tool that trained My fox cannot start from a trained model."
