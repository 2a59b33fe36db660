"""`plugins new NAME`: a plugin that works, with its test, to start from."""

from __future__ import annotations

import argparse
import importlib.util
import keyword
import re

from studio.cli.app_context import opened
from studio.cli.console import Console
from studio.core import paths
from studio.core.errors import BadInput
from studio.core.files import write_bytes_atomically

_PLUGIN = '''"""{title}: what this plugin is for, in one line."""

from collections.abc import Iterator

from studio import api


class {cls}(api.Tool):
    """Bands of colour that run into each other."""

    id = "{name}.bands"
    title = "{title}"

    class Params(api.Params):
        bands: api.Count = 4
        """How many colours there are."""
        softness: api.Unit = 0.5
        """How far they run into each other."""
        size: int = api.param(256, ge=16, le=4096, unit="px")
        """Width and height."""

    def run(self, params: Params, ctx: api.Context) -> Iterator[api.Event]:
        import numpy as np  # what is heavy is imported here, never above

        chance = np.random.default_rng(ctx.seed)
        colours = chance.random((params.bands, 3))
        place = np.linspace(0, params.bands - 1, params.size)
        step = np.floor(place)
        blend = np.clip((place - step - 0.5) / max(params.softness, 1e-6) + 0.5, 0, 1)[:, None]
        after = np.minimum(step + 1, params.bands - 1)
        row = colours[step.astype(int)] * (1 - blend) + colours[after.astype(int)] * blend
        picture = np.empty((params.size, params.size, 3))
        for line in range(params.size):
            picture[line] = row
            if line % 64 == 63:
                yield api.Progress(line + 1, params.size)
                yield api.Preview(picture[: line + 1])
        yield api.Image(picture)


@api.hookimpl
def studio_tools() -> list[type[api.Tool]]:
    return [{cls}]
'''

_TEST = '''"""Run with `python -m pytest` and this file's path."""

from {name} import {cls}, studio_tools

from studio import testing


def test_keeps_the_rules():
    testing.check_plugin(studio_tools())


def test_stops_when_asked_and_repeats_itself():
    testing.check_tool({cls}, {{"size": 128}})


def test_makes_one_picture():
    (image,) = testing.results(testing.run({cls}, size=64))
    assert image.picture.shape == (64, 64, 3)
'''


def new(options: argparse.Namespace, console: Console) -> int:
    """Raises BadInput for a name that no plugin can have, or that is taken."""
    name = options.name
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name) or keyword.iskeyword(name):
        raise BadInput(f"{name} cannot be a plugin's name.", "Use lower-case letters, digits and _, such as night_sky.")
    with opened(options) as place:
        folder = place.home.plugins / name
        bundled = paths.bundled_plugins() / name
        if folder.exists() or folder.with_suffix(".py").exists() or bundled.exists():
            raise BadInput(f"There is already a plugin named {name}.", "Choose another name.")
        if importlib.util.find_spec(name) is not None:
            raise BadInput(f"{name} is the name of a Python module.", "Choose another name.")
    words = {"name": name, "title": name.replace("_", " ").capitalize(), "cls": name.title().replace("_", "")}
    test = folder / f"test_{name}.py"
    write_bytes_atomically(test, _TEST.format(**words).encode())
    write_bytes_atomically(folder / "__init__.py", _PLUGIN.format(**words).encode())
    console.emit({"name": name, "path": str(folder), "test": str(test)})
    console.say(f"{folder} is a plugin that works. Change it, and see it with `studio run {name}.bands`.")
    console.say(f"Its test: python -m pytest {test}")
    return 0
