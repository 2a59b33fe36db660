"""Saves or marks creations until it is killed, for `test_kills`. Each line of standard input starts a child.

The child prints its process id, and then a line after each step.
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


def print_line(text: object) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def save_results(turn: int) -> None:
    home = Home.default()
    for count in itertools.count():
        seed = turn * 1_000_000 + count
        recipe = factories.make_recipe(f"turn {turn} number {count}", seed=seed)
        match count % 5:
            case 0:
                path = writer.save_image(home, factories.make_picture(seed), recipe)
            case 1:
                path = writer.save_image(home, factories.make_picture(seed), recipe, format="jpeg")
            case 2:
                path = writer.save_text(home, "words " * 2_000, recipe)
            case 3:
                long = factories.make_recipe("word " * 20_000, seed=seed)
                path = writer.save_image(home, factories.make_picture(seed), long, format="jpeg")
            case _:
                frames = factories.make_frames(4)
                format = "webp" if turn % 2 else "mp4"
                path = writer.save_animation(home, frames, recipe, fps=9, loop=True, format=format)
        print_line(path)


def change_marks(turn: int) -> None:
    library = Library(Home.default())
    library.open()
    rng = random.Random(turn)
    ids = sorted([*library.find_ids(), *library.find_ids(trashed=True)])
    for count in itertools.count():
        id = rng.choice(ids)
        match rng.randrange(5):
            case 0:
                library.star(id, rng.random() < 0.5)
            case 1:
                library.tag(id, [f"turn{turn}", f"count{count}"])
            case 2:
                library.trash([id])
            case 3:
                library.restore([id])
            case _:
                library.rate(id, rng.randrange(6))
        creation = library.get_many([id])[0]
        state = [int(creation.star), creation.rating, ",".join(creation.tags), int(creation.trashed)]
        print_line("|".join(map(str, [id, *state])))


def main() -> None:
    PIL.Image.init()
    work = {"save": save_results, "mark": change_marks}[sys.argv[1]]
    for line in sys.stdin:
        child = os.fork()
        if not child:
            print_line(os.getpid())
            try:
                work(int(line))
            finally:
                os._exit(9)
        os.waitpid(child, 0)
        print_line("gone")


if __name__ == "__main__":
    assert Path("studio").is_dir()
    main()
