"""Where jobs run, as the window and the command line see it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from enum import Enum
from typing import Any, Protocol, TypeAlias, Union

from msgspec import Struct

from studio.core.descriptor import Catalogue, DeviceReport
from studio.core.job import Job, Lane
from studio.core.messages import JobNotice, JobProgress, PreviewFrame
from studio.core.page.token_budget import TokenBudget
from studio.core.recipe import Recipe
from studio.core.settings import Settings
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
    """What the worker of a lane holds, in bytes; once a second."""

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


EngineEvent: TypeAlias = Union[  # noqa: UP007
    JobChanged,
    JobForgotten,
    Created,
    CatalogueChanged,
    WorkerChanged,
    MemoryChanged,
    EstimateReady,
    JobProgress,
    PreviewFrame,
    JobNotice,
]
Listener: TypeAlias = Callable[[EngineEvent], None]


class Engine(Protocol):
    """Runs jobs somewhere. Listeners are called on the engine's threads, one event at a time.

    Every call returns at once; what it caused arrives as events.
    """

    @property
    def catalogue(self) -> Catalogue:
        """What was last known of the plugins: from the cache on disk until the worker is up."""

    @property
    def held(self) -> bool:
        """Whether the queue is paused: running jobs go on, no other starts."""

    def subscribe(self, listener: Listener) -> Callable[[], None]:
        """Returns the call that ends the subscription."""

    def start(self) -> None:
        """Starts the worker of the interactive lane; that of the training lane starts with its first job."""

    def close(self) -> None:
        """Ends the workers. Running jobs stay in the queue and are run again next time."""

    def configure(self, settings: Settings) -> None:
        """Takes new settings; a change of the device or of the plugins replaces workers once they are free."""

    def submit(self, recipe: Recipe, *, count: int = 1, format: str = "") -> list[Job]:
        """Adds `count` jobs with the seeds `seed`, `seed + 1`, …; on disk when it returns."""

    def draft(self, recipe: Recipe) -> str:
        """Runs a recipe for its previews alone, before what is queued. A newer draft takes the place
        of an older. Returns its job id; `JobForgotten` with that id says that it is over."""

    def estimate(self, tool: str, values: Mapping[str, Any]) -> str:
        """Asks what a tool would take with these values, and starts no worker for it. Returns an id;
        `EstimateReady` with that id follows, empty where a value is wrong; not where a newer question
        about the same tool came, or no worker is ready."""

    def jobs(self) -> list[Job]:
        """Jobs that have not ended, in order, and those that ended lately, newest last."""

    def cancel(self, job: str) -> None:
        """At the job's next cancel point, or after `Settings.cancel_grace` by ending its worker."""

    def cancel_all(self) -> None:
        """Queued and running jobs. Paused ones stay: they were put by on purpose."""

    def pause(self, job: str) -> None:
        """For tools that are `pausable`: the job keeps its state and gives the device free."""

    def resume(self, job: str) -> None:
        """Queues a job that was paused, failed, was cancelled or set aside, with what it kept."""

    def forget(self, job: str) -> None:
        """Drops an ended job from the list. Its creations stay."""

    def move(self, job: str, before: str | None) -> None:
        """Puts a queued job before another, or last."""

    def hold(self, on: bool) -> None: ...

    def free_memory(self) -> None:
        """Loaded models are dropped, and an idle training worker ends. `JobNotice` says how much it gave back."""

    def reload_plugins(self) -> None: ...

    def running(self) -> Sequence[Job]: ...
