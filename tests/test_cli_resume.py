"""Interrupted runs of the command line: what is resumed, and how the studio says so."""

from __future__ import annotations

import hashlib
import json
import os
import shlex
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from studio.cli import main
from studio.core.paths import Home
from studio.engine import resumable
from tests.test_cli import interruptible, process

__all__ = ["interruptible"]

PLUGIN = '''
from studio import api

class Slow(api.Tool):
    """Adds up numbers, and keeps the sum after each."""

    id = "slow.sum"
    title = "Slow"
    pausable = True

    class Params(api.Params):
        gate: str = ""
        """Path of a file without which the tool waits in the middle."""
        numbers: int = 20

    def run(self, params, ctx):
        import pathlib, time
        import numpy as np
        file = ctx.checkpoint_dir / "sum.npy"
        at, total = 0, np.zeros((16, 16, 3))
        if file.exists():
            at, total = int(np.load(ctx.checkpoint_dir / "at.npy")), np.load(file)
            yield api.Notice(f"resumes at {at}")
        while at < params.numbers:
            total = total + np.random.default_rng([ctx.seed, at]).random((16, 16, 3))
            at += 1
            np.save(file, total)
            np.save(ctx.checkpoint_dir / "at.npy", at)
            yield api.Progress(at, params.numbers, "adding")
            while at == 10 and params.gate and not pathlib.Path(params.gate).exists():
                api.pause_if_requested(ctx)
                yield api.Progress(at, params.numbers, "waiting")
                time.sleep(0.05)
        yield api.Image(total / params.numbers)


class Train(Slow):
    """The same as a training."""

    id = "slow.train"
    title = "Slow training"
    lane = "training"


@api.hookimpl
def studio_tools():
    return [Slow, Train]
'''


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Home:
    home = Home(tmp_path_factory.mktemp("resume") / "home")
    home.create_folders()
    (home.plugins / "slow.py").write_text(PLUGIN)
    assert main(["--home", str(home.root), "tools"]) == 0
    return home


@pytest.fixture
def gate(tmp_path: Path, shared: Home) -> Iterator[Path]:
    yield tmp_path / "gate"
    assert [*shared.resumable.glob("*")] == [], "a run that is done leaves no checkpoints"


def interrupt(home: Home, sign: signal.Signals, *arguments: object) -> tuple[int, str, str]:
    """Run a command until it waits, and send it a signal."""
    child = process(home, *arguments, "--json")
    assert child.stdout is not None
    for line in child.stdout:
        if "waiting" in line:
            break
    child.send_signal(sign)
    out, err = child.communicate(timeout=60)
    return child.returncode, out, err


def run_to_end(capsys: pytest.CaptureFixture[str], home: Home, *arguments: object) -> tuple[str, str]:
    """Run a command, and return the digest of the pixels of its result with what it said."""
    from PIL import Image

    capsys.readouterr()
    assert main(["--home", str(home.root), "--json", *map(str, arguments)]) == 0
    out = capsys.readouterr().out
    (saved,) = [event for event in map(json.loads, out.splitlines()) if event.get("event") == "saved"]
    return hashlib.sha256(Image.open(saved["path"]).tobytes()).hexdigest(), out


@pytest.mark.skipif(os.name == "nt", reason="signals are of POSIX")
@pytest.mark.usefixtures("interruptible")
@pytest.mark.parametrize(("tool", "sign"), [("slow.sum", signal.SIGINT), ("slow.train", signal.SIGKILL)])
def test_an_interrupted_run_is_resumed_bit_equal(
    shared: Home, gate: Path, capsys: pytest.CaptureFixture[str], tool: str, sign: signal.Signals
) -> None:
    command = ("run", tool, "--seed", 5, "--set", f"gate={gate}")
    status, out, err = interrupt(shared, sign, *command)
    if sign == signal.SIGINT:
        assert (status, err) == (130, "")
        last = [json.loads(line) for line in out.splitlines()][-2:]
        assert [event["event"] for event in last] == ["paused", "resumable"]
        assert shlex.split(last[1]["command"]) == ["studio", *map(str, command), "--resume"]
    assert main(["--home", str(shared.root), "run", "--list-resumable"]) == 0
    assert shlex.join(["studio", *map(str, command), "--resume"]) in capsys.readouterr().out
    gate.write_text("")
    digest, said = run_to_end(capsys, shared, *command, *([] if tool == "slow.train" else ["--resume"]))
    assert "resumes at 10" in said
    whole, said = run_to_end(capsys, shared, *command, "--fresh")
    assert "resumes at" not in said
    assert digest == whole


@pytest.mark.skipif(os.name == "nt", reason="signals are of POSIX")
def test_without_a_seed_the_seed_of_the_interrupted_run_is_taken(
    shared: Home, gate: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ("run", "slow.sum", "--set", f"gate={gate}")
    interrupt(shared, signal.SIGKILL, *command)
    ((_, stored),) = resumable.list_runs(shared)
    gate.write_text("")
    _, said = run_to_end(capsys, shared, *command, "--resume")
    assert f'"seed":{stored.recipe.seed}' in said
    assert "resumes at 10" in said
    _, said = run_to_end(capsys, shared, *command, "--resume")
    assert "There is no interrupted run of this command, so it begins anew." in said


@pytest.mark.skipif(os.name == "nt", reason="signals are of POSIX")
def test_another_run_is_not_resumed(shared: Home, gate: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ("run", "slow.sum", "--set", f"gate={gate}", "--seed", 7)
    interrupt(shared, signal.SIGKILL, *command)
    gate.write_text("")
    for other in (("--set", "numbers=5"), ("--seed", 8)):
        _, said = run_to_end(capsys, shared, *command, *other, "--resume")
        assert "resumes at" not in said
    _, said = run_to_end(capsys, shared, *command)
    assert "resumes at" not in said, "only a training is resumed by itself"


def test_old_checkpoints_are_removed(shared: Home) -> None:
    folder = shared.resumable / "old"
    folder.mkdir(parents=True)
    recipe = {"tool": "x", "plugin": {"name": "x"}}
    (folder / resumable.FILE).write_text(json.dumps({"recipe": recipe, "count": 1, "command": []}))
    assert [found for found, _ in resumable.list_runs(shared)] == [folder]
    old = time.time() - resumable.MAX_AGE - 10
    os.utime(folder / resumable.FILE, (old, old))
    assert not [*resumable.list_runs(shared)]
    assert not folder.exists()
