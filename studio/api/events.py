"""Events that a tool yields while it runs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, Union

from studio.core.animations import Frame
from studio.core.notices import NoticeLevel

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL.Image import Image as PilImage

    Picture: TypeAlias = PilImage | NDArray[np.uint8] | NDArray[np.uint16] | NDArray[np.floating[Any]]
else:
    Picture = Any
"""A PIL image, or an array [height, width] or [height, width, 1 | 3 | 4] of sRGB values:
uint8 0..255, uint16 0..65535, or floating point 0..1 (values outside are clipped)."""


@dataclass(frozen=True)
class Progress:
    """`step` of `total` is done. A `total` of 0 means that the end is not known."""

    step: float
    total: float = 0
    text: str = ""


@dataclass(frozen=True)
class Preview:
    """The unfinished result, as a picture or text. It is shown and never saved.

    Pictures that come faster than they can be shown are dropped. One that takes time to make may be given as a
    function without arguments: it is only called if its picture will be shown.
    """

    content: Picture | str | Callable[[], Picture]
    label: str = ""


@dataclass(frozen=True)
class Image:
    """A finished picture. `name` tells several results of one job apart (``frame-003``)."""

    picture: Picture
    name: str = ""
    notes: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Animation:
    """A finished animation. `frames` may be a generator: they are encoded as they come.

    All frames have the size of the first. `fps` is in frames per second, for frames that are not given as `api.Frame`
    with a time of their own. `loop` asks players to repeat. `sound` is a file whose sound track is added, if the format
    allows it.
    """

    frames: Iterable[Picture | Frame]
    fps: float = 24.0
    loop: bool = True
    name: str = ""
    notes: Mapping[str, Any] = field(default_factory=dict)
    sound: Path | None = None


@dataclass(frozen=True)
class Text:
    """A finished text, saved as Markdown. User text stays plain text wherever it is shown."""

    text: str
    title: str = ""
    name: str = ""
    notes: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Caption:
    """A caption of an image of the artist, written into NAME.txt beside it. A draft shows it and writes nothing."""

    image: Path
    text: str


@dataclass(frozen=True)
class Trained:
    """A trained model: a folder with safetensors, a config and a model card (`README.md`).

    The folder is moved into the library. `kind` is what `ModelChoice` fields ask for.
    """

    folder: Path
    title: str
    kind: str
    notes: Mapping[str, Any] = field(default_factory=dict)
    is_derived: bool = False
    """True where the model holds weights of the models that the job used, so that their licences hold for it too."""


@dataclass(frozen=True)
class Notice:
    """One sentence that the artist should see. `level` is a `NoticeLevel`, or its value ``info`` or ``warning``."""

    text: str
    level: NoticeLevel | Literal["info", "warning"] = NoticeLevel.INFO


@dataclass(frozen=True)
class WorkDone:
    """Part of the work that the tool's estimate counts took a measured time. Nothing of it is shown.

    A tool that reports this while it runs is not timed as a whole, so that jobs that were cancelled, paused or resumed
    tell their speed as well.
    """

    fraction: float
    """Of all the work of the job, in 0..1."""
    seconds: float


Event: TypeAlias = Union[Progress, Preview, Image, Animation, Text, Caption, Trained, Notice, WorkDone]  # noqa: UP007
