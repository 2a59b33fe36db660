"""Files with settings of other programs: offered, used, undone, or only imported."""

from __future__ import annotations

import json
import threading
from pathlib import Path

import msgspec
import pytest
from PIL import Image
from pytestqt.qtbot import QtBot

from plugins.diffusion.tools.text_to_image import TextToImage
from studio.core.recipe import PluginRef, Recipe
from studio.library.storage import recipe_embedding
from studio.state.library import settings_offers, settings_reader
from studio.state.library.settings_reader import SettingsOffer, choose_tool
from studio.state.session import Session
from tests.fixtures.engine import FakeEngine, make_catalogue
from tests.fixtures.offers import FROM_IMAGE, FROM_PROMPT, GRAPH, VIDEO, add_drawing, write_comfy_image


@pytest.fixture
def drawing(session: Session, engine: FakeEngine) -> Session:
    """A session with a tool that takes settings."""
    session.workspace.set_catalogue(add_drawing(engine.catalogue))
    return session


@pytest.fixture
def comfy_image(tmp_path: Path) -> Path:
    return write_comfy_image(tmp_path / "lake.png")


def open_file(qtbot: QtBot, session: Session, path: Path) -> SettingsOffer:
    with qtbot.waitSignal(session.settings_offers.offered) as offered:
        session.settings_offers.open_files([path])
    offer = offered.args[0]
    assert isinstance(offer, SettingsOffer)
    return offer


def test_an_image_with_settings_is_offered_and_not_imported_yet(
    qtbot: QtBot, drawing: Session, comfy_image: Path
) -> None:
    offer = open_file(qtbot, drawing, comfy_image)
    assert (offer.title, offer.tool, offer.can_import) == ("Settings from ComfyUI", FROM_PROMPT, True)
    usable = {setting.field.name for setting in offer.settings if setting.is_usable}
    assert {"prompt", "negative_prompt", "seed", "size", "steps", "guidance"} <= usable
    assert "There is no sampler res_multistep here." in offer.problems
    assert "glass.safetensors is not among your models." in offer.problems
    assert drawing.library.search("") == []


def test_ticked_values_come_into_the_form_and_undo_takes_them_back(
    qtbot: QtBot, drawing: Session, comfy_image: Path
) -> None:
    offer = open_file(qtbot, drawing, comfy_image)
    drawing.workspace.choose(FROM_PROMPT.id)
    drawing.workspace.set_value("guidance", 3.0)
    drawing.workspace.set_seed(5, fixed=False)
    before = drawing.workspace.values()
    with qtbot.waitSignal(drawing.show):
        drawing.settings_offers.use(offer, {"prompt", "seed", "size", "sampler"})
    assert drawing.workspace.values() == {
        "guidance": 3.0, "prompt": "a <b>glass</b> lake & stones", "width": 640, "height": 384,
    }  # fmt: skip
    assert (drawing.workspace.seed, drawing.workspace.seed_fixed) == (77, True)
    (notice,) = drawing.notices.items
    assert notice.text.startswith("Some settings were left out. ")
    assert len(drawing.library.search("")) == 1
    drawing.undo.undo()
    assert drawing.workspace.values() == before
    assert (drawing.workspace.seed, drawing.workspace.seed_fixed) == (5, False)


def test_only_importing_leaves_the_form_alone(qtbot: QtBot, drawing: Session, comfy_image: Path) -> None:
    offer = open_file(qtbot, drawing, comfy_image)
    tool, values = drawing.workspace.tool, drawing.workspace.values()
    with qtbot.waitSignal(drawing.show):
        drawing.settings_offers.import_only(offer)
    assert (drawing.workspace.tool, drawing.workspace.values()) == (tool, values)


def test_several_files_are_imported_and_offered_from_the_history_later(
    qtbot: QtBot, drawing: Session, comfy_image: Path, picture: Path
) -> None:
    offered: list[object] = []
    drawing.settings_offers.offered.connect(offered.append)
    with qtbot.waitSignal(drawing.show) as shown:
        drawing.settings_offers.open_files([picture, comfy_image])
    assert offered == []
    with qtbot.waitSignal(drawing.settings_offers.offered):
        drawing.settings_offers.offer_for(shown.args[0])
    (offer,) = offered
    assert isinstance(offer, SettingsOffer)
    assert (offer.title, offer.can_import) == ("Settings from ComfyUI", False)
    drawing.settings_offers.use(offer, ["prompt"])
    assert drawing.workspace.value("prompt") == "a <b>glass</b> lake & stones"


def test_a_creation_without_settings_says_so(qtbot: QtBot, drawing: Session, picture: Path) -> None:
    with qtbot.waitSignal(drawing.show) as shown:
        drawing.settings_offers.open_files([picture])
    with qtbot.waitSignal(drawing.notices.changed):
        drawing.settings_offers.offer_for(shown.args[0])
    (notice,) = drawing.notices.items
    assert notice.text == "This file has no settings of another program that can be used here."


def test_an_image_of_the_studio_opens_with_its_own_recipe(qtbot: QtBot, drawing: Session, tmp_path: Path) -> None:
    recipe = Recipe(tool="draw.prompt", plugin=PluginRef("draw"), params={"prompt": "moss"}, seed=4)
    path = tmp_path / "own.jpg"
    metadata = recipe_embedding.build_metadata(recipe, (32, 32), jpeg=True)
    Image.new("RGB", (32, 32)).save(path, exif=metadata.exif, xmp=metadata.xmp)
    with qtbot.waitSignal(drawing.show):
        drawing.settings_offers.open_files([path])
    assert [notice.action_label for notice in drawing.notices.items] == ["Use settings"]


def test_a_workflow_is_offered_and_never_imported(qtbot: QtBot, drawing: Session, tmp_path: Path) -> None:
    path = tmp_path / "lake.json"
    path.write_text(json.dumps(GRAPH))
    offer = open_file(qtbot, drawing, path)
    assert (offer.title, offer.can_import) == ("Settings from ComfyUI", False)
    drawing.settings_offers.use(offer, ["prompt", "steps"])
    assert drawing.workspace.value("steps") == 25
    assert drawing.library.search("") == []


def test_a_text_beside_an_image_counts_unless_it_is_a_caption(qtbot: QtBot, drawing: Session, picture: Path) -> None:
    beside = picture.with_suffix(".txt")
    beside.write_text("a stone\nNegative prompt: fog\nSteps: 5, Sampler: Euler a, CFG scale: 3.5, Seed: 7")
    offer = open_file(qtbot, drawing, picture)
    assert {setting.field.name: setting.field.text for setting in offer.settings}["sampler"] == "Euler a"
    beside.write_text("a photo of a stone, moss")
    with qtbot.waitSignal(drawing.show):
        drawing.settings_offers.open_files([picture])


@pytest.mark.parametrize(
    "content",
    ["[" * 100_000, "{}", "[1, 2]", '{"3": {"class_type": 5, "inputs": []}}', '{"nodes": 7, "links": "\\ud800"}', ""],
)
def test_a_hostile_workflow_costs_at_most_a_sentence(
    qtbot: QtBot, drawing: Session, tmp_path: Path, content: str
) -> None:
    path = tmp_path / "odd.json"
    path.write_text(content)
    with qtbot.waitSignal(drawing.notices.changed):
        drawing.settings_offers.open_files([path])
    (notice,) = drawing.notices.items
    assert notice.text == "odd.json has no settings that can be used here."
    assert drawing.library.search("") == []


def test_a_file_that_takes_too_long_to_read_is_imported(
    qtbot: QtBot, drawing: Session, picture: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    release = threading.Event()
    monkeypatch.setattr(settings_offers, "TIME_LIMIT_MS", 1)
    monkeypatch.setattr(settings_reader, "read_offer", lambda *_: release.wait(30))
    try:
        with qtbot.waitSignal(drawing.show):
            drawing.settings_offers.open_files([picture])
    finally:
        release.set()


def test_the_tool_starts_from_a_prompt_and_makes_the_same_kind_of_file() -> None:
    tools = [FROM_IMAGE, FROM_PROMPT, VIDEO, *make_catalogue().tools.values()]
    assert choose_tool(tools, None, "image") == FROM_PROMPT
    assert choose_tool(tools, FROM_IMAGE, "image") == FROM_PROMPT
    assert choose_tool(tools, None, "animation") == VIDEO
    assert choose_tool([FROM_IMAGE], FROM_IMAGE, "image") is None
    usual = msgspec.structs.replace(FROM_PROMPT, id=TextToImage.id)
    assert choose_tool([*tools, usual], None, "image") == usual
    assert choose_tool([*tools, usual], FROM_PROMPT, "image") == FROM_PROMPT
