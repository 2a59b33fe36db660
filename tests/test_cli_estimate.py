"""`run --estimate` prints the time and memory of a job without running it, and measures a training."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from studio.cli import main
from studio.core.paths import Home

PLUGIN = '''
from studio import api

class Knit(api.Tool):
    """Knits."""

    id = "knit.scarf"
    title = "Scarf"

    class Params(api.Params):
        rows: api.Count = 4
        prompt: api.Prompt = ""

    def run(self, params, ctx):
        yield api.Text("a scarf")

    def estimate(self, params, ctx):
        return api.Estimate(params.rows << 30, params.rows, "knit", {"prompt": f"{len(params.prompt)} letters"})


@api.hookimpl
def studio_tools():
    return [Knit]
'''


def test_memory_and_notes_are_printed_and_the_time_once_it_is_known(
    home: Home, capsys: pytest.CaptureFixture[str]
) -> None:
    def run_command(*arguments: str) -> tuple[str, str]:
        assert main(["--home", str(home.root), "--device", "cpu", "run", *arguments]) == 0
        captured = capsys.readouterr()
        return captured.out, captured.err

    (home.plugins / "knit.py").write_text(PLUGIN)
    out, err = run_command("knit.scarf", "--estimate", "--set", "prompt=red")
    assert [line.split(maxsplit=1) for line in out.splitlines()] == [["memory", "4.0 GB"], ["prompt", "3 letters"]]
    assert "until a first job" in err
    assert not list(home.library.rglob("*.md"))

    home.rates.write_text(json.dumps({_describe_cpu(): {"knit": 2.5}}))
    out, err = run_command("knit.scarf", "--estimate", "--json")
    assert json.loads(out) == {
        "event": "estimate",
        "seconds": 10.0,
        "memory": 4 << 30,
        "notes": {"prompt": "0 letters"},
    }
    assert err == ""

    assert main(["--home", str(home.root), "run", "knit.scarf", "--estimate", "--set", "rows=0"]) == 2
    assert "Rows must be between 1 and 10000, not 0" in capsys.readouterr().err


LINE = '''
from studio import api

class Line(api.training.Training):
    """Learns a line."""

    def __init__(self, folder, steps):
        import torch
        self.network = torch.nn.Linear(1, 1)
        super().__init__(
            folder,
            networks={"line": self.network},
            optimizers={"optimizer": torch.optim.Adam(self.network.parameters())},
            schedule=api.training.LearningRateSchedule(steps, 0.1),
        )

    def step(self):
        import torch
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

    def estimate(self, params, ctx):
        return api.Estimate(work=params.steps, rate="line", notes={"steps": "many"})

    def run(self, params, ctx):
        if params.title == "wrong":
            raise api.BadInput("This is no name.")
        def preview():
            yield api.Preview("a line")
        def save(suffix):
            return api.Trained(ctx.scratch, "Line", "line")
        line = Line(ctx.checkpoint_dir, params.steps)
        yield from line.run(ctx, params, preview=preview, save_model=save, memory_error="")
        raise AssertionError("it trained to the end")


@api.hookimpl
def studio_tools():
    return [TrainLine]
'''


def test_a_training_is_measured_in_a_few_steps_that_leave_nothing(
    home: Home, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (home.plugins / "line.py").write_text(LINE)
    command = ["--home", str(home.root), "--device", "cpu", "run", "line.train", "--estimate", "--set"]
    command += [f"folder={tmp_path}", "--set", "steps=100000"]
    assert main([*command, "--json"]) == 0
    (printed,) = map(json.loads, capsys.readouterr().out.splitlines())
    assert printed["seconds"] >= 100_000 * printed["seconds_per_step"] > 1
    assert (printed["steps"], printed["notes"]) == (100_000, {"steps": "many"})
    assert printed["memory"] > 2**20
    assert printed["disk"] > 1000
    rates = json.loads(home.rates.read_text())[_describe_cpu()]
    assert rates["line"] == pytest.approx(printed["seconds_per_step"], rel=0.5)
    left = [path for name in ("scratch", "jobs", "resumable") for path in (home.root / name).glob("*/*")]
    assert left == []
    assert not [*home.library.rglob("*.safetensors")]

    assert main(command) == 0
    rows = [line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines()]
    assert [name for name, _ in rows] == ["time", "measured", "memory", "disk", "steps"]
    assert "of 100,000 steps" in rows[1][1]

    assert main([*command, "--set", "title=wrong"]) == 2
    assert "This is no name." in capsys.readouterr().err


def _describe_cpu() -> str:
    from studio.worker import devices

    cpu = devices.choose("cpu")
    return f"cpu {cpu.title} {cpu.dtype}"
