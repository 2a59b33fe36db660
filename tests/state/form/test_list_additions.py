"""Images dropped together are one change of the form, within the limit of its list, and one step of undo."""

from __future__ import annotations

import pytest
from pytestqt.qtbot import QtBot

from studio.core.descriptor import Catalogue, PluginDescriptor, ToolDescriptor
from studio.state.form.list_additions import ListAdditions
from studio.state.form.workspace import Workspace
from studio.state.notices import Notices
from studio.state.undo_stack import UndoStack
from tests.fixtures.engine import make_property

IMAGE = make_property("string", "image")
NAMES = [f"/images/{number}.png" for number in range(500)]


class Studio:
    def __init__(self, **properties: object) -> None:
        schema = {"type": "object", "properties": properties}
        tool = ToolDescriptor(id="a.tool", title="Tool", plugin="a", schema=schema)
        self.workspace, self.undo, self.notices = Workspace(), UndoStack(), Notices()
        self.workspace.set_catalogue(Catalogue((PluginDescriptor(name="a", tools=(tool,)),)))
        self.workspace.choose("a.tool")
        self.additions = ListAdditions(self.workspace, self.undo, self.notices)
        self.changes: list[str] = []
        self.workspace.value_changed.connect(self.changes.append)

    def sentences(self) -> list[str]:
        return [notice.text for notice in self.notices.items]


def make_list(limit: int | None) -> dict[str, object]:
    bounds = {} if limit is None else {"maxItems": limit}
    return {"type": "array", "items": IMAGE, "default": [], "title": "Images", **bounds}


@pytest.mark.parametrize("way", ["panel", "list"])
def test_many_images_are_one_change_up_to_the_limit_of_the_list(qtbot: QtBot, way: str) -> None:
    studio = Studio(images=make_list(16))
    studio.additions.put_images(NAMES) if way == "panel" else studio.additions.add("images", NAMES)
    assert studio.workspace.value("images") == NAMES[:16]
    assert studio.changes == ["images"]
    assert studio.sentences() == ["16 of 500 images were added; the list takes 16."]
    studio.undo.undo()
    assert not studio.workspace.value("images")
    studio.undo.redo()
    assert studio.workspace.value("images") == NAMES[:16]


def test_a_list_without_limit_takes_all(qtbot: QtBot) -> None:
    studio = Studio(images=make_list(None))
    studio.additions.put_images(NAMES)
    assert studio.workspace.value("images") == NAMES
    assert studio.sentences() == []


def test_a_full_list_keeps_what_it_has(qtbot: QtBot) -> None:
    studio = Studio(images=make_list(2))
    studio.additions.add("images", NAMES[:1])
    studio.additions.add("images", NAMES[1:4])
    studio.additions.add("images", NAMES[4:5])
    assert studio.workspace.value("images") == NAMES[:2]
    assert studio.sentences() == [
        "1 of 3 images was added; the list takes 2.",
        "No image was added; the list takes 2.",
    ]


def test_empty_fields_come_before_a_list(qtbot: QtBot) -> None:
    studio = Studio(image=IMAGE, images=make_list(2))
    studio.additions.put_images(NAMES[:3])
    assert studio.workspace.value("image") == NAMES[0]
    assert studio.workspace.value("images") == NAMES[1:3]
    studio.undo.undo()
    assert not studio.workspace.value("image")
    assert not studio.workspace.value("images")


def test_a_field_for_one_image_takes_another_in_its_place(qtbot: QtBot) -> None:
    studio = Studio(image=IMAGE)
    studio.additions.put_images(NAMES[:1])
    studio.additions.put_images(NAMES[1:3])
    assert studio.workspace.value("image") == NAMES[1]
    assert studio.sentences() == ["1 of 2 images was added; the tool takes 1."]


def test_a_tool_without_images_says_so(qtbot: QtBot) -> None:
    studio = Studio(prompt=make_property("string"))
    studio.additions.put_images(NAMES)
    assert studio.sentences() == ["This tool has no input for an image. Choose another tool first."]
    assert studio.changes == []
