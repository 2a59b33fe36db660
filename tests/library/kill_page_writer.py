"""Run by `test_manuscripts`: for each line of standard input a child is forked that writes until it is killed.

The child says its number, then how many moves are on the disk, after each time that it stored some.
"""

from __future__ import annotations

import itertools
import os
import random
import sys
from pathlib import Path

from studio.core.page.revisions import RevisionTree
from studio.library.pages.store import PageStore


def say(what: object) -> None:
    sys.stdout.write(f"{what}\n")
    sys.stdout.flush()


def write(folder: Path, turn: int) -> None:
    chance = random.Random(turn)
    file = PageStore(folder).find_newest() or PageStore(folder).create()
    page = file.load()
    for count in itertools.count():
        file.append(anything(page, chance, f"{turn}-{count}"))
        say(f"{turn}-{count}")
        if chance.random() < 0.1:
            file.snapshot(page.to_stored())


def anything(page: RevisionTree, chance: random.Random, name: str) -> list[object]:
    """Some moves; each time a word that is looked for afterwards."""
    at = chance.randint(0, len(page.text))
    match chance.randrange(4):
        case 0:
            moves = page.request_text(name, page.current, at)
            moves += page.set_generated_text(name, f"<{name}")
            return [*moves, *page.set_generated_text(name, f"<{name}> "), *page.finish_request(name)]
        case 1:
            return [*page.undo(), *page.write(0, 0, f"<{name}> ", join=False)]
        case 2:
            return [*page.write_many([(0, 0, f"<{name}> "), (at, 0, "🦊 שלום\n")])]
        case _:
            return [*page.write(at, min(9, len(page.text) - at), f"<{name}> ")]


def main() -> None:
    folder = Path(sys.argv[1])
    for line in sys.stdin:
        child = os.fork()
        if not child:
            say(os.getpid())
            try:
                write(folder, int(line))
            finally:
                os._exit(9)
        os.waitpid(child, 0)
        say("gone")


if __name__ == "__main__":
    main()
