"""The main window: plugin rail, tool panel, canvas, history and status bar."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from PySide6.QtCore import QByteArray, QSize, Qt, QTimer, Signal
from PySide6.QtGui import QCloseEvent, QDragEnterEvent, QDropEvent, QMoveEvent, QPaintEvent, QResizeEvent
from PySide6.QtWidgets import (
    QApplication,
    QFileDialog,
    QHBoxLayout,
    QMainWindow,
    QMenuBar,
    QPushButton,
    QSplitter,
    QVBoxLayout,
    QWidget,
)

from studio.core.export_include import Include
from studio.core.messages import PreviewFrame
from studio.library.creation import Creation, CreationKind
from studio.state.library.settings_offers import MODEL_SUFFIX, SETTINGS_SUFFIXES
from studio.state.session import Session
from studio.ui.canvas import Canvas
from studio.ui.canvas.mask_controller import MaskController
from studio.ui.canvas.point_controller import PointController
from studio.ui.canvas.variations_strip import VariationsStrip
from studio.ui.form.base import FormServices
from studio.ui.theme import icons, theme
from studio.ui.tool_panel.tool_panel import ToolPanel
from studio.ui.training.cancel_question import ask_before_cancel
from studio.ui.widgets import labels, mime_data
from studio.ui.widgets.thumbnail_loader import ThumbnailLoader
from studio.ui.window.central_stack import CentralStack
from studio.ui.window.commands import Commands
from studio.ui.window.menus import WindowActions, add_commands
from studio.ui.window.notice_bar import NoticeBar
from studio.ui.window.plugin_rail import PluginRail
from studio.ui.window.status_bar import StatusBar
from studio.ui.window.window_dialogs import WindowDialogs

if TYPE_CHECKING:
    from studio.ui.history import HistoryPanel

SIZE = QSize(1440, 900)
TITLE_BAR = 40
"""Height in pixels that the window manager's title bar may take."""
TOP_BAR = 40
TOOL_WIDTH, HISTORY_WIDTH = 308, 298
"""Initial widths of the side columns in pixels."""


class TopBar(QWidget):
    """The name of the studio, the menus, and the button of the command palette."""

    def __init__(self) -> None:
        super().__init__()
        self.setProperty("role", "top")
        self.setAttribute(Qt.WidgetAttribute.WA_StyledBackground)
        self.setFixedHeight(TOP_BAR)
        self.menu_bar = QMenuBar()
        self.search = QPushButton("Search commands")
        self.search.setProperty("role", "search")
        self.search.setFixedWidth(300)
        self.search.setCursor(Qt.CursorShape.PointingHandCursor)
        labels.describe(self.search, "Search commands", "Find any command or tool (Ctrl+K)")
        key = labels.make_label("Ctrl K", "caption")
        key.setAttribute(Qt.WidgetAttribute.WA_TransparentForMouseEvents)
        inside = QHBoxLayout(self.search)
        inside.setContentsMargins(0, 0, 12, 0)
        inside.addStretch(1)
        inside.addWidget(key)
        row = QHBoxLayout(self)
        row.setContentsMargins(16, 0, 16, 0)
        row.setSpacing(8)
        row.addWidget(labels.make_label("Studio", "heading"))
        row.addWidget(self.menu_bar, 0, Qt.AlignmentFlag.AlignVCenter)
        row.addStretch(1)
        row.addWidget(self.search)


class Window(QMainWindow):
    painted = Signal()
    """Emitted after the first paint. Slow work may start then."""

    def __init__(self, session: Session) -> None:
        super().__init__()
        self.session = session
        self.setWindowTitle("Studio")
        self.setWindowIcon(icons.icon("creation", "accent"))
        self.setMinimumSize(880, 560)
        self.setAcceptDrops(True)
        self.thumbnails = ThumbnailLoader(session.library.reader, parent=self)
        self.canvas = Canvas()
        self.central = CentralStack(session, self.canvas, self.thumbnails)
        self.mask_controller = MaskController(session, self.canvas, self.thumbnails, self)
        self.point_controller = PointController(session, self.canvas, self)
        self.notice_bar = NoticeBar(session.notices)
        self.variations_strip = VariationsStrip(session.variations, session.history)
        self.rail = PluginRail()
        self.tool_panel = ToolPanel(
            session.workspace,
            session.generation,
            session.worker_status,
            session.estimates,
            self.form_services(),
            session.settings,
        )
        self.status = StatusBar(session)
        self.top = TopBar()
        self.history_area = QWidget()
        self.splitter = QSplitter(Qt.Orientation.Horizontal)
        self.commands = Commands(self)
        self.dialogs = WindowDialogs(self)
        self.history_panel: HistoryPanel | None = None
        self._creation: Creation | None = None
        self._was_painted = False
        self._lay_out()
        add_commands(self.commands, session, self.central, self._actions())
        self.commands.fill_menu_bar(self.top.menu_bar)
        self._connect()
        self._show_plugins()
        self._restore_layout()
        self.central.show_for_tool()
        self.central.focus()

    def form_services(self) -> FormServices:
        importer = self.session.importer
        return FormServices(
            thumbnails=self.thumbnails,
            list_models=self.session.list_offers,
            models_changed=self.session.models_changed,
            save_image=lambda image, then: importer.import_image(image, lambda made: then(Path(made.path))),
            clear_value=self.session.undoable.clear_value,
            add_to_list=self.session.list_additions.add,
            paint_mask=self.mask_controller.paint,
            picture_path_of=self.mask_controller.picture_path_of,
            set_points=self.point_controller.set_points,
            generate_from_drop=self.session.drop_to_generate.run,
            training_tools=self.session.drop_to_generate.training_tools,
            choose_tool=self.session.workspace.choose,
        )

    def _actions(self) -> WindowActions:
        return WindowActions(
            canvas=self.canvas.commands.all,
            mask=self.canvas.mask_actions.all,
            open_files=self.open_files,
            open_palette=self.dialogs.open_palette,
            open_queue=self.dialogs.open_queue,
            open_training=self.dialogs.open_training,
            open_plugins=self.dialogs.open_plugins,
            open_settings=self.dialogs.open_settings,
            set_theme=self.set_theme,
            discard_variation=self.variations_strip.discard_chosen,
            close=self.close,
        )

    def _lay_out(self) -> None:
        self.history_area.setProperty("role", "window")
        self.history_area.setAttribute(Qt.WidgetAttribute.WA_StyledBackground)
        QVBoxLayout(self.history_area).setContentsMargins(0, 0, 0, 0)
        centre = QWidget()
        column = QVBoxLayout(centre)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(0)
        column.addWidget(self.central, 1)
        column.addWidget(self.notice_bar)
        column.addWidget(self.variations_strip)
        for part in (self.tool_panel, centre, self.history_area):
            self.splitter.addWidget(part)
        self.tool_panel.setMinimumWidth(260)
        self.history_area.setMinimumWidth(220)
        centre.setMinimumWidth(320)
        self.splitter.setHandleWidth(1)
        self.splitter.setStretchFactor(1, 1)
        self.splitter.setChildrenCollapsible(False)
        self.splitter.setSizes([TOOL_WIDTH, 1440 - TOOL_WIDTH - HISTORY_WIDTH - 64, HISTORY_WIDTH])
        body = QHBoxLayout()
        body.setSpacing(0)
        body.addWidget(self.rail)
        body.addWidget(self.splitter, 1)
        content = QWidget()
        rows = QVBoxLayout(content)
        rows.setContentsMargins(0, 0, 0, 0)
        rows.setSpacing(0)
        rows.addLayout(body, 1)
        rows.addWidget(self.status)
        self.setMenuWidget(self.top)
        self.setCentralWidget(content)

    def _connect(self) -> None:
        session = self.session
        self.rail.chosen.connect(session.workspace.choose_plugin)
        self.rail.chosen.connect(lambda _: self.central.show_for_tool())
        self.rail.more.connect(self.dialogs.open_plugins)
        session.plugins.modelReset.connect(self._show_plugins)
        session.workspace.tool_changed.connect(self._mark_plugin)
        session.settings_changed.connect(self.tool_panel.options.set_settings)
        session.router.preview_ready.connect(self._show_preview)
        self.canvas.image_view.painted.connect(session.drafts.on_painted)
        session.show.connect(self._show_creation)
        session.router.trained.connect(self.dialogs.announce_model)
        session.history.renamed.connect(self._on_renamed)
        self.dialogs.settings_used.connect(self._show_for_used_settings)
        session.settings_offers.offered.connect(self.dialogs.offer_settings)
        session.generation.path_consent_required.connect(self.dialogs.ask_for_paths)
        self.canvas.files_dropped.connect(session.settings_offers.open_files)
        self.canvas.image_dropped.connect(session.importer.import_image)
        self._connect_model_card()
        self.variations_strip.discard.connect(session.undoable.discard)
        self.status.cancel.connect(session.cancel_running)
        session.cancel_question.connect(lambda jobs: ask_before_cancel(session, jobs, self))
        self.status.pause.connect(session.controls.pause)
        self.tool_panel.check_requested.connect(self.dialogs.open_data_check)
        self.status.queue_requested.connect(self.dialogs.open_queue)
        self.status.training_requested.connect(self.dialogs.open_training)
        self.top.search.clicked.connect(self.dialogs.open_palette)
        self.painted.connect(self._add_history)
        self.splitter.splitterMoved.connect(lambda *_: self._save_layout())

    def _connect_model_card(self) -> None:
        card, uses = self.canvas.model_card, self.session.model_uses
        card.list_uses, card.write_command = uses.list_uses, uses.write_command
        card.can_train_further = uses.can_train_further
        card.use_chosen.connect(uses.use)
        card.train_further_requested.connect(uses.train_further)
        card.training_requested.connect(self.dialogs.open_training)

    def _add_history(self) -> None:
        """Build the history after the first paint, because it is slow to fill."""
        from studio.ui.history import HistoryPanel

        session = self.session
        panel = HistoryPanel(session.history, session.undo)
        panel.model_uses, panel.image_uses = session.model_uses, session.image_uses
        panel.history_actions.count_jobs = session.queue.count_users
        self.canvas.model_card.rename_requested.connect(panel.history_actions.ask_for_name)
        self.canvas.model_card.export_requested.connect(panel.history_actions.export)
        panel.set_tool_title(self._tool_title)
        panel.activated.connect(session.open)
        panel.use_recipe.connect(session.generation.use_settings)
        panel.history_actions.export_include = Include(session.settings.export_include)
        panel.history_actions.include_chosen.connect(session.set_export_include)
        panel.use_as_input.connect(lambda creation: session.list_additions.put_images([creation.path]))
        panel.files_dropped.connect(session.settings_offers.open_files)
        panel.offer_settings.connect(session.settings_offers.offer_for)
        panel.training_requested.connect(self.dialogs.open_training)
        layout = self.history_area.layout()
        assert layout is not None
        layout.addWidget(panel)
        self.history_panel = panel

    def _tool_title(self, id: str) -> str:
        tool = self.session.workspace.catalogue.tools.get(id)
        return tool.title if tool else id

    # What is shown
    def _show_plugins(self) -> None:
        self.rail.show_catalogue(self.session.workspace.catalogue)
        self._mark_plugin()

    def _mark_plugin(self) -> None:
        if self.session.workspace.tool is not None:
            self.rail.choose(self.session.workspace.tool.plugin)

    def _show_preview(self, preview: PreviewFrame) -> None:
        """Show a preview on the canvas, unless somebody may be writing on the page: a job never takes that away."""
        if self.central.is_page:
            return
        if preview.text is not None:
            self.canvas.show_text(preview.text)
        elif preview.pixels:
            self.canvas.show_preview(preview.width, preview.height, preview.channels, preview.pixels, preview.label)

    def _show_creation(self, creation: Creation) -> None:
        """Show a creation, and offer the picture that it was made from for Compare."""
        parents = creation.recipe.parents if creation.recipe else []
        is_opened_by_hand = not self.session.variations.is_followed
        if is_opened_by_hand or not self.central.is_page:
            self.central.show_canvas()
        self.canvas.open(creation)
        if parents:
            library = self.session.library

            def compare(rows: list[Creation]) -> None:
                pictures = [parent for parent in rows if parent.kind is not CreationKind.FILE]  # a mask is no picture
                if len(pictures) == 1 and pictures[0].kind is CreationKind.IMAGE and self._creation is creation:
                    self.canvas.set_before(Path(pictures[0].path))

            self.session.tasks.run(lambda: library.get_many(parents), compare)
        self._creation = creation

    def _on_renamed(self, creation: Creation) -> None:
        if self._creation is not None and self._creation.id == creation.id:
            self._show_creation(creation)

    # What opens
    def open_files(self) -> None:
        accepted = mime_data.make_name_filter(
            (*mime_data.PICTURES, *SETTINGS_SUFFIXES, MODEL_SUFFIX), "Images, settings and models"
        )
        paths, _ = QFileDialog.getOpenFileNames(self, "Open", "", accepted)
        if paths:
            self.session.settings_offers.open_files([Path(path) for path in paths])

    def _show_for_used_settings(self) -> None:
        self.central.show_for_tool()
        if self.central.is_page:
            self.central.focus()

    def set_theme(self, name: str) -> None:
        from msgspec.structs import replace

        app = QApplication.instance()
        if isinstance(app, QApplication):
            theme.apply(app, name)
        self.session.set_settings(replace(self.session.settings, theme=name))
        for widget in self.findChildren(QWidget):
            widget.update()

    # A drop beside the canvas and the wells
    def dragEnterEvent(self, event: QDragEnterEvent) -> None:
        if mime_data.has_files_or_image(event.mimeData()):
            event.acceptProposedAction()

    def dropEvent(self, event: QDropEvent) -> None:
        """Use a picture dropped on the tool panel as an input, and open anything else."""
        importer, data = self.session.importer, event.mimeData()
        point = self.tool_panel.mapFrom(self, event.position().toPoint())
        image = mime_data.read_image(data)
        if (pictures := mime_data.list_pictures(data)) and self.tool_panel.rect().contains(point):
            self.session.list_additions.put_images([str(path) for path in pictures])
        elif files := mime_data.list_files(data):
            self.session.settings_offers.open_files(files)
        elif image is not None:
            importer.import_image(image)
        event.acceptProposedAction()

    # The beginning and the end
    def paintEvent(self, event: QPaintEvent) -> None:
        super().paintEvent(event)
        if not self._was_painted:
            self._was_painted = True
            QTimer.singleShot(0, self.painted.emit)

    def closeEvent(self, event: QCloseEvent) -> None:
        self._save_layout()
        self.hide()
        self.mask_controller.close()
        self.canvas.close()
        self.thumbnails.close()
        self.session.close()
        super().closeEvent(event)

    # The layout, kept with the draft
    def _restore_layout(self) -> None:
        draft = self.session.workspace.draft
        if not self.restoreGeometry(QByteArray.fromBase64(draft.geometry.encode())):
            available = self.screen().availableSize() - QSize(0, TITLE_BAR)
            self.resize(SIZE.boundedTo(available))
        self.splitter.restoreState(QByteArray.fromBase64(draft.layout.encode()))

    def _save_layout(self) -> None:
        geometry = bytes(self.saveGeometry().toBase64().data()).decode()
        layout = bytes(self.splitter.saveState().toBase64().data()).decode()
        self.session.workspace.set_layout(geometry, layout)

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        if self._was_painted:
            self._save_layout()

    def moveEvent(self, event: QMoveEvent) -> None:
        super().moveEvent(event)
        if self._was_painted:
            self._save_layout()
