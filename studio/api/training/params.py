"""The parameters that trainings share, and their defaults."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeVar

from studio.api.params import FolderInput, Params, param
from studio.core.errors import BadInput

if TYPE_CHECKING:
    from studio.api.context import Context

MAX_EXCLUDED = 10_000


class TrainingParams(Params):
    """The parameters of a training on the files in a folder. A tool declares again what differs, such as a help text.

    `steps`, `batch` and `learning_rate` are None where the artist leaves them to `TrainingDefaults`.
    """

    folder: FolderInput
    """Training data. Subfolders are included."""
    more_folders: list[FolderInput] = param([], max_items=8, title="More folders")
    """Further folders of training data."""
    exclude: list[str] = param([], max_items=MAX_EXCLUDED, title="Excluded files", advanced=True)
    """Files that are left out: names relative to the folder, and FOLDER/NAME for files of the other folders."""
    title: str = param("My model", title="Name")
    """Name of the model in the other tools."""
    steps: int | None = param(None, ge=1, le=1_000_000, title="Steps")
    """More steps improve the result and take longer. Leave it empty for the default."""
    batch: int | None = param(None, ge=1, le=1024, title="Batch size", advanced=True)
    """Samples per step. Leave it empty for the default."""
    learning_rate: float | None = param(None, ge=1e-7, le=1.0, title="Learning rate", advanced=True)
    """Leave it empty for the default."""
    ema: float = param(0.999, ge=0, le=0.99999, title="EMA decay", advanced=True)
    """Fraction of the averaged weights that is kept at each step."""
    preview_every: int = param(250, ge=1, le=100_000, title="Preview interval", unit="steps", advanced=True)
    """Steps between two previews."""
    keep_every: int | None = param(None, ge=1, le=1_000_000, title="Keep a model every", unit="steps", advanced=True)
    """Saves the unfinished model at this interval as a model of its own. Leave it empty to keep only the last one."""
    patience: int | None = param(None, ge=1, le=1000, title="Early stopping", unit="previews", advanced=True)
    """Stops when the held-out measure has not improved in so many previews. Leave it empty to train to the end."""

    def excluded_in(self, folder: Path) -> frozenset[str]:
        """Return the names of excluded files relative to one of the folders, for `api.datasets.find_files`."""
        if folder == self.folder:
            return self.nested_in(folder) | frozenset(self.exclude)
        start = f"{folder.name}/"
        names = (name.removeprefix(start) for name in self.exclude if name.startswith(start))
        return self.nested_in(folder) | frozenset(names)

    def nested_in(self, folder: Path) -> frozenset[str]:
        """Return the other folders of these parameters that lie inside a folder, each with a slash at its end.

        What is in them is no data of that folder as well: masks are not trained as images, and nothing counts twice.
        """
        values = (value for _, value in self)
        paths = (path for value in values for path in (value if isinstance(value, list) else [value]))
        others = {path for path in paths if isinstance(path, Path) and path != folder and path.is_relative_to(folder)}
        return frozenset(f"{path.relative_to(folder).as_posix()}/" for path in others if path.is_dir())


class HasTrainingNumbers(Protocol):
    """Parameters with numbers that may be left empty, such as `TrainingParams`."""

    @property
    def steps(self) -> int | None: ...
    @property
    def batch(self) -> int | None: ...
    @property
    def learning_rate(self) -> float | None: ...


D = TypeVar("D", bound="TrainingDefaults")


@dataclass(frozen=True)
class TrainingDefaults:
    """The numbers of a kind of training that the artist has left empty. Subclass it to add further ones."""

    steps: int
    batch: int
    learning_rate: float

    def override(self: D, params: HasTrainingNumbers) -> D:
        """Return a copy with the numbers that the artist has set."""
        return replace(
            self,
            steps=params.steps or self.steps,
            batch=params.batch or self.batch,
            learning_rate=params.learning_rate or self.learning_rate,
        )

    def note(self, ctx: Context) -> None:
        """Note the numbers that are used, for the model card."""
        ctx.note("numbers", {"steps": self.steps, "batch": self.batch, "learning_rate": self.learning_rate})


def require_samples(folder: Path, count: int, minimum: int, noun: str = "image") -> None:
    """Raise BadInput if a folder has fewer readable samples than a training needs. `noun` is in the singular."""
    if count < minimum:
        raise describe_shortage(folder, count, minimum, noun)


def describe_shortage(folder: Path, count: int, minimum: int, noun: str = "image") -> BadInput:
    """Return the error that says that a folder has too few readable samples."""
    samples = f"1 usable {noun}" if count == 1 else f"{count or 'no'} usable {noun}s"
    return BadInput(
        f"{folder.name} contains {samples}, and this training needs {minimum}.",
        f"Add {noun}s or choose another folder.",
    )
