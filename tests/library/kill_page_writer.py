"""Writes a page until it is killed, for `pages/test_store`. Each line of standard input starts a child.

The child prints its process id, and then a line after each time that it has stored edits.
"""

from __future__ import annotations

import itertools
import os
import random
import sys
from pathlib import Path

from studio.core.page.edits import Edit
from studio.core.page.revisions import RevisionTree
from studio.library.pages.store import PageStore


def print_line(text: object) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def write_edits(folder: Path, turn: int) -> None:
    rng = random.Random(turn)
    file = PageStore(folder).find_newest() or PageStore(folder).create()
    page = file.load()
    for count in itertools.count():
        file.append(make_random_edits(page, rng, f"{turn}-{count}"))
        print_line(f"{turn}-{count}")
        if rng.random() < 0.1:
            file.snapshot(page.to_stored())


def make_random_edits(page: RevisionTree, rng: random.Random, name: str) -> list[Edit]:
    """Make random edits with the word `name`, which the test looks for afterwards."""
    at = rng.randint(0, len(page.text))
    match rng.randrange(4):
        case 0:
            edits = page.request_text(name, page.current, at)
            edits += page.set_generated_text(name, f"<{name}")
            return [*edits, *page.set_generated_text(name, f"<{name}> "), *page.finish_request(name)]
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
            print_line(os.getpid())
            try:
                write_edits(folder, int(line))
            finally:
                os._exit(9)
        os.waitpid(child, 0)
        print_line("gone")


if __name__ == "__main__":
    main()
