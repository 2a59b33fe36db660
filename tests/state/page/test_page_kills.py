"""Kills while text is typed on a page: at most the last second is lost."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from studio.library.pages.store import PageStore

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
KILLS, AT_ONCE = 50, 10
MAX_LOSS = 1.0
"""Seconds of typing that a kill may lose."""


def measure_losses(folder: Path, kills: int, seed: int) -> list[tuple[float, int, int]]:
    """Return, for each kill, the seconds of typing lost, the keys pressed and the keys saved."""
    losses = []
    chance = random.Random(seed)
    command = [sys.executable, "-m", "tests.state.page.kill_typist"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdin
        assert server.stdout
        before = 0
        for _ in range(kills):
            print(folder, file=server.stdin, flush=True)
            child = int(server.stdout.readline())
            first = server.stdout.readline().split()
            killer = threading.Timer(chance.uniform(0.0, 1.6), os.kill, (child, signal.SIGKILL))
            killer.start()
            pressed = [(float(first[0]), int(first[1]))]
            while (line := server.stdout.readline()).strip() != "gone":
                parts = line.split()
                if line.endswith("\n") and len(parts) == 2:
                    pressed.append((float(parts[0]), int(parts[1])))
            killer.join()
            end = pressed[-1][0]
            newest = PageStore(folder).find_newest()
            length = len(newest.load().text) if newest else 0
            saved = length - before
            missing = [when for when, count in pressed if count > saved]
            losses.append((end - missing[0] if missing else 0.0, len(pressed), saved))
            before = length
        server.stdin.close()
    return losses


def test_a_kill_while_typing_loses_at_most_the_last_second(tmp_path: Path) -> None:
    with ThreadPoolExecutor(AT_ONCE) as pool:
        groups = [pool.submit(measure_losses, tmp_path / str(n), KILLS // AT_ONCE, n) for n in range(AT_ONCE)]
        losses = [loss for group in groups for loss in group.result()]
    assert len(losses) == KILLS
    assert max(lost for lost, _, _ in losses) <= MAX_LOSS, sorted(losses)[-3:]
    assert all(saved <= pressed + 1 for _, pressed, saved in losses)
    assert sum(saved for _, _, saved in losses) > 0


if __name__ == "__main__":
    start = time.monotonic()
    lost = sorted(loss for loss, _, _ in measure_losses(Path(sys.argv[1]), KILLS, 0))
    sys.stdout.write(f"median {lost[len(lost) // 2]:.3f} s, worst {lost[-1]:.3f} s, {time.monotonic() - start:.0f} s\n")
