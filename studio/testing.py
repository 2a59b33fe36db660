"""Tools for tests of plugins: run a tool without the studio, and check that it follows the rules."""

from __future__ import annotations

import atexit
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from studio import api
from studio.api import validation
from studio.core import paths
from studio.core.descriptor import PluginDescriptor

if TYPE_CHECKING:
    import torch

M = TypeVar("M")
HEAVY = ("torch", "diffusers", "transformers")


@dataclass
class FakeModels:
    """Implements `api.Models`: keeps every model that was loaded."""

    loaded: dict[str, Any] = field(default_factory=dict)

    def load(self, key: str, loader: Callable[[], M]) -> M:
        if key not in self.loaded:
            self.loaded[key] = loader()
        model: M = self.loaded[key]
        return model

    def drop(self, key: str) -> None:
        self.loaded.pop(key, None)


@dataclass
class FakeContext:
    """Implements `api.Context` on the CPU, with its files in `folder` or a temporary folder.

    It cancels the job after `cancel_after` events; set `pause_requested` to ask for a pause. The events
    of the tool are in `events`, its notes in `notes`. Models in the subfolder `models` can be chosen by
    name.
    """

    seed: int = 0
    folder: Path | None = None
    draft: bool = False
    device: str = "cpu"
    cancel_after: int | None = None
    pause_requested: bool = False
    models: FakeModels = field(default_factory=FakeModels)
    notes: dict[str, Any] = field(default_factory=dict)
    events: list[api.Event] = field(default_factory=list)
    cancellations: int = 0
    """Number of times that Cancelled was raised: more than one means that the tool did not stop."""

    @property
    def dtype(self) -> torch.dtype:
        import torch

        return torch.float32

    @property
    def scratch(self) -> Path:
        return self._folder("scratch")

    @property
    def checkpoint_dir(self) -> Path:
        return self._folder("keep")

    @property
    def downloads(self) -> Path:
        return self._folder("models")

    def generator(self, offset: int = 0) -> torch.Generator:
        import torch

        return torch.Generator("cpu").manual_seed(self.seed + offset)

    def emit(self, event: api.Event) -> None:
        self.check_cancelled()
        if isinstance(event, api.Animation):
            event = api.Animation(list(event.frames), event.fps, event.loop, event.name, event.notes, event.sound)
        if isinstance(event, api.Preview) and not isinstance(event.content, str) and callable(event.content):
            event = api.Preview(event.content(), event.label)
        self.events.append(event)
        self.check_cancelled()

    def check_cancelled(self) -> None:
        if self.cancel_after is not None and len(self.events) >= self.cancel_after:
            self.cancellations += 1
            raise api.Cancelled

    def starter(self, name: str) -> Path:
        folder = paths.resources_folder() / "starters" / name
        if not folder.is_dir():
            raise api.BadInput(f"There is no starter model named {name}.")
        return folder

    def package(self, name: str) -> Path:
        """Return the folder of a model package in the home that `STUDIO_HOME` names."""
        from studio.library.models import model_packages

        return model_packages.find_package(paths.Home.default(), name)

    @property
    def consents(self) -> api.Consents:
        """The list of consents of the home that `STUDIO_HOME` names."""
        return api.Consents(paths.Home.default())

    def available_models(self, kind: str) -> dict[str, Path]:
        from studio.library.models import model_kind

        return {name: path for name, path in self._own_models().items() if model_kind.kind_of(path) in (kind, "")}

    def model(self, choice: str) -> Path | str:
        if choice in (models := self._own_models()):
            return models[choice]
        if Path(choice).exists():
            return Path(choice)
        return self.starter(choice)

    def note(self, name: str, value: Any) -> None:
        self.notes[name] = value

    def notes_of(self, path: Path) -> dict[str, Any]:
        from studio.library.index import extraction

        recipe = extraction.recipe_of(path)
        return dict(recipe.notes) if recipe else {}

    def _own_models(self) -> dict[str, Path]:
        folder = self.folder / "models" if self.folder else None
        return {path.name: path for path in sorted(folder.iterdir())} if folder and folder.is_dir() else {}

    def _folder(self, name: str) -> Path:
        if self.folder is None:
            self.folder = Path(tempfile.mkdtemp(prefix="studio-test-"))
            atexit.register(shutil.rmtree, self.folder, ignore_errors=True)
        folder = self.folder / name
        folder.mkdir(parents=True, exist_ok=True)
        return folder


def load(plugin: Path) -> list[type[api.Tool]]:
    """Load the tools of a plugin, a `.py` file or a folder, as the studio does.

    Raises AssertionError with the studio's message if it refuses the plugin or one of its tools.
    """
    from studio.worker.plugins.discovery import discover
    from studio.worker.plugins.sources import FileSource

    discovered = discover([FileSource(plugin.resolve(), "user")])
    (descriptor,) = discovered.catalogue.plugins
    _check_descriptor(descriptor)
    return list(discovered.tools.values())


def run(tool: type[api.Tool], ctx: FakeContext | None = None, **values: Any) -> list[api.Event]:
    """Run a tool to its end with parameter values and return its events.

    Raises the exceptions of the tool, and BadInput for invalid values.
    """
    from studio.worker.jobs.errors import validate_params
    from studio.worker.jobs.seeding import seed_all
    from studio.worker.jobs.tool_runner import run_tool

    ctx = ctx or FakeContext()
    params = validate_params(tool, values)
    seed_all(ctx.seed)
    run_tool(tool(), params, ctx)
    return ctx.events


def estimate(tool: type[api.Tool], ctx: FakeContext | None = None, **values: Any) -> api.Estimate | None:
    """Return the estimate of a tool. Raises the exceptions of the tool, and BadInput for invalid values."""
    from studio.worker.jobs.errors import validate_params

    return tool().estimate(validate_params(tool, values), ctx or FakeContext())


class _Inspection:
    """Implements `api.data_report.InspectionContext`."""

    def report_progress(self, done: int, total: int) -> None:
        pass


def inspect_data(tool: type[api.Tool], **values: Any) -> api.data_report.DataReport | None:
    """Return what a tool says about its training data. Raises the exceptions of the tool."""
    from studio.worker.jobs.errors import validate_params

    return tool().inspect_data(validate_params(tool, values), _Inspection())


def results(events: Iterable[api.Event]) -> list[api.Event]:
    """Return the events that would be saved: pictures, animations, texts and models."""
    return [event for event in events if isinstance(event, api.Image | api.Animation | api.Text | api.Trained)]


def check(plugin: Path, values: Mapping[str, Mapping[str, Any]]) -> None:
    """Run all checks on a plugin in a file or folder. `values` has parameter values for each of its tools, by id."""
    check_light_import("studio.testing", then=f"studio.testing.load(__import__('pathlib').Path({str(plugin)!r}))")
    tools = load(plugin)
    check_plugin(tools)
    for tool in tools:
        assert tool.id in values, f"no values to try {tool.id} with"
        check_tool(tool, values[tool.id])


def check_plugin(tools: Iterable[type[api.Tool]]) -> None:
    """Check the rules that can be checked without running a tool. Raises AssertionError with the problem."""
    seen: set[str] = set()
    for tool in tools:
        problems = validation.find_problems(tool)
        assert not problems, " ".join(problems)
        assert tool.id not in seen, f"two tools are called {tool.id}"
        seen.add(tool.id)


def check_light_import(module: str, path: Iterable[Path] = (), *, then: str = "") -> None:
    """Check that importing a plugin imports none of torch, diffusers and transformers.

    `then` is a statement to run after the import. Raises AssertionError.
    """
    code = f"""
import sys
sys.path[:0] = {[str(folder) for folder in path]!r}
import {module}
{then}
print([name for name in {HEAVY!r} if name in sys.modules])
"""
    process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert process.returncode == 0, process.stderr
    imported = process.stdout.strip().rpartition("\n")[2]
    assert imported == "[]", f"importing {module} imports {imported}"


def check_tool(tool: type[api.Tool], values: Mapping[str, Any], *, seed: int = 7) -> None:
    """Run a tool three times: it must stop when cancelled, and give the same result for the same seed.

    Its estimate must have notes on its own parameters only. Raises AssertionError with the problem.
    """
    expected = estimate(tool, **values)
    if expected is not None:
        assert isinstance(expected, api.Estimate), f"{tool.id} estimates {expected!r}, which is no api.Estimate"
        unknown = set(expected.notes) - set(tool.Params.model_fields)
        assert not unknown, f"{tool.id} has notes on {', '.join(sorted(unknown))}, which are none of its parameters"
    stopped = FakeContext(seed=seed, cancel_after=1)
    with suppress(api.Cancelled):
        run(tool, stopped, **values)
    assert stopped.cancellations, f"{tool.id} yields nothing, so it cannot be cancelled"
    assert stopped.cancellations == 1, f"{tool.id} did not stop when it was cancelled after its first event"
    if tool.deterministic:
        first, second = (results(run(tool, FakeContext(seed=seed), **values)) for _ in range(2))
        assert first, f"{tool.id} gave no result"
        assert [_bytes(event) for event in first] == [_bytes(event) for event in second], (
            f"{tool.id} gives different results for the same seed"
        )


def _bytes(event: api.Event) -> bytes:
    import numpy as np

    match event:
        case api.Image():
            return bytes(np.asarray(event.picture).tobytes())
        case api.Animation():
            return b"".join(bytes(np.asarray(api.animations.image_of(frame)).tobytes()) for frame in event.frames)
        case api.Text():
            return event.text.encode()
        case api.Trained():
            return b"".join(path.read_bytes() for path in sorted(event.folder.rglob("*.safetensors")))
        case _:
            return b""


def _check_descriptor(plugin: PluginDescriptor) -> None:
    assert not plugin.error, f"{plugin.error}\n{plugin.details}"
    assert not plugin.notes, " ".join(plugin.notes)
