"""A studio without a window that a test kills. It submits jobs without end and writes each acknowledgement into a
journal, after it received it. ``killed_parent.py HOME JOURNAL fake|real [drain]``"""

from __future__ import annotations

import os
import random
import sys
import threading
from pathlib import Path

from studio.core.paths import Home
from studio.core.recipe import PluginRef, Recipe
from studio.core.settings import Settings
from studio.engine.interface import Created, EngineEvent, JobChanged, WorkerChanged, WorkerState
from studio.engine.local_engine import LocalEngine
from studio.library.library import Library

TOOL = "killed.paint"
FAKE_WORKER = (sys.executable, str(Path(__file__).with_name("fake_worker.py")))


class Parent:
    def __init__(self, home: Home, journal: Path, worker: str) -> None:
        self.journal = os.open(journal, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        library = Library(home)
        library.open()
        settings = Settings(device="cpu")
        if worker == "fake":
            self.engine = LocalEngine(home, library, settings, worker=FAKE_WORKER)
        else:
            self.engine = LocalEngine(home, library, settings)
        self.tool = "fake.paint" if worker == "fake" else TOOL
        self.changed = threading.Event()
        self.engine.subscribe(self.record)

    def write(self, *words: str) -> None:
        os.write(self.journal, (" ".join(words) + "\n").encode())

    def record(self, event: EngineEvent) -> None:
        match event:
            case Created(job, creation):
                self.write("created", job, creation.id, creation.path)
            case JobChanged(job) if job.state.ended:
                self.write("ended", job.id, job.state.name)
                self.changed.set()
            case WorkerChanged(state=WorkerState.READY):
                self.write("ready", str(os.getpid()))

    def run(self, drain: bool) -> None:
        for job in self.engine.jobs():
            if job.state.ended:  # the kill may have come between the end of the job and its line in the journal
                self.write("ended", job.id, job.state.name)
        self.engine.start()
        self.write("up", str(os.getpid()))
        while True:
            self.changed.clear()
            waiting = [job for job in self.engine.jobs() if not job.state.ended]
            if drain and not waiting:
                self.engine.close()
                self.write("drained")
                return
            if not drain and len(waiting) < 4:
                self.submit()
            else:
                self.changed.wait()

    def submit(self) -> None:
        params = {"steps": ["progress 1", "save", "progress 2"]} if self.tool == "fake.paint" else {}
        recipe = Recipe(tool=self.tool, plugin=PluginRef("x"), params=params, seed=random.randrange(2**31))
        jobs = self.engine.submit(recipe, count=3)
        for job in jobs:
            self.write("submitted", job.id)
        if random.random() < 0.3:
            self.engine.cancel(jobs[-1].id)
        if random.random() < 0.3:
            self.engine.move(jobs[1].id, jobs[0].id)


if __name__ == "__main__":
    home, journal, worker, *rest = sys.argv[1:]
    Parent(Home(Path(home)), Path(journal), worker).run(bool(rest))
