"""Models as tiles with pictures. A picture dropped on a tile is generated with that model immediately."""

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
from studio.ui.form.base import Editor, FormServices, ModelOption, guard_callback
from studio.ui.form.path_field import MODEL_FILES
from studio.ui.theme import icons, theme
from studio.ui.widgets import labels, mime_data
from studio.ui.widgets.flow_layout import FlowLayout
from studio.ui.widgets.thumbnail_loader import Thumbnail

MIN_TILE_WIDTH = 80
"""Smallest width of a tile in pixels."""
CAPTION_HEIGHT = 28
"""Height of the title below the picture, in pixels."""
MAX_TILES = 48
"""Largest number of tiles; the other models are in a menu."""
_ARROWS = {Qt.Key.Key_Left: (-1, 0), Qt.Key.Key_Right: (1, 0), Qt.Key.Key_Up: (0, -1), Qt.Key.Key_Down: (0, 1)}


class TileLayout(FlowLayout):
    """A layout in columns of equal width that fill the row."""

    def columns(self, width: int) -> int:
        return max(1, (width + self._gap) // (MIN_TILE_WIDTH + self._gap))

    def minimumSize(self) -> QSize:
        return QSize(MIN_TILE_WIDTH, CAPTION_HEIGHT)

    def _arrange(self, rect: QRect, *, move: bool) -> int:
        columns = self.columns(rect.width())
        width = (rect.width() - self._gap * (columns - 1)) // columns
        size = QSize(width, width * 2 // 3 + CAPTION_HEIGHT)
        for number, item in enumerate(self._items):
            if move:
                row, column = divmod(number, columns)
                corner = QPoint(column * (width + self._gap), row * (size.height() + self._gap))
                item.setGeometry(QRect(rect.topLeft() + corner, size))
        rows = -(-len(self._items) // columns)
        return rows * (size.height() + self._gap) - self._gap if rows else 0


class BaseTile(QAbstractButton):
    """The base class of tiles: keys and look."""

    arrow_pressed = Signal(int, int)
    """Emitted for an arrow key, with the steps to the right and down."""

    def __init__(self, title: str) -> None:
        super().__init__()
        self.title = title
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)
        self.setCursor(Qt.CursorShape.PointingHandCursor)
        self.setAttribute(Qt.WidgetAttribute.WA_Hover)

    def sizeHint(self) -> QSize:
        return QSize(MIN_TILE_WIDTH, MIN_TILE_WIDTH * 2 // 3 + CAPTION_HEIGHT)

    def nextCheckState(self) -> None:
        """Do nothing: the editor sets the checked state."""

    def keyPressEvent(self, event: QKeyEvent) -> None:
        key, plain = Qt.Key(event.key()), not event.modifiers() & ~Qt.KeyboardModifier.KeypadModifier
        if plain and key in _ARROWS:
            self.arrow_pressed.emit(*_ARROWS[key])
        elif plain and key in (Qt.Key.Key_Return, Qt.Key.Key_Enter, Qt.Key.Key_Space):
            self.click()
        else:
            event.ignore()

    def _paint_card(self, painter: QPainter, line: str, width: float) -> QRectF:
        half = width / 2
        edge = QRectF(self.rect()).adjusted(half, half, -half, -half)
        painter.setRenderHints(QPainter.RenderHint.Antialiasing | QPainter.RenderHint.SmoothPixmapTransform)
        painter.setPen(QPen(QColor(line), width) if line else Qt.PenStyle.NoPen)
        painter.drawRoundedRect(edge, theme.RADIUS, theme.RADIUS)
        return edge

    def _paint_title(self, painter: QPainter, place: QRect, tone: str) -> None:
        painter.setFont(theme.font(theme.CAPTION))
        painter.setPen(QColor(tone))
        shown = QFontMetrics(painter.font()).elidedText(self.title, Qt.TextElideMode.ElideRight, place.width())
        painter.drawText(place, Qt.AlignmentFlag.AlignCenter | Qt.TextFlag.TextSingleLine, shown)


class ModelTile(BaseTile):
    """A model. `files_dropped` is emitted for dropped or pasted files, `image_pasted` for an image without a file."""

    files_dropped = Signal(list)
    image_pasted = Signal(QImage)

    def __init__(self, name: str, title: str, picture: str = "") -> None:
        super().__init__(title)
        self.model, self.picture = name, picture
        self.setCheckable(True)
        self.setAcceptDrops(True)
        self._pixmap = QPixmap()

    @property
    def has_thumbnail(self) -> bool:
        return not self._pixmap.isNull()

    def set_thumbnail(self, thumbnail: Thumbnail) -> None:
        self._pixmap = QPixmap.fromImage(thumbnail.image)
        self.update()

    # Ways in
    def dragEnterEvent(self, event: QDragEnterEvent) -> None:
        if mime_data.has_files_or_image(event.mimeData()):
            event.acceptProposedAction()
            self._set_hovered(True)

    def dragLeaveEvent(self, event: QDragLeaveEvent) -> None:
        self._set_hovered(False)

    def dropEvent(self, event: QDropEvent) -> None:
        self._set_hovered(False)
        if self._accept_data(event.mimeData()):
            event.acceptProposedAction()

    def event(self, event: QEvent) -> bool:
        return mime_data.claims_paste(event) or super().event(event)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        if event.matches(QKeySequence.StandardKey.Paste):
            self._accept_data(QGuiApplication.clipboard().mimeData())
        else:
            super().keyPressEvent(event)

    def _accept_data(self, data: QMimeData) -> bool:
        if files := mime_data.list_files(data):
            self.files_dropped.emit(files)
            return True
        if (image := mime_data.read_image(data)) is not None:
            self.image_pasted.emit(image)
            return True
        return False

    def _set_hovered(self, on: bool) -> None:
        self.setProperty("hovered", on)
        self.update()

    # The look
    def paintEvent(self, event: QPaintEvent) -> None:
        colours, painter = theme.COLOURS, QPainter(self)
        hovered = bool(self.property("hovered"))
        is_marked = self.isChecked() or hovered
        painter.setBrush(QColor(colours.hover if hovered else colours.field))
        self._paint_card(painter, "", 0)
        frame = QRectF(0, 0, self.width(), self.height() - CAPTION_HEIGHT)
        self._paint_picture(painter, frame)
        caption = QRect(4, int(frame.bottom()), self.width() - 8, CAPTION_HEIGHT)
        self._paint_title(painter, caption, colours.text if is_marked or self.underMouse() else colours.dim)
        painter.setBrush(Qt.BrushStyle.NoBrush)
        line = (
            colours.accent if is_marked else colours.faint if self.hasFocus() or self.underMouse() else colours.border
        )
        self._paint_card(painter, line, 2 if is_marked else 1)
        if self.hasFocus() and is_marked:
            painter.setPen(QPen(QColor(colours.text), 1))
            painter.drawRoundedRect(QRectF(self.rect()).adjusted(2.5, 2.5, -2.5, -2.5), 4, 4)

    def _paint_picture(self, painter: QPainter, frame: QRectF) -> None:
        shape = QPainterPath()
        shape.addRoundedRect(frame.adjusted(0, 0, 0, theme.RADIUS), theme.RADIUS, theme.RADIUS)
        painter.save()
        painter.setClipRect(frame)
        painter.setClipPath(shape, Qt.ClipOperation.IntersectClip)
        if self.has_thumbnail:
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
    """A tile that opens a tool which makes models."""

    def __init__(self, tool: ToolDescriptor) -> None:
        super().__init__(tool.title)
        self.tool = tool.id
        self._icon = tool.icon or "plus"
        labels.describe(self, tool.title, tool.summary)

    def paintEvent(self, event: QPaintEvent) -> None:
        colours, painter = theme.COLOURS, QPainter(self)
        is_highlighted = self.hasFocus() or self.underMouse()
        painter.setBrush(Qt.BrushStyle.NoBrush)
        self._paint_card(painter, colours.faint if is_highlighted else colours.border, 1)
        icon = icons.pixmap(self._icon, 24, "text" if is_highlighted else "dim", self.devicePixelRatioF())
        middle = self.rect().center()
        painter.drawPixmap(middle - QPoint(12, 28), icon)
        painter.setFont(theme.font(theme.CAPTION))
        painter.setPen(QColor(colours.text if is_highlighted else colours.dim))
        below = QRect(4, middle.y() + 4, self.width() - 8, self.height() // 2 - 8)
        wrapped = Qt.AlignmentFlag.AlignHCenter | Qt.AlignmentFlag.AlignTop | Qt.TextFlag.TextWordWrap
        painter.drawText(below, wrapped, self.title)


class ModelTilesEditor(Editor):
    """An editor for a model (`Widget.MODEL` with `tiles`).

    A value that is not in the list of models, such as a path, has a tile while it is chosen.
    """

    def __init__(self, field: Field, services: FormServices, parent: QWidget | None = None) -> None:
        super().__init__(field, parent)
        self._services = services
        self._value = ""
        self._offers: list[ModelOption] | None = None
        self.tiles_and_tools: list[BaseTile] = []
        self._choice_label = labels.make_label()
        self._browse = QToolButton()
        self._browse.setProperty("role", "ghost")
        self._browse.setIcon(icons.icon("folder-open-outline"))
        self._browse.setPopupMode(QToolButton.ToolButtonPopupMode.InstantPopup)
        labels.describe(self._browse, f"Choose {field.title.lower()} from disk")
        self._menu = QMenu(self._browse)
        self._browse.setMenu(self._menu)
        self._header = QWidget()
        head = QHBoxLayout(self._header)
        head.setContentsMargins(0, 0, 0, 0)
        head.setSpacing(4)
        head.addWidget(self._choice_label)
        head.addWidget(self._browse)
        self._empty_label = labels.make_label("", "hint", wrap=True)
        self._empty_label.hide()
        self._grid = QWidget()
        self._tile_layout = TileLayout(self._grid)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(8)
        column.addWidget(self._empty_label)
        column.addWidget(self._grid)
        services.thumbnails.ready.connect(self._thumbnail_ready)
        services.models_changed.connect(self._request_models)
        self._request_models()

    def header_widget(self) -> QWidget | None:
        return self._header

    @property
    def tiles(self) -> list[ModelTile]:
        return [tile for tile in self.tiles_and_tools if isinstance(tile, ModelTile)]

    @property
    def empty_text(self) -> str:
        """The sentence that is shown if there is no model, otherwise empty."""
        return self._empty_label.text()

    def value(self) -> Any:
        return self._value or self._empty_value

    def show_value(self, value: Any) -> None:
        self._value = str(value) if value else ""
        if self._offers is not None and self._value and all(tile.model != self._value for tile in self.tiles):
            self._rebuild_tiles()
        self._show_choice()

    @property
    def _empty_value(self) -> str | None:
        return None if self.field.optional or self.field.default is None else ""

    # The tiles
    def _request_models(self) -> None:
        self._services.list_models(self.field.model, guard_callback(self, self._show_models))

    def _show_models(self, offers: Sequence[ModelOption]) -> None:
        """Show the models, those of a known kind first."""
        models = sorted(offers, key=lambda offer: not offer.kind)
        if models != self._offers:
            self._offers = models
            self._rebuild_tiles()
            self._show_choice()

    def _rebuild_tiles(self) -> None:
        offers = self._offers or []
        had_focus = next((tile.title for tile in self.tiles_and_tools if tile.hasFocus()), None)
        for tile in self.tiles_and_tools:
            self._tile_layout.removeWidget(tile)
            tile.hide()
            tile.deleteLater()
        unlisted = [self._value] if self._value and all(offer.name != self._value for offer in offers) else []
        self.tiles_and_tools = [
            *(self._make_tile(offer.name, offer.title, offer) for offer in offers[:MAX_TILES]),
            *(self._make_tile(name, Path(name).name) for name in unlisted),
            *(self._make_tool_tile(tool) for tool in self._services.training_tools()),
        ]
        for tile in self.tiles_and_tools:
            tile.arrow_pressed.connect(lambda right, down, tile=tile: self._step(tile, right, down))
            self._tile_layout.addWidget(tile)
            tile.show()
        self._fill_menu(offers[MAX_TILES:])
        self._show_empty_text(bool(offers or unlisted))
        for tile in self.tiles:
            if tile.picture:
                self._services.thumbnails.request(tile.picture)
        self._grid.setVisible(bool(self.tiles_and_tools))
        if (refocused := next((tile for tile in self.tiles_and_tools if tile.title == had_focus), None)) is not None:
            refocused.setFocus()

    def _make_tile(self, name: str, title: str, offer: ModelOption | None = None) -> ModelTile:
        tile = ModelTile(name, title, offer.picture if offer else "")
        about = [offer.summary, f"Licence: {offer.licence}." if offer.licence else ""] if offer else []
        hint = "Drop an image or a folder here, or paste an image, to generate with it immediately."
        labels.describe(tile, f"{self.field.title}: {title}", " ".join(part for part in (*about, hint) if part))
        tile.setToolTip(
            labels.make_tool_tip(" ".join(part for part in (f"{title.rstrip('.')}.", *about, hint) if part))
        )
        tile.clicked.connect(lambda: self._choose(name))
        tile.files_dropped.connect(lambda files: self._generate(name, files))
        tile.image_pasted.connect(lambda image: self._generate_from_image(name, image))
        return tile

    def _make_tool_tile(self, tool: ToolDescriptor) -> TrainingToolTile:
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
            self._menu.addAction(offer.title.replace("&", "&&"), partial(self._choose, offer.name))

    def _show_empty_text(self, has_models: bool) -> None:
        noun = self.field.title.lower()
        hint = " Train or import one, or put one into the model folder." if self._services.training_tools() else ""
        self._empty_label.setText("" if has_models else f"There is no {noun} yet.{hint}")
        self._empty_label.setVisible(not has_models)

    def _show_choice(self) -> None:
        """Mark the chosen tile. Tab focuses it, or the first tile; arrow keys move on from there."""
        for tile in self.tiles:
            tile.setChecked(bool(self._value) and tile.model == self._value)
        chosen = next((tile for tile in self.tiles if tile.isChecked()), None)
        title = chosen.title if chosen else ""
        width = MIN_TILE_WIDTH * 2
        self._choice_label.setText(
            self._choice_label.fontMetrics().elidedText(title, Qt.TextElideMode.ElideRight, width)
        )
        self._set_tab_target(next((tile for tile in self.tiles_and_tools if tile.hasFocus()), None) or chosen)

    def _set_tab_target(self, tile: BaseTile | None) -> None:
        tile = tile or next(iter(self.tiles_and_tools), None)
        for other in self.tiles_and_tools:
            other.setFocusPolicy(Qt.FocusPolicy.StrongFocus if other is tile else Qt.FocusPolicy.ClickFocus)

    def _step(self, tile: BaseTile, right: int, down: int) -> None:
        target = self.tiles_and_tools.index(tile) + right + down * self._tile_layout.columns(self._grid.width())
        if 0 <= target < len(self.tiles_and_tools):
            self._set_tab_target(self.tiles_and_tools[target])
            self.tiles_and_tools[target].setFocus(Qt.FocusReason.OtherFocusReason)

    def focusInEvent(self, event: QFocusEvent) -> None:
        """Pass the focus on to the tile that Tab would reach."""
        super().focusInEvent(event)
        focusable = [tile for tile in self.tiles_and_tools if tile.focusPolicy() is Qt.FocusPolicy.StrongFocus]
        if focusable:
            focusable[0].setFocus(event.reason())

    def _thumbnail_ready(self, thumbnail: Thumbnail) -> None:
        for tile in self.tiles:
            if tile.picture == thumbnail.path and not thumbnail.image.isNull():
                tile.set_thumbnail(thumbnail)

    # What the artist does
    def _choose(self, name: str) -> None:
        is_chosen = name == self._value
        if is_chosen and not self.field.optional:
            return
        self.show_value("" if is_chosen else name)
        self.edited.emit()

    def _generate(self, name: str, files: Sequence[Path]) -> None:
        self._services.generate_from_drop(self.field.name, name, files)

    def _generate_from_image(self, name: str, image: QImage) -> None:
        self._services.save_image(image, guard_callback(self, lambda path: self._generate(name, [path])))

    def _choose_folder(self) -> None:
        if path := QFileDialog.getExistingDirectory(self, self.field.title):
            self._choose(path)

    def _choose_file(self) -> None:
        path, _ = QFileDialog.getOpenFileName(self, self.field.title, "", MODEL_FILES)
        if path:
            self._choose(path)
