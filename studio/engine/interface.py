"""The engine as the window and the command line see it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from enum import Enum
from typing import Any, Protocol, TypeAlias, Union

from msgspec import Struct

from studio.core.descriptor import Catalogue, DeviceReport
from studio.core.job import Job, Lane
from studio.core.messages import (
    ImageCaptioned,
    InspectionProgress,
    InspectionResult,
    JobNotice,
    JobProgress,
    PreviewFrame,
)
from studio.core.page.token_budget import TokenBudget
from studio.core.recipe import Recipe
from studio.core.settings import Settings
from studio.core.training_record import TrainingRecord
from studio.library.creation import Creation


class WorkerState(Enum):
    STARTING = "starting"
    READY = "ready"
    RESTARTING = "restarting"
    GONE = "gone"


class JobChanged(Struct, frozen=True):
    """A job was added or has a new state, place or output."""

    job: Job


class JobForgotten(Struct, frozen=True):
    """An ended job was dismissed from the list."""

    id: str


class Created(Struct, frozen=True):
    """A result is on disk and in the index."""

    job: str
    creation: Creation


class CatalogueChanged(Struct, frozen=True):
    catalogue: Catalogue


class WorkerChanged(Struct, frozen=True):
    """`sentence` says what happened when that is worth saying, such as after a crash."""

    lane: Lane
    state: WorkerState
    device: DeviceReport | None = None
    sentence: str = ""


class MemoryChanged(Struct, frozen=True):
    """The bytes that the worker of a lane uses; once a second."""

    lane: Lane
    memory: int
    device: DeviceReport | None = None


class EstimateReady(Struct, frozen=True):
    """The answer to `Engine.estimate`. `memory` in bytes, 0 where it is not known; `seconds` None
    until a job of its kind was done; `notes` by parameter; `budget` as `api.Estimate` has it."""

    id: str
    memory: int = 0
    seconds: float | None = None
    notes: dict[str, str] = {}
    budget: TokenBudget | None = None
    disk: int = 0
    """Bytes that the job will write; 0 where it is not known."""


EngineEvent: TypeAlias = Union[  # noqa: UP007
    JobChanged,
    JobForgotten,
    Created,
    CatalogueChanged,
    WorkerChanged,
    MemoryChanged,
    EstimateReady,
    InspectionProgress,
    InspectionResult,
    JobProgress,
    PreviewFrame,
    ImageCaptioned,
    JobNotice,
]
Listener: TypeAlias = Callable[[EngineEvent], None]


class Engine(Protocol):
    """Runs jobs somewhere. Listeners are called on the engine's threads, one event at a time.

    Every call returns at once; what it caused arrives as events.
    """

    @property
    def catalogue(self) -> Catalogue:
        """The plugins: as the cache on disk has them, until the worker is up."""

    @property
    def queue_paused(self) -> bool:
        """Whether the queue is paused: running jobs continue, no other starts."""

    def subscribe(self, listener: Listener) -> Callable[[], None]:
        """Call `listener` for each event. Returns a function that ends the subscription."""

    def start(self) -> None:
        """Start the worker of the interactive lane; that of the training lane starts with its first job."""

    def close(self) -> None:
        """End the workers. Running jobs stay in the queue and are run again next time."""

    def configure(self, settings: Settings) -> None:
        """Take new settings; a change of the device or of the plugins replaces workers once they are free."""

    def submit(self, recipe: Recipe, *, count: int = 1, format: str = "") -> list[Job]:
        """Add `count` jobs with the seeds `seed`, `seed + 1`, …; on disk when it returns."""

    def draft(self, recipe: Recipe) -> str:
        """Run a recipe for its previews alone, before queued jobs. A newer draft replaces an older one.
        Returns its job id; `JobForgotten` with that id says that it has ended."""

    def estimate(self, tool: str, values: Mapping[str, Any]) -> str:
        """Estimate a tool's memory and time with these values, without starting a worker. Returns an id;
        `EstimateReady` with that id follows, empty where a value is wrong; not where a newer request
        for the same tool came, or no worker is ready."""

    def inspect_data(self, tool: str, values: Mapping[str, Any]) -> str:
        """Inspect the training data of a tool with these values; it ends an earlier inspection. Returns an id.
        `InspectionProgress` and `InspectionResult` with that id follow, unless the worker ends (`WorkerChanged`)."""

    def cancel_inspection(self, id: str) -> None:
        """End an inspection; no result follows."""

    def jobs(self) -> list[Job]:
        """Return jobs that have not ended, in order, and those that ended lately, newest last."""

    def cancel(self, *jobs: str) -> None:
        """Cancel jobs: a running one at its next cancel point, or by the end of its worker after `cancel_grace`."""

    def cancel_all(self) -> None:
        """Cancel queued and running jobs. Paused ones stay: they were paused on purpose."""

    def pause(self, job: str) -> None:
        """Pause a job of a `pausable` tool: it saves its state and frees the device. A queued job just waits."""

    def resume(self, job: str) -> None:
        """Queue a job again that was paused, failed, was cancelled or set aside. It has its checkpoints."""

    def requeue(self, *jobs: Job) -> None:
        """Queue jobs again as `resume` does, also those that the list has dropped since."""

    def forget(self, *jobs: str) -> None:
        """Drop ended jobs from the list. Their creations stay."""

    def move(self, job: str, before: str | None) -> None:
        """Put a queued job before another, or last."""

    def set_queue_paused(self, on: bool) -> None:
        """Pause or resume the queue. Stored, so it holds after a restart too."""

    def free_memory(self) -> None:
        """Drop loaded models and end an idle training worker. `JobNotice` says how much memory that released."""

    def training_record(self, job: str) -> TrainingRecord:
        """Return the record of a training, which need not exist yet. The artist's changes are written to it."""

    def reload_plugins(self) -> None: ...

    def running(self) -> Sequence[Job]: ...
