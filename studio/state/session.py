"""One session of the studio: everything that the window shows, bound to the engine."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Literal

from msgspec.structs import replace
from PySide6.QtCore import QObject, Signal

from studio.core import settings
from studio.core.descriptor import Catalogue
from studio.core.errors import StudioError
from studio.core.job import Job
from studio.core.paths import Home
from studio.core.settings import Settings
from studio.engine.interface import Engine
from studio.library.creation import Creation
from studio.library.pages.store import PageStore
from studio.state.form import draft_store
from studio.state.form.list_additions import ListAdditions
from studio.state.form.workspace import Workspace
from studio.state.jobs.captioning import Captioning
from studio.state.jobs.data_check import DataCheck
from studio.state.jobs.drop_to_generate import DropToGenerate
from studio.state.jobs.engine_bridge import EngineBridge
from studio.state.jobs.estimates import Estimates
from studio.state.jobs.event_router import EventRouter
from studio.state.jobs.generation import Generation
from studio.state.jobs.job_controls import JobControls
from studio.state.jobs.licence_consent import LicenceConsent
from studio.state.jobs.live_drafts import LiveDrafts
from studio.state.jobs.package_offers import PackageOffers
from studio.state.jobs.queue_model import QueueModel
from studio.state.jobs.submission import JobSubmitter
from studio.state.jobs.variations import Variations
from studio.state.jobs.worker_status import WorkerStatus
from studio.state.library.history_model import HistoryModel
from studio.state.library.image_uses import ImageUses
from studio.state.library.importing import Importer
from studio.state.library.model_folders import ModelFolders
from studio.state.library.model_uses import ModelUses
from studio.state.library.settings_offers import SettingsOffers
from studio.state.notices import Notices
from studio.state.page.alternatives import Alternatives
from studio.state.page.illustrations import Illustrations
from studio.state.page.page import Page
from studio.state.page.selection_tools import SelectionTools
from studio.state.plugins import PluginsModel
from studio.state.tasks import Tasks
from studio.state.undo_stack import UndoStack
from studio.state.undoable_actions import UndoableActions

if TYPE_CHECKING:
    from studio.library.library import Library
    from studio.library.models.offers import ModelOffer


class Session(QObject):
    """Owns the models. Widgets bind to them, and call their methods and those here."""

    show = Signal(object)
    """A creation that the canvas should show."""
    settings_changed = Signal(object)
    models_changed = Signal()
    cancel_question = Signal(object)
    """Trainings that are cancelled only after a question."""
    """The list of models that can be chosen has changed."""
    library_ready = Signal()
    """The library is open and the queue is known."""

    def __init__(self, home: Home, engine: Engine, library: Library, initial_settings: Settings) -> None:
        super().__init__()
        self.home, self.engine, self.library, self.settings = home, engine, library, initial_settings
        self._library_open = False
        self._create_models()
        self._create_jobs()
        self._create_page()
        self._create_router()
        self._draft_file = home.root / "workspace.json"
        self.draft_writer = draft_store.DraftWriter(self._draft_file, lambda: self.workspace.draft, self.tasks, self)
        self._connect()

    def _create_models(self) -> None:
        self.notices = Notices(self)
        self.tasks = Tasks("studio", on_error=self.notices.report, parent=self)
        self.workspace = Workspace(self)
        self.queue = QueueModel(self)
        self.plugins = PluginsModel(self)
        self.variations = Variations(self)
        self.worker_status = WorkerStatus(self)
        self.model_folders = ModelFolders(self.home, self.notices, self)
        self.history = HistoryModel(self.library, self)
        self.undo = UndoStack()
        self.list_additions = ListAdditions(self.workspace, self.undo, self.notices)
        self.undoable = UndoableActions(
            self.undo, self.engine, self.history, self.workspace, self.queue, self.variations
        )

    def _create_jobs(self) -> None:
        consent = LicenceConsent(self.home, lambda: self.settings, self.set_settings)
        self._submitter = JobSubmitter(self.engine, self.library, consent, self.notices, self.tasks)
        self.estimates = Estimates(self.engine, self.workspace, self.worker_status, self)
        self.drafts = LiveDrafts(self.workspace, self._submitter, self)
        self.generation = Generation(
            self.workspace,
            self.library,
            self._submitter,
            self.drafts,
            consent,
            self.undoable,
            self.notices,
            self.tasks,
            self,
        )
        self.data_check = DataCheck(self.engine, self.workspace, self.undo, self.notices, self.tasks, self)
        self.captioning = Captioning(self.engine, self._submitter, self)
        self.drop_to_generate = DropToGenerate(self.workspace, self.generation, self.notices)
        self.model_uses = ModelUses(self.workspace, self.generation, self.undoable, self.notices)
        self.image_uses = ImageUses(self.workspace, self.undoable, self.notices)
        self.importer = Importer(
            self.home, self.library, self.workspace, self.notices, self.tasks, self.generation.use_settings, self
        )
        self.settings_offers = SettingsOffers(
            self.workspace, self.importer, self.undoable, self.notices, self.library, self
        )

    def _create_page(self) -> None:
        # Tasks of their own: a long sweep of the library must not delay a save.
        self._page_tasks = Tasks("page", on_error=self.notices.report, parent=self)
        self.page = Page(PageStore(self.home.pages), self.workspace, self.notices, self._page_tasks, self)
        self.illustrations = Illustrations(
            self.page, self._submitter, self.library, self.workspace, self.notices, self.tasks, self
        )
        self.selection_tools = SelectionTools(self.page, self._submitter, self.workspace, self.notices, self)
        self.alternatives = Alternatives(self.page, self.library, self.tasks, self)
        self.generation.prepare_request = self.page.jobs.prepare_request
        self.estimates.extra_values = self.page.jobs.current_values

    def _create_router(self) -> None:
        self.package_offers = PackageOffers(self.home, self.notices, self)
        self.controls = JobControls(self.engine, self.workspace, self.variations, self.page.jobs.owns)
        self.bridge = EngineBridge(self)
        self.router = EventRouter(
            workspace=self.workspace,
            queue=self.queue,
            history=self.history,
            variations=self.variations,
            estimates=self.estimates,
            notices=self.notices,
            page_jobs=self.page.jobs,
            owners=(self.illustrations, self.selection_tools),
            resume=self.controls.resume,
            refuse=self.generation.refused.emit,
            offer_package=self.package_offers.offer,
            parent=self,
        )

    def _connect(self) -> None:
        self.router.connect_to(self.bridge)
        self.drafts.connect_to(self.bridge)
        self.router.model_created.connect(self.models_changed)
        self.bridge.catalogue_changed.connect(self._set_catalogue)
        self.bridge.worker_changed.connect(self.worker_status.on_worker_changed)
        self.bridge.memory_changed.connect(self.worker_status.on_memory_changed)
        self.bridge.estimate_ready.connect(self.estimates.on_estimate)
        self.bridge.inspection_progressed.connect(self.data_check.on_progress)
        self.bridge.inspection_ended.connect(self.data_check.on_result)
        self.bridge.worker_changed.connect(self.data_check.on_worker_changed)
        self.bridge.progress_changed.connect(self.captioning.on_progress)
        self.bridge.image_captioned.connect(self.captioning.on_captioned)
        self.bridge.notice_received.connect(self.captioning.on_notice)
        self.bridge.jobs_forgotten.connect(self.captioning.on_forgotten)
        self.page.stop_requested.connect(self.engine.cancel)
        self.page.opened.connect(self._collect_page_results)
        self.page.changed.connect(self._on_page_changed)
        self.variations.shown.connect(self.show)
        self.workspace.changed.connect(self.draft_writer.touch)
        self.generation.submitting.connect(self.follow_results)
        self.drafts.drafting.connect(self.follow_results)
        self.generation.submitted.connect(self._on_submitted)
        self.generation.input_imported.connect(self.router.add_creation)
        self.importer.imported.connect(self.router.add_creation)
        self.importer.opened.connect(self.open)
        self.settings_offers.page_begun.connect(self.page.begin)
        self.model_folders.changed.connect(self.models_changed)
        self.library_ready.connect(self.models_changed)
        self.history.renamed.connect(lambda _: self.models_changed.emit())

    # The beginning and the end
    def begin(self) -> None:
        """Show what is known before anything runs: the draft and the cached plugins."""
        self.workspace.restore(draft_store.load(self._draft_file))
        self._set_catalogue(self.engine.catalogue)

    def start(self) -> None:
        """Open the library and start the worker, off this thread. Called after the first paint."""
        self.bridge.attach(self.engine)
        self.page.open_last()
        self.tasks.run(self._open_library, lambda _: self._on_library_open())

    def _open_library(self) -> None:
        self.home.create_folders()
        self.library.open()
        self.engine.start()

    def _on_library_open(self) -> None:
        self._library_open = True
        self._collect_page_results()
        self.queue.reset(self.engine.jobs())
        self.history.search()
        self.library_ready.emit()
        self.tasks.run(self.library.sweep, lambda _: self.history.refresh())
        self.model_folders.set_folders(self.settings.model_folders)
        self.model_folders.refresh()

    def close(self) -> None:
        """Write the draft and end the workers. Running jobs stay in the queue for the next session."""
        self.drafts.stop()
        self.estimates.stop()
        self.settings_offers.close()
        self.page.close()
        self._page_tasks.close()
        with suppress(StudioError):
            self.draft_writer.flush()
        if self.queue.hidden:
            self.engine.forget(*self.queue.hidden)
        self.model_folders.close()
        self.package_offers.close()
        self.tasks.close()
        self.history.close()
        self.bridge.detach()
        self.undo.blockSignals(True)
        self.engine.close()
        self.library.close()

    # The canvas
    def open(self, creation: Creation) -> None:
        """Show a creation, and keep it on the canvas while jobs run."""
        self.variations.is_followed = False
        self.show.emit(creation)

    def keep_canvas(self) -> None:
        """Keep the present picture on the canvas while jobs run."""
        self.variations.is_followed = False

    def follow_results(self) -> None:
        """Show previews and results on the canvas again."""
        self.variations.is_followed = True

    # Models and settings
    def list_offers(self, kind: str, then: Callable[[Sequence[ModelOffer]], None]) -> None:
        """Read the models of a kind. Before the library is open, trained models are missing.

        Models in other folders are listed as last seen; `model_folders.changed` follows if that has changed.
        """

        def read() -> Sequence[ModelOffer]:
            from studio.library.models.offers import list_offers

            return list_offers(self.home, self.library if self._library_open else None, kind)

        self.tasks.run(read, then)
        if self._library_open:
            self.model_folders.refresh()

    def set_settings(self, new_settings: Settings) -> None:
        self.settings = new_settings
        self.engine.configure(new_settings)
        self.settings_changed.emit(new_settings)
        if self._library_open:
            self.model_folders.set_folders(new_settings.model_folders)
        self.tasks.run(lambda: settings.save(self.home.settings, new_settings))

    def set_export_include(self, include: Literal["everything", "recipe", "nothing"]) -> None:
        """Keep the last choice of what an export includes."""
        if include != self.settings.export_include:
            self.set_settings(replace(self.settings, export_include=include))

    def reload_plugins(self) -> None:
        self.engine.reload_plugins()
        self.notices.info("Reloading plugins…")

    def switch_plugin(self, name: str, on: bool) -> None:
        others = tuple(known for known in self.settings.disabled_plugins if known != name)
        self.set_settings(replace(self.settings, disabled_plugins=others if on else (*others, name)))
        self.plugins.reset(self.engine.catalogue, self.settings.disabled_plugins)

    def _set_catalogue(self, catalogue: Catalogue) -> None:
        self.workspace.set_catalogue(catalogue)
        self.plugins.reset(catalogue, self.settings.disabled_plugins)

    # Jobs
    def cancel_running(self) -> None:
        """Cancel the running jobs of the latest Generate and of the page, or else the first that runs."""
        running = self.queue.status().running
        watched = [job for job in running if job.id in self.variations.jobs or self.page.jobs.owns(job.id)]
        self.cancel(watched or list(running[:1]))

    def cancel(self, jobs: Sequence[Job]) -> None:
        """Cancel jobs at once, but trainings of more than a minute after `cancel_question` was answered."""
        long = [job for job in jobs if self.controls.is_long_training(job)]
        self.undoable.cancel([job for job in jobs if job not in long])
        if long:
            self.cancel_question.emit(long)

    def stop_writing(self) -> None:
        """Cancel all jobs that write on the page, or wait to. Their text so far stays."""
        for job in self.page.jobs.running:
            self.engine.cancel(job)

    def _on_submitted(self, jobs: Sequence[Job]) -> None:
        if not self.page.jobs.begin(jobs):
            self.variations.begin(jobs)
        self.queue.put(*(job for job in jobs if self.queue.job(job.id) is None))

    # The page
    def _collect_page_results(self) -> None:
        """Take the results of jobs that wrote for the page while it was closed."""
        if self._library_open and self.page.is_ready:
            jobs = self.engine.jobs()
            self.page.jobs.collect(jobs, self.library.get_many)
            self.illustrations.collect(jobs)

    def _on_page_changed(self) -> None:
        """Update the estimate, unless words stream in: what the model reads was decided before."""
        if self.page.has_writing_tool and not self.page.jobs.is_writing:
            self.estimates.refresh_while_typing()
