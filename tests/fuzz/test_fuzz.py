"""Twenty seconds of fuzzing with a fixed seed; `python3 main.py bench fuzz --minutes N` goes on for longer.

`STUDIO_FUZZ_SEED` makes other inputs.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from tests.fuzz import campaign
from tests.fuzz.process import make_input
from tests.fuzz.targets import Readers, all_targets

SECONDS = 20
SEED = os.environ.get("STUDIO_FUZZ_SEED", "studio")

pytestmark = pytest.mark.skipif(os.name == "nt", reason="the limits of a process are of POSIX")


def test_no_input_ends_slows_or_bloats_a_reader(tmp_path: Path) -> None:
    outcome = campaign.run_campaign(SEED, SECONDS, tmp_path / "kept")
    assert not outcome.findings, "\n".join(map(str, outcome.findings))
    assert outcome.inputs > 100, "a campaign of so few inputs proves nothing"


def test_every_seed_is_read_without_a_fault(tmp_path: Path) -> None:
    readers = Readers(tmp_path)
    try:
        for target in all_targets(readers, tmp_path):
            target.read(target.folder / target.file_name, target.seed)
            (target.folder / target.file_name).unlink(missing_ok=True)
    finally:
        readers.close()


def test_a_seed_and_a_number_make_the_same_input_again(tmp_path: Path) -> None:
    readers = Readers(tmp_path)
    try:
        first, again = (all_targets(readers, tmp_path) for _ in range(2))
        for number in range(50):
            (target, content), (other, same) = make_input(first, SEED, number), make_input(again, SEED, number)
            assert (target.name, content) == (other.name, same)
    finally:
        readers.close()


@pytest.mark.parametrize(
    ("code", "what"),
    [("raise ZeroDivisionError(7)", "ZeroDivisionError"), ("os._exit(3)", "status 3"), ("time.sleep(60)", "no answer")],
)
def test_the_fuzzer_finds_a_reader_at_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: str, what: str
) -> None:
    monkeypatch.setattr(campaign, "PATIENCE", 5.0)
    (tmp_path / "faulty.py").write_text(
        "import os, runpy, sys, time\n"
        "import tests.fuzz.targets as targets\n"
        f"def read(*_: object, **__: object) -> None:\n    {code}\n"
        "targets.read_metadata = read\n"
        "sys.argv.pop(0)\n"
        "runpy.run_module('tests.fuzz.process', run_name='__main__', alter_sys=True)\n"
    )
    monkeypatch.setattr(campaign, "COMMAND", (sys.executable, str(tmp_path / "faulty.py"), "process"))
    outcome = campaign.run_campaign(SEED, 6, tmp_path / "kept")
    assert outcome.findings
    assert all(what in finding.what and Path(finding.path).exists() for finding in outcome.findings)
