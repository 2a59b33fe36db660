"""Foreign files are read in a process of its own, within limits of time and memory, and each costs one sentence."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from PIL import Image

from studio.core.errors import BadInput, StudioError
from studio.core.paths import Home
from studio.library.index import file_reader
from studio.library.index.file_reader import FileReader
from studio.library.library import Library

FAULTY = """
import os, sys, time
from studio.library.index import file_reader_process
answer = file_reader_process.answer
def answer_or_fail(request):
    name = os.path.basename(os.fsdecode(request.path))
    if name.startswith("slow"):
        time.sleep(60)
    if name.startswith("crash"):
        os._exit(11)
    return answer(request)
file_reader_process.answer = answer_or_fail
file_reader_process.main()
"""
"""A reader that fails on files of certain names, as a decoder may on certain contents."""


@pytest.fixture
def reader() -> Iterator[FileReader]:
    reader = FileReader()
    yield reader
    reader.close()


@pytest.fixture
def faulty(monkeypatch: pytest.MonkeyPatch) -> Iterator[FileReader]:
    monkeypatch.setattr(file_reader, "_COMMAND", (sys.executable, "-P", "-c", FAULTY))
    reader = FileReader(time_limit=2.0)
    yield reader
    reader.close()


def save_image(path: Path, size: tuple[int, int] = (600, 300)) -> Path:
    Image.new("RGB", size, (200, 20, 10)).save(path)
    return path


def find_child() -> psutil.Process | None:
    children = psutil.Process().children()
    return next((child for child in children if child.is_running() and child.status() != psutil.STATUS_ZOMBIE), None)


def test_the_process_starts_with_the_first_file_and_serves_all(reader: FileReader, tmp_path: Path) -> None:
    assert find_child() is None
    assert (reader.render_thumbnail(save_image(tmp_path / "a.png")) or b"").startswith(b"\xff\xd8")
    first = find_child()
    tile = reader.render_tile(save_image(tmp_path / "b.png"), 100)
    assert (tile.width, tile.height, tile.full_width, tile.full_height) == (100, 50, 600, 300)
    assert tile.pixels[:4] == bytes((200, 20, 10, 255))
    assert find_child() == first


def test_a_damaged_image_is_one_sentence(reader: FileReader, tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n damaged")
    with pytest.raises(BadInput, match=r"^a\.png is damaged and cannot be opened\. Save or download it again\.$"):
        reader.render_thumbnail(tmp_path / "a.png")


def test_a_file_that_takes_too_long_is_left_out_and_others_are_read(faulty: FileReader, tmp_path: Path) -> None:
    slow, good = save_image(tmp_path / "slow.png"), save_image(tmp_path / "good.png")
    for _ in range(2):  # the second time without another try
        with pytest.raises(BadInput, match=r"^slow\.png takes too long to read, so it is left out\.$"):
            faulty.render_thumbnail(slow)
    assert faulty.render_thumbnail(good)


def test_a_file_that_ends_the_process_is_left_out_and_others_are_read(faulty: FileReader, tmp_path: Path) -> None:
    crash, good = save_image(tmp_path / "crash.png"), save_image(tmp_path / "good.png")
    with pytest.raises(BadInput, match=r"^crash\.png cannot be read: it ended the program that reads it\.$"):
        faulty.render_thumbnail(crash)
    assert faulty.render_thumbnail(good)


def test_the_sweep_makes_a_problem_of_a_file_that_ends_the_process(home: Home, faulty: FileReader) -> None:
    for name in ("a.png", "crash.png", "second.png"):
        save_image(home.library / name, (len(name), 5))
    library = Library(home)
    library.reader = faulty
    library.open()
    result = library.sweep()
    library.close()
    assert len(result.added) == 2
    assert result.problems == ("crash.png cannot be read: it ended the program that reads it.",)


def test_closing_ends_a_request(faulty: FileReader, tmp_path: Path) -> None:
    faulty.render_thumbnail(save_image(tmp_path / "good.png"))
    faulty.close()
    with pytest.raises(StudioError, match=r"^The library is closed\.$"):
        faulty.render_thumbnail(tmp_path / "good.png")


def test_the_process_never_outlives_its_studio(tmp_path: Path) -> None:
    save_image(tmp_path / "a.png")
    code = f"""
import os, signal, psutil
from pathlib import Path
from studio.library.index.file_reader import FileReader
FileReader().render_thumbnail(Path({str(tmp_path / "a.png")!r}))
print(*(child.pid for child in psutil.Process().children(recursive=True)), flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    processes = [psutil.Process(int(pid)) for pid in done.stdout.split() if psutil.pid_exists(int(pid))]
    _, alive = psutil.wait_procs(processes, timeout=5)
    assert done.stdout.split()
    assert not alive


def test_the_process_imports_nothing_heavy() -> None:
    code = "import sys, studio.library.index.file_reader_process; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"torch", "PySide6", "numpy", "studio.api"} & set(done.stdout.split())


@pytest.mark.skipif(sys.platform != "linux", reason="the address space is limited on Linux alone")
def test_the_memory_of_the_process_is_limited() -> None:
    code = """
from studio.library.index import file_reader_process
file_reader_process._limit_memory()
try:
    bytearray(file_reader_process.MEMORY_LIMIT + 2**24)  # memory that was freed since the start may be used again
except MemoryError:
    print("refused")
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "refused\n"


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such names")
def test_a_name_that_is_not_utf_8_is_read(reader: FileReader, tmp_path: Path) -> None:
    path = save_image(tmp_path / "a.png").rename(Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff.png")))
    assert reader.render_thumbnail(path)
