"""The canvas: open, preview, zoom, compare, play, read and drop."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image
from PySide6.QtCore import QMimeData, QPoint, QPointF, Qt, QUrl
from PySide6.QtGui import QColor, QDropEvent, QImage, QWheelEvent
from PySide6.QtWidgets import QApplication, QStackedLayout, QWidget
from pytestqt.qtbot import QtBot

from studio.library.creation import Creation, CreationKind
from studio.ui.canvas import Canvas
from studio.ui.theme import theme
from studio.ui.theme.colours import DARK, LIGHT


@pytest.fixture
def canvas(qtbot: QtBot) -> Iterator[Canvas]:
    canvas = Canvas()
    qtbot.addWidget(canvas)
    canvas.resize(800, 600)
    canvas.show()
    yield canvas
    canvas.close()


@pytest.fixture
def red(tmp_path: Path) -> Path:
    Image.new("RGB", (400, 300), (200, 30, 30)).save(tmp_path / "red.png")
    return tmp_path / "red.png"


@pytest.fixture
def blue(tmp_path: Path) -> Path:
    Image.new("RGB", (400, 300), (30, 30, 200)).save(tmp_path / "blue.png")
    return tmp_path / "blue.png"


@pytest.fixture
def movie(tmp_path: Path) -> Path:
    frames = [Image.new("RGB", (64, 48), (20 * n, 0, 0)) for n in range(6)]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:], duration=40, loop=0)
    return tmp_path / "a.gif"


def size(canvas: Canvas) -> tuple[int, int]:
    picture = canvas.image_view.picture
    return (picture.size.width(), picture.size.height()) if picture else (0, 0)


def current_view(canvas: Canvas) -> QWidget | None:
    layout = canvas.layout()
    assert isinstance(layout, QStackedLayout)
    return layout.currentWidget()


def open_image(canvas: Canvas, path: Path, qtbot: QtBot) -> None:
    before = canvas.image_view.picture
    canvas.show_image(path)
    qtbot.waitUntil(lambda: canvas.image_view.picture is not before)


def colour_at(canvas: Canvas, x: int, y: int) -> QColor:
    return canvas.grab().toImage().pixelColor(x, y)


def test_an_empty_canvas_offers_to_open_a_picture(canvas: Canvas) -> None:
    assert current_view(canvas) is canvas.empty_placeholder
    assert not canvas.tool_bar.isVisible()
    assert not any(action.isEnabled() for action in canvas.commands.all)


def test_a_picture_opens_fitted(canvas: Canvas, red: Path, qtbot: QtBot) -> None:
    open_image(canvas, red, qtbot)
    assert size(canvas) == (400, 300)
    assert canvas.image_view.camera.is_fitted
    assert colour_at(canvas, 400, 320) == QColor(200, 30, 30)
    assert canvas.tool_bar.isVisible()
    assert not canvas.playback_bar.isVisible()


def test_a_picture_that_cannot_be_read_is_one_sentence(canvas: Canvas, tmp_path: Path, qtbot: QtBot) -> None:
    (tmp_path / "<b>bad.png").write_bytes(b"no")
    canvas.show_image(tmp_path / "<b>bad.png")
    qtbot.waitUntil(lambda: current_view(canvas) is canvas.message_placeholder)
    assert canvas.message_placeholder.sentence.text().startswith("<b>bad.png is not an image")
    assert canvas.message_placeholder.sentence.textFormat() == Qt.TextFormat.PlainText


def test_the_last_of_several_pictures_wins(canvas: Canvas, red: Path, blue: Path, qtbot: QtBot) -> None:
    for path in (red, blue, red, blue):
        canvas.show_image(path)
    qtbot.waitUntil(lambda: canvas.image_view.picture is not None)
    assert canvas.image_view.picture is not None
    assert canvas.image_view.picture.image.pixelColor(5, 5) == QColor(30, 30, 200)


def test_a_preview_is_replaced_without_a_flash(canvas: Canvas, red: Path, qtbot: QtBot) -> None:
    canvas.show_preview(40, 30, 3, bytes([9, 99, 9]) * 1200)
    assert current_view(canvas) is canvas.image_view
    assert canvas.image_view.caption == "Preview"
    canvas.image_view.zoom_to(20.0)
    frame = canvas.image_view.camera.frame
    canvas.show_image(red)
    assert size(canvas) == (40, 30), "the preview stays until the image is there"
    qtbot.waitUntil(lambda: size(canvas) == (400, 300))
    assert canvas.image_view.caption == ""
    assert canvas.image_view.camera.frame.width() == pytest.approx(frame.width())


def test_a_large_preview_is_smoothed_afterwards(canvas: Canvas, qtbot: QtBot) -> None:
    canvas.show_preview(2000, 2000, 4, bytes(16_000_000))
    assert canvas.image_view.picture is not None
    assert len(canvas.image_view.picture.levels) == 1
    qtbot.waitUntil(lambda: len(canvas.image_view.picture.levels) > 1)  # type: ignore[union-attr]
    assert canvas.image_view.caption == "Preview"


def test_zoom_by_wheel_and_keys(canvas: Canvas, red: Path, qtbot: QtBot) -> None:
    open_image(canvas, red, qtbot)
    image_view = canvas.image_view
    fitted = image_view.camera.zoom
    at = QPointF(300, 300)
    wheel = QWheelEvent(
        at, image_view.mapToGlobal(at), QPoint(), QPoint(0, 120), Qt.MouseButton.NoButton,
        Qt.KeyboardModifier.NoModifier, Qt.ScrollPhase.NoScrollPhase, False,
    )  # fmt: skip
    QApplication.sendEvent(image_view, wheel)
    assert image_view.camera.zoom == pytest.approx(fitted * 1.25)
    canvas.commands.actual_size.trigger()
    assert image_view.camera.zoom == 1.0
    assert canvas.tool_bar.zoom.text() == "100 %"
    canvas.commands.zoom_in.trigger()
    assert image_view.camera.zoom == pytest.approx(1.25)
    canvas.commands.fit.trigger()
    assert image_view.camera.zoom == fitted


def test_panning_by_middle_drag_space_drag_and_arrows(canvas: Canvas, red: Path, qtbot: QtBot) -> None:
    open_image(canvas, red, qtbot)
    image_view = canvas.image_view
    image_view.zoom_to(6.0)

    def measure_pan(act: object) -> QPointF:
        start = image_view.camera.frame.topLeft()
        act()  # type: ignore[operator]
        return image_view.camera.frame.topLeft() - start

    def drag(button: Qt.MouseButton) -> None:
        qtbot.mousePress(image_view, button, pos=QPoint(300, 300))
        qtbot.mouseMove(image_view, QPoint(340, 310))
        QApplication.processEvents()
        qtbot.mouseRelease(image_view, button, pos=QPoint(340, 310))

    assert measure_pan(lambda: drag(Qt.MouseButton.MiddleButton)) == QPointF(40, 10)
    qtbot.keyPress(image_view, Qt.Key.Key_Space)
    assert measure_pan(lambda: drag(Qt.MouseButton.LeftButton)) == QPointF(40, 10)
    qtbot.keyRelease(image_view, Qt.Key.Key_Space)
    assert measure_pan(lambda: drag(Qt.MouseButton.LeftButton)) == QPointF(0, 0)
    assert measure_pan(lambda: qtbot.keyClick(image_view, Qt.Key.Key_Right)).x() < 0


def test_transparency_stands_on_a_checkerboard(canvas: Canvas, tmp_path: Path, qtbot: QtBot) -> None:
    Image.new("RGBA", (200, 200), (0, 0, 0, 0)).save(tmp_path / "clear.png")
    open_image(canvas, tmp_path / "clear.png", qtbot)
    image = canvas.grab().toImage()
    greys = {image.pixelColor(x, 320).name() for x in range(360, 440)}
    assert len(greys) == 2


def test_compare_shows_both_sides(canvas: Canvas, red: Path, blue: Path, qtbot: QtBot) -> None:
    canvas.compare(red, blue, ("Photo", "Painted"))
    qtbot.waitUntil(lambda: canvas.image_view.is_comparing and canvas.image_view.picture is not None)
    assert colour_at(canvas, 200, 300) == QColor(200, 30, 30)
    assert colour_at(canvas, 600, 300) == QColor(30, 30, 200)
    qtbot.keyClick(canvas.image_view, Qt.Key.Key_Right)
    assert canvas.image_view.divider == pytest.approx(0.52)
    start = canvas.image_view.camera.frame
    grip = QPoint(round(start.left() + start.width() * 0.52), round(start.center().y()))
    qtbot.mousePress(canvas.image_view, Qt.MouseButton.LeftButton, pos=grip)
    qtbot.mouseMove(canvas.image_view, QPoint(round(start.left()), grip.y()))
    QApplication.processEvents()
    qtbot.mouseRelease(canvas.image_view, Qt.MouseButton.LeftButton, pos=QPoint(round(start.left()), grip.y()))
    assert canvas.image_view.divider < 0.01
    canvas.commands.compare.trigger()
    assert not canvas.image_view.is_comparing


def test_compare_is_enabled_only_with_a_before_picture(canvas: Canvas, red: Path, blue: Path, qtbot: QtBot) -> None:
    open_image(canvas, red, qtbot)
    assert not canvas.commands.compare.isEnabled()
    canvas.set_before(blue)
    assert canvas.commands.compare.isEnabled()
    canvas.commands.compare.trigger()
    qtbot.waitUntil(lambda: canvas.image_view.is_comparing)
    canvas.set_before(None)
    assert not canvas.image_view.is_comparing


def test_an_animation_plays_and_steps(canvas: Canvas, movie: Path, qtbot: QtBot) -> None:
    canvas.show_animation(movie)
    qtbot.waitUntil(lambda: canvas.player is not None and canvas.player.count == 6)
    assert canvas.playback_bar.isVisible()
    assert canvas.player is not None
    assert canvas.player.playing
    canvas.image_view.setFocus()
    qtbot.keyClick(canvas.image_view, Qt.Key.Key_Space)
    assert not canvas.player.playing
    canvas.playback_bar.slider.setValue(3)
    qtbot.waitUntil(lambda: canvas.playback_bar.counter.text() == "4 / 6")
    canvas.commands.next_frame.trigger()
    qtbot.waitUntil(lambda: canvas.playback_bar.counter.text() == "5 / 6")


def test_an_animation_ends_when_something_else_is_shown(canvas: Canvas, movie: Path, red: Path, qtbot: QtBot) -> None:
    canvas.show_animation(movie)
    qtbot.waitUntil(lambda: canvas.player is not None)
    player = canvas.player
    open_image(canvas, red, qtbot)
    assert canvas.player is None
    assert not canvas.playback_bar.isVisible()
    qtbot.waitUntil(lambda: player is not None and not player.running)


def test_a_broken_animation_is_one_sentence(canvas: Canvas, tmp_path: Path, qtbot: QtBot) -> None:
    (tmp_path / "a.mp4").write_bytes(b"no movie")
    canvas.show_animation(tmp_path / "a.mp4")
    sentence = canvas.message_placeholder.sentence  # says "Opening…" for a while, where that takes long
    qtbot.waitUntil(lambda: "a.mp4 is not a playable animation" in sentence.text())
    assert current_view(canvas) is canvas.message_placeholder


def test_closing_while_opening_leaves_nothing(canvas: Canvas, movie: Path, red: Path) -> None:
    canvas.show_animation(movie)
    canvas.show_image(red)
    canvas.show_animation(movie)
    canvas.close()


def test_text_is_never_markup(canvas: Canvas, tmp_path: Path, qtbot: QtBot) -> None:
    canvas.show_text("<img src='x'> & <b>bold</b>\n\nSecond", "<i>Title</i>")
    assert canvas.text_view.toPlainText() == "<i>Title</i>\n<img src='x'> & <b>bold</b>\n\nSecond"
    assert not canvas.tool_bar.isVisible()


def test_growing_text_keeps_the_scroll_position(canvas: Canvas) -> None:
    long = "A line of words.\n" * 200
    canvas.show_text(long)
    bar = canvas.text_view.verticalScrollBar()
    bar.setValue(100)
    canvas.show_text(long + "And more.")
    assert bar.value() == 100
    bar.setValue(bar.maximum())
    canvas.show_text(long + "And more.\n" * 50)
    assert bar.value() == bar.maximum()
    assert canvas.text_view.toPlainText() == long + "And more.\n" * 50


def test_creations_of_every_kind_open(canvas: Canvas, red: Path, blue: Path, movie: Path, qtbot: QtBot) -> None:
    folder = red.parent
    (folder / "tale.md").write_text('---\ntitle: "The fox"\n---\n\nOnce upon a time.', encoding="utf-8")
    model = folder / "model"
    model.mkdir()
    (model / "studio.json").write_text('{"title": "Monet", "kind": "autoencoder", "licence": "CC0"}')
    (model / "README.md").write_text("# Monet <b>\n")

    def creation(path: Path, kind: CreationKind, *, missing: bool = False) -> Creation:
        return Creation(id="0" * 64, path=str(path), kind=kind, tool="t", missing=missing)

    canvas.open(creation(red, CreationKind.IMAGE), before=creation(blue, CreationKind.IMAGE))
    qtbot.waitUntil(lambda: current_view(canvas) is canvas.image_view)
    assert canvas.commands.compare.isEnabled()
    canvas.open(creation(folder / "tale.md", CreationKind.TEXT))
    qtbot.waitUntil(lambda: current_view(canvas) is canvas.text_view)
    assert canvas.text_view.toPlainText() == "The fox\nOnce upon a time."
    canvas.open(creation(model, CreationKind.MODEL))
    qtbot.waitUntil(lambda: current_view(canvas) is canvas.model_card)
    assert canvas.model_card.title.text() == "Monet"
    assert "CC0" in canvas.model_card.details.text()
    assert canvas.model_card.readme.toPlainText() == "Monet <b>"
    canvas.open(creation(movie, CreationKind.ANIMATION))
    qtbot.waitUntil(lambda: canvas.player is not None)
    canvas.open(creation(red, CreationKind.IMAGE, missing=True))
    assert current_view(canvas) is canvas.message_placeholder
    canvas.clear()
    assert current_view(canvas) is canvas.empty_placeholder


def drop(canvas: Canvas, data: QMimeData) -> None:
    event = QDropEvent(
        QPointF(50, 50), Qt.DropAction.CopyAction, data, Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier
    )
    canvas.dropEvent(event)


def test_files_can_be_dropped(canvas: Canvas, red: Path, qtbot: QtBot) -> None:
    data = QMimeData()
    data.setUrls([QUrl.fromLocalFile(str(red)), QUrl("https://example.org/a.png")])
    with qtbot.waitSignal(canvas.files_dropped) as dropped:
        drop(canvas, data)
    assert dropped.args == [[red]]


def test_a_picture_from_a_browser_can_be_dropped(canvas: Canvas, qtbot: QtBot) -> None:
    data = QMimeData()
    data.setUrls([QUrl("https://example.org/a.png")])
    image = QImage(3, 3, QImage.Format.Format_RGB32)
    image.fill(QColor("red"))
    data.setImageData(image)
    with qtbot.waitSignal(canvas.image_dropped) as dropped:
        drop(canvas, data)
    assert dropped.args[0].width() == 3


def test_every_widget_that_takes_the_focus_has_a_name(canvas: Canvas) -> None:
    nameless = [
        widget
        for widget in canvas.findChildren(QWidget)
        if widget.focusPolicy() & Qt.FocusPolicy.TabFocus and not widget.accessibleName()
        and not widget.objectName().startswith("qt_")
    ]  # fmt: skip
    assert nameless == []


def test_it_follows_the_theme(canvas: Canvas, qapp: QApplication, red: Path, qtbot: QtBot) -> None:
    open_image(canvas, red, qtbot)
    try:
        theme.apply(qapp, "light")
        assert colour_at(canvas, 5, 300) == QColor(LIGHT.canvas)
    finally:
        theme.apply(qapp, "dark")
    assert colour_at(canvas, 5, 300) == QColor(DARK.canvas)


def test_a_large_picture_is_freed_on_a_thread(canvas: Canvas, qtbot: QtBot) -> None:
    def large() -> QImage:
        image = QImage(3000, 3000, QImage.Format.Format_RGB32)
        image.fill(0)
        return image

    freed: list[threading.Thread] = []
    canvas.show_image(large())
    qtbot.waitUntil(lambda: canvas.image_view.picture is not None)
    weakref.finalize(canvas.image_view.picture, lambda: freed.append(threading.current_thread()))
    canvas.clear()
    qtbot.waitUntil(lambda: bool(freed))
    assert freed[0] is not threading.main_thread()
