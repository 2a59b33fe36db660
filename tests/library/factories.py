"""Recipes, images and texts for the tests of the library."""

from __future__ import annotations

import random
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from PIL.Image import Image

from studio.core.recipe import PluginRef, Recipe

HOSTILE_WORDS = (
    "plain words",
    "Umlaute äöüß, 猫の絵, עברית, 🙂🎨",
    'quotes " and \\ backslashes, a: b, c: d',
    "<script>alert(1)</script> & ]]> <!ENTITY x> <studio:recipe>no</studio:recipe>",
    "line one\nline two\r\nSteps: 1, Seed: 2, CFG scale: 3",
    "tab\tbell\x07 escape\x1b delete\x7f",
    "\ufffe\uffff noncharacters \U0010ffff",
    "{{ 7 * 7 }} ${HOME} `ls` %s %(x)s {0} __import__('os')",
    "---\ntitle: no\n---\n",
    "; # = \\ metadata of ffmpeg\\\n;FFMETADATA1",
)


def make_recipe(
    prompt: str = "a red fox in snow", *, seed: int = 5, tool: str = "diffusion.paint", **params: object
) -> Recipe:
    defaults = {"prompt": prompt, "negative_prompt": "blurry", "steps": 20, "guidance": 7.5, "model": "starter"}
    return Recipe(tool=tool, plugin=PluginRef("diffusion", "1.0"), params={**defaults, **params}, seed=seed)


def make_picture(seed: int = 0, size: tuple[int, int] = (48, 32), channels: int = 3) -> NDArray[np.uint8]:
    """Make noise of shape [height, width, channels] for a size of (width, height)."""
    return np.random.default_rng(seed).integers(0, 256, (size[1], size[0], channels), np.uint8)


def make_frames(count: int = 5, size: tuple[int, int] = (48, 32)) -> Iterator[NDArray[np.uint8]]:
    for number in range(count):
        frame = np.full((size[1], size[0], 3), 40, np.uint8)
        frame[:, : number * 4 + 4] = (200, 80, 30)
        yield frame


def make_text(rng: random.Random) -> str:
    """Make a random text of characters from many scripts."""
    kinds = ("abc XYZ 123", ",:;\"'\\=#", "\n\r\t ", "äöü猫の🙂\ufeff\ufffe", "<>&{}[]()", "\x00\x01\x1f\x7f")
    return "".join(rng.choice(rng.choice(kinds)) for _ in range(rng.randrange(0, 60)))


def count_frames(image: Image) -> int:
    return int(getattr(image, "n_frames", 1))
