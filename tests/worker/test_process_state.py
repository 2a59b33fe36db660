"""State of the whole process that plugins change: it is set back, and the one that did it is named."""

from __future__ import annotations

import gc
import locale
import logging
import os
import signal
import socket
import sys
import threading
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import PIL.Image
import PIL.ImageFile
import pytest
import torch

from studio.core.image_limits import PILLOW_MAX_PIXELS
from studio.core.messages import JobFinished, JobNotice, ResultSaved
from studio.core.paths import Home
from studio.worker import process_state
from tests.worker.worker_client import (
    Worker,
    WorkerFactory,
    filter_messages,
    find_plugin,
    format_plugin,
    write_plugin,
)

CHANGES: dict[str, Callable[[], Any]] = {
    "the working folder": lambda: os.chdir("/"),
    "environment variables (STUDIO_TEST_VARIABLE)": lambda: os.environ.update(STUDIO_TEST_VARIABLE="1"),
    "the permissions of new files (umask)": lambda: os.umask(0o137),
    "the locale": lambda: locale.setlocale(locale.LC_ALL, "C" if _is_utf_8() else "C.UTF-8"),
    "which warnings are errors": lambda: warnings.simplefilter("error", ImportWarning),
    "the log": lambda: logging.disable(logging.CRITICAL),
    "the hooks for exceptions": lambda: setattr(threading, "excepthook", print),
    "the recursion limit": lambda: sys.setrecursionlimit(sys.getrecursionlimit() + 9000),
    "the garbage collection": gc.disable,
    "the timeout of sockets": lambda: socket.setdefaulttimeout(3.0),
    "an alarm signal": lambda: signal.setitimer(signal.ITIMER_REAL, 600),
    "Pillow's limit of pixels": lambda: setattr(PIL.Image, "MAX_IMAGE_PIXELS", 10),
    "whether Pillow opens truncated images": lambda: setattr(PIL.ImageFile, "LOAD_TRUNCATED_IMAGES", True),
    "numpy's handling of errors (over)": lambda: sys.modules["numpy"].seterr(over="raise"),
    "torch's default dtype": lambda: torch.set_default_dtype(torch.float64),
    "torch's default device": lambda: torch.set_default_device("meta"),
    "whether torch records gradients": lambda: torch.set_grad_enabled(False),
    "torch's number of threads": lambda: torch.set_num_threads(torch.get_num_threads() + 1),
    "torch's deterministic mode": lambda: torch.use_deterministic_algorithms(
        not torch.are_deterministic_algorithms_enabled()
    ),
    "the settings of cuDNN": lambda: setattr(torch.backends.cudnn, "benchmark", not torch.backends.cudnn.benchmark),
    "torch's kinds of attention": lambda: torch.backends.cuda.enable_flash_sdp(False),
    "torch's precision of products": lambda: torch.set_float32_matmul_precision("medium"),
    "torch's detection of anomalies": lambda: torch.autograd.set_detect_anomaly(True, check_nan=False),
}


def _is_utf_8() -> bool:
    return "UTF-8" in locale.setlocale(locale.LC_ALL)


@pytest.mark.parametrize("name", CHANGES)
def test_a_change_is_named_and_set_back(name: str) -> None:
    before = process_state.read()
    CHANGES[name]()
    assert process_state.restore(before) == [name]
    assert process_state.read() == before
    assert process_state.restore(before) == []


def test_what_libraries_do_when_they_are_imported_is_no_change(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(PIL.Image, "MAX_IMAGE_PIXELS", 2**30 // 12)
    before = process_state.read()
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", "/tmp/x")
    monkeypatch.setattr(PIL.Image, "MAX_IMAGE_PIXELS", PILLOW_MAX_PIXELS)
    sys.path.append("/somewhere")
    warnings.filterwarnings("ignore", "a library's own warning")
    assert process_state.restore(before) == []


def test_a_new_folder_of_sys_path_stays_at_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    own = list(sys.path)
    monkeypatch.setattr(sys, "path", own)
    before = process_state.read()
    kept = list(own)
    sys.path[:] = ["/mine", *kept[1:]]
    assert process_state.restore(before) == ["the order of sys.path"]
    assert sys.path == [*kept, "/mine"]


def test_a_library_that_a_plugin_imports_first_is_compared_with_its_initial_state(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    before = {name: value for name, value in process_state.read().items() if "torch" not in name}
    torch.set_default_dtype(torch.float16)
    assert "torch's default dtype" in process_state.restore(before)
    assert torch.get_default_dtype() == torch.float32


def test_a_deleted_working_folder_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    before = process_state.read()
    gone = tmp_path / "gone"
    gone.mkdir()
    os.chdir(gone)
    gone.rmdir()
    assert process_state.restore(before) == ["the working folder"]
    assert Path.cwd() == tmp_path


BAD = {
    "dtype": "import torch; torch.set_default_dtype(torch.float64); torch.set_grad_enabled(False)",
    "folder": "import os; os.chdir('/'); os.environ['HF_HUB_OFFLINE'] = '1'",
    "streams": "import os, sys; sys.stdout.close(); sys.stderr.close(); sys.stdin = None; os.close(1); os.close(2)",
    "forked": "import os; os.fork()",
    "raising": "import os; os.chdir('/'); raise RuntimeError('no luck')",
}
LOOK = """
    import os, sys, torch
    print("a line for the log", flush=True)
    os.write(1, b"another line")
    sys.stderr.write("a third line\\n")
    streams = [stream.closed for stream in (sys.stdin, sys.stdout, sys.stderr)]
    state = [torch.get_default_dtype(), torch.is_grad_enabled(), os.getcwd(), os.environ.get("HF_HUB_OFFLINE"), streams]
    yield api.Text(repr(state))
"""


def write_plugins(home: Home) -> None:
    for name, body in BAD.items():
        write_plugin(home, name, format_plugin(name, f"{body}\nyield api.Text('done')"))
    write_plugin(home, "look", format_plugin("look", LOOK))


@pytest.fixture(scope="module")
def clean(worker: Worker) -> str:
    return _look(worker)


def _look(worker: Worker) -> str:
    (saved,) = filter_messages(worker.run("look.do"), ResultSaved)
    return Path(saved.path).read_text().splitlines()[-1]


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("dtype", "Do dtype changed torch's default dtype and whether torch records gradients."),
        ("folder", "Do folder changed the working folder and environment variables (HF_HUB_OFFLINE)."),
        ("streams", "Do streams changed its output streams."),
        ("raising", "Do raising changed the working folder."),
    ],
)
def test_the_next_tool_is_not_affected_and_the_artist_is_told_once(
    worker: Worker, clean: str, name: str, words: str
) -> None:
    (notice,) = filter_messages(worker.run(f"{name}.do"), JobNotice)
    assert notice.text.startswith(words)
    assert notice.level == "warning"
    assert _look(worker) == clean
    assert not filter_messages(worker.run(f"{name}.do"), JobNotice)
    assert _look(worker) == clean
    assert notice.text in worker.log.read_text()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_copy_of_the_worker_ends_and_says_nothing(worker: Worker, clean: str) -> None:
    received = worker.run("forked.do")
    assert len(filter_messages(received, JobFinished)) == 1
    assert len(filter_messages(received, ResultSaved)) == 1
    assert _look(worker) == clean


@pytest.fixture
def careless(home: Home) -> Home:
    """A home with plugins that change the process when they are imported."""
    write_plugin(home, "apple", "import os, sys, torch\ntorch.set_default_dtype(torch.float16)\nos.chdir('/')\n")
    (home.plugins / "apple.py").write_text(
        (home.plugins / "apple.py").read_text()
        + "sys.path.insert(0, os.path.dirname(__file__))\n"
        + format_plugin("apple", "yield")
    )
    write_plugin(
        home, "berry", "import sys\nsys.stdout.close()\nsys.stderr.close()\n" + format_plugin("berry", "yield")
    )
    return home


def test_an_import_that_changes_the_process_is_set_back_and_noted(start_worker: WorkerFactory, careless: Home) -> None:
    write_plugin(careless, "look", format_plugin("look", LOOK))
    worker = start_worker()
    ready = worker.wait_until_ready()
    (note,) = find_plugin(ready, "apple").notes
    assert note.startswith(
        "The import of Apple changed the working folder, the order of sys.path and torch's default dtype."
    )
    assert find_plugin(ready, "berry").notes[0].startswith("The import of Berry changed its output streams.")
    assert not find_plugin(ready, "look").notes
    assert not [plugin for plugin in ready.catalogue.plugins if plugin.source == "bundled" and plugin.notes]
    state = _look(worker)
    assert "torch.float32, True" in state
    assert "[False, False, False]" in state
    assert str(Path(__file__).parents[2]) in state
    assert "a third line" in worker.log.read_text()
