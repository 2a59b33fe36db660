"""The process that reads inputs: `python -m tests.fuzz.process SCRATCH SEED FIRST COUNT`.

It says on its standard output, one JSON list a line, which input it begins and what went wrong with it. The same seed
and number make the same input.
"""

from __future__ import annotations

import json
import random
import resource
import sys
import time
import traceback
import warnings
from pathlib import Path

from tests.fuzz.mutations import mutate
from tests.fuzz.targets import Readers, Target, all_targets

MAX_SECONDS = 2.0
"""Seconds of processor time for one input."""
MAX_GROWTH = 200 * 2**20
"""Bytes by which the largest size of the process may grow for one input."""
ADDRESS_SPACE = 4 * 2**30


def make_input(targets: list[Target], seed: str, number: int) -> tuple[Target, bytes]:
    """Return an input of a run; always the same for the same seed and number."""
    chance = random.Random(f"{seed} {number}")
    target = chance.choice(targets)
    return target, mutate(target.seed, chance, target.change)


def main(scratch: Path, seed: str, first: int, count: int) -> None:
    warnings.simplefilter("ignore")
    resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_SPACE, ADDRESS_SPACE))
    readers = Readers(scratch / "0")
    targets = all_targets(readers, scratch)
    current = scratch / "current"
    for number in range(first, first + count):
        target, content = make_input(targets, seed, number)
        current.write_bytes(content)
        _say("begin", number, target.name)
        size, began = _largest_size(), time.process_time()
        try:
            target.read(target.folder / target.file_name, content)
        except BaseException as error:
            if isinstance(error, KeyboardInterrupt):
                raise
            frame = traceback.extract_tb(error.__traceback__)[-1]
            _say("fault", number, f"{type(error).__name__} at {frame.name}: {str(error)[:200]}", traceback.format_exc())
            if isinstance(error, MemoryError):
                return
            readers.close()
            readers = Readers(scratch / str(number + 1))
            targets = all_targets(readers, scratch)
            continue
        seconds, growth = time.process_time() - began, _largest_size() - size
        (target.folder / target.file_name).unlink(missing_ok=True)
        if seconds > MAX_SECONDS:
            _say("fault", number, f"{seconds:.1f} s", "")
        if growth > MAX_GROWTH:
            _say("fault", number, f"{growth / 2**20:.0f} MB", "")
            return
    readers.close()
    _say("end", first + count, "")


def _largest_size() -> int:
    largest = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return largest if sys.platform == "darwin" else largest * 1024


def _say(*parts: object) -> None:
    sys.stdout.write(json.dumps(parts) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
