"""The host, as a running tool sees it: implements `api.Context`."""

from __future__ import annotations

import threading
from concurrent.futures import Future
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from studio import api
from studio.core import paths
from studio.core.errors import did_you_mean
from studio.core.messages import RunJob, replace_surrogates
from studio.core.paths import Home
from studio.core.recipe import ModelRef, PluginRef, Recipe
from studio.core.settings import Settings
from studio.library.models import hub_cache
from studio.library.models import offers as library_models
from studio.worker import devices
from studio.worker.devices import Device
from studio.worker.jobs.outputs import Outputs
from studio.worker.jobs.provenance import Provenance
from studio.worker.models.cache import ModelCache
from studio.worker.stdio import Outbox

if TYPE_CHECKING:
    import torch


class Wishes:
    """What the artist asked of a job while it runs; set on one thread, seen on another."""

    def __init__(self) -> None:
        self.cancel = threading.Event()
        self.pause = threading.Event()


class JobContext:
    """One per job."""

    def __init__(
        self,
        run: RunJob,
        *,
        tool: type[api.Tool],
        plugin: PluginRef,
        home: Home,
        settings: Settings,
        device: Device,
        models: ModelCache,
        provenance: Provenance,
        outbox: Outbox,
        wishes: Wishes,
        scratch: Path,
    ) -> None:
        self._run = run
        self._tool = tool
        self._plugin = plugin
        self._home = home
        self._device = device
        self._models = models
        self._provenance = provenance
        self._wishes = wishes
        self._scratch = scratch
        self._notes = dict(run.recipe.notes)
        self._used: dict[str, Future[ModelRef]] = {}
        self._outputs = Outputs(
            run,
            home=home,
            settings=settings,
            outbox=outbox,
            recipe=self._recipe,
            check_cancelled=self.check_cancelled,
        )
        self.cancelled = False
        """Whether the tool was told to stop."""

    @property
    def seed(self) -> int:
        return self._run.recipe.seed

    @property
    def device(self) -> str:
        return self._device.name

    @property
    def dtype(self) -> torch.dtype:
        return self._device.torch_dtype

    @property
    def scratch(self) -> Path:
        return self._scratch

    @property
    def checkpoint_dir(self) -> Path:
        folder = Path(self._run.checkpoint_dir) if self._run.checkpoint_dir else self._scratch / "keep"
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    @property
    def downloads(self) -> Path:
        return self._home.models

    @property
    def models(self) -> ModelCache:
        return self._models

    @property
    def draft(self) -> bool:
        return self._run.draft

    @property
    def pause_requested(self) -> bool:
        return self._wishes.pause.is_set()

    def generator(self, offset: int = 0) -> torch.Generator:
        import torch

        return torch.Generator("cpu").manual_seed(self.seed + offset)

    def emit(self, event: api.Event) -> None:
        self.check_cancelled()
        self._outputs.take(event)
        self.check_cancelled()

    def check_cancelled(self) -> None:
        if self._wishes.cancel.is_set():
            self.cancelled = True
            raise api.Cancelled

    def starter(self, name: str) -> Path:
        folder = starter(name)
        self._use(name, folder)
        return folder

    def model(self, choice: str) -> Path | str:
        found = model(self._home, choice)
        if isinstance(found, Path):
            self._use(library_models.name_of(choice, found), found)
        else:
            self._used.setdefault(choice, self._provenance.follow_hub(choice))
        return found

    def available_models(self, kind: str) -> dict[str, Path]:
        known = library_models.offers(self._home, None, kind)
        return {offer.name: Path(offer.path) for offer in known if offer.connected}

    def note(self, name: str, value: Any) -> None:
        try:
            self._notes[name] = msgspec.json.decode(msgspec.json.encode(replace_surrogates(value)))
        except (TypeError, msgspec.MsgspecError, RecursionError) as error:
            raise TypeError(f"the note {name!r} must be a plain JSON value: {error}") from error

    def _use(self, name: str, path: Path) -> None:
        self._used.setdefault(str(path), self._provenance.follow(name, path))

    def _recipe(self) -> Recipe:
        """That of a result that is finished now: the job's, with what is known at its end."""
        if not all(reference.done() for reference in self._used.values()):
            self._outputs.say("Noting which model was used, once")
        used = [self._completed(reference.result()) for reference in self._used.values()]
        return msgspec.structs.replace(
            self._run.recipe,
            tool_version=self._tool.version,
            plugin=self._plugin,
            models=used,
            versions=devices.versions(),
            notes=self._notes,
        )

    def _completed(self, reference: ModelRef) -> ModelRef:
        folder = hub_cache.downloaded(self._home, reference.name) if hub_cache.is_name(reference.name) else None
        return self._provenance.complete(reference, folder)


def starter(name: str) -> Path:
    """As `api.Context.starter` says."""
    folder = paths.resources() / "starters" / name
    if not _is_plain(name) or not folder.is_dir():
        known = [path.name for path in (paths.resources() / "starters").glob("*/")]
        raise api.BadInput(f"There is no starter model named {name}.", did_you_mean(name, known))
    return folder


def model(home: Home, choice: str) -> Path | str:
    """As `api.Context.model` says."""
    found = library_models.resolve(home, choice)
    if found is not None:
        return found
    if hub_cache.is_name(choice):
        return choice
    if folder := library_models.absent(home, choice):
        raise api.BadInput(f"{Path(choice).name} is in {folder}, which is not connected.", "Connect it and try again.")
    known = [offer.name for offer in library_models.offers(home, None, "")]
    raise api.BadInput(f"There is no model {choice or 'without a name'}.", did_you_mean(choice, known))


def _is_plain(choice: str) -> bool:
    """Whether a choice is a name or an id, and not a path that means nothing elsewhere."""
    return bool(choice) and Path(choice).name == choice
