"""Models as tiles with pictures: chosen by a click or a key, and what is dropped on one is made with it at once."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from PySide6.QtCore import QEvent, QMimeData, QPoint, QRect, QRectF, QSize, Qt, Signal
from PySide6.QtGui import (
    QColor,
    QDragEnterEvent,
    QDragLeaveEvent,
    QDropEvent,
    QFocusEvent,
    QFontMetrics,
    QGuiApplication,
    QImage,
    QKeyEvent,
    QKeySequence,
    QPainter,
    QPainterPath,
    QPaintEvent,
    QPen,
    QPixmap,
)
from PySide6.QtWidgets import (
    QAbstractButton,
    QFileDialog,
    QHBoxLayout,
    QMenu,
    QSizePolicy,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from studio.core.descriptor import Field, ToolDescriptor
from studio.ui.form.base import Editor, FormServices, ModelOption, while_alive
from studio.ui.form.path_field import MODEL_FILES
from studio.ui.theme import icons, theme
from studio.ui.widgets import labels, mime_data
from studio.ui.widgets.flow_layout import FlowLayout
from studio.ui.widgets.thumbnail_loader import Thumbnail

NARROWEST = 80
"""Pixels that a tile takes at least."""
CAPTION = 28
"""Height of the line below its picture."""
MOST = 48
"""Tiles that are shown; further models stand in a menu."""
_STEPS = {Qt.Key.Key_Left: (-1, 0), Qt.Key.Key_Right: (1, 0), Qt.Key.Key_Up: (0, -1), Qt.Key.Key_Down: (0, 1)}


class TileLayout(FlowLayout):
    """Columns of one width that fill the row."""

    def columns(self, width: int) -> int:
        return max(1, (width + self._gap) // (NARROWEST + self._gap))

    def minimumSize(self) -> QSize:
        return QSize(NARROWEST, CAPTION)

    def _arrange(self, rect: QRect, *, move: bool) -> int:
        columns = self.columns(rect.width())
        width = (rect.width() - self._gap * (columns - 1)) // columns
        size = QSize(width, width * 2 // 3 + CAPTION)
        for number, item in enumerate(self._items):
            if move:
                row, column = divmod(number, columns)
                corner = QPoint(column * (width + self._gap), row * (size.height() + self._gap))
                item.setGeometry(QRect(rect.topLeft() + corner, size))
        rows = -(-len(self._items) // columns)
        return rows * (size.height() + self._gap) - self._gap if rows else 0


class BaseTile(QAbstractButton):
    """What all tiles have in common: the keys, and the look of a card."""

    moved = Signal(int, int)
    """An arrow key: so many tiles to the right, and so many rows down."""

    def __init__(self, title: str) -> None:
        super().__init__()
        self.title = title
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)
        self.setCursor(Qt.CursorShape.PointingHandCursor)
        self.setAttribute(Qt.WidgetAttribute.WA_Hover)

    def sizeHint(self) -> QSize:
        return QSize(NARROWEST, NARROWEST * 2 // 3 + CAPTION)

    def nextCheckState(self) -> None:
        """Only the editor checks it."""

    def keyPressEvent(self, event: QKeyEvent) -> None:
        key, plain = Qt.Key(event.key()), not event.modifiers() & ~Qt.KeyboardModifier.KeypadModifier
        if plain and key in _STEPS:
            self.moved.emit(*_STEPS[key])
        elif plain and key in (Qt.Key.Key_Return, Qt.Key.Key_Enter, Qt.Key.Key_Space):
            self.click()
        else:
            event.ignore()

    def _card(self, painter: QPainter, line: str, width: float) -> QRectF:
        half = width / 2
        edge = QRectF(self.rect()).adjusted(half, half, -half, -half)
        painter.setRenderHints(QPainter.RenderHint.Antialiasing | QPainter.RenderHint.SmoothPixmapTransform)
        painter.setPen(QPen(QColor(line), width) if line else Qt.PenStyle.NoPen)
        painter.drawRoundedRect(edge, theme.RADIUS, theme.RADIUS)
        return edge

    def _write(self, painter: QPainter, place: QRect, tone: str) -> None:
        painter.setFont(theme.font(theme.CAPTION))
        painter.setPen(QColor(tone))
        shown = QFontMetrics(painter.font()).elidedText(self.title, Qt.TextElideMode.ElideRight, place.width())
        painter.drawText(place, Qt.AlignmentFlag.AlignCenter | Qt.TextFlag.TextSingleLine, shown)


class ModelTile(BaseTile):
    """One model. Says `given` for files and folders that are dropped or pasted, `pasted` for a picture that is none."""

    given = Signal(list)
    pasted = Signal(QImage)

    def __init__(self, name: str, title: str, picture: str = "") -> None:
        super().__init__(title)
        self.model, self.picture = name, picture
        self.setCheckable(True)
        self.setAcceptDrops(True)
        self._pixmap = QPixmap()

    @property
    def is_painted(self) -> bool:
        return not self._pixmap.isNull()

    def set_thumbnail(self, thumbnail: Thumbnail) -> None:
        self._pixmap = QPixmap.fromImage(thumbnail.image)
        self.update()

    # Ways in
    def dragEnterEvent(self, event: QDragEnterEvent) -> None:
        if mime_data.has_files_or_image(event.mimeData()):
            event.acceptProposedAction()
            self._welcome(True)

    def dragLeaveEvent(self, event: QDragLeaveEvent) -> None:
        self._welcome(False)

    def dropEvent(self, event: QDropEvent) -> None:
        self._welcome(False)
        if self._take(event.mimeData()):
            event.acceptProposedAction()

    def event(self, event: QEvent) -> bool:
        return mime_data.claims_paste(event) or super().event(event)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        if event.matches(QKeySequence.StandardKey.Paste):
            self._take(QGuiApplication.clipboard().mimeData())
        else:
            super().keyPressEvent(event)

    def _take(self, data: QMimeData) -> bool:
        if files := mime_data.list_files(data):
            self.given.emit(files)
            return True
        if (image := mime_data.read_image(data)) is not None:
            self.pasted.emit(image)
            return True
        return False

    def _welcome(self, on: bool) -> None:
        self.setProperty("hovered", on)
        self.update()

    # The look
    def paintEvent(self, event: QPaintEvent) -> None:
        colours, painter = theme.COLOURS, QPainter(self)
        welcomes = bool(self.property("hovered"))
        marked = self.isChecked() or welcomes
        painter.setBrush(QColor(colours.hover if welcomes else colours.field))
        self._card(painter, "", 0)
        frame = QRectF(0, 0, self.width(), self.height() - CAPTION)
        self._paint_picture(painter, frame)
        caption = QRect(4, int(frame.bottom()), self.width() - 8, CAPTION)
        self._write(painter, caption, colours.text if marked or self.underMouse() else colours.dim)
        painter.setBrush(Qt.BrushStyle.NoBrush)
        line = colours.accent if marked else colours.faint if self.hasFocus() or self.underMouse() else colours.border
        self._card(painter, line, 2 if marked else 1)
        if self.hasFocus() and marked:
            painter.setPen(QPen(QColor(colours.text), 1))
            painter.drawRoundedRect(QRectF(self.rect()).adjusted(2.5, 2.5, -2.5, -2.5), 4, 4)

    def _paint_picture(self, painter: QPainter, frame: QRectF) -> None:
        shape = QPainterPath()
        shape.addRoundedRect(frame.adjusted(0, 0, 0, theme.RADIUS), theme.RADIUS, theme.RADIUS)
        painter.save()
        painter.setClipRect(frame)
        painter.setClipPath(shape, Qt.ClipOperation.IntersectClip)
        if self.is_painted:
            size = QSize(self._pixmap.size()).scaled(
                frame.size().toSize(), Qt.AspectRatioMode.KeepAspectRatioByExpanding
            )
            target = QRectF(0, 0, size.width(), size.height())
            target.moveCenter(frame.center())
            painter.drawPixmap(target, self._pixmap, QRectF(self._pixmap.rect()))
        else:
            painter.fillRect(frame, QColor(theme.COLOURS.raised))
            icon = icons.pixmap("image-outline", 24, "faint", self.devicePixelRatioF())
            painter.drawPixmap(frame.center() - QRectF(0, 0, 24, 24).center(), icon)
        painter.restore()


class TrainingToolTile(BaseTile):
    """The way to a model of one's own: a tool that makes them."""

    def __init__(self, tool: ToolDescriptor) -> None:
        super().__init__(tool.title)
        self.tool = tool.id
        self._icon = tool.icon or "plus"
        labels.describe(self, tool.title, tool.summary)

    def paintEvent(self, event: QPaintEvent) -> None:
        colours, painter = theme.COLOURS, QPainter(self)
        bright = self.hasFocus() or self.underMouse()
        painter.setBrush(Qt.BrushStyle.NoBrush)
        self._card(painter, colours.faint if bright else colours.border, 1)
        icon = icons.pixmap(self._icon, 24, "text" if bright else "dim", self.devicePixelRatioF())
        middle = self.rect().center()
        painter.drawPixmap(middle - QPoint(12, 28), icon)
        painter.setFont(theme.font(theme.CAPTION))
        painter.setPen(QColor(colours.text if bright else colours.dim))
        below = QRect(4, middle.y() + 4, self.width() - 8, self.height() // 2 - 8)
        wrapped = Qt.AlignmentFlag.AlignHCenter | Qt.AlignmentFlag.AlignTop | Qt.TextFlag.TextWordWrap
        painter.drawText(below, wrapped, self.title)


class ModelTilesEditor(Editor):
    """For `Widget.MODEL` with `tiles`. What is not among them, such as a path, gets a tile while it is chosen."""

    def __init__(self, field: Field, services: FormServices, parent: QWidget | None = None) -> None:
        super().__init__(field, parent)
        self._services = services
        self._value = ""
        self._offers: list[ModelOption] | None = None
        self.tiles_and_tools: list[BaseTile] = []
        self._chosen = labels.make_label()
        self._browse = QToolButton()
        self._browse.setProperty("role", "ghost")
        self._browse.setIcon(icons.icon("folder-open-outline"))
        self._browse.setPopupMode(QToolButton.ToolButtonPopupMode.InstantPopup)
        labels.describe(self._browse, f"Choose {field.title.lower()} from the disk")
        self._menu = QMenu(self._browse)
        self._browse.setMenu(self._menu)
        self._beside = QWidget()
        head = QHBoxLayout(self._beside)
        head.setContentsMargins(0, 0, 0, 0)
        head.setSpacing(4)
        head.addWidget(self._chosen)
        head.addWidget(self._browse)
        self._nothing = labels.make_label("", "hint", wrap=True)
        self._nothing.hide()
        self._grid = QWidget()
        self._mosaic = TileLayout(self._grid)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(8)
        column.addWidget(self._nothing)
        column.addWidget(self._grid)
        services.thumbnails.ready.connect(self._thumbnail_ready)
        services.models_changed.connect(self._ask)
        self._ask()

    def head(self) -> QWidget | None:
        return self._beside

    @property
    def tiles(self) -> list[ModelTile]:
        return [plate for plate in self.tiles_and_tools if isinstance(plate, ModelTile)]

    @property
    def invitation(self) -> str:
        """What is said where there is no model yet; else empty."""
        return self._nothing.text()

    def value(self) -> Any:
        return self._value or self._empty

    def show_value(self, value: Any) -> None:
        self._value = str(value) if value else ""
        if self._offers is not None and self._value and all(tile.model != self._value for tile in self.tiles):
            self._lay_tiles()
        self._mark()

    @property
    def _empty(self) -> str | None:
        return None if self.field.optional or self.field.default is None else ""

    # The tiles
    def _ask(self) -> None:
        self._services.list_models(self.field.model, while_alive(self, self._offered))

    def _offered(self, offers: Sequence[ModelOption]) -> None:
        """Those that say what they are stand first."""
        found = sorted(offers, key=lambda offer: not offer.kind)
        if found != self._offers:
            self._offers = found
            self._lay_tiles()
            self._mark()

    def _lay_tiles(self) -> None:
        offers = self._offers or []
        had_focus = next((plate.title for plate in self.tiles_and_tools if plate.hasFocus()), None)
        for plate in self.tiles_and_tools:
            self._mosaic.removeWidget(plate)
            plate.hide()
            plate.deleteLater()
        strange = [self._value] if self._value and all(offer.name != self._value for offer in offers) else []
        self.tiles_and_tools = [
            *(self._tile(offer.name, offer.title, offer) for offer in offers[:MOST]),
            *(self._tile(name, Path(name).name) for name in strange),
            *(self._maker(tool) for tool in self._services.training_tools()),
        ]
        for plate in self.tiles_and_tools:
            plate.moved.connect(lambda right, down, plate=plate: self._step(plate, right, down))
            self._mosaic.addWidget(plate)
            plate.show()
        self._fill_menu(offers[MOST:])
        self._say_nothing(bool(offers or strange))
        for tile in self.tiles:
            if tile.picture:
                self._services.thumbnails.request(tile.picture)
        self._grid.setVisible(bool(self.tiles_and_tools))
        if (again := next((plate for plate in self.tiles_and_tools if plate.title == had_focus), None)) is not None:
            again.setFocus()

    def _tile(self, name: str, title: str, offer: ModelOption | None = None) -> ModelTile:
        tile = ModelTile(name, title, offer.picture if offer else "")
        about = [offer.summary, f"Licence: {offer.licence}." if offer.licence else ""] if offer else []
        hint = "Drop a picture or a folder on it, or paste a picture, to use it at once."
        labels.describe(tile, f"{self.field.title}: {title}", " ".join(part for part in (*about, hint) if part))
        tile.setToolTip(
            labels.make_tool_tip(" ".join(part for part in (f"{title.rstrip('.')}.", *about, hint) if part))
        )
        tile.clicked.connect(lambda: self._pick(name))
        tile.given.connect(lambda files: self._given(name, files))
        tile.pasted.connect(lambda image: self._pasted(name, image))
        return tile

    def _maker(self, tool: ToolDescriptor) -> TrainingToolTile:
        maker = TrainingToolTile(tool)
        maker.clicked.connect(lambda: self._services.choose_tool(maker.tool))
        return maker

    def _fill_menu(self, further: Sequence[ModelOption]) -> None:
        self._menu.clear()
        self._menu.addAction("Choose a folder…", self._choose_folder)
        self._menu.addAction("Choose a file…", self._choose_file)
        if further:
            self._menu.addSeparator()
        for offer in further:
            self._menu.addAction(offer.title.replace("&", "&&"), partial(self._pick, offer.name))

    def _say_nothing(self, anything: bool) -> None:
        what = self.field.title.lower()
        makers = " Make your own, or put one into the models folder." if self._services.training_tools() else ""
        self._nothing.setText("" if anything else f"There is no {what} here yet.{makers}")
        self._nothing.setVisible(not anything)

    def _mark(self) -> None:
        """Shows which is chosen; Tab goes to that one, or to the first, and arrow keys to the others."""
        for tile in self.tiles:
            tile.setChecked(bool(self._value) and tile.model == self._value)
        chosen = next((tile for tile in self.tiles if tile.isChecked()), None)
        title = chosen.title if chosen else ""
        width = NARROWEST * 2
        self._chosen.setText(self._chosen.fontMetrics().elidedText(title, Qt.TextElideMode.ElideRight, width))
        self._reach(next((plate for plate in self.tiles_and_tools if plate.hasFocus()), None) or chosen)

    def _reach(self, plate: BaseTile | None) -> None:
        plate = plate or next(iter(self.tiles_and_tools), None)
        for other in self.tiles_and_tools:
            other.setFocusPolicy(Qt.FocusPolicy.StrongFocus if other is plate else Qt.FocusPolicy.ClickFocus)

    def _step(self, plate: BaseTile, right: int, down: int) -> None:
        wanted = self.tiles_and_tools.index(plate) + right + down * self._mosaic.columns(self._grid.width())
        if 0 <= wanted < len(self.tiles_and_tools):
            self._reach(self.tiles_and_tools[wanted])
            self.tiles_and_tools[wanted].setFocus(Qt.FocusReason.OtherFocusReason)

    def focusInEvent(self, event: QFocusEvent) -> None:
        """Where the form sends it, such as for a choice that is missing."""
        super().focusInEvent(event)
        reached = [plate for plate in self.tiles_and_tools if plate.focusPolicy() is Qt.FocusPolicy.StrongFocus]
        if reached:
            reached[0].setFocus(event.reason())

    def _thumbnail_ready(self, thumbnail: Thumbnail) -> None:
        for tile in self.tiles:
            if tile.picture == thumbnail.path and not thumbnail.image.isNull():
                tile.set_thumbnail(thumbnail)

    # What the artist does
    def _pick(self, name: str) -> None:
        again = name == self._value
        if again and not self.field.optional:
            return
        self.show_value("" if again else name)
        self.edited.emit()

    def _given(self, name: str, files: Sequence[Path]) -> None:
        self._services.generate_from_drop(self.field.name, name, files)

    def _pasted(self, name: str, image: QImage) -> None:
        self._services.save_image(image, while_alive(self, lambda path: self._given(name, [path])))

    def _choose_folder(self) -> None:
        if path := QFileDialog.getExistingDirectory(self, self.field.title):
            self._pick(path)

    def _choose_file(self) -> None:
        path, _ = QFileDialog.getOpenFileName(self, self.field.title, "", MODEL_FILES)
        if path:
            self._pick(path)
