"""Parameters in the format of AUTOMATIC1111 are formatted and parsed."""

from __future__ import annotations

import random

import pytest

from studio.library.foreign import a1111
from tests.library import factories

REAL = """masterpiece, a cat
sitting on a wall
Negative prompt: dog, (bad:1.2)
blurry
Steps: 20, Sampler: DPM++ 2M, CFG scale: 7, Seed: 965400086, Size: 512x768, Model hash: 6ce0161689, \
Model: v1-5, Lora hashes: "a: 1b2c, b: 3d4e", Version: v1.9.3"""


def test_parameters_of_the_web_ui() -> None:
    found = a1111.parse(REAL)
    assert found.prompt == "masterpiece, a cat\nsitting on a wall"
    assert found.negative_prompt == "dog, (bad:1.2)\nblurry"
    assert found.settings["Sampler"] == "DPM++ 2M"
    assert found.settings["Size"] == "512x768"
    assert found.settings["Lora hashes"] == "a: 1b2c, b: 3d4e"


def test_a_last_line_with_two_pairs_belongs_to_the_prompt() -> None:
    found = a1111.parse("a poem\nTime: now, Place: here")
    assert (found.prompt, found.settings) == ("a poem\nTime: now, Place: here", {})


def test_a_prompt_that_looks_like_settings_stays_a_prompt() -> None:
    recipe = factories.make_recipe("fox\nSteps: 1, Seed: 2, CFG scale: 3, Size: 1x1")
    found = a1111.parse(a1111.format_recipe(recipe, (512, 512)))
    assert found.prompt == recipe.params["prompt"]
    assert found.settings["Seed"] == "5"


def test_a_recipe_without_a_prompt_has_a_valid_last_line() -> None:
    recipe = factories.make_recipe("", negative_prompt="", tool="vae.morph")
    found = a1111.parse(a1111.format_recipe(recipe))
    assert found.prompt == ""
    assert found.settings["Tool"] == "vae.morph"


@pytest.mark.parametrize("tool", ["diffusion.repaint", "diffusion.inpaint", "diffusion.upscale"])
def test_image_to_image_writes_the_denoising_strength(tool: str) -> None:
    found = a1111.parse(a1111.format_recipe(factories.make_recipe(tool=tool, strength=0.25)))
    assert found.settings["Denoising strength"] == "0.25"


def test_the_strength_of_other_tools_is_not_written() -> None:
    assert "Denoising" not in a1111.format_recipe(factories.make_recipe(tool="echo.copy", strength=0.25))


@pytest.mark.parametrize("value", ['a, b: "c"', "two\nlines", "back\\slash", " spaces ", "猫: 絵", ""])
def test_values_that_need_quotes(value: str) -> None:
    recipe = factories.make_recipe(model=value or "x", sampler=value)
    found = a1111.parse(a1111.format_recipe(recipe))
    assert found.settings["Model"] == (value or "x")


def test_any_prompt_survives() -> None:
    chance = random.Random(5)
    for _ in range(3_000):
        prompt, negative, model = (factories.make_text(chance) for _ in range(3))
        recipe = factories.make_recipe(prompt, negative_prompt=negative, model=model or "m")
        found = a1111.parse(a1111.format_recipe(recipe, (64, 48)))
        assert found.prompt == prompt.strip()
        assert found.negative_prompt == negative.strip()
        assert found.settings["Model"] == (model or "m")
        assert found.settings["Size"] == "64x48"


@pytest.mark.parametrize(
    "text", ["", "\n", ":", ",,,,", 'a:"', 'a:"' * 50_000, "a: " * 50_000, '"\\' * 50_000, "a" * 3_000_000, "\0" * 100]
)
def test_text_without_settings_is_all_prompt(text: str) -> None:
    a1111.parse(text)
