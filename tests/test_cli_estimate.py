"""`run --estimate` prints the time and memory of a job without running it."""

from __future__ import annotations

import json

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


def _describe_cpu() -> str:
    from studio.worker import devices

    cpu = devices.choose("cpu")
    return f"cpu {cpu.title} {cpu.dtype}"
