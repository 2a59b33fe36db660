"""The plugin author's kit: run a tool in a test, and check that it behaves."""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from studio import api
from studio.core import form, paths
from studio.core.descriptor import Widget

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
    """Implements `api.Context` on the CPU, in memory and a temporary folder.

    `cancel_after` events it reports a cancel, as a user would; set `pause_requested` to ask
    for a pause. What the tool emitted is in `events`, its notes in `notes`.
    """

    seed: int = 0
    folder: Path = field(default_factory=lambda: Path(tempfile.mkdtemp(prefix="studio-test-")))
    draft: bool = False
    device: str = "cpu"
    cancel_after: int | None = None
    pause_requested: bool = False
    models: FakeModels = field(default_factory=FakeModels)
    notes: dict[str, Any] = field(default_factory=dict)
    events: list[api.Event] = field(default_factory=list)

    @property
    def dtype(self) -> torch.dtype:
        import torch

        return torch.float32

    @property
    def scratch(self) -> Path:
        return self._made("scratch")

    @property
    def keep(self) -> Path:
        return self._made("keep")

    def generator(self, offset: int = 0) -> torch.Generator:
        import torch

        return torch.Generator("cpu").manual_seed(self.seed + offset)

    def emit(self, event: api.Event) -> None:
        if isinstance(event, api.Animation):
            event = api.Animation(list(event.frames), event.fps, event.loop, event.name, event.notes, event.sound)
        self.events.append(event)
        self.check_cancelled()

    def check_cancelled(self) -> None:
        if self.cancel_after is not None and len(self.events) >= self.cancel_after:
            raise api.Cancelled

    def starter(self, name: str) -> Path:
        folder = paths.resources() / "starters" / name
        if not folder.is_dir():
            raise api.BadInput(f"There is no starter model named {name}.")
        return folder

    def model(self, choice: str) -> Path | str:
        if Path(choice).exists():
            return Path(choice)
        return self.starter(choice)

    def note(self, name: str, value: Any) -> None:
        self.notes[name] = value

    def _made(self, name: str) -> Path:
        folder = self.folder / name
        folder.mkdir(parents=True, exist_ok=True)
        return folder


def run(tool: type[api.Tool], ctx: FakeContext | None = None, **values: Any) -> list[api.Event]:
    """Runs a tool to its end and returns what it yielded, as the studio would see it.

    Raises what the tool raises, and pydantic's ValidationError for values that do not fit.
    """
    ctx = ctx or FakeContext()
    instance = tool()
    for event in instance.run(tool.Params.model_validate(values), ctx):
        ctx.emit(event)
    return ctx.events


def results(events: Iterable[api.Event]) -> list[api.Event]:
    """Only what would be saved."""
    return [event for event in events if isinstance(event, api.Image | api.Animation | api.Text | api.Trained)]


def check_plugin(tools: Iterable[type[api.Tool]]) -> None:
    """The conformance checks that need no run. Raises AssertionError with what is wrong."""
    seen: set[str] = set()
    for tool in tools:
        assert re.fullmatch(r"[a-z][a-z0-9_]*\.[a-z][a-z0-9_]*", tool.id), f"{tool.id!r} is no id like plugin.verb"
        assert tool.id not in seen, f"two tools are called {tool.id}"
        seen.add(tool.id)
        assert tool.title, f"{tool.id} needs a title"
        assert tool.__doc__, f"{tool.id} needs a docstring"
        assert issubclass(tool.Params, api.Params), f"the Params of {tool.id} must derive from api.Params"
        for one in form.fields(tool.Params.model_json_schema()):
            assert one.name not in ("seed", "count"), f"{tool.id}: seed and count are the host's"
            assert one.widget is not Widget.MODEL or one.model, f"{tool.id}.{one.name} must say its kind of model"


def check_light_import(module: str, path: Iterable[Path] = ()) -> None:
    """Importing a plugin must not import torch, diffusers or transformers."""
    code = f"""import sys
sys.path[:0] = {[str(folder) for folder in path]!r}
import {module}
print([name for name in {HEAVY!r} if name in sys.modules])"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[]", f"importing {module} imports {done.stdout.strip()}"


def check_tool(tool: type[api.Tool], values: Mapping[str, Any], *, seed: int = 7) -> None:
    """Runs a tool three times: it must honour a cancel, and repeat itself for the same seed."""
    stopped = FakeContext(seed=seed, cancel_after=1)
    try:
        run(tool, stopped, **values)
    except api.Cancelled:
        pass
    else:
        raise AssertionError(f"{tool.id} ran to its end although it was cancelled after its first event")
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
