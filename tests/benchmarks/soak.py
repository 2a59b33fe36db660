"""A long day in minutes: jobs of all tools, workers that are killed, and operations on the library beside them.

What was acknowledged must still be there at the end: each job has ended or waits, each creation's file has the bytes
that its id names. Memory and descriptors of this process, which is the studio's side, are sampled all the while.
"""

from __future__ import annotations

import hashlib
import os
import random
import secrets
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any

import psutil

from studio.core.descriptor import ToolDescriptor, Widget
from studio.core.errors import BadInput, StudioError
from studio.core.job import Job, JobState
from studio.core.params_schema import read_fields
from studio.engine.interface import Created, EngineEvent, JobChanged
from studio.engine.local_engine import LocalEngine
from studio.engine.recipe_builder import build_recipe
from studio.library.library import Library
from studio.library.models import offers
from studio.library.storage import writer
from tests.benchmarks.death import start_worker
from tests.benchmarks.figure import Figure
from tests.library import factories

LONGEST_JOB = 20.0
"""Seconds after which a job is cancelled, so that every tool gets its turn."""
KILL_CHANCE = 0.25
SAMPLE_SECONDS = 5.0
_SMALL = {"width": 128, "height": 128, "steps": 2, "max_tokens": 16, "frames": 4, "epochs": 1, "size": 64}
"""Values that make a job short, where a tool has such a parameter."""


def run(minutes: float = 5) -> Iterator[Figure]:
    seed = secrets.token_hex(4)
    sys.stderr.write(f"The seed is {seed}.\n")
    with start_worker() as (engine, events, library):
        soak = Soak(engine, events, library, random.Random(seed))
        soak.run(minutes * 60)
        lost = soak.find_losses()
    for line in (*lost, *soak.describe_failures()):
        sys.stderr.write(f"{line}\n")
    yield Figure(title="jobs that ended", unit="", samples=(sum(soak.states.values()),))
    for state, count in soak.states.items():
        yield Figure(title=f"jobs {state.value}", unit="", samples=(count,))
    yield Figure(title="workers killed", unit="", samples=(soak.kills,))
    yield Figure(title="operations on the library", unit="", samples=(soak.operations,))
    yield Figure(title="losses", unit="", samples=(len(lost),), bound=0)
    yield Figure(title="open descriptors", unit="", samples=tuple(sample[1] for sample in soak.samples))
    yield Figure(title="memory of the studio's process", unit="MB", samples=tuple(s[2] for s in soak.samples))
    yield Figure(title="memory slope of the second half", unit="MB/h", samples=(soak.memory_slope(),))


class Soak:
    def __init__(
        self, engine: LocalEngine, events: SimpleQueue[EngineEvent], library: Library, chance: random.Random
    ) -> None:
        self.engine, self.events, self.library, self.chance = engine, events, library, chance
        self.states: Counter[JobState] = Counter()
        self.failures: Counter[tuple[str, str]] = Counter()
        self.samples: list[tuple[float, float, float]] = []
        """Seconds, descriptors and megabytes."""
        self.kills = self.operations = 0
        self._submitted: dict[str, Job] = {}
        self._created: set[str] = set()
        self._deleted: set[str] = set()
        self._began = time.monotonic()
        self._pictures = [
            writer.save_image(
                library.home, factories.make_picture(number, (64, 64)), factories.make_recipe(seed=number)
            )
            for number in range(4)
        ]
        library.sweep()

    def run(self, seconds: float) -> None:
        tools = sorted(self.engine.catalogue.tools.values(), key=lambda tool: tool.id)
        turn = 0
        while time.monotonic() - self._began < seconds:
            tool = tools[turn % len(tools)]
            turn += 1
            try:
                recipe = build_recipe(tool, self._values(tool), self.chance.randrange(2**31), self.library)
                (job,) = self.engine.submit(recipe)
            except StudioError as error:
                self.failures[tool.id, str(error)] += 1
                continue
            self._submitted[job.id] = job
            self._watch(job)
        self.engine.cancel_all()
        self._drain(2.0)

    def find_losses(self) -> list[str]:
        known = {job.id: job for job in self.engine.jobs()}
        lost = [f"job {id} is gone" for id in self._submitted if id not in known and id not in self._ended]
        for id in self._created - self._deleted:
            found = self.library.get(id)
            if found is None or found.missing:
                lost.append(f"creation {id[:10]} is gone")
            elif Path(found.path).is_file() and hashlib.sha256(Path(found.path).read_bytes()).hexdigest() != id:
                lost.append(f"{found.path} has other bytes")
        return lost

    def describe_failures(self) -> list[str]:
        return [f"{count} × {tool}: {sentence}" for (tool, sentence), count in self.failures.most_common()]

    def memory_slope(self) -> float:
        """Return megabytes an hour, by least squares."""
        half = self.samples[len(self.samples) // 2 :]
        if len(half) < 3:
            return 0.0
        middle = sum(sample[0] for sample in half) / len(half)
        spread = sum((sample[0] - middle) ** 2 for sample in half)
        return 3600 * sum((sample[0] - middle) * sample[2] for sample in half) / spread

    @property
    def _ended(self) -> set[str]:
        return {id for id, job in self._submitted.items() if job.state.ended}

    def _watch(self, job: Job) -> None:
        """Work in the library until a job has ended; now and then a worker dies under it."""
        began, killed = time.monotonic(), self.chance.random() >= KILL_CHANCE
        cancelled = False
        while not self._submitted[job.id].state.ended:
            self._drain(0.2)
            self._use_library()
            age = time.monotonic() - began
            if not killed and age > 0.5:
                killed = True
                self._kill_worker()
            if not cancelled and age > LONGEST_JOB:
                cancelled = True
                self.engine.cancel(job.id)
            if age > 10 * LONGEST_JOB:
                self.failures[job.recipe.tool, "did not end"] += 1
                return

    def _drain(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            try:
                event = self.events.get(timeout=left)
            except Empty:
                break
            match event:
                case Created(creation=creation):
                    self._created.add(creation.id)
                case JobChanged(job=job) if job.id in self._submitted:
                    if job.state.ended and not self._submitted[job.id].state.ended:
                        self.states[job.state] += 1
                        if job.failure:
                            self.failures[job.recipe.tool, job.failure.sentence] += 1
                    self._submitted[job.id] = job
        now = time.monotonic() - self._began
        if not self.samples or now - self.samples[-1][0] > SAMPLE_SECONDS:
            process = psutil.Process()
            count = process.num_handles() if os.name == "nt" else process.num_fds()
            self.samples.append((now, count, process.memory_info().rss / 1e6))

    def _kill_worker(self) -> None:
        workers = psutil.Process().children()
        if workers:
            self.chance.choice(workers).kill()
            self.kills += 1
        self.engine.start()  # or a worker that died so often would not be started again

    def _use_library(self) -> None:
        ids = self.library.find_ids()
        trashed = self.library.find_ids(trashed=True)
        if not ids:
            return
        id = self.chance.choice(ids)
        self.operations += 1
        try:
            match self.chance.randrange(9):
                case 0:
                    self.library.star(id, self.chance.random() < 0.5)
                case 1:
                    self.library.rate(id, self.chance.randrange(6))
                case 2:
                    self.library.tag(id, ["soak", str(self.chance.randrange(9))])
                case 3 if len(ids) > 20:
                    self.library.trash([id])
                case 4 if trashed:
                    self.library.restore([self.chance.choice(trashed)])
                case 5 if len(trashed) > 10:
                    self._deleted |= set(self.library.delete([self.chance.choice(trashed)]))
                case 6:
                    self.library.sweep()
                case 7:
                    self.library.load_thumbnail(id)
                case _:
                    self.library.search("soak OR fox", limit=50)
        except BadInput as error:
            self.failures["library", str(error)] += 1

    def _values(self, tool: ToolDescriptor) -> dict[str, Any]:
        """Return values for what a tool needs, with a small size where it has one."""
        values: dict[str, Any] = {}
        for field in read_fields(tool.schema):
            if field.widget in (Widget.IMAGE, Widget.MASK) and (field.required or field.widget is Widget.MASK):
                pictures = [str(picture) for picture in self._pictures if picture.exists()]
                values[field.name] = pictures[:2] if field.many else self.chance.choice(pictures)
            elif field.widget is Widget.FOLDER and field.required:
                values[field.name] = str(self._pictures[0].parent)
            elif field.widget in (Widget.PROMPT, Widget.PAGE) or (field.required and field.widget is Widget.TEXT):
                values[field.name] = "a red fox in ___"
            elif field.widget is Widget.MODEL and not field.many and not field.default:
                starters = offers.list_offers(self.library.home, None, field.model)
                values |= {field.name: self.chance.choice(starters).name} if starters else {}
            elif field.widget in (Widget.WHOLE, Widget.NUMBER) and field.name in _SMALL and not field.choices:
                values[field.name] = max(_SMALL[field.name], int(field.minimum or 0))
        return values
