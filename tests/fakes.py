"""An engine that does what a test tells it, through the interface that the real ones have."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from studio.core.descriptor import Catalogue, DeviceReport, PluginDescriptor, ToolDescriptor
from studio.core.errors import Failure
from studio.core.job import Job, JobState, Lane
from studio.core.messages import Previewed, Progressed
from studio.core.recipe import Recipe
from studio.core.settings import Settings
from studio.engine.interface import (
    CatalogueChanged,
    Created,
    EngineEvent,
    EstimateReady,
    JobChanged,
    JobForgotten,
    Listener,
    WorkerChanged,
    WorkerState,
)
from studio.library.creation import Creation, Kind


class FakeEngine:
    """Implements `interface.Engine`. Nothing happens by itself: a test calls `run`, `finish`, `fail`, `say`.

    Every call of the window is kept in `calls`.
    """

    def __init__(self, catalogue: Catalogue | None = None) -> None:
        self._catalogue = catalogue or Catalogue()
        self._jobs: dict[str, Job] = {}
        self._listeners: list[Listener] = []
        self._held = False
        self._next = 1
        self.calls: list[tuple[Any, ...]] = []
        self.drafts: list[Recipe] = []
        self.asked: list[tuple[str, dict[str, Any]]] = []
        self.started = self.closed = False
        self.settings: Settings | None = None

    # What the interface asks for
    @property
    def catalogue(self) -> Catalogue:
        return self._catalogue

    @property
    def held(self) -> bool:
        return self._held

    def subscribe(self, listener: Listener) -> Callable[[], None]:
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)

    def start(self) -> None:
        self.started = True

    def close(self) -> None:
        self.closed = True

    def configure(self, settings: Settings) -> None:
        self.settings = settings

    def submit(self, recipe: Recipe, *, count: int = 1, format: str = "") -> list[Job]:
        jobs = [self._add(replace(recipe, seed=recipe.seed + number), format) for number in range(count)]
        self.calls.append(("submit", recipe, count, format))
        for job in jobs:
            self.say(JobChanged(job))
        return jobs

    def draft(self, recipe: Recipe) -> str:
        self.drafts.append(recipe)
        return f"d{len(self.drafts)}"

    def estimate(self, tool: str, values: Mapping[str, Any]) -> str:
        self.asked.append((tool, dict(values)))
        return f"e{len(self.asked)}"

    def jobs(self) -> list[Job]:
        return list(self._jobs.values())

    def cancel(self, job: str) -> None:
        self.calls.append(("cancel", job))
        self.put(job, JobState.CANCELLED)

    def cancel_all(self) -> None:
        for job in [job.id for job in self._jobs.values() if not job.state.ended]:
            self.cancel(job)

    def pause(self, job: str) -> None:
        self.calls.append(("pause", job))
        self.put(job, JobState.PAUSED)

    def resume(self, job: str) -> None:
        self.calls.append(("resume", job))
        self.put(job, JobState.QUEUED)

    def forget(self, job: str) -> None:
        self.calls.append(("forget", job))
        del self._jobs[job]
        self.say(JobForgotten(job))

    def move(self, job: str, before: str | None) -> None:
        self.calls.append(("move", job, before))
        queued = sorted((j for j in self._jobs.values() if j.state is JobState.QUEUED), key=lambda j: j.position)
        order = [j.id for j in queued if j.id != job]
        order.insert(order.index(before) if before else len(order), job)
        for position, id in enumerate(order):
            self._jobs[id] = replace(self._jobs[id], position=float(position))
            self.say(JobChanged(self._jobs[id]))

    def hold(self, on: bool) -> None:
        self._held = on

    def free_memory(self) -> None:
        self.calls.append(("free_memory",))

    def reload_plugins(self) -> None:
        self.calls.append(("reload_plugins",))

    def running(self) -> Sequence[Job]:
        return [job for job in self._jobs.values() if job.state is JobState.RUNNING]

    # What a test tells it
    def say(self, event: EngineEvent) -> None:
        for listener in list(self._listeners):
            listener(event)

    def set_catalogue(self, catalogue: Catalogue) -> None:
        self._catalogue = catalogue
        self.say(CatalogueChanged(catalogue))

    def ready(self, device: DeviceReport | None = None) -> None:
        self.say(WorkerChanged(Lane.INTERACTIVE, WorkerState.READY, device or DeviceReport(name="2 cores")))

    def put(self, job: str, state: JobState, **more: Any) -> Job:
        self._jobs[job] = replace(self._jobs[job], state=state, **more)
        self.say(JobChanged(self._jobs[job]))
        return self._jobs[job]

    def run(self, job: str, step: float = 0, total: float = 0, seconds_left: float = -1.0) -> None:
        if self._jobs[job].state is not JobState.RUNNING:
            self.put(job, JobState.RUNNING)
        self.say(Progressed(job, step, total, "", seconds_left))

    def estimated(self, memory: int = 0, seconds: float | None = None, **notes: str) -> None:
        """The answer to the newest question."""
        self.say(EstimateReady(f"e{len(self.asked)}", memory, seconds, notes))

    def preview(self, job: str, width: int = 2, height: int = 2) -> None:
        self.say(Previewed(job=job, width=width, height=height, pixels=bytes(width * height * 3)))

    def finish(self, job: str, *creations: Creation) -> None:
        for creation in creations:
            self.say(Created(job, creation))
        self.put(job, JobState.DONE, outputs=tuple(creation.id for creation in creations))

    def fail(self, job: str, sentence: str, kind: str = "failed", details: str = "") -> None:
        self.put(job, JobState.FAILED, failure=Failure(kind, sentence, details))

    def _add(self, recipe: Recipe, format: str) -> Job:
        id = f"{self._next:020x}"
        self._next += 1
        lane = (
            Lane(self._catalogue.tools[recipe.tool].lane) if recipe.tool in self._catalogue.tools else Lane.INTERACTIVE
        )
        self._jobs[id] = Job(id=id, recipe=recipe, lane=lane, format=format, position=float(self._next))
        return self._jobs[id]


def property_(kind: str, widget: str = "", **more: Any) -> dict[str, Any]:
    """One property of a schema, as pydantic and `api.param` write it."""
    shown = {"studio": {"widget": widget}} if widget else {}
    return {"type": kind, **shown, **more}


def tool(id: str, title: str, properties: dict[str, Any] | None = None, **more: Any) -> ToolDescriptor:
    properties = properties or {}
    required = [name for name, part in properties.items() if "default" not in part]
    schema = {"type": "object", "properties": properties, "required": required}
    return ToolDescriptor(id=id, title=title, plugin=id.split(".")[0], schema=schema, **more)


STYLE = tool(
    "style.transfer",
    "Style transfer",
    {
        "image": property_("string", "image", title="Picture"),
        "style": property_("string", enum=["monet", "ink", "pencil"], default="monet"),
        "strength": property_(
            "number", "unit", default=0.85, minimum=0, maximum=1, description="How strongly it is painted"
        ),
        "keep_colours": property_("number", "unit", default=0.3, minimum=0, maximum=1),
        "tile": property_(
            "integer", default=512, minimum=64, maximum=2048, studio_more={"advanced": True, "unit": "px"}
        ),
    },
    summary="Drop a photo on a style, or press Generate.",
    icon="mdi6.palette-outline",
)
WORDS = tool(
    "writer.continue",
    "Continue a story",
    {
        "prompt": property_("string", "prompt", default=""),
        "temperature": property_("number", default=0.8, minimum=0, maximum=2),
        "steps": property_("integer", default=120, minimum=1, maximum=1000, studio_more={"unit": "words"}),
    },
    summary="Goes on from the cursor. Every version is kept.",
    output="text",
    icon="mdi6.fountain-pen-tip",
)
MORPH = tool(
    "morph.between",
    "Morph",
    {
        "images": {
            "type": "array",
            "items": property_("string", "image"),
            "minItems": 2,
            "maxItems": 8,
            "title": "Pictures",
        },
        "frames": property_("integer", default=48, minimum=2, maximum=480),
        "model": property_("string", "model", default="vae-spatial", studio_more={"model": "autoencoder"}),
        "loop": property_("boolean", default=True),
        "background": property_("string", "colour", default="#101010"),
    },
    summary="From picture to picture through the space of a model.",
    output="animation",
    icon="mdi6.transition",
)
LIVE = tool(
    "gan.explore",
    "Explore",
    {"truncation": property_("number", "unit", default=0.7)},
    live=True,
    icon="mdi6.dice-multiple",
)
TRAIN = tool(
    "gan.train",
    "Train a model",
    {"folder": property_("string", "folder"), "steps": property_("integer", default=2000, minimum=1, maximum=100000)},
    output="model",
    lane="training",
    pausable=True,
    icon="mdi6.school-outline",
)
TILES = property_("string", "model", default="", studio_more={"model": "style", "tiles": True}, title="Style")
STRENGTH = property_("number", "unit", default=1.0, minimum=0, maximum=1.5)
MORE = {"type": "array", "items": property_("string", "image"), "default": [], "title": "More pictures"}
PAINT = tool(
    "paint.pictures",
    "Paint",
    {"image": property_("string", "image"), "style": TILES, "strength": STRENGTH, "images": MORE},
    live=True,
)
BROKEN = PluginDescriptor(
    name="sepia",
    title="Sepia",
    source="user",
    path="/home/ada/plugins/sepia.py",
    error="Sepia cannot be loaded: it needs the module colourlib, which is not installed.",
    details='Traceback (most recent call last):\n  File "sepia.py", line 3\nModuleNotFoundError: colourlib',
)


def catalogue(*more: PluginDescriptor) -> Catalogue:
    def plugin(name: str, title: str, *tools: ToolDescriptor) -> PluginDescriptor:
        return PluginDescriptor(
            name=name, title=title, version="1.0", source="bundled", path=f"/plugins/{name}", tools=tools
        )

    return Catalogue(
        (
            plugin("style", "Style", STYLE),
            plugin("gan", "GAN", LIVE, TRAIN),
            plugin("morph", "Morph", MORPH),
            plugin("writer", "Write", WORDS),
            *more,
        )
    )


def creation(path: Path, number: int = 1, kind: Kind = Kind.IMAGE, **more: Any) -> Creation:
    return Creation(id=f"{number:064x}", path=str(path), kind=kind, tool="style.transfer", **more)
