"""Model tiles: choosing, and dropping pictures, folders and videos."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from msgspec.structs import replace
from PIL import Image
from PySide6.QtCore import QMimeData, QPointF, Qt, QUrl
from PySide6.QtGui import QDragEnterEvent, QDropEvent, QGuiApplication, QImage
from PySide6.QtWidgets import QWidget
from pytestqt.qtbot import QtBot

from studio.core.descriptor import Catalogue, PluginDescriptor
from studio.core.job import JobState
from studio.core.paths import Home
from studio.core.recipe import Recipe
from studio.ui.form.model_tiles import ModelTile, ModelTilesEditor, TrainingToolTile
from studio.ui.window.window import Window
from tests.fixtures.engine import PAINT, STRENGTH, TILES, FakeEngine, make_property, make_tool

FOLDER = make_tool(
    "paint.folder",
    "Paint a folder",
    {
        "folder": make_property("string", "folder"),
        "target": {"anyOf": [make_property("string", "folder"), {"type": "null"}], "default": None},
        "style": TILES,
        "strength": STRENGTH,
    },
    output="text",
)
FILM = make_tool(
    "paint.film",
    "Paint a film",
    {"film": make_property("string", "file", studio_more={"accepts": [".mp4"]}), "style": TILES, "strength": STRENGTH},
    output="animation",
)
LEARN = make_tool("paint.train", "Train a style", {"steps": make_property("integer", default=3)}, output="model")
ONE_BY_ONE = replace(
    PAINT, schema=make_tool("x.y", "", {"image": make_property("string", "image"), "style": TILES}).schema
)


@pytest.fixture
def engine() -> FakeEngine:
    plugin = PluginDescriptor(name="paint", title="Paint", source="bundled", tools=(PAINT, FOLDER, FILM, LEARN))
    return FakeEngine(Catalogue((plugin,)))


@pytest.fixture(autouse=True)
def styles(home: Home) -> list[Path]:
    """Three styles in the model folder; the last one has no picture."""
    found = []
    for name, colour in (("dawn", "orange"), ("ink <b>", "black"), ("mist", "")):
        folder = home.models / name
        folder.mkdir(parents=True)
        licence = ', "licence": "CC0"' if "<" in name else ""
        (folder / "studio.json").write_text(f'{{"kind": "style", "title": "{name.capitalize()}"{licence}}}')
        if colour:
            Image.new("RGB", (96, 64), colour).save(folder / "preview.webp")
        found.append(folder)
    return found


@pytest.fixture
def editor(qtbot: QtBot, styles: list[Path], window: Window) -> ModelTilesEditor:
    assert window.tool_panel.form is not None
    found = window.tool_panel.form.editor("style")
    assert isinstance(found, ModelTilesEditor)
    qtbot.waitUntil(
        lambda: (
            len(list_own_tiles(found)) == 3
            and all(tile.has_thumbnail for tile in list_own_tiles(found) if tile.picture)
        )
    )
    return found


def list_own_tiles(editor: ModelTilesEditor) -> list[ModelTile]:
    """Return the tiles of models that are no starters."""
    return [tile for tile in editor.tiles if not tile.model.startswith("style-")]


def urls(*paths: Path) -> QMimeData:
    data = QMimeData()
    data.setUrls([QUrl.fromLocalFile(str(path)) for path in paths])
    return data


def drop(tile: QWidget, data: QMimeData) -> bool:
    """Drop data on a tile. Return whether it was accepted."""
    left, copy, plain = Qt.MouseButton.LeftButton, Qt.DropAction.CopyAction, Qt.KeyboardModifier.NoModifier
    enter = QDragEnterEvent(tile.rect().center(), copy, data, left, plain)
    enter.ignore()
    QGuiApplication.sendEvent(tile, enter)
    if enter.isAccepted():
        QGuiApplication.sendEvent(tile, QDropEvent(QPointF(tile.rect().center()), copy, data, left, plain))
    return enter.isAccepted()


@pytest.fixture
def submitted(qtbot: QtBot, window: Window, engine: FakeEngine) -> Callable[[int], list[Recipe]]:
    """A function that waits for a number of jobs and returns their recipes."""

    def wait(count: int) -> list[Recipe]:
        qtbot.waitUntil(lambda: len(engine.calls) == count)
        return [call[1] for call in engine.calls]

    return wait


def test_a_click_chooses_a_model_without_generating(
    qtbot: QtBot, window: Window, editor: ModelTilesEditor, engine: FakeEngine
) -> None:
    assert [tile.title for tile in list_own_tiles(editor)] == ["Dawn", "Ink <b>", "Mist"]
    qtbot.mouseClick(list_own_tiles(editor)[1], Qt.MouseButton.LeftButton)
    assert window.session.workspace.value("style") == "ink <b>"
    assert [tile.title for tile in editor.tiles if tile.isChecked()] == ["Ink <b>"]
    qtbot.mouseClick(list_own_tiles(editor)[1], Qt.MouseButton.LeftButton)
    assert editor.value() == "ink <b>"
    assert engine.calls == []


def test_each_tile_has_a_name_and_a_tool_tip(editor: ModelTilesEditor) -> None:
    tile = list_own_tiles(editor)[1]
    assert tile.accessibleName() == "Style: Ink <b>"
    assert "CC0" in tile.accessibleDescription()
    assert "Ink &lt;b&gt;." in tile.toolTip()


def test_arrow_keys_move_between_tiles_and_enter_chooses(
    qtbot: QtBot, window: Window, editor: ModelTilesEditor
) -> None:
    first, second, third = list_own_tiles(editor)
    first.setFocus()
    qtbot.keyClick(first, Qt.Key.Key_Right)
    assert second.hasFocus()
    assert window.session.workspace.value("style") == ""
    qtbot.keyClick(second, Qt.Key.Key_Return)
    assert window.session.workspace.value("style") == "ink <b>"
    qtbot.keyClick(second, Qt.Key.Key_Right)
    qtbot.keyClick(third, Qt.Key.Key_Space)
    assert window.session.workspace.value("style") == "mist"
    columns = editor._tile_layout.columns(editor._grid.width())
    assert columns > 1
    below = editor.tiles_and_tools[editor.tiles_and_tools.index(first) + columns]
    first.setFocus()
    qtbot.keyClick(first, Qt.Key.Key_Down)
    assert below.hasFocus()
    qtbot.keyClick(below, Qt.Key.Key_Up)
    assert first.hasFocus()


def test_tiles_fill_the_row(editor: ModelTilesEditor) -> None:
    width, columns = editor._grid.width(), editor._tile_layout.columns(editor._grid.width())
    assert len({plate.size().toTuple() for plate in editor.tiles_and_tools}) == 1
    assert width - columns < editor.tiles_and_tools[columns - 1].geometry().right() + 1 <= width
    assert editor.tiles_and_tools[columns].y() - editor.tiles_and_tools[0].geometry().bottom() - 1 == 8


def test_tab_reaches_one_tile_only(qtbot: QtBot, editor: ModelTilesEditor) -> None:
    qtbot.mouseClick(list_own_tiles(editor)[2], Qt.MouseButton.LeftButton)
    reached = [plate for plate in editor.tiles_and_tools if plate.focusPolicy() is Qt.FocusPolicy.StrongFocus]
    assert reached == [list_own_tiles(editor)[2]]
    editor.setFocus()
    assert list_own_tiles(editor)[2].hasFocus()


def test_a_dropped_photo_is_generated_immediately(
    window: Window, editor: ModelTilesEditor, submitted: Callable[[int], list[Recipe]], picture: Path
) -> None:
    window.session.workspace.set_value("images", ["/an/older/one.png"])
    window.session.workspace.set_value("strength", 0.5)
    assert drop(list_own_tiles(editor)[0], urls(picture))
    (recipe,) = submitted(1)
    assert recipe.tool == "paint.pictures"
    assert recipe.params["style"] == "dawn"
    assert recipe.params["strength"] == 0.5
    assert recipe.params["images"] == []
    assert recipe.inputs["image"].startswith("sha256:")
    assert window.session.workspace.value("image") == str(picture)
    assert list_own_tiles(editor)[0].isChecked()
    assert not list_own_tiles(editor)[0].property("hovered")


def test_a_drop_while_a_job_runs_waits_in_the_queue(
    qtbot: QtBot,
    window: Window,
    editor: ModelTilesEditor,
    engine: FakeEngine,
    submitted: Callable[[int], list[Recipe]],
    pictures: list[Path],
) -> None:
    drop(list_own_tiles(editor)[0], urls(pictures[0]))
    submitted(1)
    first, *_ = engine.jobs()
    engine.run(first.id, 1, 4)
    drop(list_own_tiles(editor)[1], urls(pictures[1]))
    submitted(2)
    assert [job.state for job in engine.jobs()] == [JobState.RUNNING, JobState.QUEUED]
    assert [job.recipe.params["style"] for job in engine.jobs()] == ["dawn", "ink <b>"]


def test_several_photos_make_one_job_where_there_is_a_list(
    editor: ModelTilesEditor, submitted: Callable[[int], list[Recipe]], pictures: list[Path]
) -> None:
    drop(list_own_tiles(editor)[0], urls(*pictures))
    (recipe,) = submitted(1)
    assert len(recipe.inputs) == len(pictures)


def test_several_photos_make_a_job_each_where_there_is_no_list(
    qtbot: QtBot,
    window: Window,
    editor: ModelTilesEditor,
    engine: FakeEngine,
    submitted: Callable[[int], list[Recipe]],
    pictures: list[Path],
) -> None:
    plugin = PluginDescriptor(name="paint", title="Paint", source="bundled", tools=(ONE_BY_ONE,))
    engine.set_catalogue(Catalogue((plugin,)))
    qtbot.waitUntil(lambda: len(window.session.workspace.fields) == 2)
    assert window.tool_panel.form is not None
    again = window.tool_panel.form.editor("style")
    assert isinstance(again, ModelTilesEditor)
    qtbot.waitUntil(lambda: len(list_own_tiles(again)) == 3)
    drop(list_own_tiles(again)[0], urls(*pictures[:3]))
    assert len({recipe.inputs["image"] for recipe in submitted(3)}) == 3


def test_an_image_without_a_file_is_imported_first(
    editor: ModelTilesEditor, submitted: Callable[[int], list[Recipe]]
) -> None:
    data = QMimeData()
    image = QImage(40, 30, QImage.Format.Format_RGB32)
    image.fill(Qt.GlobalColor.red)
    data.setImageData(image)
    assert drop(list_own_tiles(editor)[0], data)
    (recipe,) = submitted(1)
    assert recipe.params["style"] == "dawn"


def test_a_picture_is_pasted_on_a_tile(
    qtbot: QtBot, editor: ModelTilesEditor, submitted: Callable[[int], list[Recipe]], picture: Path
) -> None:
    QGuiApplication.clipboard().setMimeData(urls(picture))
    qtbot.keyClick(list_own_tiles(editor)[1], Qt.Key.Key_V, Qt.KeyboardModifier.ControlModifier)
    (recipe,) = submitted(1)
    assert recipe.params["style"] == "ink <b>"


def test_a_drag_from_the_history_is_generated(
    window: Window, editor: ModelTilesEditor, submitted: Callable[[int], list[Recipe]], picture: Path
) -> None:
    from studio.ui.history.drag_mime import CreationMimeData

    made = window.session.library.import_file(picture)
    assert drop(list_own_tiles(editor)[2], CreationMimeData([made]))
    (recipe,) = submitted(1)
    assert recipe.parents == [made.id]


def test_a_folder_goes_to_the_tool_for_folders_with_the_form_s_values(
    window: Window, editor: ModelTilesEditor, submitted: Callable[[int], list[Recipe]], tmp_path: Path
) -> None:
    workspace = window.session.workspace
    workspace.set_value_of("paint.folder", "target", "/where/the/last/one/went")
    workspace.set_value("strength", 0.25)
    (tmp_path / "photos").mkdir()
    assert drop(list_own_tiles(editor)[0], urls(tmp_path / "photos"))
    (recipe,) = submitted(1)
    assert recipe.tool == "paint.folder"
    assert recipe.params == {
        "folder": str(tmp_path / "photos"), "target": None, "style": "dawn", "strength": 0.25,
    }  # fmt: skip
    assert workspace.tool is not None
    assert workspace.tool.id == "paint.folder"


def test_a_video_goes_to_the_tool_for_videos(window: Window, editor: ModelTilesEditor, tmp_path: Path) -> None:
    (tmp_path / "waves.mp4").write_bytes(b"film")
    drop(list_own_tiles(editor)[0], urls(tmp_path / "waves.mp4"))
    workspace = window.session.workspace
    assert workspace.tool is not None
    assert workspace.tool.id == "paint.film"
    assert workspace.values() == {"film": str(tmp_path / "waves.mp4"), "style": "dawn", "strength": 1.0}


def test_a_file_that_no_tool_takes_is_reported(
    window: Window, editor: ModelTilesEditor, engine: FakeEngine, tmp_path: Path
) -> None:
    drop(list_own_tiles(editor)[0], urls(tmp_path / "notes.txt"))
    assert [notice.text for notice in window.session.notices.items] == [
        "notes.txt cannot be used here. Drop an image or a folder of images."
    ]
    assert engine.calls == []


def test_text_is_not_accepted(editor: ModelTilesEditor) -> None:
    data = QMimeData()
    data.setText("a fox")
    assert not drop(list_own_tiles(editor)[0], data)


def test_a_path_has_a_tile_while_it_is_chosen(window: Window, editor: ModelTilesEditor) -> None:
    window.session.workspace.set_value("style", "/somewhere/net.pth")
    assert [tile.title for tile in editor.tiles if tile.isChecked()] == ["net.pth"]
    assert editor.value() == "/somewhere/net.pth"
    window.session.workspace.set_value("style", "dawn")
    assert [tile.title for tile in editor.tiles if tile.isChecked()] == ["Dawn"]


def test_without_a_style_the_training_tools_are_shown(qtbot: QtBot, window: Window) -> None:
    assert window.tool_panel.form is not None
    editor = window.tool_panel.form.editor("style")
    assert isinstance(editor, ModelTilesEditor)
    editor._show_models([])
    assert editor.empty_text.startswith("There is no style yet.")
    maker = editor.tiles_and_tools[-1]
    assert isinstance(maker, TrainingToolTile)
    assert maker.accessibleName() == "Train a style"
    qtbot.keyClick(maker, Qt.Key.Key_Return)
    assert window.session.workspace.tool is not None
    assert window.session.workspace.tool.id == "paint.train"


def test_a_newly_trained_style_gets_a_tile(qtbot: QtBot, window: Window, editor: ModelTilesEditor) -> None:
    from studio.core.recipe import PluginRef, Recipe
    from studio.engine.interface import Created
    from studio.library.storage import writer

    folder = window.session.home.root / "made"
    folder.mkdir()
    (folder / "model.safetensors").write_bytes(b"weights")
    recipe = Recipe(tool="paint.train", plugin=PluginRef("paint"), params={}, seed=1)
    saved = writer.save_model(window.session.home, folder, recipe, title="Mine", kind="style")
    made = window.session.library.add(saved)
    engine = window.session.engine
    assert isinstance(engine, FakeEngine)
    engine.emit(Created("j", made))
    qtbot.waitUntil(lambda: "Mine" in [tile.title for tile in editor.tiles])
