"""The bar of illustrations of a page, in the order of their text."""

from __future__ import annotations

from PySide6.QtCore import QRectF, QSize, Qt, Signal
from PySide6.QtGui import QColor, QContextMenuEvent, QMouseEvent, QPainter, QPainterPath, QPaintEvent, QPen, QPixmap
from PySide6.QtWidgets import QAbstractButton, QHBoxLayout, QMenu, QScrollArea, QWidget

from studio.state.page.illustrations import Illustrations, PagePicture
from studio.ui.theme import icons, theme
from studio.ui.widgets import labels
from studio.ui.widgets.thumbnail_loader import Thumbnail, ThumbnailLoader

TILE = QSize(196, 76)


class IllustrationTile(QAbstractButton):
    """An illustration, the text that it was generated from, and its status."""

    double_clicked = Signal()
    repaint_requested = Signal()
    remove_requested = Signal()

    def __init__(self, picture: PagePicture, image: QPixmap) -> None:
        super().__init__()
        self.picture = picture
        self._image = image
        self.setFixedSize(TILE)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setCursor(Qt.CursorShape.PointingHandCursor)
        words = " ".join(picture.anchor.words.split())
        labels.describe(self, f"Illustration of “{words[:60]}”, {self.status}", words[:400])

    @property
    def status(self) -> str:
        if self.picture.is_busy:
            return "generating"
        return "outdated · Alt+P updates" if self.picture.is_stale else "up to date"

    def set_image(self, image: QPixmap) -> None:
        self._image = image
        self.update()

    def mouseDoubleClickEvent(self, event: QMouseEvent) -> None:
        self.double_clicked.emit()

    def contextMenuEvent(self, event: QContextMenuEvent) -> None:
        menu = QMenu(self)
        menu.addAction("Update illustration", self.repaint_requested.emit)
        menu.addAction("Remove from page", self.remove_requested.emit)
        menu.exec(event.globalPos())
        menu.deleteLater()

    def paintEvent(self, event: QPaintEvent) -> None:
        colours = theme.COLOURS
        painter = QPainter(self)
        painter.setRenderHints(QPainter.RenderHint.Antialiasing | QPainter.RenderHint.SmoothPixmapTransform)
        frame = QRectF(2, 2, 72, 72)
        shape = QPainterPath()
        shape.addRoundedRect(frame, 4, 4)
        painter.save()
        painter.setClipPath(shape)
        painter.fillRect(frame, QColor(colours.raised))
        if self._image.isNull():
            painter.drawPixmap(28, 28, icons.pixmap("image-outline", 20, "dim", self.devicePixelRatioF()))
        else:
            size = self._image.size().scaled(QSize(72, 72), Qt.AspectRatioMode.KeepAspectRatioByExpanding)
            target = QRectF(0, 0, size.width(), size.height())
            target.moveCenter(frame.center())
            painter.setOpacity(0.45 if self.picture.is_stale else 1.0)
            painter.drawPixmap(target, self._image, QRectF(self._image.rect()))
        painter.restore()
        if self.hasFocus():
            painter.setPen(QPen(QColor(colours.dim), 2))
            painter.drawRoundedRect(frame.adjusted(-1, -1, 1, 1), 5, 5)
        painter.setFont(theme.font(theme.CAPTION))
        painter.setPen(QColor(colours.text))
        words = painter.fontMetrics().elidedText(
            " ".join(self.picture.anchor.words.split()), Qt.TextElideMode.ElideRight, 215
        )
        place = QRectF(84, 6, TILE.width() - 88, 44)
        painter.drawText(place, int(Qt.TextFlag.TextWordWrap) | int(Qt.AlignmentFlag.AlignTop), words)
        painter.setPen(QColor(colours.warning if self.picture.is_stale else colours.dim))
        painter.drawText(QRectF(84, 52, TILE.width() - 86, 18), int(Qt.AlignmentFlag.AlignVCenter), self.status)


class IllustrationsBar(QWidget):
    """A row of illustrations, hidden if there are none. A click selects the text, a double click opens the picture."""

    chosen = Signal(int, int)
    """Emitted with the position and length of an illustration's text."""
    opened = Signal(object)
    """Emitted with a creation to show."""

    def __init__(self, illustrations: Illustrations, thumbnails: ThumbnailLoader) -> None:
        super().__init__()
        self._illustrations, self._thumbnails = illustrations, thumbnails
        self.setProperty("role", "bar")
        self.setAttribute(Qt.WidgetAttribute.WA_StyledBackground)
        self._images: dict[str, QPixmap] = {}
        self._shown: list[PagePicture] = []
        self.tiles: list[IllustrationTile] = []
        self._row = QWidget()
        self._line = QHBoxLayout(self._row)
        self._line.setContentsMargins(0, 0, 0, 0)
        self._line.setSpacing(12)
        self._line.addStretch(1)
        scroll = QScrollArea()
        scroll.setWidgetResizable(True)
        scroll.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        scroll.setVerticalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        scroll.setFixedHeight(TILE.height() + 10)
        scroll.setWidget(self._row)
        column = QHBoxLayout(self)
        column.setContentsMargins(16, 8, 16, 4)
        column.addWidget(scroll)
        illustrations.changed.connect(self._show)
        thumbnails.ready.connect(self._on_thumbnail)
        self._show()

    def _show(self) -> None:
        pictures = self._illustrations.list_pictures()
        if pictures == self._shown and self.tiles:
            return
        self._shown = pictures
        for tile in self.tiles:
            self._line.removeWidget(tile)
            tile.deleteLater()
        self.tiles = []
        for number, picture in enumerate(pictures):
            path = picture.creation.path if picture.creation else ""
            tile = IllustrationTile(picture, self._images.get(path, QPixmap()))
            self._connect(tile, picture)
            self._line.insertWidget(number, tile)
            self.tiles.append(tile)
            if path and path not in self._images:
                self._thumbnails.request(path)
        self.setVisible(bool(pictures))

    def _connect(self, tile: IllustrationTile, picture: PagePicture) -> None:
        id, place, creation = picture.anchor.id, picture.position, picture.creation
        if place is not None:
            tile.clicked.connect(lambda: self.chosen.emit(place[0], place[1] - place[0]))
        if creation is not None:
            tile.double_clicked.connect(lambda: self.opened.emit(creation))
        tile.repaint_requested.connect(lambda: self._illustrations.repaint(id))
        tile.remove_requested.connect(lambda: self._illustrations.remove(id))

    def _on_thumbnail(self, thumbnail: Thumbnail) -> None:
        affected = [
            tile for tile in self.tiles if tile.picture.creation and tile.picture.creation.path == thumbnail.path
        ]
        if affected and not thumbnail.image.isNull():
            self._images[thumbnail.path] = QPixmap.fromImage(thumbnail.image)
            for tile in affected:
                tile.set_image(self._images[thumbnail.path])
