"""Work off the window's thread, whose failures become notices."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from typing import TypeVar

from studio.core.errors import StudioError
from studio.state.notices import Notices
from studio.state.tasks import Background

T = TypeVar("T")


class Work:
    """One piece after the other. An expected failure goes to `failed`, or is said as a notice."""

    def __init__(self, background: Background, notices: Notices) -> None:
        self._background, self._notices = background, notices

    def __call__(
        self,
        work: Callable[[], T],
        then: Callable[[T], None] | None = None,
        failed: Callable[[StudioError], None] | None = None,
    ) -> None:
        def ended_badly(error: Exception) -> None:
            if not isinstance(error, StudioError):
                self.crashed(error)
            elif failed is not None:
                failed(error)
            else:
                self._notices.error(str(error))

        self._background.run(work, then, ended_badly)

    def crashed(self, error: BaseException) -> None:
        """What nobody expected: a sentence, with the traceback as its details."""
        details = "".join(traceback.format_exception(error))
        self._notices.error("Something unexpected went wrong. Your work is safe.", details)
