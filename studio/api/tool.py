"""One thing an artist can do."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from studio.api.context import Context
from studio.api.estimate import Estimate, EstimateContext
from studio.api.events import Event
from studio.api.params import Params

if TYPE_CHECKING:
    from studio.api.data_report import DataReport, InspectionContext


class Tool:
    """Base class of tools: set the attributes and implement `run`.

    The first line of the docstring is shown to the artist.
    """

    id: ClassVar[str]
    """``plugin.verb``: lower-case letters, digits, ``_`` and one dot. Never changes."""
    title: ClassVar[str]
    version: ClassVar[int] = 1
    """Version of the results. Raise it if the same recipe gives another result than before."""
    output: ClassVar[Literal["image", "animation", "text", "model"]] = "image"
    lane: ClassVar[Literal["interactive", "training"]] = "interactive"
    live: ClassVar[bool] = False
    """True if it is quick enough to run as a draft whenever a value changes."""
    pausable: ClassVar[bool] = False
    """True if it saves its state in `ctx.checkpoint_dir` when asked to pause, and resumes from it."""
    deterministic: ClassVar[bool] = True
    selection: ClassVar[Literal["", "replace", "offer"]] = ""
    """Use of the text that is selected on the page. With ``replace`` the parameter ``text`` is the selection, and the
    result takes its place. With ``offer`` the parameter ``text`` is the surrounding text with ``___`` in place of the
    selection, and the note ``words`` of the result has [[word, probability], …] to choose from."""
    captions_images: ClassVar[bool] = False
    """True if it yields a `Caption` for the images of the parameter `folder`, of those in `names` if it is not empty:
    names relative to the folder. The check of training data runs it as a draft, which includes images that have a
    caption, with the parameters `model` and `trigger`, a word to put in front."""
    icon: ClassVar[str] = ""
    """Name of a Material Design icon, such as ``mdi6.image-filter-vintage``."""

    Params: ClassVar[type[Params]] = Params

    def run(self, params: Any, ctx: Context) -> Iterator[Event]:
        """Yield events until the job is done. Every `yield` is a cancel point."""
        raise NotImplementedError

    def estimate(self, params: Any, ctx: EstimateContext) -> Estimate | None:  # noqa: ARG002
        """Return the memory and time that `run` would need with these parameters; None if unknown.

        It is called on its own thread whenever a value changes, also while jobs run. It must answer within
        50 ms (after the first call), load no model, and not use the device. An exception is logged and
        counts as None.
        """
        return None

    def inspect_data(self, params: Any, ctx: InspectionContext) -> DataReport | None:  # noqa: ARG002
        """Return what a training with these parameters would find in its folders; None where there is no data.

        It is called on its own thread when the artist wants to check the data, also while jobs run, and by `run` of
        the training itself (`api.data_report.check_data`). It must not load a model or use the device. Raises BadInput
        for a folder that is missing.
        """
        return None
