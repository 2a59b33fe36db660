"""The process around the jobs: its pipes, its end, and what a bad plugin can do to it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from studio.core import settings
from studio.core.messages import (
    Cancel,
    FreeMemory,
    Heartbeat,
    Hello,
    JobCancelled,
    JobFailed,
    JobFinished,
    JobNotice,
    JobProgress,
    MemoryFreed,
    PreviewFrame,
    Ready,
    Reload,
    ResultSaved,
    Shutdown,
)
from studio.core.paths import Home
from tests.worker.worker_client import LIMIT, Worker, of, plugin, tool, write_plugin

BAD = {
    "exit": "import os; os._exit(7)",
    "crash": "import ctypes; ctypes.string_at(0)",
    "kill": "import os, signal; os.kill(os.getpid(), signal.SIGKILL)",
    "hang": "while True: pass",
    "stuck": "import ctypes; ctypes.PyDLL(None).sleep(1000)",
    "garbage": """
        import ctypes, os, subprocess, sys
        print("garbage" * 1000)
        sys.__stdout__.write("garbage")
        os.write(1, bytes(range(256)) * 100)
        ctypes.CDLL(None).puts(b"garbage")
        subprocess.run(["echo", "garbage"], check=True)
        yield api.Text(repr(sys.stdin.read()))
        """,
    "fine": "yield api.Text('fine')",
    "long": "while True: yield api.Progress(1, 0)",
    "large": """
        import numpy as np
        model = ctx.models.load("large", lambda: {"weights": np.ones(50_000_000, np.uint8)})
        yield api.Text(str(id(model)))
        """,
}


@pytest.fixture
def bad(home: Home) -> Home:
    """A home with one tool for each kind of trouble."""
    for name, body in BAD.items():
        write_plugin(home, name, tool(name, f"yield api.Notice('Begun.')\n{textwrap.dedent(body)}"))
    return home


def test_it_says_hello_first_and_runs_below_the_window(fresh: Callable[..., Worker], bad: Home) -> None:
    worker = fresh()
    assert worker.hear(Hello).pid == worker.process.pid
    ready = worker.hear(Ready)
    assert isinstance(worker.said[0], Hello)
    assert plugin(ready, "fine").source == "user"
    assert ready.device.kind == ""
    assert "torch" not in ready.device.versions, "discovery imports torch"
    if os.name != "nt":
        assert psutil.Process(worker.process.pid).nice() > psutil.Process().nice()


@pytest.mark.parametrize(("name", "status"), [("exit", 7), ("crash", -signal.SIGSEGV), ("kill", -signal.SIGKILL)])
def test_a_tool_that_ends_the_process_is_gone_at_once(
    fresh: Callable[..., Worker], bad: Home, name: str, status: int
) -> None:
    worker = fresh()
    worker.start(f"{name}.do")
    with pytest.raises(EOFError):
        worker.hear(JobFinished)
    assert worker.process.wait(LIMIT) == status
    assert any(isinstance(message, JobNotice) for message in worker.said)
    if name == "crash":
        assert "Segmentation fault" in worker.log.read_text()
        assert "crash.py" in worker.log.read_text()


def test_a_tool_that_hangs_leaves_the_messages_alive(fresh: Callable[..., Worker], bad: Home) -> None:
    worker = fresh()
    job = worker.start("hang.do")
    worker.hear(JobNotice)
    worker.hear(Heartbeat)
    worker.hear(Heartbeat)  # the tool is in its loop by now, and beyond its last cancel point
    worker.tell(Cancel(job))
    worker.hear(Heartbeat)
    worker.hear(Heartbeat)
    assert not of(worker.said, JobCancelled)
    worker.process.kill()
    again = fresh()
    assert isinstance(again.run("fine.do")[-1], JobFinished)


def test_what_a_tool_prints_and_reads_stays_away_from_the_pipes(fresh: Callable[..., Worker], bad: Home) -> None:
    worker = fresh()
    heard = worker.run("garbage.do")
    assert isinstance(heard[-1], JobFinished)
    (saved,) = of(heard, ResultSaved)
    assert "''" in Path(saved.path).read_text()
    assert worker.log.read_text(errors="replace").count("garbage") >= 1003
    assert isinstance(worker.run("fine.do")[-1], JobFinished)


def test_it_ends_with_its_input(fresh: Callable[..., Worker], bad: Home) -> None:
    worker = fresh()
    worker.start("hang.do")
    worker.hear(JobNotice)
    assert worker.process.stdin is not None
    worker.process.stdin.close()
    assert worker.process.wait(LIMIT) == 0


def test_stop_cancels_what_runs_and_ends(fresh: Callable[..., Worker], bad: Home) -> None:
    worker = fresh()
    running, waiting = worker.start("long.do"), worker.start("fine.do")
    worker.hear(JobProgress)
    worker.tell(Shutdown())
    assert [message for message in worker.listen() if isinstance(message, JobCancelled)] == [
        JobCancelled(running),
        JobCancelled(waiting),
    ]
    assert worker.process.wait(LIMIT) == 0
    assert list((bad.root / "scratch").iterdir()) == []


def test_nonsense_on_its_input_ends_it(fresh: Callable[..., Worker], home: Home) -> None:
    worker = fresh()
    worker.hear(Hello)
    assert worker.process.stdin is not None
    worker.process.stdin.write(b"\x00\x00\x00\x04junk")
    worker.process.stdin.flush()
    assert worker.process.wait(LIMIT) == 0
    assert "cannot be read" in worker.log.read_text()


STUDIO = """
import sys, threading
from pathlib import Path
from studio.core.messages import JobNotice
from studio.core.paths import Home
from tests.worker.worker_client import Worker
worker = Worker(Home(Path(sys.argv[1])))
worker.start(sys.argv[2])
worker.hear(JobNotice)
print(worker.process.pid, flush=True)
threading.Event().wait()
"""


@pytest.mark.parametrize("name", ["long", "hang", "stuck"])
def test_no_worker_outlives_its_studio(bad: Home, name: str) -> None:
    studio = subprocess.Popen([sys.executable, "-c", STUDIO, str(bad.root), f"{name}.do"], stdout=subprocess.PIPE)
    assert studio.stdout is not None
    orphan = psutil.Process(int(studio.stdout.readline()))
    family = [orphan, *orphan.children(recursive=True)]
    studio.kill()
    studio.wait()
    studio.stdout.close()
    _, alive = psutil.wait_procs(family, timeout=10)
    assert [process for process in alive if process.status() != psutil.STATUS_ZOMBIE] == []


def test_what_a_killed_worker_left_is_removed(fresh: Callable[..., Worker], bad: Home) -> None:
    worker = fresh()
    worker.start("long.do")
    worker.hear(JobProgress)
    worker.process.kill()
    worker.process.wait()
    assert len(list((bad.root / "scratch").iterdir())) == 1
    fresh().ready()
    assert list((bad.root / "scratch").iterdir()) == []


def test_reload_sees_what_changed(fresh: Callable[..., Worker], home: Home) -> None:
    write_plugin(home, "changing", tool("changing", "yield api.Text('before')"))
    write_plugin(home, "leaving", tool("leaving", "yield"))
    worker = fresh()
    worker.ready()
    worker.run("changing.do")
    write_plugin(home, "changing", tool("changing", "yield api.Text('after!')"))
    write_plugin(home, "coming", tool("coming", "yield"))
    (home.plugins / "leaving.py").unlink()
    worker.tell(Reload())
    tools = worker.hear(Ready).catalogue.tools
    assert "coming.do" in tools
    assert "leaving.do" not in tools
    (preview,) = of(worker.run("changing.do", more={"draft": True}), PreviewFrame)
    assert preview.text == "after!"


def test_reload_honours_the_switches(fresh: Callable[..., Worker], home: Home) -> None:
    write_plugin(home, "dots", tool("dots", "yield"))
    worker = fresh()
    worker.ready()
    settings.save(home.settings, settings.Settings(disabled_plugins=("dots",)))
    worker.tell(Reload())
    assert plugin(worker.hear(Ready), "dots").notes == ("Disabled.",)
    (failed,) = of(worker.run("dots.do"), JobFailed)
    assert failed.failure.sentence == "There is no tool dots.do."


def test_memory_is_given_back(fresh: Callable[..., Worker], bad: Home) -> None:
    worker = fresh()
    first, second = (of(worker.run("large.do", more={"draft": True}), PreviewFrame)[0].text for _ in range(2))
    assert first == second, "the model was not kept"
    worker.tell(FreeMemory())
    assert worker.hear(MemoryFreed).bytes > 40_000_000


READER = """
class Reader:
    words = "nothing"

    def save_state(self, folder):
        (folder / "words").write_text(self.words)

    def restore_state(self, folder):
        self.words = (folder / "words").read_text()

"""


def test_what_a_model_parks_is_found_again_until_the_worker_ends(fresh: Callable[..., Worker], home: Home) -> None:
    body = """
        model = ctx.models.load("reader", Reader)
        yield api.Notice(model.words)
        model.words = "much"
    """
    write_plugin(home, "reading", READER + tool("reading", body))
    worker = fresh()
    worker.ready()
    for words in ("nothing", "much"):
        (notice,) = of(worker.run("reading.do", more={"draft": True}), JobNotice)
        assert notice.text == words
        worker.tell(FreeMemory())
        worker.hear(MemoryFreed)
    parked = home.root / "scratch" / f"{worker.process.pid}-evicted"
    assert len([*parked.iterdir()]) == 1
    worker.tell(Reload())
    worker.hear(Ready)
    (notice,) = of(worker.run("reading.do", more={"draft": True}), JobNotice)
    assert notice.text == "nothing"
    worker.tell(FreeMemory())
    worker.hear(MemoryFreed)
    worker.tell(Shutdown())
    assert worker.process.wait(LIMIT) == 0
    assert not parked.exists()


def test_a_device_that_is_not_there_is_replaced_and_said(fresh: Callable[..., Worker], bad: Home) -> None:
    worker = fresh("--device", "cuda:77")
    (notice, *_) = [message for message in worker.run("fine.do") if type(message).__name__ == "JobNotice"]
    assert notice.text.startswith("The device cuda:77 cannot be used; ")  # type: ignore[union-attr]


def test_told_to_end_while_a_plugin_is_imported_it_ends_and_suspects_nobody(
    fresh: Callable[..., Worker], home: Home
) -> None:
    here = "import pathlib\npathlib.Path(__file__).parents[1].joinpath('here').touch()\n"
    write_plugin(home, "slow", f"{here}import threading\nthreading.Event().wait()\n")
    worker = fresh()
    worker.hear(Hello)
    while not (home.root / "here").exists():
        worker.hear(Heartbeat)
    worker.tell(Shutdown())
    assert worker.process.wait(LIMIT) == 0
    assert json.loads((home.root / "importing-interactive.json").read_text())["importing"] == ""


@pytest.mark.parametrize(
    ("body", "said"),
    [("__import__('os')._exit(5)", "ends the program (status 5)"), ("while True: pass", "takes more than 2 seconds")],
)
def test_a_plugin_that_ends_or_hangs_the_worker_at_import_is_left_out_next_time(
    fresh: Callable[..., Worker], home: Home, body: str, said: str
) -> None:
    write_plugin(home, "bad", body)
    write_plugin(home, "fine", tool("fine", "yield"))
    first = fresh("--import-limit", "2")
    with pytest.raises(EOFError):
        first.hear(Ready)
    for _ in range(2):
        ready = fresh("--import-limit", "2").ready()
        assert said in plugin(ready, "bad").error
        assert plugin(ready, "fine").tools
    write_plugin(home, "bad", "# better now\n" + tool("bad", "yield"))
    assert plugin(fresh("--import-limit", "2").ready(), "bad").tools


def test_a_studio_that_was_killed_during_an_import_puts_no_blame_on_the_plugin(
    fresh: Callable[..., Worker], home: Home
) -> None:
    body = "import pathlib\npathlib.Path(__file__).parents[1].joinpath('here').touch()\n"
    write_plugin(home, "slow", f"{body}while True: pass\n")
    worker = fresh()
    worker.hear(Hello)
    while not (home.root / "here").exists():
        worker.hear(Heartbeat)
    worker.process.kill()
    write_plugin(home, "slow", body + tool("slow", "yield"))
    assert plugin(fresh().ready(), "slow").tools
