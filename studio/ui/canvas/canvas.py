"""The canvas: shows one creation, or the preview of a running job."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from PySide6.QtCore import QSize, Qt, QTimer, Signal
from PySide6.QtGui import QCloseEvent, QDragEnterEvent, QDragLeaveEvent, QDropEvent, QImage, QResizeEvent
from PySide6.QtWidgets import QApplication, QFileDialog, QStackedLayout, QWidget

from studio.core.errors import StudioError
from studio.library.creation import Creation, CreationKind
from studio.state.tasks import Tasks
from studio.ui.canvas import image_pyramid
from studio.ui.canvas.actions import CanvasActions
from studio.ui.canvas.frame_reader import open_clip
from studio.ui.canvas.image_pyramid import ImagePyramid
from studio.ui.canvas.image_view import MARGINS, ZOOM_STEP, ImageView
from studio.ui.canvas.mask_bar import MaskActions, MaskBar
from studio.ui.canvas.mask_mode import MaskMode
from studio.ui.canvas.model_card import Card, ModelCard, read_card
from studio.ui.canvas.overlay_bars import DropOutline, PlaybackBar, ViewBar
from studio.ui.canvas.placeholder_views import EmptyPlaceholder, MessagePlaceholder, TextView, read_text_file
from studio.ui.canvas.player import Player
from studio.ui.canvas.point_mode import PointMode
from studio.ui.widgets import mime_data

T = TypeVar("T")

OPENING_DELAY = 250
"""Milliseconds after which "Opening…" is shown."""
GAP = 6
"""Pixels between a floating bar's shadow and the edge."""


class Canvas(QWidget):
    """Shows pictures, animations, texts and model cards.

    The current content stays until the next is loaded, so that nothing flashes in between. `close` ends all
    threads and processes.
    """

    files_dropped = Signal(list)
    """Emitted with dropped files, as `list[Path]`."""
    image_dropped = Signal(QImage)
    """Emitted with an image without a file, such as one from a browser."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setProperty("role", "canvas")
        self.setAttribute(Qt.WidgetAttribute.WA_StyledBackground)
        self.setAcceptDrops(True)
        self.setAccessibleName("Canvas")
        self.image_view = ImageView()
        self.text_view = TextView()
        self.model_card = ModelCard()
        self.message_placeholder = MessagePlaceholder()
        self.empty_placeholder = EmptyPlaceholder()
        self._views = QStackedLayout(self)
        for page in (
            self.empty_placeholder,
            self.image_view,
            self.text_view,
            self.model_card,
            self.message_placeholder,
        ):
            self._views.addWidget(page)
        self.commands = CanvasActions(self)
        self.tool_bar = ViewBar(self.commands, self)
        self.playback_bar = PlaybackBar(self.commands, self)
        self.playback_bar.hide()
        self.mask_mode = MaskMode(self.image_view, self)
        self.point_mode = PointMode(self.image_view, self)
        self.point_mode.add_finish_key(self)
        self.mask_actions = MaskActions(self.mask_mode, self)
        self.mask_bar = MaskBar(self.mask_mode, self.mask_actions, self)
        self._drop_outline = DropOutline(self)
        self._tasks = Tasks("canvas", threads=2, drop_pending=True, parent=self)
        self._closed = False
        self._request = 0
        self._opening_timer = QTimer(self, singleShot=True, interval=OPENING_DELAY)
        self._players: list[Player] = []
        self._is_smoothing = False
        self._before: Path | QImage | None = None
        self._connect()
        self._show_view(self.empty_placeholder)

    def _connect(self) -> None:
        commands = self.commands
        commands.fit.triggered.connect(self.image_view.fit)
        commands.actual_size.triggered.connect(lambda: self.image_view.zoom_to(1.0))
        commands.zoom_in.triggered.connect(lambda: self.image_view.zoom_by(ZOOM_STEP))
        commands.zoom_out.triggered.connect(lambda: self.image_view.zoom_by(1 / ZOOM_STEP))
        commands.compare.toggled.connect(self._compare)
        commands.play.triggered.connect(self._toggle_play)
        commands.previous_frame.triggered.connect(lambda: self._step(-1))
        commands.next_frame.triggered.connect(lambda: self._step(1))
        commands.loop.toggled.connect(self._set_loop)
        self.image_view.zoomed.connect(self._show_zoom)
        self.image_view.space_tapped.connect(self._toggle_play)
        self.mask_mode.switched.connect(self._show_bars)
        self.empty_placeholder.browse.connect(self._browse)
        self._opening_timer.timeout.connect(self._show_opening)

    # What is shown
    def open(self, creation: Creation, before: Creation | None = None) -> None:
        """Show a creation of any kind. A picture can be compared with `before`."""
        path = Path(creation.path)
        if creation.missing:
            self.show_message(f"The file {path.name} is missing. It may have been moved or deleted.")
        elif creation.kind == CreationKind.IMAGE:
            self.show_image(path)
        elif creation.kind == CreationKind.ANIMATION:
            self.show_animation(path)
        elif creation.kind == CreationKind.TEXT:
            self._read(lambda: read_text_file(path), lambda words: self.show_text(words.text, words.title))
        else:
            self.show_model(path, creation)
        if before is not None and before.kind == CreationKind.IMAGE and not before.missing:
            self.set_before(Path(before.path), ("Before", "After"))
        else:
            self.set_before(None)

    def show_image(self, source: Path | QImage) -> None:
        """Show an image. One of the same aspect ratio as the current image keeps the zoom."""
        if isinstance(source, QImage):
            self._read(lambda: image_pyramid.build_pyramid(source), self._show_picture)
        else:
            self._read(lambda: image_pyramid.read_pyramid(source), self._show_picture, source.name)

    def show_for_mask(self, source: Path, load: Callable[[QSize], T], begin: Callable[[T], None]) -> None:
        """Show a picture to paint a mask on.

        `load` is called on a thread with the size of the picture, `begin` on this thread with the result of `load`.
        """

        def read() -> tuple[ImagePyramid, T]:
            picture = image_pyramid.read_pyramid(source)
            return picture, load(picture.size)

        def show(ready: tuple[ImagePyramid, T]) -> None:
            self.set_before(None)
            self._show_picture(ready[0])
            begin(ready[1])
            self.image_view.setFocus()  # Space pans, and presses no button

        self._read(read, show, source.name)

    def show_preview(self, width: int, height: int, channels: int, pixels: bytes, label: str = "") -> None:
        """Show a tool's preview: rows of 8-bit RGB or RGBA. Raises BadInput if they do not match the size."""
        preview = image_pyramid.wrap_pixels(pixels, width, height, channels)
        self._begin_request()
        self._set_caption(label or "Preview")
        self._show_pyramid(preview)
        if self.image_view.camera.zoom < 0.5 and not self._is_smoothing:
            self._is_smoothing = True
            self._tasks.run(
                lambda: image_pyramid.build_pyramid(preview.image),
                lambda smooth: self._show_smooth_preview(preview, smooth),
            )

    def show_animation(self, path: Path) -> None:
        """Play an animation."""
        request = self._begin_request()
        if self._closed:
            return
        player = Player(open_clip(path), self)
        player.loop = self.commands.loop.isChecked()
        self._players.append(player)
        player.frame_shown.connect(lambda number, image: self._show_frame(player, number, image))
        player.failed.connect(lambda error: self.show_message(str(error)) if request == self._request else None)
        self._opening_timer.start()
        player.play()

    def show_text(self, text: str, title: str = "") -> None:
        """Show plain text. Text that continues the current text keeps the scroll position."""
        self._begin_request()
        self.text_view.show_text(text, title)
        self._show_view(self.text_view)

    def show_model(self, path: Path, model: Creation | None = None) -> None:
        """Show the card of a model. That of a creation also has what can be done with it."""

        def show(card: Card) -> None:
            self.model_card.show_card(card, model)
            self._show_view(self.model_card)

        self._read(lambda: read_card(path), show)

    def show_message(self, sentence: str) -> None:
        """Show a sentence in place of a picture."""
        self._begin_request()
        self.message_placeholder.show_message(sentence)
        self._show_view(self.message_placeholder)

    def clear(self) -> None:
        self._begin_request()
        self.set_before(None)
        self._set_pyramid(None)
        self._show_view(self.empty_placeholder)

    # Compare
    def set_before(self, before: Path | QImage | None, labels: tuple[str, str] = ("Before", "After")) -> None:
        """Set the picture that *Compare* shows on the left; None disables *Compare*."""
        if before != self._before:
            self.commands.compare.setChecked(False)
        self._before = before
        self.image_view.labels = labels
        self._update_actions()

    def compare(
        self, before: Path | QImage, after: Path | QImage, labels: tuple[str, str] = ("Before", "After")
    ) -> None:
        """Show `after` at the right of the divider and `before` at the left."""
        self.show_image(after)
        self.set_before(before, labels)
        self.commands.compare.setChecked(True)

    def _compare(self, on: bool) -> None:
        before = self._before
        if not on or before is None:
            self.image_view.compare_with(None)
            return

        def show(ready: ImagePyramid) -> None:
            if self._before is before and self.commands.compare.isChecked():
                self.image_view.compare_with(ready)

        def show_error(error: Exception) -> None:
            self.set_before(None)
            self._set_caption(str(error))

        if isinstance(before, QImage):
            self._tasks.run(lambda: image_pyramid.build_pyramid(before), show, show_error)
        else:
            self._tasks.run(lambda: image_pyramid.read_pyramid(before), show, show_error)

    # Reading
    def _read(self, work: Callable[[], T], then: Callable[[T], None], name: str = "") -> None:
        request = self._begin_request()

        def show_result(result: T) -> None:
            if request == self._request:
                then(result)

        def show_error(error: Exception) -> None:
            if request != self._request:
                return
            if not isinstance(error, StudioError | OSError | MemoryError):
                raise error
            self.show_message(str(error) or f"There is not enough memory to open {name}.")

        self._opening_timer.start()
        self._tasks.run(work, show_result, show_error)

    def _begin_request(self) -> int:
        """Cancel what is being loaded or played, and return the number of a new request."""
        self._request += 1
        self._opening_timer.stop()
        self.mask_mode.end()
        self.point_mode.end()
        for player in self._players:
            player.stop()
        for player in [player for player in self._players if not player.running]:
            self._players.remove(player)
            player.deleteLater()
        return self._request

    def _show_picture(self, picture: ImagePyramid) -> None:
        self._set_caption("")
        self._show_pyramid(picture)

    def _show_pyramid(self, picture: ImagePyramid, player: Player | None = None) -> None:
        self._opening_timer.stop()
        self._set_transport(player)
        self._set_pyramid(picture)
        if self._views.currentWidget() is not self.image_view:
            self._show_view(self.image_view)

    def _show_smooth_preview(self, preview: ImagePyramid, smooth: ImagePyramid) -> None:
        self._is_smoothing = False
        if self.image_view.picture is preview:
            self._set_pyramid(smooth)

    def _set_pyramid(self, picture: ImagePyramid | None) -> None:
        """Show a picture. The last one is freed on a thread if it is large: that can take a quarter of a second."""
        last = [self.image_view.picture]
        self.image_view.show_picture(picture)
        if last[0] is not None and last[0].is_large:
            self._tasks.run(last.clear)

    def _show_frame(self, player: Player, number: int, image: QImage) -> None:
        if not self._players or player is not self._players[-1] or self._closed:
            return
        self._set_caption("")
        self._show_pyramid(ImagePyramid((image,)), player)

    def _show_opening(self) -> None:
        if self._views.currentWidget() is self.image_view:
            self._set_caption("Opening…")
        else:
            self.message_placeholder.show_message("Opening…", broken=False)
            self._show_view(self.message_placeholder)

    def _set_caption(self, caption: str) -> None:
        self.image_view.set_caption(caption)

    # Playing
    @property
    def player(self) -> Player | None:
        """The player of the current animation, or None."""
        return self.playback_bar.player

    def _set_transport(self, player: Player | None) -> None:
        if player is not self.playback_bar.player:
            self.playback_bar.bind(player)
            self.playback_bar.setVisible(player is not None)
            self.image_view.set_bottom_margin(MARGINS[3] + (0 if player is None else self.playback_bar.height() - GAP))
            self._place_bars()
            self._update_actions()

    def _toggle_play(self) -> None:
        if self.player is not None:
            self.player.toggle()

    def _step(self, by: int) -> None:
        if self.player is not None:
            self.player.step(by)

    def _set_loop(self, on: bool) -> None:
        for player in self._players:
            player.loop = on

    # Pages and bars
    def _show_view(self, page: QWidget) -> None:
        self._opening_timer.stop()
        if page is not self.image_view:
            self._set_transport(None)
        focused = QApplication.focusWidget()
        had_focus = focused is not None and (focused is self or self.isAncestorOf(focused))
        self._views.setCurrentWidget(page)
        self.setFocusProxy(page)
        if had_focus and self.isVisible():
            page.setFocus()
        self._show_bars()
        self.playback_bar.raise_()

    def _show_bars(self) -> None:
        """Show the bar for viewing, or the one for painting a mask."""
        is_image = self._views.currentWidget() is self.image_view
        self._update_actions()
        self.tool_bar.setVisible(is_image and not self.mask_mode.is_active)
        self.mask_bar.setVisible(is_image and self.mask_mode.is_active)
        self.tool_bar.raise_()
        self.mask_bar.raise_()
        self._place_bars()

    def _update_actions(self) -> None:
        """Enable the actions that work with the current content."""
        is_image = self._views.currentWidget() is self.image_view
        for action in self.commands.view_actions:
            action.setEnabled(is_image)
        self.commands.compare.setEnabled(is_image and self._before is not None and not self.mask_mode.is_active)
        for action in self.commands.playback_actions:
            action.setEnabled(is_image and self.player is not None)

    def _show_zoom(self, zoom: float) -> None:
        self.tool_bar.show_zoom(zoom, fitted=self.image_view.camera.is_fitted)

    def _place_bars(self) -> None:
        self.tool_bar.adjustSize()
        self.tool_bar.move((self.width() - self.tool_bar.width()) // 2, GAP)
        self.mask_bar.fit_width(self.width() - 2 * GAP)
        self.mask_bar.move((self.width() - self.mask_bar.width()) // 2, GAP)
        self.image_view.set_top_margin(max(MARGINS[1], self.mask_bar.height() + GAP if self.mask_mode.is_active else 0))
        width = min(560, self.width() - 32)
        self.playback_bar.resize(width, self.playback_bar.sizeHint().height())
        self.playback_bar.move((self.width() - width) // 2, self.height() - self.playback_bar.height() - GAP)
        self._drop_outline.setGeometry(self.rect())

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self._place_bars()

    def closeEvent(self, event: QCloseEvent) -> None:
        self._closed = True
        self._opening_timer.stop()
        self._tasks.close()
        self.mask_mode.close()
        for player in self._players:
            player.close()
        self._players = []
        super().closeEvent(event)

    # Drops
    def dragEnterEvent(self, event: QDragEnterEvent) -> None:
        if mime_data.has_files_or_image(event.mimeData()):
            event.acceptProposedAction()
            self._drop_outline.highlight(True)

    def dragLeaveEvent(self, event: QDragLeaveEvent) -> None:
        self._drop_outline.highlight(False)

    def dropEvent(self, event: QDropEvent) -> None:
        self._drop_outline.highlight(False)
        if paths := mime_data.list_files(event.mimeData()):
            self.files_dropped.emit(paths)
        elif (image := mime_data.read_image(event.mimeData())) is not None:
            self.image_dropped.emit(image)
        else:
            return
        event.acceptProposedAction()

    def _browse(self) -> None:
        dialog = QFileDialog(self, "Open image")
        dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        dialog.setFileMode(QFileDialog.FileMode.ExistingFiles)
        dialog.filesSelected.connect(lambda files: self.files_dropped.emit([Path(file) for file in files]))
        dialog.open()
