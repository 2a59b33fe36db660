"""The middle of the window: looks at one creation, or at what is in the making."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from PySide6.QtCore import QSize, Qt, QTimer, Signal
from PySide6.QtGui import QCloseEvent, QDragEnterEvent, QDragLeaveEvent, QDropEvent, QImage, QResizeEvent
from PySide6.QtWidgets import QFileDialog, QStackedLayout, QWidget

from studio.core.errors import StudioError
from studio.library.creation import Creation, CreationKind
from studio.state.loader import Loader
from studio.ui.canvas import image_pyramid as pictures
from studio.ui.canvas.actions import CanvasActions
from studio.ui.canvas.frame_reader import open_clip
from studio.ui.canvas.image_pyramid import ImagePyramid
from studio.ui.canvas.image_view import MARGINS, STEP, ImageView
from studio.ui.canvas.mask_bar import MaskActions, MaskBar
from studio.ui.canvas.mask_mode import MaskMode
from studio.ui.canvas.model_card import Card, ModelCard, read_card
from studio.ui.canvas.overlay_bars import DropOutline, PlaybackBar, ViewBar
from studio.ui.canvas.placeholder_views import EmptyPlaceholder, MessagePlaceholder, TextView, read_text_file
from studio.ui.canvas.player import Player
from studio.ui.widgets import mime_data

T = TypeVar("T")

PATIENCE = 250
"""Milliseconds after which it says that something is being opened."""
GAP = 6
"""Pixels between a floating bar and the edge, besides its shadow."""


class Canvas(QWidget):
    """What is shown stays until the next is ready, so that nothing flashes between them.

    Call `close` at the end: it leaves no thread and no process behind.
    """

    dropped = Signal(list)
    """Files, as `list[Path]`."""
    dropped_image = Signal(QImage)
    """A picture without a file, such as one dragged out of a browser."""

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
        self._pages = QStackedLayout(self)
        for page in (
            self.empty_placeholder,
            self.image_view,
            self.text_view,
            self.model_card,
            self.message_placeholder,
        ):
            self._pages.addWidget(page)
        self.commands = CanvasActions(self)
        self.tool_bar = ViewBar(self.commands, self)
        self.playback_bar = PlaybackBar(self.commands, self)
        self.playback_bar.hide()
        self.mask_mode = MaskMode(self.image_view, self)
        self.mask_actions = MaskActions(self.mask_mode, self)
        self.mask_bar = MaskBar(self.mask_mode, self.mask_actions, self)
        self._drop_mark = DropOutline(self)
        self._loader = Loader("canvas", threads=2, parent=self)
        self._closed = False
        self._turn = 0
        self._opening = QTimer(self, singleShot=True, interval=PATIENCE)
        self._players: list[Player] = []
        self._smoothing = False
        self._before: Path | QImage | None = None
        self._connect()
        self._show(self.empty_placeholder)

    def _connect(self) -> None:
        commands = self.commands
        commands.fit.triggered.connect(self.image_view.fit)
        commands.full_size.triggered.connect(lambda: self.image_view.zoom_to(1.0))
        commands.zoom_in.triggered.connect(lambda: self.image_view.zoom_by(STEP))
        commands.zoom_out.triggered.connect(lambda: self.image_view.zoom_by(1 / STEP))
        commands.compare.toggled.connect(self._compare)
        commands.play.triggered.connect(self._toggle_play)
        commands.frame_back.triggered.connect(lambda: self._step(-1))
        commands.frame_on.triggered.connect(lambda: self._step(1))
        commands.loop.toggled.connect(self._set_loop)
        self.image_view.zoomed.connect(self._show_zoom)
        self.image_view.tapped.connect(self._toggle_play)
        self.mask_mode.switched.connect(self._show_tools)
        self.empty_placeholder.browse.connect(self._browse)
        self._opening.timeout.connect(self._say_opening)

    # What is shown
    def open(self, creation: Creation, before: Creation | None = None) -> None:
        """Shows a creation of any kind; a picture can be compared with `before`."""
        path = Path(creation.path)
        if creation.missing:
            self.say(f"The file {path.name} is missing. It may have been moved or deleted.")
        elif creation.kind == CreationKind.IMAGE:
            self.show_image(path)
        elif creation.kind == CreationKind.ANIMATION:
            self.show_animation(path)
        elif creation.kind == CreationKind.TEXT:
            self._read(lambda: read_text_file(path), lambda words: self.show_text(words.text, words.title))
        else:
            self.show_model(path)
        if before is not None and before.kind == CreationKind.IMAGE and not before.missing:
            self.offer_before(Path(before.path), ("Before", "After"))
        else:
            self.offer_before(None)

    def show_image(self, source: Path | QImage) -> None:
        """Takes the place of a preview without a flash; one of the same shape keeps the zoom."""
        if isinstance(source, QImage):
            self._read(lambda: pictures.build_pyramid(source), self._show_picture)
        else:
            self._read(lambda: pictures.read_pyramid(source), self._show_picture, source.name)

    def show_for_mask(self, source: Path, load: Callable[[QSize], T], begin: Callable[[T], None]) -> None:
        """A picture to paint on: `load` gets its size, off this thread, and `begin` what that gave."""

        def read() -> tuple[ImagePyramid, T]:
            picture = pictures.read_pyramid(source)
            return picture, load(picture.size)

        def show(ready: tuple[ImagePyramid, T]) -> None:
            self.offer_before(None)
            self._show_picture(ready[0])
            begin(ready[1])
            self.image_view.setFocus()  # Space pans, and presses no button

        self._read(read, show, source.name)

    def show_preview(self, width: int, height: int, channels: int, pixels: bytes) -> None:
        """What a tool has so far: rows of 8-bit RGB or RGBA. Raises BadInput when they do not fit."""
        preview = pictures.wrap_pixels(pixels, width, height, channels)
        self._next_turn()
        self._set_caption("Preview")
        self._put(preview)
        if self.image_view.camera.zoom < 0.5 and not self._smoothing:
            self._smoothing = True
            self._loader.run(lambda: pictures.build_pyramid(preview.image), lambda fine: self._smoothed(preview, fine))

    def show_animation(self, path: Path) -> None:
        """Plays at once, in a loop."""
        turn = self._next_turn()
        if self._closed:
            return
        player = Player(open_clip(path), self)
        player.loop = self.commands.loop.isChecked()
        self._players.append(player)
        player.frame_shown.connect(lambda number, image: self._show_frame(player, number, image))
        player.failed.connect(lambda error: self.say(str(error)) if turn == self._turn else None)
        self._opening.start()
        player.play()

    def show_text(self, text: str, title: str = "") -> None:
        """Plain text. Text that only grew, as while it is written, keeps its place on the page."""
        self._next_turn()
        self.text_view.show_words(text, title)
        self._show(self.text_view)

    def show_model(self, path: Path) -> None:
        def show(card: Card) -> None:
            self.model_card.show_card(card)
            self._show(self.model_card)

        self._read(lambda: read_card(path), show)

    def say(self, sentence: str) -> None:
        """One sentence in the place of a picture."""
        self._next_turn()
        self.message_placeholder.say(sentence)
        self._show(self.message_placeholder)

    def clear(self) -> None:
        self._next_turn()
        self.offer_before(None)
        self._show_on_surface(None)
        self._show(self.empty_placeholder)

    # Compare
    def offer_before(self, before: Path | QImage | None, labels: tuple[str, str] = ("Before", "After")) -> None:
        """What *Compare* shows on the left; None takes the offer back."""
        if before != self._before:
            self.commands.compare.setChecked(False)
        self._before = before
        self.image_view.labels = labels
        self._enable()

    def compare(
        self, before: Path | QImage, after: Path | QImage, labels: tuple[str, str] = ("Before", "After")
    ) -> None:
        """Shows `after` with `before` under the divider's left."""
        self.show_image(after)
        self.offer_before(before, labels)
        self.commands.compare.setChecked(True)

    def _compare(self, on: bool) -> None:
        before = self._before
        if not on or before is None:
            self.image_view.compare_with(None)
            return

        def show(ready: ImagePyramid) -> None:
            if self._before is before and self.commands.compare.isChecked():
                self.image_view.compare_with(ready)

        def failed(error: Exception) -> None:
            self.offer_before(None)
            self._set_caption(str(error))

        if isinstance(before, QImage):
            self._loader.run(lambda: pictures.build_pyramid(before), show, failed)
        else:
            self._loader.run(lambda: pictures.read_pyramid(before), show, failed)

    # Reading
    def _read(self, work: Callable[[], T], then: Callable[[T], None], name: str = "") -> None:
        turn = self._next_turn()

        def done(result: T) -> None:
            if turn == self._turn:
                then(result)

        def failed(error: Exception) -> None:
            if turn != self._turn:
                return
            if not isinstance(error, StudioError | OSError | MemoryError):
                raise error
            self.say(str(error) or f"{name} needs more memory than there is.")

        self._opening.start()
        self._loader.run(work, done, failed)

    def _next_turn(self) -> int:
        """What was being opened is not wanted any more."""
        self._turn += 1
        self._opening.stop()
        self.mask_mode.end()
        for player in self._players:
            player.stop()
        for player in [player for player in self._players if not player.running]:
            self._players.remove(player)
            player.deleteLater()
        return self._turn

    def _show_picture(self, picture: ImagePyramid) -> None:
        self._set_caption("")
        self._put(picture)

    def _put(self, picture: ImagePyramid, player: Player | None = None) -> None:
        self._opening.stop()
        self._set_transport(player)
        self._show_on_surface(picture)
        if self._pages.currentWidget() is not self.image_view:
            self._show(self.image_view)

    def _smoothed(self, preview: ImagePyramid, fine: ImagePyramid) -> None:
        self._smoothing = False
        if self.image_view.picture is preview:
            self._show_on_surface(fine)

    def _show_on_surface(self, picture: ImagePyramid | None) -> None:
        """A large one that makes room is freed on a thread: that alone can take a quarter of a second."""
        held = [self.image_view.picture]
        self.image_view.show_picture(picture)
        if held[0] is not None and held[0].large:
            self._loader.run(held.clear)

    def _show_frame(self, player: Player, number: int, image: QImage) -> None:
        if not self._players or player is not self._players[-1] or self._closed:
            return
        self._set_caption("")
        self._put(ImagePyramid((image,)), player)

    def _say_opening(self) -> None:
        if self._pages.currentWidget() is self.image_view:
            self._set_caption("Opening…")
        else:
            self.message_placeholder.say("Opening…", broken=False)
            self._show(self.message_placeholder)

    def _set_caption(self, caption: str) -> None:
        self.image_view.set_caption(caption)

    # Playing
    @property
    def player(self) -> Player | None:
        """What plays now, if an animation is shown."""
        return self.playback_bar.player

    def _set_transport(self, player: Player | None) -> None:
        if player is not self.playback_bar.player:
            self.playback_bar.bind(player)
            self.playback_bar.setVisible(player is not None)
            self.image_view.set_bottom_margin(MARGINS[3] + (0 if player is None else self.playback_bar.height() - GAP))
            self._place_bars()
            self._enable()

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
    def _show(self, page: QWidget) -> None:
        self._opening.stop()
        if page is not self.image_view:
            self._set_transport(None)
        had_focus = self.hasFocus() or self.isAncestorOf(self.focusWidget() or self)
        self._pages.setCurrentWidget(page)
        self.setFocusProxy(page)
        if had_focus and self.isVisible():
            page.setFocus()
        self._show_tools()
        self.playback_bar.raise_()

    def _show_tools(self) -> None:
        """Those for looking, or those for painting a mask."""
        looking = self._pages.currentWidget() is self.image_view
        self._enable()
        self.tool_bar.setVisible(looking and not self.mask_mode.on)
        self.mask_bar.setVisible(looking and self.mask_mode.on)
        self.tool_bar.raise_()
        self.mask_bar.raise_()
        self._place_bars()

    def _enable(self) -> None:
        """Only what works now can be chosen."""
        looking = self._pages.currentWidget() is self.image_view
        for action in self.commands.looking:
            action.setEnabled(looking)
        self.commands.compare.setEnabled(looking and self._before is not None and not self.mask_mode.on)
        for action in self.commands.playing:
            action.setEnabled(looking and self.player is not None)

    def _show_zoom(self, zoom: float) -> None:
        self.tool_bar.show_zoom(zoom, fitted=self.image_view.camera.fitted)

    def _place_bars(self) -> None:
        self.tool_bar.adjustSize()
        self.tool_bar.move((self.width() - self.tool_bar.width()) // 2, GAP)
        self.mask_bar.fit_into(self.width() - 2 * GAP)
        self.mask_bar.move((self.width() - self.mask_bar.width()) // 2, GAP)
        self.image_view.set_top_margin(max(MARGINS[1], self.mask_bar.height() + GAP if self.mask_mode.on else 0))
        width = min(560, self.width() - 32)
        self.playback_bar.resize(width, self.playback_bar.sizeHint().height())
        self.playback_bar.move((self.width() - width) // 2, self.height() - self.playback_bar.height() - GAP)
        self._drop_mark.setGeometry(self.rect())

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self._place_bars()

    def closeEvent(self, event: QCloseEvent) -> None:
        self._closed = True
        self._opening.stop()
        self._loader.close()
        self.mask_mode.close()
        for player in self._players:
            player.close()
        self._players = []
        super().closeEvent(event)

    # Drops
    def dragEnterEvent(self, event: QDragEnterEvent) -> None:
        if mime_data.has_files_or_image(event.mimeData()):
            event.acceptProposedAction()
            self._drop_mark.light(True)

    def dragLeaveEvent(self, event: QDragLeaveEvent) -> None:
        self._drop_mark.light(False)

    def dropEvent(self, event: QDropEvent) -> None:
        self._drop_mark.light(False)
        if paths := mime_data.list_files(event.mimeData()):
            self.dropped.emit(paths)
        elif (image := mime_data.read_image(event.mimeData())) is not None:
            self.dropped_image.emit(image)
        else:
            return
        event.acceptProposedAction()

    def _browse(self) -> None:
        dialog = QFileDialog(self, "Open a picture")
        dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        dialog.setFileMode(QFileDialog.FileMode.ExistingFiles)
        dialog.filesSelected.connect(lambda files: self.dropped.emit([Path(file) for file in files]))
        dialog.open()
