"""`trainings`: look at a training of another process, change it, and finish it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from studio.cli import main
from studio.core.job import Job, JobState, Lane
from studio.core.paths import Home
from studio.core.recipe import PluginRef, Recipe
from studio.core.training_record import FOLDER, MeasurePoint, TrainingRecord
from studio.engine.home_lock import HomeLock
from studio.engine.job_queue import JobQueue
from tests.test_cli import process

PLUGIN = '''
from studio import api

class Line(api.training.Training):
    def __init__(self, folder, steps):
        import torch
        torch.manual_seed(0)
        self.network = torch.nn.Linear(1, 1)
        super().__init__(
            folder,
            networks={"line": self.network},
            optimizers={"optimizer": torch.optim.Adam(self.network.parameters())},
            schedule=api.training.LearningRateSchedule(steps, 0.1, "constant"),
        )

    def step(self):
        import time
        import torch
        time.sleep(0.002)
        self.finish_step(self.optimizer_step(self.network(torch.ones(4, 1)).square().mean()))


class TrainLine(api.Tool):
    """Trains a line."""

    id = "line.train"
    title = "Train a line"
    output = "model"
    lane = "training"
    pausable = True

    class Params(api.training.TrainingParams):
        pass

    def run(self, params, ctx):
        line = Line(ctx.checkpoint_dir, params.steps)
        def preview():
            yield api.Preview(f"a line at {line.state.step}")
        def save(suffix):
            if (params.folder / "full").exists():
                raise OSError(28, "No space left on device")
            folder = ctx.scratch / "line"
            folder.mkdir()
            api.model_files.write_tensors(folder / "line.safetensors", line.network.state_dict(), {})
            return api.Trained(folder, params.title, "line")
        yield from line.run(ctx, params, preview=preview, save_model=save, memory_error="", save_every=0.1)
        yield save("")


@api.hookimpl
def studio_tools():
    return [TrainLine]
'''

Command = Callable[..., list[dict[str, Any]]]


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Home:
    home = Home(tmp_path_factory.mktemp("trainings") / "home")
    home.create_folders()
    (home.plugins / "line.py").write_text(PLUGIN)
    assert main(["--home", str(home.root), "tools"]) == 0
    return home


@pytest.fixture
def command(shared: Home, capsys: pytest.CaptureFixture[str]) -> Command:
    def run(*arguments: object) -> list[dict[str, Any]]:
        capsys.readouterr()
        assert main(["--home", str(shared.root), "--json", "trainings", *map(str, arguments)]) == 0
        return [json.loads(line) for line in capsys.readouterr().out.splitlines()]

    return run


def start(home: Home, *arguments: object) -> subprocess.Popen[str]:
    """Start a training that takes an hour, and wait for its first steps."""
    values = (f"folder={home.root}", "steps=1000000", "preview_every=20", "title=Hair")
    assignments = (word for value in values for word in ("--set", value))
    child = process(home, "run", "line.train", "--json", *arguments, *assignments)
    assert child.stdout is not None
    for line in child.stdout:
        event = json.loads(line)
        if event["event"] == "progress" and event["step"] > 40:
            break
    return child


def test_a_training_of_another_process_is_shown_changed_and_finished(
    shared: Home, command: Command, capsys: pytest.CaptureFixture[str]
) -> None:
    child = start(shared)
    (listed,) = command()
    assert (listed["tool"], listed["title"], listed["state"]) == ("line.train", "Hair", "running")
    (shown,) = command("show", listed["id"][:8])
    assert shown["step"] > 0
    assert {"loss", "learning rate"} <= shown["measures"].keys()
    assert shown["previews"][0]["text"] == "a line at 2"
    assert command("change", listed["id"], "--steps", 900_000, "--learning-rate", 0.01)
    assert command("finish", listed["id"])
    out, err = child.communicate(timeout=120)
    assert child.returncode == 0, err
    events = [json.loads(line) for line in out.splitlines()]
    notices = [event["text"] for event in events if event["event"] == "notice"]
    assert any(notice.startswith("Finished at step") for notice in notices)
    assert [event for event in events if event["event"] == "saved"]
    assert command() == []
    assert main(["--home", str(shared.root), "trainings"]) == 0
    assert "There are no trainings." in capsys.readouterr().err


@pytest.mark.skipif(os.name == "nt", reason="signals are of POSIX")
def test_an_interrupted_training_takes_the_change_when_it_goes_on(shared: Home, command: Command) -> None:
    child = start(shared, "--seed", 3)
    child.send_signal(signal.SIGKILL)
    child.communicate(timeout=60)
    (listed,) = command()
    assert listed["state"] == "interrupted"
    step = listed["step"]
    command("change", listed["id"], "--steps", step + 100)
    values = (f"folder={shared.root}", "steps=1000000", "preview_every=20", "title=Hair")
    child = process(
        shared, "run", "line.train", "--json", "--seed", 3, *(word for value in values for word in ("--set", value))
    )
    out, err = child.communicate(timeout=120)
    assert child.returncode == 0, err
    progress = [json.loads(line) for line in out.splitlines() if '"progress"' in line]
    assert progress[-1]["total"] == step + 100
    assert command() == []


def test_a_training_that_cannot_save_its_model_goes_on_when_that_is_mended(shared: Home, tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    (data / "full").touch()

    def run() -> tuple[int, list[str]]:
        values = (f"folder={data}", "steps=30", "title=Hair")
        words = (word for value in values for word in ("--set", value))
        child = process(shared, "run", "line.train", *words)
        _, err = child.communicate(timeout=120)
        return child.returncode, err.splitlines()

    status, lines = run()
    assert status == 2
    assert [line for line in lines if line.startswith("The disk is full: ")]
    assert lines[-1].startswith("Go on with: studio run line.train ")
    data.rename(tmp_path / "away")
    status, lines = run()
    assert status == 2
    assert lines[0].startswith("There is no folder ")
    (tmp_path / "away").rename(data)
    (data / "full").unlink()
    status, lines = run()
    assert status == 0
    assert "Resumes at step 30 of 30." in lines
    assert [line for line in lines if "1 was removed" in line]


def test_trainings_of_the_window_are_listed_with_their_state(shared: Home, command: Command) -> None:
    queue = JobQueue(shared.queue)
    jobs = [
        Job(
            id=f"{number:020x}",
            recipe=Recipe(tool="line.train", plugin=PluginRef("line"), params={"title": title}, seed=1),
            lane=Lane.TRAINING,
            state=state,
        )
        for number, (title, state) in enumerate(
            [("Sea", JobState.RUNNING), ("Sky", JobState.PAUSED), ("Sun", JobState.DONE), ("New", JobState.QUEUED)]
        )
    ]
    queue.add(jobs)
    for job in jobs[:3]:
        TrainingRecord(shared.jobs / job.id / FOLDER).append_measures(MeasurePoint(7, 1.0, {"loss": 0.5}))
    lock = HomeLock(shared.root / "studio.lock")
    assert {training["title"]: training["state"] for training in command()} == {"Sea": "running", "Sky": "paused"}
    lock.release()
    assert {training["title"]: training["state"] for training in command()} == {"Sea": "interrupted", "Sky": "paused"}
    command("change", jobs[1].id, "--learning-rate", "1e-4")
    assert TrainingRecord(shared.jobs / jobs[1].id / FOLDER).read_changes().learning_rate == 1e-4
    queue.close()
    shared.queue.unlink()


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("show", "nothing"), "There is no training nothing. Run `studio trainings` for a list."),
        (("show", ""), "There is no training without a name."),
        (("change", "a"), "Nothing is to be changed. Add --steps N or --learning-rate X."),
        (("change", "a", "--steps", "0"), "--steps must be between 1 and 1,000,000, not 0."),
        (("change", "a", "--learning-rate", "nan"), "--learning-rate must be above 0 and at most 1, not nan."),
        (("shwo", "a"), "There is no command shwo. Did you mean show?"),
    ],
)
def test_wrong_usage_is_one_sentence(
    shared: Home, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], sentence: str
) -> None:
    assert main(["--home", str(shared.root), "trainings", *arguments]) == 2
    assert sentence in capsys.readouterr().err
