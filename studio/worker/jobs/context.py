"""The context of a running job: implements `api.Context`."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Mapping
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
from studio.library.index import extraction
from studio.library.models import hub_cache, model_packages, offers
from studio.worker import devices
from studio.worker.devices import Device
from studio.worker.jobs.outputs import Outputs
from studio.worker.jobs.provenance import Provenance
from studio.worker.jobs.shared_recipe import SharedRecipe
from studio.worker.models.cache import ModelCache
from studio.worker.stdio import Outbox

if TYPE_CHECKING:
    import torch

_ID = re.compile("[0-9a-f]{64}")


class JobSignals:
    """Requests of the artist to a job: set on the main thread, read by the job."""

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
        signals: JobSignals,
        scratch: Path,
        report_work: Callable[[api.WorkDone], None],
    ) -> None:
        self._run = run
        self._tool = tool
        self._plugin = plugin
        self._home = home
        self._device = device
        self._models = models
        self._provenance = provenance
        self._signals = signals
        self._scratch = scratch
        self._notes = dict(run.recipe.notes)
        self._model_refs: dict[str, Future[ModelRef]] = {}
        schema = tool.Params.model_json_schema()
        self._shared = SharedRecipe(home, schema)
        self._outputs = Outputs(
            run,
            schema=schema,
            home=home,
            settings=settings,
            outbox=outbox,
            build_recipe=self._build_recipe,
            list_private_paths=lambda: self._shared.list_paths(run.recipe),
            check_cancelled=self.check_cancelled,
            report_work=report_work,
        )
        self.cancelled = False
        """Whether Cancelled was raised in the tool."""

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
        return self._signals.pause.is_set()

    def generator(self, offset: int = 0) -> torch.Generator:
        import torch

        return torch.Generator("cpu").manual_seed(self.seed + offset)

    def emit(self, event: api.Event) -> None:
        self.check_cancelled()
        self._outputs.handle(event)
        self.check_cancelled()

    def check_cancelled(self) -> None:
        if self._signals.cancel.is_set():
            self.cancelled = True
            raise api.Cancelled

    def starter(self, name: str) -> Path:
        folder = find_starter(name)
        self._note_model(name, folder)
        return folder

    def model(self, choice: str) -> Path | str:
        path = find_model(self._home, choice)
        if isinstance(path, Path):
            name = offers.name_of(choice, path)
            self._shared.name_model(choice, name)
            self._note_model(name, path)
        else:
            self._model_refs.setdefault(choice, self._provenance.note_hub_model(choice))
        return path

    def package(self, name: str) -> Path:
        folder = model_packages.find_package(self._home, name)
        package = model_packages.get_package(name)
        reference: Future[ModelRef] = Future()
        reference.set_result(ModelRef(f"{model_packages.REFERENCE}{name}", package.sha256, package.licence))
        self._model_refs.setdefault(f"package:{name}", reference)
        return folder

    @property
    def consents(self) -> api.Consents:
        return api.Consents(self._home)

    def available_models(self, kind: str) -> dict[str, Path]:
        known = offers.list_offers(self._home, None, kind)
        return {offer.name: Path(offer.path) for offer in known if offer.connected}

    def note(self, name: str, value: object) -> None:
        try:
            self._notes[name] = msgspec.json.decode(msgspec.json.encode(replace_surrogates(value)))
        except (TypeError, msgspec.MsgspecError, RecursionError) as error:
            raise TypeError(f"the note {name!r} must be a plain JSON value: {error}") from error

    def notes_of(self, path: Path) -> dict[str, Any]:
        recipe = extraction.recipe_of(path)
        return dict(recipe.notes) if recipe else {}

    def _note_model(self, name: str, path: Path) -> None:
        self._model_refs.setdefault(str(path), self._provenance.note_model(name, path))

    def _build_recipe(self, notes: Mapping[str, Any]) -> Recipe:
        """Return the recipe of a result that is finished now: with models, versions and notes, without paths."""
        if not all(reference.done() for reference in self._model_refs.values()):
            self._outputs.show_status("Hashing the model, once")
        models = {choice: self._complete(reference.result()) for choice, reference in self._model_refs.items()}
        for choice, reference in models.items():
            if (path := Path(choice)).is_absolute():
                self._shared.remember_model(reference, path)
        recipe = msgspec.structs.replace(
            self._run.recipe,
            tool_version=self._tool.version,
            plugin=self._plugin,
            models=[*models.values()],
            versions=devices.read_versions(),
            notes={**self._notes, **notes},
        )
        return self._shared.clean(recipe)

    def _complete(self, reference: ModelRef) -> ModelRef:
        folder = (
            hub_cache.find_downloaded(self._home, reference.name) if hub_cache.is_hub_name(reference.name) else None
        )
        return self._provenance.complete(reference, folder)


def find_starter(name: str) -> Path:
    """Return the folder of a starter model, as `api.Context.starter` does."""
    folder = paths.resources_folder() / "starters" / name
    if not _is_plain(name) or not folder.is_dir():
        known = [path.name for path in (paths.resources_folder() / "starters").glob("*/")]
        raise api.BadInput(f"There is no starter model named {name}.", did_you_mean(name, known))
    return folder


def find_model(home: Home, choice: str) -> Path | str:
    """Return a model's path or hub id, as `api.Context.model` does."""
    path = offers.resolve_model(home, choice)
    if path is not None:
        return path
    if hub_cache.is_hub_name(choice):
        return choice
    if folder := offers.find_disconnected_folder(home, choice):
        raise api.BadInput(f"{Path(choice).name} is in {folder}, which is not connected.", "Connect it and try again.")
    if _ID.fullmatch(choice):
        raise api.BadInput(f"The trained model {choice[:10]}… no longer exists.", "Import it again, or choose another.")
    hint = did_you_mean(choice, offers.list_names(home))
    raise api.BadInput(f"There is no model {choice or 'without a name'}.", hint)


def _is_plain(choice: str) -> bool:
    """Check whether a choice is a name or an id, and no path."""
    return bool(choice) and Path(choice).name == choice
