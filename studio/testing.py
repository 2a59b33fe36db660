"""The plugin author's kit: run a tool in a test, and check that it behaves."""

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
    """Keeps every model that was loaded, and never evicts."""

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
    """Implements `api.Context` on the CPU, in memory and a folder: a temporary one, unless given.

    `cancel_after` events it reports a cancel, as an artist would; set `pause_requested` to ask
    for a pause. What the tool emitted is in `events`, its notes in `notes`. What lies in `models` in
    the folder can be chosen by its name.
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
    told: int = 0
    """How often Cancelled was raised: more than once means that the tool went on."""

    @property
    def dtype(self) -> torch.dtype:
        import torch

        return torch.float32

    @property
    def scratch(self) -> Path:
        return self._made("scratch")

    @property
    def checkpoint_dir(self) -> Path:
        return self._made("keep")

    @property
    def downloads(self) -> Path:
        return self._made("models")

    def generator(self, offset: int = 0) -> torch.Generator:
        import torch

        return torch.Generator("cpu").manual_seed(self.seed + offset)

    def emit(self, event: api.Event) -> None:
        self.check_cancelled()
        if isinstance(event, api.Animation):
            event = api.Animation(list(event.frames), event.fps, event.loop, event.name, event.notes, event.sound)
        self.events.append(event)
        self.check_cancelled()

    def check_cancelled(self) -> None:
        if self.cancel_after is not None and len(self.events) >= self.cancel_after:
            self.told += 1
            raise api.Cancelled

    def starter(self, name: str) -> Path:
        folder = paths.resources() / "starters" / name
        if not folder.is_dir():
            raise api.BadInput(f"There is no starter model named {name}.")
        return folder

    def available_models(self, kind: str) -> dict[str, Path]:
        from studio.library.models import model_kind

        return {name: path for name, path in self._mine().items() if model_kind.kind_of(path) in (kind, "")}

    def model(self, choice: str) -> Path | str:
        if choice in (mine := self._mine()):
            return mine[choice]
        if Path(choice).exists():
            return Path(choice)
        return self.starter(choice)

    def note(self, name: str, value: Any) -> None:
        self.notes[name] = value

    def _mine(self) -> dict[str, Path]:
        mine = self.folder / "models" if self.folder else None
        return {path.name: path for path in sorted(mine.iterdir())} if mine and mine.is_dir() else {}

    def _made(self, name: str) -> Path:
        if self.folder is None:
            self.folder = Path(tempfile.mkdtemp(prefix="studio-test-"))
            atexit.register(shutil.rmtree, self.folder, ignore_errors=True)
        folder = self.folder / name
        folder.mkdir(parents=True, exist_ok=True)
        return folder


def load(plugin: Path) -> list[type[api.Tool]]:
    """The tools of a plugin, a `.py` file or a folder, loaded as the studio would.

    Raises AssertionError with the studio's words, when it refuses the plugin or one of its tools.
    """
    from studio.worker.plugins.discovery import discover
    from studio.worker.plugins.sources import FileSource

    found = discover([FileSource(plugin.resolve(), "user")])
    (described,) = found.catalogue.plugins
    _accepted(described)
    return list(found.tools.values())


def run(tool: type[api.Tool], ctx: FakeContext | None = None, **values: Any) -> list[api.Event]:
    """Runs a tool to its end and returns what it yielded, as the studio would see it.

    Raises what the tool raises, and BadInput for values that do not fit.
    """
    from studio.worker.jobs.errors import validated
    from studio.worker.jobs.seeding import seed_all
    from studio.worker.jobs.tool_runner import run_tool

    ctx = ctx or FakeContext()
    params = validated(tool, values)
    seed_all(ctx.seed)
    run_tool(tool(), params, ctx)
    return ctx.events


def estimate(tool: type[api.Tool], ctx: FakeContext | None = None, **values: Any) -> api.Estimate | None:
    """What a tool says that it would take. Raises what the tool raises, and BadInput for values that do not fit."""
    from studio.worker.jobs.errors import validated

    return tool().estimate(validated(tool, values), ctx or FakeContext())


def results(events: Iterable[api.Event]) -> list[api.Event]:
    """Only what would be saved."""
    return [event for event in events if isinstance(event, api.Image | api.Animation | api.Text | api.Trained)]


def check(plugin: Path, values: Mapping[str, Mapping[str, Any]]) -> None:
    """All checks for a plugin in a file or folder. `values` holds parameters for each of its tools, by id."""
    check_light_import("studio.testing", then=f"studio.testing.load(__import__('pathlib').Path({str(plugin)!r}))")
    tools = load(plugin)
    check_plugin(tools)
    for tool in tools:
        assert tool.id in values, f"no values to try {tool.id} with"
        check_tool(tool, values[tool.id])


def check_plugin(tools: Iterable[type[api.Tool]]) -> None:
    """The conformance checks that need no run. Raises AssertionError with what is wrong."""
    seen: set[str] = set()
    for tool in tools:
        faults = validation.find_problems(tool)
        assert not faults, " ".join(faults)
        assert tool.id not in seen, f"two tools are called {tool.id}"
        seen.add(tool.id)


def check_light_import(module: str, path: Iterable[Path] = (), *, then: str = "") -> None:
    """Importing a plugin must not import torch, diffusers or transformers. `then` is a statement to run after."""
    code = f"""
import sys
sys.path[:0] = {[str(one) for one in path]!r}
import {module}
{then}
print([heavy for heavy in {HEAVY!r} if heavy in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = done.stdout.strip().rpartition("\n")[2]
    assert found == "[]", f"importing {module} imports {found}"


def check_tool(tool: type[api.Tool], values: Mapping[str, Any], *, seed: int = 7) -> None:
    """Runs a tool three times: it must honour a cancel, and repeat itself for the same seed. What it says that
    it would take must be an estimate, with notes on its own parameters."""
    told = estimate(tool, **values)
    if told is not None:
        assert isinstance(told, api.Estimate), f"{tool.id} estimates {told!r}, which is no api.Estimate"
        strange = set(told.notes) - set(tool.Params.model_fields)
        assert not strange, f"{tool.id} has notes on {', '.join(sorted(strange))}, which are none of its parameters"
    stopped = FakeContext(seed=seed, cancel_after=1)
    with suppress(api.Cancelled):
        run(tool, stopped, **values)
    assert stopped.told, f"{tool.id} yields nothing, so it cannot be cancelled"
    assert stopped.told == 1, f"{tool.id} went on although it was cancelled after its first event"
    if tool.deterministic:
        first, second = (results(run(tool, FakeContext(seed=seed), **values)) for _ in range(2))
        assert first, f"{tool.id} made nothing"
        assert [_bytes(event) for event in first] == [_bytes(event) for event in second], (
            f"{tool.id} differs for one seed"
        )


def _bytes(event: api.Event) -> bytes:
    import numpy as np

    match event:
        case api.Image():
            return bytes(np.asarray(event.picture).tobytes())
        case api.Animation():
            return b"".join(bytes(np.asarray(frame).tobytes()) for frame in event.frames)
        case api.Text():
            return event.text.encode()
        case api.Trained():
            return b"".join(path.read_bytes() for path in sorted(event.folder.rglob("*.safetensors")))
        case _:
            return b""


def _accepted(plugin: PluginDescriptor) -> None:
    assert not plugin.error, f"{plugin.error}\n{plugin.details}"
    assert not plugin.notes, " ".join(plugin.notes)
