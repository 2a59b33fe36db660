"""The context of one of several pipeline runs within a job, such as a tile."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from studio import api

if TYPE_CHECKING:
    from torch import Generator


class SubJob(api.ContextProxy):
    """A context with its own noise and checkpoint folder.

    Its progress is reported as a fraction of the whole job, and its previews go to `on_preview`. A notice is emitted
    once for all sub-jobs that share `notices`.
    """

    def __init__(
        self,
        ctx: api.Context,
        number: int,
        *,
        count: int,
        name: str,
        checkpoint_dir: Path,
        notices: set[str],
        on_preview: Callable[[api.Preview], None],
    ) -> None:
        """Describe the sub-job `number` (from 0) of `count`. `name` is shown with the progress, such as "Tile"."""
        super().__init__(ctx)
        self._number = number
        self._count = count
        self._name = name
        self._checkpoint_dir = checkpoint_dir
        self._notices = notices
        self._on_preview = on_preview

    @property
    def checkpoint_dir(self) -> Path:
        self._checkpoint_dir.mkdir(parents=True, exist_ok=True)
        return self._checkpoint_dir

    def generator(self, offset: int = 0) -> Generator:
        """Return a generator whose noise no other job uses: seeds have 32 bits, and the number is above them."""
        return self._ctx.generator(offset + ((self._number + 1) << 32))

    def emit(self, event: api.Event) -> None:
        match event:
            case api.Progress(step, total, text):
                fraction = (self._number + (step / total if total else 0)) / self._count
                status = f"{self._name} {self._number + 1} of {self._count}: {text[:1].lower()}{text[1:]}"
                self._ctx.emit(api.Progress(fraction, 1, status))
            case api.Preview():
                self._on_preview(event)
            case api.Notice(text) if text in self._notices:
                self._ctx.check_cancelled()
            case _:
                if isinstance(event, api.Notice):
                    self._notices.add(event.text)
                self._ctx.emit(event)
