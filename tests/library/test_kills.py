"""Killed at any moment: what was acknowledged is there, what is there is whole."""

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
from tests.library.test_library import everything, rebuilt

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
KILLS = 30


@contextmanager
def killed(work: str) -> Iterator[Callable[[int, int], list[str]]]:
    """A function that starts work, kills it once it has done so much, and returns what it said it had done."""
    command = [sys.executable, "-m", "tests.library.kill_writer", work]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdin
        assert server.stdout

        def round_of(turn: int, lines: int) -> list[str]:
            assert server.stdin
            assert server.stdout
            print(turn, file=server.stdin, flush=True)
            child = int(server.stdout.readline())
            said = [server.stdout.readline().strip() for _ in range(lines)]
            for _ in range(random.Random(turn).randrange(40_000)):
                pass  # the moment of the kill differs from turn to turn
            os.kill(child, signal.SIGKILL)
            while (line := server.stdout.readline()).strip() != "gone":
                said += [line.strip()] if line.endswith("\n") else []
            return said

        yield round_of
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


def test_saving_in_a_loop(home: Home) -> None:
    said: list[str] = []
    chance = random.Random(1)
    with killed("save") as round_of:
        for turn in range(KILLS):
            said += round_of(turn, chance.randrange(1, 8))
    library = Library(home)
    library.open()
    done = library.sweep()
    assert done.problems == ()
    for line in said:
        creation = library.get(sha256(Path(line)))
        assert creation
        assert creation.path == line
    for creation in library.search(limit=10_000):
        assert is_whole(creation)
        assert recipe_embedding.read_recipe(Path(creation.path)) == creation.recipe != None  # noqa: E711
    assert [*home.library.rglob(f"{PART}*")] == []
    assert len(library.find_ids()) <= len(said) + KILLS
    before = everything(library)
    assert rebuilt(library) == before


def test_marking_in_a_loop(home: Home) -> None:
    library = Library(home)
    library.open()
    from studio.library.storage import writer
    from tests.library import factories

    for number in range(4):
        library.add(writer.save_image(home, factories.picture(number), factories.recipe(seed=number)))
    first = set(everything(library))
    library.close()
    with killed("mark") as round_of:
        for turn in range(KILLS):
            said = round_of(turn, turn % 6)
            library = Library(home)
            library.open()
            library.sweep()
            found = everything(library)
            assert set(found) == first
            if said:
                one, star, rating, tags, trashed = said[-1].split("|")
                now = found[one]
                agree = [
                    now.star == bool(int(star)),
                    now.rating == int(rating),
                    ",".join(now.tags) == tags,
                    now.trashed == bool(int(trashed)),
                ]
                assert sum(agree) >= 3  # the next step may have been under way
            assert rebuilt(library) == found
