"""What a running tool is given."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar, runtime_checkable

from studio.api.events import Event

if TYPE_CHECKING:
    import torch

M = TypeVar("M")


@runtime_checkable
class SavesState(Protocol):
    """A model that learns something between jobs which took time, such as the text that it has read.

    Optional: what has these methods is asked when it is evicted, and when it is loaded again under the same key in the
    same worker. What they raise is logged, and the job goes on.
    """

    def save_state(self, folder: Path) -> None:
        """Writes what is worth keeping into an empty folder; nothing where nothing is. Afterwards it is dropped."""

    def restore_state(self, folder: Path) -> None:
        """Takes it back from there, right after it was loaded. The folder is removed then."""


class Models(Protocol):
    """Loaded models, kept between jobs and evicted by size when memory is short. One may be `SavesState`."""

    def load(self, key: str, loader: Callable[[], M]) -> M:
        """The model under `key`, loaded by `loader()` on the first use."""

    def drop(self, key: str) -> None:
        """Forget one model, and what it had parked. Does nothing where it is not loaded."""


class Context(Protocol):
    """The host, as a tool sees it."""

    @property
    def seed(self) -> int:
        """0 ≤ seed < 2³²; the same seed and parameters give the same result."""

    @property
    def device(self) -> str:
        """A torch device string: ``cpu``, ``cuda:0``, ``mps``, ``xpu:0``."""

    @property
    def dtype(self) -> torch.dtype:
        """What suits the device: float32 on a CPU, float16 or bfloat16 on a GPU."""

    @property
    def scratch(self) -> Path:
        """A folder that is removed when the job ends."""

    @property
    def checkpoint_dir(self) -> Path:
        """A folder that stays until the job is done or cancelled, also across a kill.

        A long job writes its checkpoints here and, when it starts, goes on from them.
        """

    @property
    def downloads(self) -> Path:
        """The artist's models folder, for models that are fetched.

        In a folder ``ORG--NAME``, `model` finds what is ``ORG/NAME`` on the Hugging Face hub. What begins with a
        dot is not offered: an unfinished download goes on there.
        """

    @property
    def models(self) -> Models: ...

    @property
    def draft(self) -> bool:
        """Whether only previews are wanted, quickly, because a slider moves."""

    def generator(self, offset: int = 0) -> torch.Generator:
        """A CPU torch generator seeded with `seed + offset`, so that devices agree."""

    def emit(self, event: Event) -> None:
        """What `yield` does too, for code in callbacks. A cancel point."""

    def check_cancelled(self) -> None:
        """Raises Cancelled once the artist asked to stop. A cancel point without an event."""

    @property
    def pause_requested(self) -> bool:
        """True once the artist asked to pause. A `pausable` tool then writes its state to
        `checkpoint_dir` and raises `api.Paused`; the job is run again later and goes on from there."""

    def starter(self, name: str) -> Path:
        """The folder of a starter model. Raises BadInput when there is none of that name."""

    def model(self, choice: str) -> Path | str:
        """What a `ModelChoice` value stands for: an existing file or folder, or a hub id.

        The model is written into the recipe with the hash of its weights and its licence.
        Raises BadInput when it is neither.
        """

    def available_models(self, kind: str) -> Mapping[str, Path]:
        """What a `ModelChoice` of a kind offers, the path by the choice. What is used goes through `model`."""

    def note(self, name: str, value: Any) -> None:
        """Writes a plain JSON value into the recipe's notes."""
