"""Hostile arguments: every command answers any value with at most one sentence, and never with a traceback."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from studio.cli import main, run
from studio.core import paths
from studio.core.job import Job, create_job_id
from studio.core.paths import Home
from studio.core.recipe import Recipe
from studio.engine.job_queue import JobQueue
from tests.test_cli import PLUGIN

VALUES = {
    "not UTF-8": os.fsdecode(b"a\xff.png"),
    "unknown user": "~nosuchuser/x.png",
    "long name": "x" * 260 + ".png",
    "long path": "x/" * 3000,
    "fifo": "fifo",
    "folder": "folder",
    "file": "file",
    "below a file": "file/x.png",
    "new folder": "new/folder/x.png",
    "empty": "",
    "space": " ",
    "NUL": "a\0b",
    "negative": "-5",
    "huge": "9" * 400,
    "huger": "9" * 5000,
    "infinite": "1e400",
    "no number": "nan",
    "other digits": "\u0665",
    "dash": "-",
    "device": "/dev/null",
    "line break": "a\nb",
    "deep": "[" * 5000,
    "deep pairs": '{"a":' * 5000,
}
PARAMETERS = ("images", "model", "strength", "size", "sleepy", "nosuch")
COMMANDS: list[tuple[str, ...]] = [
    ("{}",),
    ("tools", "{}"),
    ("describe", "{}"),
    ("run", "{}"),
    *(("run", "echo.copy", "--set", f"{name}={{}}") for name in PARAMETERS),
    ("run", "echo.copy", "--set", "{}"),
    ("run", "echo.copy", "--set", "{}=1"),
    ("run", "echo.copy", "--out={}"),
    ("run", "echo.copy", "--out", "{}/"),
    ("run", "echo.copy", "--seed={}"),
    ("run", "echo.copy", "--count={}"),
    ("again", "{}"),
    ("again", "{}", "--out", "{}"),
    ("recipe", "{}"),
    ("history", "{}"),
    ("history", "tag:{}", "rating:>={}", "seed:{}", "before:{}", "is:{}"),
    ("history", "--limit={}"),
    ("plugins", "{}"),
    ("plugins", "new", "{}"),
    ("bench", "--minutes={}", "--nonsense"),
    ("--home", "{}", "history"),
    ("--home={}", "describe", "echo.copy", "--nonsense"),
    ("--device={}", "describe", "echo.copy"),
]


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Home:
    home = Home(tmp_path_factory.mktemp("arguments") / "home")
    home.create_folders()
    (home.plugins / "echo.py").write_text(PLUGIN)
    assert main(["--home", str(home.root), "tools"]) == 0
    return home


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_text("x")
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "fifo")
    return tmp_path


@pytest.fixture
def no_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    """End `run` where the job would be sent to the worker, after it was stored."""

    def store(_self: object, recipe: Recipe, *_arguments: Any, **_options: Any) -> int:
        queue = JobQueue(None)
        queue.add([Job(id=create_job_id(), recipe=recipe)])
        queue.close()
        return 0

    monkeypatch.setattr(run._JobFollower, "run_jobs", store)


@pytest.mark.usefixtures("no_worker")
@pytest.mark.parametrize("json", [False, True], ids=["text", "json"])
@pytest.mark.parametrize("name", VALUES)
def test_any_argument_of_any_command_gets_one_sentence(
    shared: Home, capsys: pytest.CaptureFixture[str], name: str, json: bool
) -> None:
    for command in COMMANDS:
        arguments = [part.replace("{}", VALUES[name]) for part in command]
        home = [] if any("--home" in part for part in command) else ["--home", str(shared.root)]
        status = main([*home, *(["--json"] if json else []), *arguments])
        out, err = capsys.readouterr()
        said = (command, status, out[-300:], err[-300:])
        assert status in (0, 1, 2), said
        assert "Traceback" not in out + err, said
        assert "unexpected error" not in out + err, said
        assert len(err) < 1000, said
        if status == 2:
            assert len(err.splitlines()) == (0 if json else 1), said


def start(home: Home, *arguments: str, redirect: str = "") -> subprocess.CompletedProcess[str]:
    words = [sys.executable, "-P", "-m", "studio.cli", "--home", str(home.root), *arguments]
    environment = {**os.environ, "PYTHONPATH": str(paths.PACKAGE.parent)}
    script = f'"$@" {redirect}'
    return subprocess.run(
        ["bash", "-c", script, "bash", *words],
        capture_output=True,
        text=True,
        env=environment,
        timeout=120,
        check=False,
    )


@pytest.mark.skipif(os.name == "nt", reason="a shell of POSIX")
@pytest.mark.parametrize(
    ("arguments", "redirect"),
    [
        (("tools", "--json"), ">&- 2>&-"),
        (("tools",), "| head -c 1"),
        (("--help",), ">/dev/full"),
        (("tools",), ">/dev/full"),
        (("again", "none.png"), "2>&-"),
        (("again", "none.png"), "2>/dev/full"),
        (("again", "none.png"), "2>&1 <&- | true"),
    ],
)
def test_closed_and_full_streams_are_no_error(shared: Home, arguments: tuple[str, ...], redirect: str) -> None:
    done = start(shared, *arguments, redirect=redirect)
    assert "Traceback" not in done.stdout + done.stderr
    assert "Exception ignored" not in done.stderr
    assert len(done.stderr.splitlines()) <= 1
    assert done.returncode in (0, 2)


@pytest.mark.skipif(os.name == "nt", reason="file names of POSIX")
def test_a_name_that_is_not_utf8_is_printed(shared: Home, tmp_path: Path) -> None:
    (tmp_path / os.fsdecode(b"a\xff.png")).write_bytes(b"x")
    done = start(shared, "recipe", "a\udcff.png")
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1)
