"""Actions that remove or change something, each with a way back through Undo."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from studio.core.job import Job
from studio.engine.interface import Engine
from studio.library.creation import Creation
from studio.state.form.workspace import Workspace
from studio.state.jobs.queue_model import QueueModel
from studio.state.jobs.variations import Variations
from studio.state.library.history_model import HistoryModel
from studio.state.undo_stack import UndoStack


class UndoableActions:
    def __init__(
        self,
        undo: UndoStack,
        engine: Engine,
        history: HistoryModel,
        workspace: Workspace,
        queue: QueueModel,
        variations: Variations,
    ) -> None:
        self._undo, self._engine, self._history = undo, engine, history
        self._workspace, self._queue, self._variations = workspace, queue, variations

    def discard(self, creation: Creation) -> None:
        """Move a variation to the trash."""
        at = -1

        def redo() -> None:
            nonlocal at
            at = self._variations.take_out(creation)
            self._history.trash([creation.id])

        def undo() -> None:
            self._history.restore([creation.id])
            self._variations.put_back(creation, at)

        self._undo.do("discarding a variation", redo, undo)

    def clear_form(self) -> None:
        """Let every value follow its default again."""
        before, tool = self._workspace.values(), self._workspace.tool
        if tool is None or not before:
            return

        def put(values: dict[str, Any]) -> None:
            self._workspace.choose(tool.id)
            self._workspace.replace_values(values)

        self._undo.do("resetting the form", lambda: put({}), lambda: put(before))

    def put_values(self, tool_id: str, values: dict[str, Any], text: str, seed: int | None = None) -> None:
        """Put other values into the form of a tool, and fix the seed where one is given."""
        before = dict(self._workspace.draft.values.get(tool_id, {}))
        seed_before, fixed_before = self._workspace.seed, self._workspace.seed_fixed

        def put(these: dict[str, Any]) -> None:
            self._workspace.choose(tool_id)
            self._workspace.replace_values(these)

        def redo() -> None:
            put(values)
            if seed is not None:
                self._workspace.set_seed(seed, fixed=True)

        def undo() -> None:
            put(before)
            if seed is not None:
                self._workspace.set_seed(seed_before, fixed=fixed_before)

        self._undo.do(text, redo, undo)

    def clear_value(self, name: str, empty: object = None) -> None:
        """Empty a field, or set a list without the pictures that are removed from it."""
        before, tool = self._workspace.value(name), self._workspace.tool
        if tool is None:
            return

        def put(value: object) -> None:
            self._workspace.choose(tool.id)
            self._workspace.set_value(name, value)

        self._undo.do("clearing a field", lambda: put(empty), lambda: put(before))

    def forget(self, jobs: Sequence[Job]) -> None:
        """Remove ended jobs from the list."""
        ended = [job for job in jobs if job.state.ended]

        def redo() -> None:
            self._queue.hide(ended)

        def undo() -> None:
            self._queue.unhide(ended)

        if ended:
            self._undo.do("clearing finished jobs", redo, undo)

    def cancel(self, jobs: Sequence[Job]) -> None:
        """Cancel jobs. Undo queues them again."""
        live = [job for job in jobs if not job.state.ended]

        def redo() -> None:
            self._engine.cancel(*(job.id for job in live))

        def undo() -> None:
            self._engine.requeue(*live)

        if live:
            self._undo.do("cancelling jobs", redo, undo)
