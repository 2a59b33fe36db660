"""Recipes as JSON, and the errors for text that is no recipe."""

import pytest

from studio.core.errors import BadInput
from studio.core.recipe import ModelRef, PluginRef, Recipe, utc_now

RECIPE = Recipe(
    tool="vae.morph",
    plugin=PluginRef("vae_interpolation", "1.0"),
    params={"images": ["sha256:aa", "sha256:bb"], "prompt": "ein Füchslein 🦊\n<b>"},
    seed=41882,
    inputs={"images[0]": "sha256:aa"},
    models=[ModelRef("vae-spatial", "cc", "MIT")],
    notes={"ghosting": 0.25},
    created=utc_now(),
)


def test_a_recipe_survives_json() -> None:
    assert Recipe.from_json(RECIPE.to_json()) == RECIPE


@pytest.mark.parametrize("text", ["", "{}", "[1]", '{"tool": 3}', "\ud800", "[" * 100_000, b"\xff\xfe"])
def test_text_that_is_no_recipe_is_reported(text: str | bytes) -> None:
    with pytest.raises(BadInput, match="cannot be read"):
        Recipe.from_json(text)


def test_a_newer_recipe_is_refused() -> None:
    with pytest.raises(BadInput, match="newer version of the studio"):
        Recipe.from_json(RECIPE.to_json().replace('"format":1', '"format":2'))
