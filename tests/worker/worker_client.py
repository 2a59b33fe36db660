"""A studio in miniature: starts a real worker and exchanges real messages with it."""

from __future__ import annotations

import os
import queue
import subprocess
import sys
import textwrap
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO, TypeVar, cast

from studio.core import messages
from studio.core.descriptor import PluginDescriptor
from studio.core.messages import (
    FromWorker,
    Heartbeat,
    Hello,
    JobCancelled,
    JobFailed,
    JobFinished,
    JobPaused,
    Ready,
    RunJob,
    ToWorker,
)
from studio.core.paths import Home
from studio.core.recipe import PluginRef, Recipe

M = TypeVar("M")
LIMIT = 120.0
"""Seconds after which a test gives up on a worker that says nothing; no test waits that long."""


class Worker:
    """One worker process. Use it in a `with` block."""

    def __init__(self, home: Home, *options: str, env: dict[str, str] | None = None, lane: str = "interactive") -> None:
        home.create_folders()
        self.home = home
        self.said: list[FromWorker] = []
        self.log = home.logs / f"worker-{lane}.log"
        self._jobs = 0
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "studio.worker", "--home", str(home.root), "--lane", lane, *options],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                env={**os.environ, "OMP_NUM_THREADS": "1", **(env or {})},
                cwd=Path(__file__).parents[2],
            )
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self._to = cast(BinaryIO, self.process.stdin)
        self._from = cast(BinaryIO, self.process.stdout)
        self._queue: queue.SimpleQueue[FromWorker | None] = queue.SimpleQueue()
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()
        self._reader.join()
        self._from.close()
        with suppress(BrokenPipeError):
            self._to.close()

    def tell(self, message: ToWorker) -> None:
        messages.write(self._to, message)

    def listen(self) -> Iterator[FromWorker]:
        """What the worker says, until it ends."""
        while (message := self._queue.get(timeout=LIMIT)) is not None:
            self.said.append(message)
            yield message

    def hear(self, kind: type[M]) -> M:
        """The next message of that type."""
        for message in self.listen():
            if isinstance(message, kind):
                return message
        raise EOFError(f"the worker ended (status {self.process.wait()}):\n{self.log.read_text()}")

    def ready(self) -> Ready:
        self.hear(Hello)
        return self.hear(Ready)

    def start(self, tool: str, *, seed: int = 1, more: dict[str, Any] | None = None, **params: Any) -> str:
        """Sends Run, and returns the job's id."""
        self._jobs += 1
        job = f"job{self._jobs}"
        recipe = Recipe(tool=tool, plugin=PluginRef(tool.partition(".")[0]), params=params, seed=seed)
        self.tell(RunJob(job=job, recipe=recipe, **(more or {})))
        return job

    def end(self, job: str) -> list[FromWorker]:
        """All that is said of a job, until it ends; without heartbeats."""
        heard: list[FromWorker] = []
        for message in self.listen():
            if isinstance(message, Heartbeat):
                continue
            heard.append(message)
            if isinstance(message, JobFinished | JobFailed | JobCancelled | JobPaused) and message.job == job:
                return heard
        raise EOFError(f"the worker ended (status {self.process.wait()}):\n{self.log.read_text()}")

    def run(self, tool: str, **more: Any) -> list[FromWorker]:
        return self.end(self.start(tool, **more))

    def _read(self) -> None:
        while (message := messages.read_from_worker(self._from)) is not None:
            self._queue.put(message)
        self._queue.put(None)


def of(heard: list[FromWorker], kind: type[M]) -> list[M]:
    return [message for message in heard if isinstance(message, kind)]


def plugin(ready: Ready, name: str) -> PluginDescriptor:
    return {plugin.name: plugin for plugin in ready.catalogue.plugins}[name]


def write_plugin(home: Home, name: str, source: str) -> Path:
    """Drops a single file into the user's folder. Each plugin begins with the import of the api."""
    path = home.plugins / (name if name.endswith(".py") else f"{name}.py")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("from studio import api\n" + textwrap.dedent(source), encoding="utf-8")
    return path


def tool(name: str, body: str, *, params: str = "pass", attributes: str = "pass") -> str:
    """The source of a plugin with one tool `NAME.do`, whose `run` has this body."""
    return f"""
class Do(api.Tool):
    '''Does one thing.'''

    id = "{name}.do"
    title = "Do {name}"
{textwrap.indent(textwrap.dedent(attributes), "    ")}

    class Params(api.Params):
{textwrap.indent(textwrap.dedent(params), "        ")}

    def run(self, params, ctx):
{textwrap.indent(textwrap.dedent(body), "        ")}


@api.hookimpl
def studio_tools():
    return [Do]
"""
