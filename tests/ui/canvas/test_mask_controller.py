"""Painting a mask with mouse and keys, and using it in a job."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image
from PySide6.QtCore import QEvent, QPoint, QPointF, Qt
from PySide6.QtGui import QInputDevice, QPointingDevice, QTabletEvent
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication, QLabel
from pytestqt.qtbot import QtBot

from studio.core.descriptor import Catalogue, PluginDescriptor
from studio.core.paths import Home
from studio.core.settings import Settings
from studio.library.creation import CreationKind
from studio.library.library import Library
from studio.state.form import draft_store
from studio.state.session import Session
from studio.ui.canvas.brush import Brush
from studio.ui.canvas.mask import MaskLayer
from studio.ui.form.mask_field import MaskEditor
from studio.ui.window.window import Window
from tests.fixtures.engine import STYLE, FakeEngine, make_property, make_tool

FILL = make_tool(
    "fill.colour",
    "Fill",
    {
        "image": make_property("string", "image", title="Image"),
        "mask": make_property("string", "mask", title="Mask"),
        "prompt": make_property("string", "prompt", default=""),
    },
)
BOTH = Catalogue(
    (
        PluginDescriptor(name="fill", title="Fill", source="user", path="/p/fill.py", tools=(FILL,)),
        PluginDescriptor(name="style", title="Style", source="bundled", path="/p/style", tools=(STYLE,)),
    )
)


@pytest.fixture
def engine() -> FakeEngine:
    return FakeEngine(BOTH)


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    Image.new("RGB", (400, 300), (40, 90, 60)).save(tmp_path / "photo.png")
    return tmp_path / "photo.png"


@pytest.fixture
def painting(qtbot: QtBot, window: Window, photo: Path) -> Window:
    """A window in which the mask of a picture is being painted."""
    window.session.workspace.set_value("image", str(photo))
    click_paint(qtbot, window)
    return window


def click_paint(qtbot: QtBot, window: Window) -> None:
    qtbot.mouseClick(well(window).paint, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: window.canvas.mask_mode.is_active)


def well(window: Window) -> MaskEditor:
    assert window.tool_panel.form is not None
    editor = window.tool_panel.form.editor("mask")
    assert isinstance(editor, MaskEditor)
    return editor


def at(window: Window, x: float, y: float) -> QPoint:
    """Return a point of the picture in coordinates of the view."""
    return window.canvas.image_view.camera.to_widget(QPointF(x, y)).toPoint()


def stroke(window: Window, *places: tuple[float, float]) -> None:
    image_view, left = window.canvas.image_view, Qt.MouseButton.LeftButton
    points = [at(window, x, y) for x, y in places]
    QTest.mousePress(image_view, left, Qt.KeyboardModifier.NoModifier, points[0])
    for point in points[1:]:
        QTest.mouseMove(image_view, point)
    QTest.mouseRelease(image_view, left, Qt.KeyboardModifier.NoModifier, points[-1])


def layer(window: Window) -> MaskLayer:
    assert window.canvas.mask_mode.layer is not None
    return window.canvas.mask_mode.layer


def grey(window: Window, x: int, y: int) -> int:
    return layer(window).image.pixelColor(x, y).red()


def mask_of(window: Window) -> str:
    return str(window.session.workspace.value("mask") or "")


def wait_for_saved_mask(qtbot: QtBot, window: Window, before: str = "") -> Path:
    """Return the next file that the field gets."""
    qtbot.waitUntil(lambda: mask_of(window) not in ("", before))
    qtbot.waitUntil(lambda: Path(mask_of(window)).exists())
    return Path(mask_of(window))


def test_a_mask_is_painted_saved_and_shown(qtbot: QtBot, painting: Window) -> None:
    canvas = painting.canvas
    assert canvas.mask_bar.isVisible()
    assert not canvas.tool_bar.isVisible()
    before = canvas.image_view.grab().toImage().pixelColor(at(painting, 200, 150))
    stroke(painting, (100, 150), (200, 150), (300, 150))
    assert (grey(painting, 200, 150), grey(painting, 200, 20)) == (255, 0)
    after = canvas.image_view.grab().toImage().pixelColor(at(painting, 200, 150))
    assert after.red() > before.red() + 40
    with Image.open(wait_for_saved_mask(qtbot, painting)) as mask:
        assert (mask.mode, mask.size) == ("L", (400, 300))
        assert (mask.getpixel((200, 150)), mask.getpixel((200, 20))) == (255, 0)
    qtbot.mouseClick(canvas.mask_bar.done, Qt.MouseButton.LeftButton)
    assert not canvas.mask_mode.is_active
    assert canvas.tool_bar.isVisible()
    assert well(painting).well.accessibleDescription() == "Painted mask"


def test_keys_choose_brush_and_eraser_and_their_size(qtbot: QtBot, painting: Window) -> None:
    mode, bar = painting.canvas.mask_mode, painting.canvas.mask_bar
    size = mode.brush.size
    qtbot.keyClick(painting, Qt.Key.Key_BracketRight)
    assert mode.brush.size > size
    qtbot.keyClick(painting, Qt.Key.Key_BracketLeft)
    qtbot.keyClick(painting, Qt.Key.Key_BracketLeft)
    assert mode.brush.size < size
    stroke(painting, (100, 150), (300, 150))
    qtbot.keyClick(painting, Qt.Key.Key_E)
    assert bar.eraser.isChecked()
    stroke(painting, (200, 150), (201, 150))
    assert (grey(painting, 200, 150), grey(painting, 120, 150)) == (0, 255)
    qtbot.keyClick(painting, Qt.Key.Key_B)
    assert bar.brush.isChecked()
    assert not mode.brush.erases


def test_brush_keys_are_letters_in_a_prompt(qtbot: QtBot, painting: Window) -> None:
    assert painting.tool_panel.form is not None
    prompt = painting.tool_panel.form.editor("prompt")
    page = prompt.focusProxy() or prompt
    page.setFocus()
    qtbot.keyClicks(page, "bee[]")
    assert prompt.value() == "bee[]"
    assert not painting.canvas.mask_mode.brush.erases


def test_strokes_clear_and_invert_can_be_undone(qtbot: QtBot, painting: Window) -> None:
    blank = layer(painting).copy()
    stroke(painting, (50, 50), (90, 90))
    one = layer(painting).copy()
    stroke(painting, (250, 250), (290, 210))
    qtbot.keyClick(painting, Qt.Key.Key_I, Qt.KeyboardModifier.ControlModifier)
    assert grey(painting, 5, 5) == 255
    qtbot.mouseClick(painting.canvas.mask_bar.clear, Qt.MouseButton.LeftButton)
    assert layer(painting).is_empty
    for _ in range(3):
        qtbot.keyClick(painting, Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier)
    assert layer(painting).image == one
    qtbot.keyClick(painting, Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier)
    assert layer(painting).image == blank
    qtbot.keyClick(painting, Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier | Qt.KeyboardModifier.ShiftModifier)
    assert layer(painting).image == one


def test_undo_opens_a_closed_mask_again(qtbot: QtBot, painting: Window) -> None:
    stroke(painting, (100, 100), (150, 100))
    stroke(painting, (100, 200), (150, 200))
    qtbot.keyClick(painting, Qt.Key.Key_Escape)
    before = mask_of(painting)
    painting.session.workspace.choose("style.transfer")
    painting.session.undo.undo()
    qtbot.waitUntil(lambda: painting.canvas.mask_mode.is_active)
    assert painting.session.workspace.tool == FILL
    assert (grey(painting, 125, 100), grey(painting, 125, 200)) == (255, 0)
    with Image.open(wait_for_saved_mask(qtbot, painting, before)) as mask:
        assert mask.getpixel((125, 200)) == 0


def test_generate_uses_the_latest_stroke(qtbot: QtBot, painting: Window, engine: FakeEngine) -> None:
    stroke(painting, (100, 150), (200, 150))
    qtbot.keyClick(painting, Qt.Key.Key_Return, Qt.KeyboardModifier.ControlModifier)
    qtbot.waitUntil(lambda: any(call[0] == "submit" for call in engine.calls))
    recipe = engine.calls[-1][1]
    library = painting.session.library
    mask = library.get(recipe.inputs["mask"])
    assert mask is not None
    assert mask.kind is CreationKind.FILE
    with Image.open(mask.path) as kept:
        assert kept.getpixel((150, 150)) == 255
    assert [library.get(id).title for id in library.find_ids()] == ["photo.png"]  # type: ignore[union-attr]
    panel = painting.session.history
    qtbot.waitUntil(lambda: panel.rowCount() == 1)


def test_mask_blur_changes_the_file_but_not_the_layer(qtbot: QtBot, painting: Window) -> None:
    mode = painting.canvas.mask_mode
    mode.set_brush(Brush(size=60, hardness=1.0))
    stroke(painting, (200, 150), (201, 150))
    hard = wait_for_saved_mask(qtbot, painting)
    painting.canvas.mask_bar.feather_slider.slider.setValue(40)
    assert mode.feather > 10
    soft = wait_for_saved_mask(qtbot, painting, str(hard))
    with Image.open(hard) as sharp, Image.open(soft) as blurred:
        assert sharp.getpixel((200, 115)) == 0
        edge = blurred.getpixel((200, 115))
        assert isinstance(edge, int)
        assert 0 < edge < 255
    qtbot.keyClick(painting, Qt.Key.Key_Escape)
    painting.session.workspace.set_value("mask", None)
    painting.session.workspace.set_value("mask", str(soft))
    click_paint(qtbot, painting)
    assert mode.feather > 10
    assert grey(painting, 200, 115) == 0


def test_another_tool_keeps_the_mask(qtbot: QtBot, painting: Window) -> None:
    stroke(painting, (100, 150), (200, 150))
    painting.session.workspace.choose("style.transfer")
    assert not painting.canvas.mask_mode.is_active
    assert not painting.canvas.mask_actions.brush.isEnabled()
    painting.session.workspace.choose("fill.colour")
    assert wait_for_saved_mask(qtbot, painting).exists()
    click_paint(qtbot, painting)
    assert grey(painting, 150, 150) == 255


def test_a_dropped_mask_replaces_the_painted_one(qtbot: QtBot, painting: Window, tmp_path: Path) -> None:
    Image.new("L", (40, 30), 255).save(tmp_path / "mine.png")
    stroke(painting, (100, 150), (200, 150))
    painting.session.workspace.set_value("mask", str(tmp_path / "mine.png"))
    assert not painting.canvas.mask_mode.is_active
    qtbot.waitUntil(lambda: any("40 × 30" in label.text() for label in well(painting).findChildren(QLabel)))
    click_paint(qtbot, painting)
    assert layer(painting).size.width() == 400
    assert grey(painting, 390, 290) == 255
    assert painting.session.workspace.value("mask") == str(tmp_path / "mine.png")
    assert any("40 × 30" in notice.text for notice in painting.session.notices.items)


def test_painting_without_a_picture_is_refused(qtbot: QtBot, window: Window) -> None:
    qtbot.mouseClick(well(window).paint, Qt.MouseButton.LeftButton)
    assert not window.canvas.mask_mode.is_active
    said = [label.text() for label in window.tool_panel.findChildren(QLabel)]
    assert "Choose an image first. The mask is painted on it." in said


def test_another_picture_on_the_canvas_ends_the_painting(qtbot: QtBot, painting: Window, photo: Path) -> None:
    stroke(painting, (100, 150), (200, 150))
    painting.canvas.show_image(photo)
    assert not painting.canvas.mask_mode.is_active
    assert wait_for_saved_mask(qtbot, painting).exists()


def test_an_erased_mask_is_no_value(qtbot: QtBot, painting: Window) -> None:
    stroke(painting, (100, 150), (200, 150))
    wait_for_saved_mask(qtbot, painting)
    qtbot.mouseClick(painting.canvas.mask_bar.clear, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: mask_of(painting) == "")


@pytest.fixture
def reopened_window(qtbot: QtBot, home: Home) -> Iterator[Session]:
    """A window opened after the first was closed."""
    session = Session(home, FakeEngine(BOTH), Library(home), Settings())
    yield session
    session.close()


def test_the_mask_survives_closing_the_window(
    qtbot: QtBot, painting: Window, reopened_window: Session, home: Home
) -> None:
    stroke(painting, (100, 150), (200, 150))
    stroke(painting, (100, 50), (200, 50))
    painting.close()
    left = draft_store.load(home.root / "workspace.json").values["fill.colour"]["mask"]
    reopened_window.begin()
    with qtbot.waitSignal(reopened_window.library_ready):
        reopened_window.start()
    assert reopened_window.workspace.value("mask") == left
    with Image.open(left) as mask:
        assert mask.getpixel((150, 50)) == mask.getpixel((150, 150)) == 255


@pytest.mark.parametrize("width", [880, 1000, 1440, 1900])
def test_the_mask_bar_fits_the_canvas(qtbot: QtBot, painting: Window, width: int) -> None:
    painting.resize(width, 700)
    canvas = painting.canvas
    qtbot.waitUntil(lambda: canvas.mask_bar.geometry().left() >= 0)
    assert canvas.rect().contains(canvas.mask_bar.geometry())
    assert canvas.image_view.camera.frame.top() >= canvas.mask_bar.geometry().bottom() - 8


def test_a_pen_paints_with_pressure_and_erases_with_its_eraser(qtbot: QtBot, painting: Window) -> None:
    mode = painting.canvas.mask_mode
    mode.set_brush(Brush(size=60, hardness=1.0))

    def pen(kind: QEvent.Type, x: float, pressure: float, end: QPointingDevice.PointerType) -> None:
        device = QPointingDevice(
            "pen", 7, QInputDevice.DeviceType.Stylus, end, QInputDevice.Capability.Pressure, 1, 1,
        )  # fmt: skip
        place, left = QPointF(at(painting, x, 150)), Qt.MouseButton.LeftButton
        event = QTabletEvent(
            kind, device, place, place, pressure, 0.0, 0.0, 0.0, 0.0, 0.0, Qt.KeyboardModifier.NoModifier, left, left
        )
        QApplication.sendEvent(painting.canvas.image_view, event)
        assert event.isAccepted()

    tip, eraser = QPointingDevice.PointerType.Pen, QPointingDevice.PointerType.Eraser
    for kind, x in ((QEvent.Type.TabletPress, 100), (QEvent.Type.TabletMove, 300), (QEvent.Type.TabletRelease, 300)):
        pen(kind, x, 0.3, tip)
    assert (grey(painting, 200, 150), grey(painting, 200, 175)) == (255, 0), "thinner than the brush"
    pen(QEvent.Type.TabletPress, 200, 1.0, eraser)
    pen(QEvent.Type.TabletRelease, 200, 0.0, eraser)
    assert (grey(painting, 200, 150), grey(painting, 290, 150)) == (0, 255)


def test_shift_draws_a_straight_line(qtbot: QtBot, painting: Window) -> None:
    stroke(painting, (50, 50), (51, 50))
    image_view = painting.canvas.image_view
    QTest.mouseClick(image_view, Qt.MouseButton.LeftButton, Qt.KeyboardModifier.ShiftModifier, at(painting, 350, 250))
    assert grey(painting, 200, 150) == 255


def test_space_and_drag_moves_the_picture_and_paints_nothing(qtbot: QtBot, painting: Window) -> None:
    image_view = painting.canvas.image_view
    before = image_view.camera.frame
    QTest.keyPress(image_view, Qt.Key.Key_Space)
    stroke(painting, (100, 150), (200, 200))
    QTest.keyRelease(image_view, Qt.Key.Key_Space)
    assert layer(painting).is_empty
    assert image_view.camera.frame != before
