"""One of several runs of a pipeline within a job."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from studio import api

if TYPE_CHECKING:
    from torch import Generator


class SubJob:
    """The context of a job, as one of its parts sees it.

    A part has noise of its own and a place of its own in what is kept; its progress is a share
    of the whole, and what it has to show is handed to `show`. A notice is given once for all parts.
    """

    def __init__(
        self,
        ctx: api.Context,
        number: int,
        *,
        of: int,
        name: str,
        checkpoint_dir: Path,
        said: set[str],
        show: Callable[[Any], None],
    ) -> None:
        self._ctx = ctx
        self._number = number
        self._of = of
        self._name = name
        self._keep = checkpoint_dir
        self._said = said
        self._show = show

    def __getattr__(self, name: str) -> Any:
        return getattr(self._ctx, name)

    @property
    def checkpoint_dir(self) -> Path:
        self._keep.mkdir(parents=True, exist_ok=True)
        return self._keep

    def generator(self, offset: int = 0) -> Generator:
        """Seeds have 32 bits, so no part of a job has the noise of another job."""
        return self._ctx.generator(offset + ((self._number + 1) << 32))

    def emit(self, event: api.Event) -> None:
        match event:
            case api.Progress(step, total, text):
                share = (self._number + (step / total if total else 0)) / self._of
                words = f"{self._name} {self._number + 1} of {self._of}: {text[:1].lower()}{text[1:]}"
                self._ctx.emit(api.Progress(share, 1, words))
            case api.Preview(content):
                self._show(content)
            case api.Notice(text) if text in self._said:
                self._ctx.check_cancelled()
            case _:
                if isinstance(event, api.Notice):
                    self._said.add(event.text)
                self._ctx.emit(event)
