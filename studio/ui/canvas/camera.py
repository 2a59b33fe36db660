"""The position and zoom of a picture in its view: pure geometry.

Widget coordinates are logical pixels, picture coordinates are the picture's own pixels. The
zoom is in device pixels per picture pixel, so that 100 % is sharp on every screen.
"""

from __future__ import annotations

from PySide6.QtCore import QPointF, QRectF, QSizeF

MAX_ZOOM = 64.0
MAX_FIT = 4.0
"""Largest zoom of a fitted picture."""
MIN_VISIBLE = 48.0
"""Part of the picture that stays in view when panning, in logical pixels."""


class Camera:
    """Maps picture coordinates to widget coordinates.

    `is_fitted` is true until the artist zooms or pans. A fitted picture follows the size of the view.
    """

    def __init__(self) -> None:
        self.zoom = 1.0
        self.is_fitted = True
        self._ratio = 1.0
        self._area = QRectF()
        self._view = QSizeF()
        self._picture = QSizeF()
        self._centre = QPointF()

    def set_view(self, view: QSizeF, area: QRectF, device_pixel_ratio: float) -> None:
        """Set the size of the widget. A fitted picture is placed inside `area`."""
        self._view, self._area, self._ratio = QSizeF(view), QRectF(area), device_pixel_ratio
        if self.is_fitted:
            self.fit()
        else:
            self._clamp()

    def set_picture_size(self, size: QSizeF) -> None:
        """Set the size of the picture. One of the same aspect ratio keeps its place and its size on the screen."""
        old, self._picture = self._picture, QSizeF(size)
        if self.is_fitted or not _same_shape(old, size):
            self.fit()
        elif old != size:
            scale = size.width() / old.width()
            self._centre *= scale
            self.zoom /= scale
            self._clamp()

    @property
    def fit_zoom(self) -> float:
        if self._picture.isEmpty() or self._area.isEmpty():
            return 1.0
        across = self._area.width() / self._picture.width()
        down = self._area.height() / self._picture.height()
        return min(min(across, down) * self._ratio, MAX_FIT)

    def fit(self) -> None:
        self.is_fitted = True
        self.zoom = self.fit_zoom
        offset = self._area.center() - QPointF(self._view.width() / 2, self._view.height() / 2)
        self._centre = self._picture_centre() - offset / self._scale

    def zoom_to(self, zoom: float, at: QPointF | None = None) -> None:
        """Zoom, and keep the point of the picture under `at` (widget coordinates; default: the centre) in place."""
        at = at or QPointF(self._view.width() / 2, self._view.height() / 2)
        anchor = self.to_picture(at)
        self.is_fitted = False
        self.zoom = min(max(zoom, min(self.fit_zoom, 1.0) / 8), MAX_ZOOM)
        self._centre += anchor - self.to_picture(at)
        self._clamp()

    def zoom_by(self, factor: float, at: QPointF | None = None) -> None:
        self.zoom_to(self.zoom * factor, at)

    def pan(self, by: QPointF) -> None:
        """Move the picture by so many logical pixels."""
        self.is_fitted = False
        self._centre -= by / self._scale
        self._clamp()

    def to_picture(self, point: QPointF) -> QPointF:
        middle = QPointF(self._view.width() / 2, self._view.height() / 2)
        return self._centre + (point - middle) / self._scale

    def to_widget(self, point: QPointF) -> QPointF:
        middle = QPointF(self._view.width() / 2, self._view.height() / 2)
        return middle + (point - self._centre) * self._scale

    @property
    def frame(self) -> QRectF:
        """The picture's rectangle in widget coordinates, aligned to device pixels."""
        corner = self.to_widget(QPointF())
        left, top = round(corner.x() * self._ratio) / self._ratio, round(corner.y() * self._ratio) / self._ratio
        return QRectF(left, top, self._picture.width() * self._scale, self._picture.height() * self._scale)

    @property
    def _scale(self) -> float:
        return self.zoom / self._ratio

    def _picture_centre(self) -> QPointF:
        return QPointF(self._picture.width() / 2, self._picture.height() / 2)

    def _clamp(self) -> None:
        across = (self._view.width() / 2 - MIN_VISIBLE) / self._scale
        down = (self._view.height() / 2 - MIN_VISIBLE) / self._scale
        self._centre = QPointF(
            min(max(self._centre.x(), -across), self._picture.width() + across),
            min(max(self._centre.y(), -down), self._picture.height() + down),
        )


def _same_shape(old: QSizeF, new: QSizeF) -> bool:
    if old.isEmpty() or new.isEmpty():
        return False
    first, second = old.width() / old.height(), new.width() / new.height()
    return abs(first - second) <= 0.01 * first
