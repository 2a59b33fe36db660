"""Dragging files from another program, with real windows on an X server."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.ui.drag_source import PLACE

NEEDED = ("Xvfb", "openbox", "xdotool")
MISSING = [program for program in NEEDED if shutil.which(program) is None]
pytestmark = pytest.mark.skipif(bool(MISSING), reason=f"not installed: {', '.join(MISSING)}")
ROOT = Path(__file__).parents[2]
LIMIT = 180.0
"""Seconds after which a program is given up."""


@pytest.fixture
def environ() -> Iterator[dict[str, str]]:
    """The environment of a new X server with a window manager."""
    read, write = os.pipe()
    server = subprocess.Popen(
        ["Xvfb", "-displayfd", str(write), "-screen", "0", "1280x800x24", "-nolisten", "tcp"],
        pass_fds=[write], stderr=subprocess.DEVNULL,
    )  # fmt: skip
    os.close(write)
    with os.fdopen(read) as number:
        display = f":{number.readline().strip()}"
    environ = {**os.environ, "DISPLAY": display, "QT_QPA_PLATFORM": "xcb", "PYTHONPATH": str(ROOT)}
    manager = subprocess.Popen(["openbox"], env=environ, stderr=subprocess.DEVNULL)
    yield environ
    for process in (manager, server):
        process.kill()
        process.wait()


@contextmanager
def program(environ: dict[str, str], module: str, *arguments: str) -> Iterator[Callable[[], str]]:
    """Run a program of its own, and give the call for the next line that it prints.

    Where there is none, the error says whether the program crashed (with its status) or was given up.
    """
    process = subprocess.Popen(
        [sys.executable, "-X", "faulthandler", "-m", module, *arguments],
        env=environ,
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )
    given_up = threading.Event()

    def give_up() -> None:
        given_up.set()
        process.kill()

    timer = threading.Timer(LIMIT, give_up)
    timer.start()
    output = process.stdout
    assert output is not None

    def next_line() -> str:
        if line := output.readline():
            return line
        status = process.wait()
        reason = f"was given up after {LIMIT:.0f} s" if given_up.is_set() else f"ended with status {status}"
        raise EOFError(f"{module} {reason}")

    try:
        yield next_line
    finally:
        timer.cancel()
        timer.join()
        process.kill()
        process.wait()
        output.close()


def until(next_line: Callable[[], str], holds: Callable[[dict[str, Any]], Any]) -> dict[str, Any]:
    """Return the first report of the window for which `holds` is true."""
    state: dict[str, Any] = {}
    while True:
        try:
            state = json.loads(next_line())
        except EOFError as error:
            raise AssertionError(f"{error}; it last said {state}") from error
        if holds(state):
            return state


@contextmanager
def _move_slightly(environ: dict[str, str], at: tuple[int, int]) -> Iterator[None]:
    """Move the pointer to and fro by one pixel.

    On a busy machine the other program may see the press only when the pointer has arrived. Without another movement it
    would never report the drag, and both programs would wait without end.
    """
    steps = [word for x in (at[0] + 1, at[0]) for word in ("mousemove", str(x), str(at[1]), "sleep", "0.2")]
    process = subprocess.Popen(["xdotool", *steps * int(LIMIT / 0.4)], env=environ)
    try:
        yield
    finally:
        process.kill()
        process.wait()


def drag(environ: dict[str, str], says: Callable[[], str], to: tuple[int, int], *files: Path) -> None:
    """Drag files from the other program in steps, and release them when the target accepts them."""

    def move_pointer(*words: str) -> None:
        subprocess.run(["xdotool", *words], env=environ, check=True, timeout=LIMIT)

    with program(environ, "tests.ui.drag_source", *map(str, files)) as said:
        assert said() == "ready\n"
        start = (PLACE[0] + 30, PLACE[1] + 30)
        steps = [tuple(a + (b - a) * step // 12 for a, b in zip(start, to, strict=True)) for step in range(1, 13)]
        moves = [word for x, y in steps for word in ("mousemove", str(x), str(y), "sleep", "0.05")]
        move_pointer("mousemove", *map(str, start), "sleep", "0.3", "mousedown", "1", "sleep", "0.3", *moves)
        with _move_slightly(environ, to):
            until(says, lambda state: state["welcomes"])
        move_pointer("sleep", "0.3", "mousemove", *map(str, to), "sleep", "0.3", "mouseup", "1")
        while (line := said()) == "ready\n":
            pass
        assert line == "CopyAction\n"


def test_pictures_from_another_program_land_in_the_list_and_on_the_canvas(
    environ: dict[str, str], tmp_path: Path, pictures: list[Path], picture: Path
) -> None:
    with program(environ, "tests.ui.drag_target", str(tmp_path / "home"), "morph.between") as says:
        state = until(says, lambda state: state["ready"])
        drag(environ, says, state["pictures"], *pictures[:2])
        state = until(says, lambda state: state["held"])
        assert state["held"] == [str(path) for path in pictures[:2]]
        assert state["rows"] == [path.name for path in pictures[:2]]
        assert not state["shown"]
        drag(environ, says, state["canvas"], picture)
        assert until(says, lambda state: state["shown"])["shown"] == [[64, 48]]


def test_a_photo_from_another_program_is_generated_in_the_style_it_is_dropped_on(
    environ: dict[str, str], tmp_path: Path, picture: Path
) -> None:
    for name in ("dawn", "ink"):
        (tmp_path / "home" / "models" / name).mkdir(parents=True)
        (tmp_path / "home" / "models" / name / "studio.json").write_text('{"kind": "style"}')
    with program(environ, "tests.ui.drag_target", str(tmp_path / "home"), "paint.pictures") as says:
        state = until(says, lambda state: state["ready"] and "ink" in state["tiles"])
        assert state["made"] == []
        second = list(state["tiles"])[1]
        drag(environ, says, state["tiles"][second], picture)
        assert until(says, lambda state: state["made"])["made"] == [[second, ["image"]]]
