"""A client that starts a real worker and exchanges real messages with it."""

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
from typing import Any, BinaryIO, Protocol, TypeVar, cast

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
"""Seconds without a message after which a test fails."""


class Worker:
    """One worker process. Use it in a `with` block."""

    def __init__(self, home: Home, *options: str, env: dict[str, str] | None = None, lane: str = "interactive") -> None:
        home.create_folders()
        self.home = home
        self.received: list[FromWorker] = []
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
        self._input = cast(BinaryIO, self.process.stdin)
        self._output = cast(BinaryIO, self.process.stdout)
        self._queue: queue.SimpleQueue[FromWorker | None] = queue.SimpleQueue()
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()
        self._reader.join()
        self._output.close()
        with suppress(BrokenPipeError):
            self._input.close()

    def send(self, message: ToWorker) -> None:
        messages.write(self._input, message)

    def receive(self) -> Iterator[FromWorker]:
        """Yield the worker's messages until it ends."""
        while (message := self._queue.get(timeout=LIMIT)) is not None:
            self.received.append(message)
            yield message

    def wait_for(self, kind: type[M]) -> M:
        """Return the next message of a type. Raises EOFError when the worker ends before."""
        for message in self.receive():
            if isinstance(message, kind):
                return message
        raise EOFError(f"the worker ended (status {self.process.wait()}):\n{self.log.read_text()}")

    def wait_until_ready(self) -> Ready:
        self.wait_for(Hello)
        return self.wait_for(Ready)

    def start(self, tool: str, *, seed: int = 1, options: dict[str, Any] | None = None, **params: Any) -> str:
        """Send `RunJob` with the tool's params and other fields of the message, and return the job's id."""
        self._jobs += 1
        job = f"job{self._jobs}"
        recipe = Recipe(tool=tool, plugin=PluginRef(tool.partition(".")[0]), params=params, seed=seed)
        self.send(RunJob(job=job, recipe=recipe, **(options or {})))
        return job

    def wait_for_end(self, job: str) -> list[FromWorker]:
        """Return the messages until a job has ended, without heartbeats."""
        received: list[FromWorker] = []
        for message in self.receive():
            if isinstance(message, Heartbeat):
                continue
            received.append(message)
            if isinstance(message, JobFinished | JobFailed | JobCancelled | JobPaused) and message.job == job:
                return received
        raise EOFError(f"the worker ended (status {self.process.wait()}):\n{self.log.read_text()}")

    def run(self, tool: str, **params: Any) -> list[FromWorker]:
        return self.wait_for_end(self.start(tool, **params))

    def _read(self) -> None:
        while (message := messages.read_from_worker(self._output)) is not None:
            self._queue.put(message)
        self._queue.put(None)


class WorkerFactory(Protocol):
    def __call__(self, *options: str, env: dict[str, str] | None = None) -> Worker:
        """Start a worker with these options and environment variables."""


def filter_messages(received: list[FromWorker], kind: type[M]) -> list[M]:
    return [message for message in received if isinstance(message, kind)]


def find_plugin(ready: Ready, name: str) -> PluginDescriptor:
    return {plugin.name: plugin for plugin in ready.catalogue.plugins}[name]


def write_plugin(home: Home, name: str, source: str) -> Path:
    """Write a plugin of one file into the user's folder, after the import of the api."""
    path = home.plugins / (name if name.endswith(".py") else f"{name}.py")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("from studio import api\n" + textwrap.dedent(source), encoding="utf-8")
    return path


def format_plugin(name: str, body: str, *, params: str = "pass", attributes: str = "pass") -> str:
    """Return the source of a plugin with one tool `NAME.do`, whose `run` has this body."""
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
