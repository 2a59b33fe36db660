"""The workspace keeps the values of each tool and checks each field."""

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
    workspace = Workspace()
    workspace.restore(Draft())
    workspace.set_catalogue(engine.make_catalogue())
    return workspace


def test_the_first_tool_is_chosen_at_start(workspace: Workspace) -> None:
    assert workspace.tool == engine.STYLE
    assert workspace.value("strength") == 0.85
    assert workspace.values() == {}


def test_each_tool_keeps_its_values(workspace: Workspace) -> None:
    workspace.set_value("strength", 0.2)
    workspace.choose("writer.continue")
    workspace.set_value("prompt", "a fox")
    workspace.choose("style.transfer")
    assert workspace.values() == {"strength": 0.2}
    workspace.choose("writer.continue")
    assert workspace.value("prompt") == "a fox"


def test_a_plugin_opens_with_its_latest_tool(workspace: Workspace) -> None:
    workspace.choose_plugin("gan")
    assert workspace.tool == engine.LIVE
    workspace.choose("gan.train")
    workspace.choose_plugin("style")
    workspace.choose_plugin("gan")
    assert workspace.tool == engine.TRAIN


def test_values_of_a_tool_that_is_not_loaded_yet_are_kept(qtbot: QtBot) -> None:
    workspace = Workspace()
    workspace.restore(Draft(tool="writer.continue", values={"writer.continue": {"prompt": "once"}}))
    assert workspace.tool is None
    workspace.set_catalogue(engine.make_catalogue())
    assert workspace.tool == engine.WORDS
    assert workspace.value("prompt") == "once"


def test_each_invalid_field_gets_its_message() -> None:
    errors = params_schema.find_errors(engine.STYLE, {"strength": 7})
    assert errors["image"] == "Image is missing."
    assert errors["strength"] == "Strength must be between 0 and 1, not 7."
    assert set(errors) == {"image", "strength"}


def test_a_seed_is_new_for_each_job_unless_it_is_fixed(workspace: Workspace) -> None:
    assert workspace.next_seed() != workspace.next_seed()
    workspace.set_seed(41_882, fixed=True)
    assert workspace.next_seed() == workspace.next_seed() == 41_882


def test_each_tool_remembers_its_expanded_groups(workspace: Workspace) -> None:
    workspace.choose("style.transfer")
    workspace.set_unfolded("Speed", True)
    workspace.set_unfolded("", True)
    workspace.choose("morph.between")
    assert workspace.unfolded == []
    workspace.choose("style.transfer")
    workspace.set_unfolded("", False)
    assert workspace.unfolded == ["Speed"]


def test_a_format_belongs_to_one_type_of_output(workspace: Workspace) -> None:
    workspace.choose("morph.between")
    workspace.set_format("gif")
    workspace.choose("style.transfer")
    assert workspace.format == ""
    workspace.choose("morph.between")
    assert workspace.format == "gif"


def test_the_first_tool_needs_no_download() -> None:
    far = {
        "model": {"type": "string", "default": "not-here", "studio": {"widget": "model"}, "studio_more": {"model": "x"}}
    }
    tools = (
        ToolDescriptor(id="a.far", title="Far", plugin="a", schema={"properties": far}),
        ToolDescriptor(id="b.near", title="Near", plugin="b"),
    )
    workspace = Workspace()
    workspace.set_catalogue(Catalogue((PluginDescriptor(name="a", tools=tools[:1]),)))
    assert workspace.tool == tools[0]
    workspace = Workspace()
    workspace.set_catalogue(
        Catalogue((PluginDescriptor(name="a", tools=tools[:1]), PluginDescriptor(name="b", tools=tools[1:])))
    )
    assert workspace.tool == tools[1]
