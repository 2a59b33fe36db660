"""`plugins new NAME`: write a working plugin with its test, as a start."""

from __future__ import annotations

import argparse
import importlib.util
import keyword
import re

from studio.cli.app_context import open_app
from studio.cli.console import Console
from studio.core import paths
from studio.core.errors import BadInput
from studio.core.files import write_bytes_atomically

_PLUGIN = '''"""{title}: describe the plugin in one line."""

from collections.abc import Iterator

from studio import api


class {cls}(api.Tool):
    """Generates bands of colour that blend into each other."""

    id = "{name}.bands"
    title = "{title}"

    class Params(api.Params):
        bands: api.Count = 4
        """Number of colours."""
        softness: api.Unit = 0.5
        """Higher values blend the bands further."""
        size: int = api.param(256, ge=16, le=4096, unit="px")
        """Width and height."""

    def run(self, params: Params, ctx: api.Context) -> Iterator[api.Event]:
        import numpy as np  # import heavy modules here, never at the top of the file

        colours = np.random.default_rng(ctx.seed).random((params.bands, 3))
        position = np.linspace(0, params.bands - 1, params.size)
        band = np.floor(position)
        blend = np.clip((position - band - 0.5) / max(params.softness, 1e-6) + 0.5, 0, 1)[:, None]
        next_band = np.minimum(band + 1, params.bands - 1)
        row = colours[band.astype(int)] * (1 - blend) + colours[next_band.astype(int)] * blend
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

_TEST = '''"""Run this file with `python -m pytest`."""

from {name} import {cls}, studio_tools

from studio import testing


def test_the_plugin_follows_the_rules():
    testing.check_plugin(studio_tools())


def test_the_tool_can_be_cancelled_and_repeated():
    testing.check_tool({cls}, {{"size": 128}})


def test_the_tool_makes_one_picture():
    (image,) = testing.results(testing.run({cls}, size=64))
    assert image.picture.shape == (64, 64, 3)
'''


def new(options: argparse.Namespace, console: Console) -> int:
    """Write a new plugin. Raises BadInput for a name that is invalid or taken."""
    name = options.name
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name) or keyword.iskeyword(name):
        raise BadInput(
            f"{name} is not a valid plugin name.", "Use lower-case letters, digits and _, such as night_sky."
        )
    with open_app(options, console) as app:
        folder = app.home.plugins / name
        bundled = paths.bundled_plugins_folder() / name
        if folder.exists() or folder.with_suffix(".py").exists() or bundled.exists():
            raise BadInput(f"There is already a plugin named {name}.", "Choose another name.")
        if importlib.util.find_spec(name) is not None:
            raise BadInput(f"{name} is the name of a Python module.", "Choose another name.")
    words = {"name": name, "title": name.replace("_", " ").capitalize(), "cls": name.title().replace("_", "")}
    test = folder / f"test_{name}.py"
    write_bytes_atomically(test, _TEST.format(**words).encode())
    write_bytes_atomically(folder / "__init__.py", _PLUGIN.format(**words).encode())
    console.emit({"name": name, "path": str(folder), "test": str(test)})
    console.print_line(f"Created a working plugin in {folder}. Edit it, and run it with `studio run {name}.bands`.")
    console.print_line(f"Test it with: python -m pytest {test}")
    return 0
