"""The check of the training data of the tool in the form, and changes of excluded files."""

from __future__ import annotations

from PySide6.QtCore import QObject, Signal

from studio.core import params_schema
from studio.core.data_report import DataReport
from studio.core.job import Lane
from studio.core.messages import InspectionProgress, InspectionResult
from studio.engine.interface import Engine, WorkerChanged, WorkerState
from studio.state.form.workspace import Workspace
from studio.state.jobs.caption_edits import CaptionEdits
from studio.state.notices import Notices
from studio.state.tasks import Tasks
from studio.state.undo_stack import UndoStack

EXCLUDE = "exclude"
"""The parameter with the names of excluded files."""


class DataCheck(QObject):
    """One check at a time. The worker inspects the files; `captions` has their captions."""

    progressed = Signal(int, int)
    ended = Signal()
    """The check has a report, or a sentence that says why there is none."""
    exclusions_changed = Signal()

    def __init__(
        self,
        engine: Engine,
        workspace: Workspace,
        undo: UndoStack,
        notices: Notices,
        tasks: Tasks,
        parent: QObject | None = None,
    ) -> None:
        super().__init__(parent)
        self._engine, self._workspace, self._undo = engine, workspace, undo
        self.captions = CaptionEdits(undo, notices, tasks, self)
        self._id = ""
        self._excluded: frozenset[str] = frozenset()
        self.report: DataReport | None = None
        self.sentence = ""
        workspace.value_changed.connect(self._on_value_changed)

    @property
    def is_running(self) -> bool:
        return bool(self._id)

    def start(self) -> None:
        """Check the data of the tool in the form."""
        tool = self._workspace.tool
        self.cancel()
        self.report, self.sentence = None, ""
        values = self._workspace.values()
        self._excluded = frozenset(values.get(EXCLUDE) or [])
        if tool is None or (errors := params_schema.find_errors(tool, values)):
            self._end(None, next(iter(errors.values())) if tool else "No tool is chosen.")
            return
        self._id = self._engine.inspect_data(tool.id, values)

    def cancel(self) -> None:
        if self._id:
            self._engine.cancel_inspection(self._id)
            self._id = ""

    def on_progress(self, event: InspectionProgress) -> None:
        if event.id == self._id:
            self.progressed.emit(event.done, event.total)

    def on_result(self, event: InspectionResult) -> None:
        if event.id == self._id:
            self._end(event.report, event.sentence)

    def on_worker_changed(self, event: WorkerChanged) -> None:
        if self._id and event.lane is Lane.INTERACTIVE and event.state is not WorkerState.READY:
            self._end(None, event.sentence or "The worker has ended. Check the data again.")

    def _end(self, report: DataReport | None, sentence: str) -> None:
        self._id = ""
        self.report, self.sentence = report, sentence
        self.captions.reset(report)
        self.ended.emit()

    # Exclusions
    @property
    def excluded(self) -> frozenset[str]:
        """The entries of the parameter."""
        return self._excluded

    def exclude(self, names: list[str], *, on: bool) -> None:
        """Exclude files by their entries of the parameter, or include them again."""
        tool, before = self._workspace.tool, list(self._workspace.value(EXCLUDE) or [])
        changed = set(names)
        after = [name for name in before if name not in changed] + (sorted(changed) if on else [])
        if tool is None or set(after) == set(before):
            return
        verb = "excluding" if on else "including"
        text = f"{verb} {len(names):,} file{'s' if len(names) > 1 else ''}"
        self._undo.do(
            text,
            lambda: self._workspace.set_value_of(tool.id, EXCLUDE, after),
            lambda: self._workspace.set_value_of(tool.id, EXCLUDE, before),
        )

    def _on_value_changed(self, name: str) -> None:
        if name == EXCLUDE:
            self._excluded = frozenset(self._workspace.value(EXCLUDE) or [])
            self.exclusions_changed.emit()
