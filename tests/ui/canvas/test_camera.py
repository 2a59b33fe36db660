"""The camera: fit, zoom at a point, pan, and changes of the picture."""

from __future__ import annotations

import pytest
from PySide6.QtCore import QPointF, QRectF, QSizeF

from studio.ui.canvas.camera import MAX_FIT, MAX_ZOOM, Camera


@pytest.fixture
def camera() -> Camera:
    camera = Camera()
    camera.set_view(QSizeF(800, 600), QRectF(0, 0, 800, 600), 1.0)
    camera.set_picture_size(QSizeF(1600, 800))
    return camera


def test_a_picture_is_fitted_in_the_middle(camera: Camera) -> None:
    assert camera.zoom == 0.5
    assert camera.frame == QRectF(0, 100, 800, 400)


def test_a_small_picture_is_enlarged_to_a_limit(camera: Camera) -> None:
    camera.set_picture_size(QSizeF(10, 10))
    assert camera.zoom == MAX_FIT


def test_fitting_uses_the_area_that_bars_leave_free() -> None:
    camera = Camera()
    camera.set_view(QSizeF(800, 600), QRectF(0, 100, 800, 500), 1.0)
    camera.set_picture_size(QSizeF(100, 100))
    assert camera.frame.center() == QPointF(400, 350)


def test_the_point_under_the_cursor_stays_when_zooming(camera: Camera) -> None:
    cursor = QPointF(200, 150)
    held = camera.to_picture(cursor)
    camera.zoom_by(3, cursor)
    moved = camera.to_picture(cursor)
    assert moved.x() == pytest.approx(held.x())
    assert moved.y() == pytest.approx(held.y())
    assert not camera.is_fitted


def test_zoom_is_limited(camera: Camera) -> None:
    camera.zoom_to(10_000)
    assert camera.zoom == MAX_ZOOM
    camera.zoom_to(0)
    assert camera.zoom > 0


def test_a_hundred_percent_is_one_device_pixel() -> None:
    camera = Camera()
    camera.set_view(QSizeF(800, 600), QRectF(0, 0, 800, 600), 2.0)
    camera.set_picture_size(QSizeF(400, 400))
    camera.zoom_to(1.0)
    assert camera.frame.width() == 200


def test_panning_keeps_the_picture_visible(camera: Camera) -> None:
    camera.pan(QPointF(100_000, -100_000))
    assert camera.frame.intersects(QRectF(0, 0, 800, 600))


def test_a_larger_picture_of_the_same_aspect_ratio_keeps_its_size_on_the_screen(camera: Camera) -> None:
    camera.zoom_to(2.0, QPointF(100, 100))
    before = camera.frame
    camera.set_picture_size(QSizeF(3200, 1600))
    assert camera.zoom == 1.0
    assert camera.frame.width() == pytest.approx(before.width())
    assert camera.frame.left() == pytest.approx(before.left(), abs=1)


def test_a_picture_of_another_aspect_ratio_is_fitted(camera: Camera) -> None:
    camera.zoom_to(5.0)
    camera.set_picture_size(QSizeF(500, 500))
    assert camera.is_fitted


def test_a_fitted_picture_follows_the_window(camera: Camera) -> None:
    camera.set_view(QSizeF(400, 300), QRectF(0, 0, 400, 300), 1.0)
    assert camera.zoom == 0.25
    camera.zoom_to(1.0)
    camera.set_view(QSizeF(800, 600), QRectF(0, 0, 800, 600), 1.0)
    assert camera.zoom == 1.0
