"""After a kill, acknowledged results exist, and all results are complete."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from studio.core.digests import sha256
from studio.core.files import PART
from studio.core.images import open_picture
from studio.core.paths import Home
from studio.library.creation import Creation, CreationKind
from studio.library.formats import markdown, mp4
from studio.library.library import Library
from studio.library.storage import recipe_embedding
from tests.library.kill_reindex import read_all, rebuild_index

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
KILLS = 30


@contextmanager
def run_and_kill(work: str) -> Iterator[Callable[[int, int], list[str]]]:
    """Yield a function that starts a child, kills it after some lines of output, and returns its output."""
    command = [sys.executable, "-m", "tests.library.kill_writer", work]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdin
        assert server.stdout

        def run_turn(turn: int, lines: int) -> list[str]:
            assert server.stdin
            assert server.stdout
            print(turn, file=server.stdin, flush=True)
            child = int(server.stdout.readline())
            output = [server.stdout.readline().strip() for _ in range(lines)]
            for _ in range(random.Random(turn).randrange(40_000)):
                pass  # vary the moment of the kill
            os.kill(child, signal.SIGKILL)
            while (line := server.stdout.readline()).strip() != "gone":
                output += [line.strip()] if line.endswith("\n") else []
            return output

        yield run_turn
        server.stdin.close()


def is_whole(creation: Creation) -> bool:
    path = Path(creation.path)
    match creation.kind:
        case CreationKind.TEXT:
            return markdown.read_body(path) == "words " * 2_000
        case CreationKind.ANIMATION if path.suffix == ".mp4":
            return mp4.read(path).width == 48
        case _:
            return open_picture(path).size == (48, 32)


def test_saved_results_survive_kills(home: Home) -> None:
    output: list[str] = []
    rng = random.Random(1)
    with run_and_kill("save") as run_turn:
        for turn in range(KILLS):
            output += run_turn(turn, rng.randrange(1, 8))
    library = Library(home)
    library.open()
    done = library.sweep()
    assert done.problems == ()
    for line in output:
        creation = library.get(sha256(Path(line)))
        assert creation
        assert creation.path == line
    for creation in library.search(limit=10_000):
        assert is_whole(creation)
        assert recipe_embedding.read_recipe(Path(creation.path)) == creation.recipe != None  # noqa: E711
    assert [*home.library.rglob(f"{PART}*")] == []
    assert len(library.find_ids()) <= len(output) + KILLS
    before = read_all(library)
    assert rebuild_index(library) == before


def test_marks_survive_kills(home: Home) -> None:
    library = Library(home)
    library.open()
    from studio.library.storage import writer
    from tests.library import factories

    for number in range(4):
        library.add(writer.save_image(home, factories.make_picture(number), factories.make_recipe(seed=number)))
    first = set(read_all(library))
    library.close()
    with run_and_kill("mark") as run_turn:
        for turn in range(KILLS):
            output = run_turn(turn, turn % 6)
            library = Library(home)
            library.open()
            library.sweep()
            creations = read_all(library)
            assert set(creations) == first
            if output:
                id, star, rating, tags, trashed = output[-1].split("|")
                now = creations[id]
                agree = [
                    now.star == bool(int(star)),
                    now.rating == int(rating),
                    ",".join(now.tags) == tags,
                    now.trashed == bool(int(trashed)),
                ]
                assert sum(agree) >= 3  # the next step may have started already
            assert rebuild_index(library) == creations
