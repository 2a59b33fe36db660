"""The dialogs and windows that open from the main window. Each is built at its first use."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from PySide6.QtCore import QObject, QPoint, Signal

from studio.core import training_record
from studio.core.job import Job, Lane
from studio.library.creation import Creation
from studio.state.notices import Notice

if TYPE_CHECKING:
    from studio.state.jobs.generation import PathConsent
    from studio.state.library.settings_reader import SettingsOffer
    from studio.ui.dialogs.plugins_dialog import PluginsDialog
    from studio.ui.dialogs.queue_popup import QueuePanel
    from studio.ui.dialogs.settings_dialog import SettingsDialog
    from studio.ui.dialogs.settings_offer_dialog import SettingsOfferDialog
    from studio.ui.training import TrainingWindow
    from studio.ui.window.command_palette import CommandPalette
    from studio.ui.window.window import Window

PALETTE_TOP = 64
"""Distance in pixels of the command palette from the top of the window."""


class WindowDialogs(QObject):
    settings_used = Signal()
    """Emitted after the settings of another program's file were put into the form."""

    def __init__(self, window: Window) -> None:
        super().__init__(window)
        self._window, self._session = window, window.session
        self.palette: CommandPalette | None = None
        self.queue_panel: QueuePanel | None = None
        self.plugins_dialog: PluginsDialog | None = None
        self.settings_dialog: SettingsDialog | None = None
        self.offer_dialog: SettingsOfferDialog | None = None
        self.trainings: dict[str, TrainingWindow] = {}

    def offer_settings(self, offer: SettingsOffer) -> None:
        """Ask which settings of another program to use. While the question is open, the next file is only imported."""
        from studio.ui.dialogs.settings_offer_dialog import SettingsOfferDialog

        offers = self._session.settings_offers
        if self.offer_dialog is not None:
            offers.import_only(offer)
            return
        dialog = self.offer_dialog = SettingsOfferDialog(offer, self._window)
        dialog.used.connect(lambda names: offers.use(offer, names))
        dialog.used.connect(lambda _: self.settings_used.emit())
        dialog.import_chosen.connect(lambda: offers.import_only(offer))
        dialog.finished.connect(self._forget_offer_dialog)
        dialog.open()

    def _forget_offer_dialog(self) -> None:
        if self.offer_dialog is not None:
            self.offer_dialog.deleteLater()
            self.offer_dialog = None

    def open_palette(self) -> None:
        from studio.ui.window.command_palette import CommandPalette

        self.palette = self.palette or CommandPalette(self._window.commands, self._window)
        left = (self._window.width() - self.palette.width()) // 2
        self.palette.open_at(self._window.mapToGlobal(QPoint(left, PALETTE_TOP)))

    def ask_for_paths(self, consent: PathConsent) -> None:
        from studio.ui.dialogs.path_consent import ask_for_paths

        ask_for_paths(self._window, consent)

    def open_queue(self) -> None:
        from studio.ui.dialogs.queue_popup import QueuePanel

        if self.queue_panel is None:
            self.queue_panel = QueuePanel(self._session, self._window)
            self.queue_panel.training_requested.connect(self.open_training)
        panel = self.queue_panel
        corner = self._window.status.queue_button.mapToGlobal(QPoint(self._window.status.queue_button.width(), 0))
        panel.move(corner - QPoint(panel.width(), panel.height() + 8))
        panel.show()
        panel.list.setFocus()

    def open_data_check(self) -> None:
        """Check the training data of the tool in the form."""
        from studio.ui.data_check import DataDialog

        DataDialog(self._session, self._window.thumbnails, self._window).open()

    def open_training(self, of: Job | Creation | None = None) -> None:
        """Show the training of a job or of a model, without either that of the first training in the queue."""
        from studio.ui.training import TrainingWindow

        of = of or next((job for job in self._session.queue.jobs() if job.lane is Lane.TRAINING), None)
        if of is None:
            self._session.notices.info("There is no training in the queue.")
            return
        shown = self.trainings.get(of.id)
        if shown is None:
            shown = self.trainings[of.id] = TrainingWindow(self._session, of, self._window)
            shown.destroyed.connect(lambda _=None, id=of.id: self.trainings.pop(id, None))
        shown.show()
        shown.raise_()
        shown.activateWindow()

    def announce_model(self, model: Creation) -> None:
        if not training_record.of_model(Path(model.path)).exists():
            self._session.notices.info(f"{model.title} is ready.")
            return
        self._session.notices.add(
            Notice(f"{model.title} is trained.", action_label="Show training", action=lambda: self.open_training(model))
        )

    def open_plugins(self) -> None:
        from studio.ui.dialogs.plugins_dialog import PluginsDialog

        self.plugins_dialog = self.plugins_dialog or PluginsDialog(self._session, self._window)
        self.plugins_dialog.show()
        self.plugins_dialog.raise_()

    def open_settings(self) -> None:
        from studio.ui.dialogs.settings_dialog import SettingsDialog

        if self.settings_dialog is None:
            self.settings_dialog = SettingsDialog(
                self._session, self._window.set_theme, self._window.form_services(), self._window
            )
        self.settings_dialog.show()
        self.settings_dialog.raise_()
