"""One thing an artist can do."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar, Literal

from studio.api.context import Context
from studio.api.estimate import Estimate, EstimateContext
from studio.api.events import Event
from studio.api.params import Params


class Tool:
    """Subclass it, say what it is, and write `run`. The docstring's first line is shown to the artist."""

    id: ClassVar[str]
    """``plugin.verb``: lower-case letters, digits, ``_`` and one dot. Never changes."""
    title: ClassVar[str]
    version: ClassVar[int] = 1
    """Raised when the same recipe gives another result than before."""
    output: ClassVar[Literal["image", "animation", "text", "model"]] = "image"
    lane: ClassVar[Literal["interactive", "training"]] = "interactive"
    live: ClassVar[bool] = False
    """Quick enough to be run as a draft whenever a value changes."""
    pausable: ClassVar[bool] = False
    """Keeps its state in `ctx.checkpoint_dir` when asked to pause, and goes on from it."""
    deterministic: ClassVar[bool] = True
    selection: ClassVar[Literal["", "replace", "offer"]] = ""
    """What it does with words that are selected on the page, which come as its parameter ``text``. ``replace``: its
    text takes their place. ``offer``: around them, with ``___`` in their place, and its note ``words`` has
    [[word, probability], …] to choose from."""
    icon: ClassVar[str] = ""
    """A name of the Material Design Icons, such as ``mdi6.image-filter-vintage``."""

    Params: ClassVar[type[Params]] = Params

    def run(self, params: Any, ctx: Context) -> Iterator[Event]:
        """Yields events until the job is done. Every `yield` is a cancel point."""
        raise NotImplementedError

    def estimate(self, params: Any, ctx: EstimateContext) -> Estimate | None:  # noqa: ARG002
        """What `run` would take with these parameters; None where that is not known.

        Asked whenever a value changes, also while jobs run, on a thread of its own: it answers within
        50 ms once warm, loads no model, and leaves the device alone. What it raises is logged and
        counts as None.
        """
        return None
