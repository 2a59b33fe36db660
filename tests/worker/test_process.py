"""The worker process: its pipes, its end, and tools and plugins that crash or hang it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
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
from tests.worker.worker_client import (
    LIMIT,
    WorkerFactory,
    filter_messages,
    find_plugin,
    format_plugin,
    write_plugin,
)

BODIES = {
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
def bad_tools(home: Home) -> Home:
    """A home with one tool for each way to misbehave."""
    for name, body in BODIES.items():
        write_plugin(home, name, format_plugin(name, f"yield api.Notice('Begun.')\n{textwrap.dedent(body)}"))
    return home


def test_a_worker_sends_hello_first_and_has_a_lower_priority(start_worker: WorkerFactory, bad_tools: Home) -> None:
    worker = start_worker()
    assert worker.wait_for(Hello).pid == worker.process.pid
    ready = worker.wait_for(Ready)
    assert isinstance(worker.received[0], Hello)
    assert find_plugin(ready, "fine").source == "user"
    assert ready.device.kind == ""
    assert "torch" not in ready.device.versions, "discovery imports torch"
    if os.name != "nt":
        assert psutil.Process(worker.process.pid).nice() > psutil.Process().nice()


@pytest.mark.parametrize(("name", "status"), [("exit", 7), ("crash", -signal.SIGSEGV), ("kill", -signal.SIGKILL)])
def test_a_tool_that_ends_the_process_closes_its_pipes_at_once(
    start_worker: WorkerFactory, bad_tools: Home, name: str, status: int
) -> None:
    worker = start_worker()
    worker.start(f"{name}.do")
    with pytest.raises(EOFError):
        worker.wait_for(JobFinished)
    assert worker.process.wait(LIMIT) == status
    assert any(isinstance(message, JobNotice) for message in worker.received)
    if name == "crash":
        assert "Segmentation fault" in worker.log.read_text()
        assert "crash.py" in worker.log.read_text()


def test_heartbeats_continue_while_a_tool_hangs(start_worker: WorkerFactory, bad_tools: Home) -> None:
    worker = start_worker()
    job = worker.start("hang.do")
    worker.wait_for(JobNotice)
    worker.wait_for(Heartbeat)
    worker.wait_for(Heartbeat)  # the tool is in its loop by now, and beyond its last cancel point
    worker.send(Cancel(job))
    worker.wait_for(Heartbeat)
    worker.wait_for(Heartbeat)
    assert not filter_messages(worker.received, JobCancelled)
    worker.process.kill()
    again = start_worker()
    assert isinstance(again.run("fine.do")[-1], JobFinished)


def test_output_and_input_of_a_tool_stay_away_from_the_pipes(start_worker: WorkerFactory, bad_tools: Home) -> None:
    worker = start_worker()
    received = worker.run("garbage.do")
    assert isinstance(received[-1], JobFinished)
    (saved,) = filter_messages(received, ResultSaved)
    assert "''" in Path(saved.path).read_text()
    assert worker.log.read_text(errors="replace").count("garbage") >= 1003
    assert isinstance(worker.run("fine.do")[-1], JobFinished)


def test_a_worker_ends_when_its_input_closes(start_worker: WorkerFactory, bad_tools: Home) -> None:
    worker = start_worker()
    worker.start("hang.do")
    worker.wait_for(JobNotice)
    assert worker.process.stdin is not None
    worker.process.stdin.close()
    assert worker.process.wait(LIMIT) == 0


def test_shutdown_cancels_all_jobs_and_ends_the_worker(start_worker: WorkerFactory, bad_tools: Home) -> None:
    worker = start_worker()
    running, waiting = worker.start("long.do"), worker.start("fine.do")
    worker.wait_for(JobProgress)
    worker.send(Shutdown())
    assert [message for message in worker.receive() if isinstance(message, JobCancelled)] == [
        JobCancelled(running),
        JobCancelled(waiting),
    ]
    assert worker.process.wait(LIMIT) == 0
    assert list((bad_tools.root / "scratch").iterdir()) == []


def test_an_invalid_message_ends_the_worker(start_worker: WorkerFactory, home: Home) -> None:
    worker = start_worker()
    worker.wait_for(Hello)
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
from tests.worker.worker_client import Worker, WorkerFactory
worker = Worker(Home(Path(sys.argv[1])))
worker.start(sys.argv[2])
worker.wait_for(JobNotice)
print(worker.process.pid, flush=True)
threading.Event().wait()
"""


@pytest.mark.parametrize("name", ["long", "hang", "stuck"])
def test_no_worker_outlives_its_studio(bad_tools: Home, name: str) -> None:
    studio = subprocess.Popen([sys.executable, "-c", STUDIO, str(bad_tools.root), f"{name}.do"], stdout=subprocess.PIPE)
    assert studio.stdout is not None
    orphan = psutil.Process(int(studio.stdout.readline()))
    family = [orphan, *orphan.children(recursive=True)]
    studio.kill()
    studio.wait()
    studio.stdout.close()
    _, alive = psutil.wait_procs(family, timeout=10)
    assert [process for process in alive if process.status() != psutil.STATUS_ZOMBIE] == []


def test_scratch_files_of_a_killed_worker_are_removed(start_worker: WorkerFactory, bad_tools: Home) -> None:
    worker = start_worker()
    worker.start("long.do")
    worker.wait_for(JobProgress)
    worker.process.kill()
    worker.process.wait()
    assert len(list((bad_tools.root / "scratch").iterdir())) == 1
    start_worker().wait_until_ready()
    assert list((bad_tools.root / "scratch").iterdir()) == []


def test_reload_finds_changed_added_and_removed_plugins(start_worker: WorkerFactory, home: Home) -> None:
    write_plugin(home, "changing", format_plugin("changing", "yield api.Text('before')"))
    write_plugin(home, "leaving", format_plugin("leaving", "yield"))
    worker = start_worker()
    worker.wait_until_ready()
    worker.run("changing.do")
    write_plugin(home, "changing", format_plugin("changing", "yield api.Text('after!')"))
    write_plugin(home, "coming", format_plugin("coming", "yield"))
    (home.plugins / "leaving.py").unlink()
    worker.send(Reload())
    tools = worker.wait_for(Ready).catalogue.tools
    assert "coming.do" in tools
    assert "leaving.do" not in tools
    (preview,) = filter_messages(worker.run("changing.do", options={"draft": True}), PreviewFrame)
    assert preview.text == "after!"


def test_reload_leaves_out_disabled_plugins(start_worker: WorkerFactory, home: Home) -> None:
    write_plugin(home, "dots", format_plugin("dots", "yield"))
    worker = start_worker()
    worker.wait_until_ready()
    settings.save(home.settings, settings.Settings(disabled_plugins=("dots",)))
    worker.send(Reload())
    assert find_plugin(worker.wait_for(Ready), "dots").notes == ("Disabled.",)
    (failed,) = filter_messages(worker.run("dots.do"), JobFailed)
    assert failed.failure.sentence == "There is no tool dots.do."


def test_free_memory_drops_loaded_models(start_worker: WorkerFactory, bad_tools: Home) -> None:
    worker = start_worker()
    first, second = (
        filter_messages(worker.run("large.do", options={"draft": True}), PreviewFrame)[0].text for _ in range(2)
    )
    assert first == second, "the model was not kept"
    worker.send(FreeMemory())
    assert worker.wait_for(MemoryFreed).bytes > 40_000_000


READER = """
class Reader:
    words = "nothing"

    def save_state(self, folder):
        (folder / "words").write_text(self.words)

    def restore_state(self, folder):
        self.words = (folder / "words").read_text()

"""


def test_the_state_of_an_evicted_model_is_restored_until_the_worker_ends(
    start_worker: WorkerFactory, home: Home
) -> None:
    body = """
        model = ctx.models.load("reader", Reader)
        yield api.Notice(model.words)
        model.words = "much"
    """
    write_plugin(home, "reading", READER + format_plugin("reading", body))
    worker = start_worker()
    worker.wait_until_ready()
    for words in ("nothing", "much"):
        (notice,) = filter_messages(worker.run("reading.do", options={"draft": True}), JobNotice)
        assert notice.text == words
        worker.send(FreeMemory())
        worker.wait_for(MemoryFreed)
    parked = home.root / "scratch" / f"{worker.process.pid}-evicted"
    assert len([*parked.iterdir()]) == 1
    worker.send(Reload())
    worker.wait_for(Ready)
    (notice,) = filter_messages(worker.run("reading.do", options={"draft": True}), JobNotice)
    assert notice.text == "nothing"
    worker.send(FreeMemory())
    worker.wait_for(MemoryFreed)
    worker.send(Shutdown())
    assert worker.process.wait(LIMIT) == 0
    assert not parked.exists()


def test_a_missing_device_is_replaced_with_a_notice(start_worker: WorkerFactory, bad_tools: Home) -> None:
    worker = start_worker("--device", "cuda:77")
    (notice, *_) = [message for message in worker.run("fine.do") if type(message).__name__ == "JobNotice"]
    assert notice.text.startswith("The device cuda:77 cannot be used; ")  # type: ignore[union-attr]


def test_a_shutdown_during_an_import_blames_no_plugin(start_worker: WorkerFactory, home: Home) -> None:
    here = "import pathlib\npathlib.Path(__file__).parents[1].joinpath('here').touch()\n"
    write_plugin(home, "slow", f"{here}import threading\nthreading.Event().wait()\n")
    worker = start_worker()
    worker.wait_for(Hello)
    while not (home.root / "here").exists():
        worker.wait_for(Heartbeat)
    worker.send(Shutdown())
    assert worker.process.wait(LIMIT) == 0
    assert json.loads((home.root / "importing-interactive.json").read_text())["importing"] == ""


@pytest.mark.parametrize(
    ("body", "options", "reason"),
    [
        ("__import__('os')._exit(5)", (), "ends the program (status 5)"),
        ("__import__('os')._exit(0)", (), "ends the program (status 0)"),
        ("import os\nif os.fork(): os._exit(0)", (), "ends the program (status 0)"),
        ("@api.hookimpl\ndef studio_tools(): __import__('os')._exit(0)", (), "ends the program (status 0)"),
        ("while True: pass", ("--import-limit", "8"), "takes more than 8 seconds"),
    ],
)
def test_a_plugin_that_ends_or_hangs_the_worker_at_import_is_left_out_next_time(
    start_worker: WorkerFactory, home: Home, body: str, options: tuple[str, ...], reason: str
) -> None:
    write_plugin(home, "bad", body)
    write_plugin(home, "fine", format_plugin("fine", "yield"))
    first = start_worker(*options)
    with pytest.raises(EOFError):
        first.wait_for(Ready)
    for _ in range(2):
        ready = start_worker(*options).wait_until_ready()
        assert reason in find_plugin(ready, "bad").error
        assert find_plugin(ready, "fine").tools
    write_plugin(home, "bad", "# better now\n" + format_plugin("bad", "yield"))
    assert find_plugin(start_worker().wait_until_ready(), "bad").tools


def test_a_worker_killed_during_an_import_blames_no_plugin(start_worker: WorkerFactory, home: Home) -> None:
    body = "import pathlib\npathlib.Path(__file__).parents[1].joinpath('here').touch()\n"
    write_plugin(home, "slow", f"{body}while True: pass\n")
    worker = start_worker()
    worker.wait_for(Hello)
    while not (home.root / "here").exists():
        worker.wait_for(Heartbeat)
    worker.process.kill()
    write_plugin(home, "slow", body + format_plugin("slow", "yield"))
    assert find_plugin(start_worker().wait_until_ready(), "slow").tools


IMPOLITE = {
    "prints": "print('words' * 1000, flush=True)\nimport os\nos.write(1, b'bytes')\n",
    "exits": "import atexit, os\natexit.register(os._exit, 3)\n",
    "threads": "import threading\nthreading.Thread(target=threading.Event().wait, daemon=False).start()\n",
    "forks": "import os, time\nif os.fork() == 0:\n    time.sleep(60)\n    os._exit(0)\n",
    "copies": "import os\nos.fork()\n",
    "closes": "import os, sys\nsys.stdout.close()\nsys.stderr.close()\nos.close(1)\nos.close(2)\n",
}


def test_a_shutdown_lets_a_job_save_its_checkpoint(start_worker: WorkerFactory, home: Home, tmp_path: Path) -> None:
    body = """
        yield api.Progress(0, 10)
        try:
            while True:
                ctx.check_cancelled()
        except api.Cancelled:
            pass
        api.pause_if_requested(ctx, (ctx.checkpoint_dir / "state").touch)
    """
    write_plugin(home, "saves", format_plugin("saves", body, attributes="pausable = True"))
    worker = start_worker()
    worker.wait_until_ready()
    worker.start("saves.do", options={"checkpoint_dir": str(tmp_path / "job")})
    worker.wait_for(JobProgress)
    worker.send(Shutdown())
    assert worker.process.wait(LIMIT) == 0
    assert (tmp_path / "job" / "state").exists()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.parametrize("name", IMPOLITE)
@pytest.mark.parametrize("suspected", [False, True])
def test_an_import_with_side_effects_is_no_reason_to_leave_a_plugin_out(
    start_worker: WorkerFactory, home: Home, name: str, suspected: bool
) -> None:
    write_plugin(home, name, IMPOLITE[name] + format_plugin(name, "yield api.Text('done')"))
    if suspected:
        state = {"importing": f"user:{name}", "refused": {}}
        (home.root / "importing-interactive.json").write_text(json.dumps(state))
    worker = start_worker()
    plugin = find_plugin(worker.wait_until_ready(), name)
    assert (plugin.error, len(plugin.tools)) == ("", 1)
    received = worker.run(f"{name}.do")
    assert len(filter_messages(received, JobFinished)) == 1
    worker.send(Shutdown())
    assert worker.process.wait(LIMIT) == 0


def test_a_signal_handler_is_refused_in_a_sentence(start_worker: WorkerFactory, home: Home) -> None:
    write_plugin(home, "bad", "import signal\nsignal.signal(signal.SIGTERM, print)\n" + format_plugin("bad", "yield"))
    ready = start_worker().wait_until_ready()
    assert "signal only works in main thread" in find_plugin(ready, "bad").error


def test_sys_exit_at_import_is_shown_as_an_error(start_worker: WorkerFactory, home: Home) -> None:
    write_plugin(home, "bad", "import sys\nsys.exit(0)\n")
    write_plugin(home, "fine", format_plugin("fine", "yield"))
    ready = start_worker().wait_until_ready()
    assert find_plugin(ready, "bad").error == "Bad cannot be loaded: SystemExit: 0"
    assert find_plugin(ready, "fine").tools
