"""One sitting at the studio: everything that the window shows, bound to the engine."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

from msgspec.structs import replace
from PySide6.QtCore import QObject, Signal

from studio.core import settings as settings_file
from studio.core.descriptor import Catalogue
from studio.core.errors import FailureKind, StudioError
from studio.core.job import Job, JobState
from studio.core.messages import JobNotice, PreviewFrame
from studio.core.notices import NoticeLevel
from studio.core.paths import Home
from studio.core.settings import Settings
from studio.engine.interface import Created, Engine, WorkerChanged
from studio.library.creation import Creation, CreationKind
from studio.library.pages.store import PageStore
from studio.state.form import draft_store
from studio.state.form.workspace import Workspace
from studio.state.jobs.drop_to_generate import DropToGenerate
from studio.state.jobs.engine_bridge import EngineBridge
from studio.state.jobs.estimates import Estimates
from studio.state.jobs.generation import Generation
from studio.state.jobs.licence_consent import LicenceConsent
from studio.state.jobs.queue_model import QueueModel
from studio.state.jobs.submission import JobSubmitter
from studio.state.jobs.variations import Variations
from studio.state.jobs.worker_status import WorkerStatus
from studio.state.library.history_model import HistoryModel
from studio.state.library.model_folders import ModelFolders
from studio.state.notices import Notice, Notices
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
    """Owns the models. Widgets show them and call `making`, `revocable` and the methods here."""

    preview = Signal(object)
    """What the canvas should show of a job in the making (`messages.Previewed`)."""
    show = Signal(object)
    """A creation that the canvas should show."""
    created = Signal(object)
    settings_changed = Signal(object)
    models_changed = Signal()
    """Other models can be chosen than before."""
    library_ready = Signal()
    """The library is open and the queue is known."""

    def __init__(self, home: Home, engine: Engine, library: Library, settings: Settings) -> None:
        super().__init__()
        self.home, self.engine, self.library, self.settings = home, engine, library, settings
        self.bridge = EngineBridge(self)
        self.notices = Notices(self)
        self.tasks = Tasks("studio", on_error=self.notices.report, parent=self)
        self.model_folders = ModelFolders(home, self.notices, self)
        self.workspace = Workspace(self)
        self.queue = QueueModel(self)
        self.plugins = PluginsModel(self)
        self.variations = Variations(self)
        self.worker_status = WorkerStatus(self)
        self.estimates = Estimates(engine, self.workspace, self.worker_status, self)
        self.undo = UndoStack()
        self.history = HistoryModel(library, self)
        self.undoable = UndoableActions(self.undo, engine, self.history, self.workspace, self.queue, self.variations)
        consent = LicenceConsent(home, lambda: self.settings, self.set_settings)
        self.generation = Generation(
            home, engine, library, self.workspace, self.notices, self.undoable, self.tasks, consent, self
        )
        self.drop_to_generate = DropToGenerate(self.workspace, self.generation, self.notices)
        # Of their own: a long sweep must not delay a save.
        self._page_tasks = Tasks("page", on_error=self.notices.report, parent=self)
        self.page = Page(PageStore(home.pages), self.workspace, self.notices, self._page_tasks, self)
        asking = JobSubmitter(engine, library, consent, self.notices, self.tasks)
        self.illustrations = Illustrations(self.page, asking, library, self.workspace, self.notices, self.tasks, self)
        self.selection_tools = SelectionTools(self.page, asking, self.workspace, self.notices, self)
        self.alternatives = Alternatives(self.page, library, self.tasks, self)
        self.estimates.more = self.page.given
        self._draft_file = home.root / "workspace.json"
        self.draft_writer = draft_store.DraftWriter(self._draft_file, lambda: self.workspace.draft, self.tasks, self)
        self._began: dict[str, float] = {}
        self._looking_elsewhere = False
        self._library_open = False
        self._connect()

    def _connect(self) -> None:
        bridge = self.bridge
        bridge.job_changed.connect(self._job_changed)
        bridge.job_forgotten.connect(self.queue.remove)
        bridge.created.connect(self._created)
        bridge.catalogue_changed.connect(self._catalogue_changed)
        bridge.worker_changed.connect(self._worker_changed)
        bridge.memory_changed.connect(self.worker_status.memory_changed)
        bridge.estimate_ready.connect(self.estimates.take)
        bridge.progress_changed.connect(self.queue.set_progress)
        bridge.preview_ready.connect(self._previewed)
        bridge.notice_received.connect(self._noticed)
        self.page.stop_asked.connect(self._stop)
        self.page.opened.connect(self._collect)
        self.page.changed.connect(self._page_changed)
        self.generation.beginning.connect(self.page.give)
        self.variations.shown.connect(self.show)
        self.workspace.changed.connect(self.draft_writer.touch)
        self.generation.submitting.connect(self._look_here)
        self.generation.drafting.connect(self._look_here)
        self.generation.submitted.connect(self._submitted)
        self.generation.adopted.connect(self._created_one)
        self.generation.opened.connect(self.open)
        self.model_folders.changed.connect(self.models_changed)
        self.library_ready.connect(self.models_changed)

    # The beginning and the end
    def begin(self) -> None:
        """Shows what is known already: the draft and the cached plugins."""
        self.workspace.restore(draft_store.load(self._draft_file))
        self._catalogue_changed(self.engine.catalogue)

    def start(self) -> None:
        """After the first paint: opens the library and starts the worker, neither on this thread."""
        self.bridge.attach(self.engine)
        self.page.start()
        self.tasks.run(self._open, lambda _: self._opened())

    def _open(self) -> None:
        self.home.create_folders()
        self.library.open()
        self.engine.start()

    def _opened(self) -> None:
        self._library_open = True
        self._collect()
        self.queue.reset(self.engine.jobs())
        self.history.search()
        self.library_ready.emit()
        self.tasks.run(self.library.sweep, lambda _: self.history.refresh())
        self.model_folders.set_folders(self.settings.model_folders)
        self.model_folders.refresh()

    def close(self) -> None:
        """Writes the draft and ends the workers. What runs stays in the queue for next time."""
        self.generation.stop()
        self.estimates.stop()
        self.page.close()
        self._page_tasks.close()
        with suppress(StudioError):
            self.draft_writer.flush()
        for job in self.queue.hidden:
            self.engine.forget(job)
        self.model_folders.close()
        self.tasks.close()
        self.history.close()
        self.bridge.detach()
        self.undo.blockSignals(True)
        self.engine.close()
        self.library.close()

    # Looking
    def open(self, creation: Creation) -> None:
        """Shows a creation, and keeps it there while something else is in the generation."""
        self._looking_elsewhere = True
        self.show.emit(creation)

    def look_away(self) -> None:
        """What is in the making does not take the place of what the canvas shows."""
        self._looking_elsewhere = True

    def offers(self, kind: str, then: Callable[[Sequence[ModelOffer]], None]) -> None:
        """The models of a kind; asked before the library is open, it answers without what was trained.

        What lies in other folders is answered as remembered, and looked at again; `model_folders.changed` tells.
        """

        def find() -> Sequence[ModelOffer]:
            from studio.library.models.offers import list_offers

            return list_offers(self.home, self.library if self._library_open else None, kind)

        self.tasks.run(find, then)
        if self._library_open:
            self.model_folders.refresh()

    def cancel_running(self) -> None:
        """What the artist is watching: the running job of the latest Generate, else any that runs."""
        running = self.queue.standing().running
        watched = [job for job in running if job.id in self.variations.jobs or self.page.owns(job.id)]
        watched = watched or list(running[:1])
        self.undoable.cancel(watched)

    def stop_writing(self) -> None:
        """All that writes on the page, or waits to; what was written stays."""
        for job in self.page.jobs:
            self.engine.cancel(job)

    def set_settings(self, settings: Settings) -> None:
        self.settings = settings
        self.engine.configure(settings)
        self.settings_changed.emit(settings)
        if self._library_open:
            self.model_folders.set_folders(settings.model_folders)
        self.tasks.run(lambda: settings_file.save(self.home.settings, settings))

    def reload_plugins(self) -> None:
        self.engine.reload_plugins()
        self.notices.info("Reloading plugins…")

    def switch_plugin(self, name: str, on: bool) -> None:
        others = tuple(known for known in self.settings.disabled_plugins if known != name)
        self.set_settings(replace(self.settings, disabled_plugins=others if on else (*others, name)))
        self.plugins.reset(self.engine.catalogue, self.settings.disabled_plugins)

    def _look_here(self) -> None:
        self._looking_elsewhere = False

    def _submitted(self, jobs: Sequence[Job]) -> None:
        if not self.page.begin(jobs):
            self.variations.begin(jobs)
        for job in jobs:
            if self.queue.job(job.id) is None:
                self.queue.put(job)

    def resume(self, job: Job) -> None:
        """Goes on with a job that was put by or that failed, and shows how it comes about."""
        if job.id not in self.variations.jobs and not self.page.owns(job.id):
            self.variations.begin([job])
        self._looking_elsewhere = False
        self.engine.resume(job.id)

    # What the engine says
    def _job_changed(self, job: Job) -> None:
        self.queue.put(job)
        self.page.job_changed(job)
        self.illustrations.job_changed(job)
        self.selection_tools.job_changed(job)
        if job.state is JobState.RUNNING:
            self._began.setdefault(job.id, time.monotonic())
        elif (began := self._began.pop(job.id, None)) is not None and job.state is JobState.DONE:
            self.workspace.set_seconds(job.recipe.tool, time.monotonic() - began)
            self.estimates.refresh()
        if job.state in (JobState.FAILED, JobState.SET_ASIDE) and job.failure is not None:
            self._failed(job)

    def _failed(self, job: Job) -> None:
        assert job.failure is not None
        failure, tool = job.failure, self.workspace.tool
        if failure.kind is FailureKind.BAD_INPUT and tool is not None and tool.id == job.recipe.tool:
            self.generation.refused.emit(failure.sentence)
            return
        self.notices.add(
            Notice(
                self._told(job.recipe.tool, failure.sentence),
                NoticeLevel.ERROR,
                failure.details,
                action_label="Retry",
                action=lambda: self.resume(job),
            )
        )

    def _told(self, tool: str, sentence: str) -> str:
        """With the title of the tool where it is not the one in the form."""
        known, shown = self.workspace.catalogue.tools.get(tool), self.workspace.tool
        if known is None or (shown is not None and shown.id == tool) or sentence.startswith(known.title):
            return sentence
        return f"{known.title}: {sentence}"

    def _created(self, event: Created) -> None:
        self._created_one(event.creation)
        if self.page.take(event) or self.illustrations.take(event) or self.selection_tools.take(event):
            return
        self.variations.add(event, show=not self._looking_elsewhere)

    def _created_one(self, creation: Creation) -> None:
        self.history.insert(creation)
        self.created.emit(creation)
        if creation.kind is CreationKind.MODEL:
            self.models_changed.emit()

    def _catalogue_changed(self, catalogue: Catalogue) -> None:
        self.workspace.set_catalogue(catalogue)
        self.plugins.reset(catalogue, self.settings.disabled_plugins)

    def _worker_changed(self, event: WorkerChanged) -> None:
        self.worker_status.worker_changed(event)
        if event.sentence:
            self.notices.add(Notice(event.sentence, NoticeLevel.WARNING))

    def _stop(self, job: str) -> None:
        """What was written so far stays."""
        self.engine.cancel(job)

    def _collect(self) -> None:
        """What became of jobs that wrote for the page while it was closed."""
        if self._library_open and self.page.ready:
            jobs = self.engine.jobs()
            self.page.collect(jobs, self.library.get_many)
            self.illustrations.collect(jobs)

    def _page_changed(self) -> None:
        """While words stream, what the model sees was decided already."""
        if self.page.writes and not self.page.is_writing:
            self.estimates.follow()

    def _previewed(self, event: PreviewFrame) -> None:
        if self.page.owns(event.job):
            self.page.preview(event)
            return
        is_draft = self.queue.job(event.job) is None
        watched = event.job in self.variations.jobs or is_draft
        if watched and not self._looking_elsewhere:
            self.preview.emit(event)

    def _noticed(self, event: JobNotice) -> None:
        self.notices.add(Notice(event.text, event.level))
