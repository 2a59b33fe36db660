"""Run by `test_kills`: on each line of standard input a child is forked that works until it is killed.

The child says its number, then one line after each thing that it has done.
"""

from __future__ import annotations

import itertools
import os
import random
import sys
from pathlib import Path

import imageio_ffmpeg  # noqa: F401 - imported once, for all the children
import numpy  # noqa: F401
import PIL.Image

from studio.core.paths import Home
from studio.library.library import Library
from studio.library.storage import writer
from tests.library import factories


def say(what: object) -> None:
    sys.stdout.write(f"{what}\n")
    sys.stdout.flush()


def save(turn: int) -> None:
    home = Home.default()
    for count in itertools.count():
        seed = turn * 1_000_000 + count
        recipe = factories.recipe(f"turn {turn} number {count}", seed=seed)
        match count % 5:
            case 0:
                path = writer.save_image(home, factories.picture(seed), recipe)
            case 1:
                path = writer.save_image(home, factories.picture(seed), recipe, format="jpeg")
            case 2:
                path = writer.save_text(home, "words " * 2_000, recipe)
            case 3:
                long = factories.recipe("word " * 20_000, seed=seed)
                path = writer.save_image(home, factories.picture(seed), long, format="jpeg")
            case _:
                frames = factories.frames(4)
                format = "webp" if turn % 2 else "mp4"
                path = writer.save_animation(home, frames, recipe, fps=9, loop=True, format=format)
        say(path)


def mark(turn: int) -> None:
    library = Library(Home.default())
    library.open()
    chance = random.Random(turn)
    ids = sorted([*library.find_ids(), *library.find_ids(trashed=True)])
    for count in itertools.count():
        one = chance.choice(ids)
        match chance.randrange(5):
            case 0:
                library.star(one, chance.random() < 0.5)
            case 1:
                library.tag(one, [f"turn{turn}", f"count{count}"])
            case 2:
                library.trash([one])
            case 3:
                library.restore([one])
            case _:
                library.rate(one, chance.randrange(6))
        creation = library.get_many([one])[0]
        state = [int(creation.star), creation.rating, ",".join(creation.tags), int(creation.trashed)]
        say("|".join(map(str, [one, *state])))


def main() -> None:
    PIL.Image.init()
    work = {"save": save, "mark": mark}[sys.argv[1]]
    for line in sys.stdin:
        child = os.fork()
        if not child:
            say(os.getpid())
            try:
                work(int(line))
            finally:
                os._exit(9)
        os.waitpid(child, 0)
        say("gone")


if __name__ == "__main__":
    assert Path("studio").is_dir()
    main()
