"""The workspace keeps values per tool and checks each field by itself."""

from __future__ import annotations

import pytest
from pytestqt.qtbot import QtBot

from studio.core import params_schema
from studio.core.descriptor import Catalogue, PluginDescriptor, ToolDescriptor
from studio.state.form.draft_store import Draft
from studio.state.form.workspace import Workspace
from tests.fixtures import engine


@pytest.fixture
def workspace(qtbot: QtBot) -> Workspace:
    made = Workspace()
    made.restore(Draft())
    made.set_catalogue(engine.make_catalogue())
    return made


def test_the_first_tool_is_there_at_once(workspace: Workspace) -> None:
    assert workspace.tool == engine.STYLE
    assert workspace.value("strength") == 0.85
    assert workspace.values() == {}


def test_values_are_kept_for_each_tool(workspace: Workspace) -> None:
    workspace.set_value("strength", 0.2)
    workspace.choose("writer.continue")
    workspace.set_value("prompt", "a fox")
    workspace.choose("style.transfer")
    assert workspace.values() == {"strength": 0.2}
    workspace.choose("writer.continue")
    assert workspace.value("prompt") == "a fox"


def test_a_plugin_opens_with_the_tool_that_was_used_last(workspace: Workspace) -> None:
    workspace.choose_plugin("gan")
    assert workspace.tool == engine.LIVE
    workspace.choose("gan.train")
    workspace.choose_plugin("style")
    workspace.choose_plugin("gan")
    assert workspace.tool == engine.TRAIN


def test_a_draft_survives_a_tool_that_is_not_there_yet(qtbot: QtBot) -> None:
    made = Workspace()
    made.restore(Draft(tool="writer.continue", values={"writer.continue": {"prompt": "once"}}))
    assert made.tool is None
    made.set_catalogue(engine.make_catalogue())
    assert made.tool == engine.WORDS
    assert made.value("prompt") == "once"


def test_every_wrong_field_gets_its_sentence() -> None:
    errors = params_schema.find_errors(engine.STYLE, {"strength": 7})
    assert errors["image"] == "Image is missing."
    assert errors["strength"] == "Strength must be between 0 and 1, not 7."
    assert set(errors) == {"image", "strength"}


def test_a_seed_is_new_each_time_unless_it_is_kept(workspace: Workspace) -> None:
    assert workspace.next_seed() != workspace.next_seed()
    workspace.set_seed(41_882, fixed=True)
    assert workspace.next_seed() == workspace.next_seed() == 41_882


def test_each_tool_remembers_which_groups_are_shown(workspace: Workspace) -> None:
    workspace.choose("style.transfer")
    workspace.set_unfolded("Speed", True)
    workspace.set_unfolded("", True)
    workspace.choose("morph.between")
    assert workspace.unfolded == []
    workspace.choose("style.transfer")
    workspace.set_unfolded("", False)
    assert workspace.unfolded == ["Speed"]


def test_a_format_belongs_to_a_kind_of_output(workspace: Workspace) -> None:
    workspace.choose("morph.between")
    workspace.set_format("gif")
    workspace.choose("style.transfer")
    assert workspace.format == ""
    workspace.choose("morph.between")
    assert workspace.format == "gif"


def test_the_first_tool_is_one_that_can_be_used_without_a_download() -> None:
    far = {
        "model": {"type": "string", "default": "not-here", "studio": {"widget": "model"}, "studio_more": {"model": "x"}}
    }
    tools = (
        ToolDescriptor(id="a.far", title="Far", plugin="a", schema={"properties": far}),
        ToolDescriptor(id="b.near", title="Near", plugin="b"),
    )
    made = Workspace()
    made.set_catalogue(Catalogue((PluginDescriptor(name="a", tools=tools[:1]),)))
    assert made.tool == tools[0]
    made = Workspace()
    made.set_catalogue(
        Catalogue((PluginDescriptor(name="a", tools=tools[:1]), PluginDescriptor(name="b", tools=tools[1:])))
    )
    assert made.tool == tools[1]
