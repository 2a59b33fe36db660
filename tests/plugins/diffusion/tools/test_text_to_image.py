"""From words to pictures, with real pipelines."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from plugins.diffusion import studio_tools
from plugins.diffusion.tools.text_to_image import TextToImage
from studio import api, testing


def paint(ctx: testing.FakeContext | None = None, **values: Any) -> np.ndarray:
    (picture,) = testing.results(testing.run(TextToImage, ctx or testing.FakeContext(seed=7), **values))
    assert isinstance(picture, api.Image)
    return np.asarray(picture.picture)


def test_the_tools_keep_the_rules() -> None:
    testing.check_plugin(studio_tools())
    testing.check_light_import("plugins.diffusion", [Path()])


def test_it_can_be_cancelled_and_repeats_itself(sd: Path) -> None:
    testing.check_tool(TextToImage, {"prompt": "a red apple", "model": str(sd), "steps": 3})


def test_every_step_shows_how_far_it_is_and_how_it_looks(sd: Path) -> None:
    ctx = testing.FakeContext(seed=1)
    picture = paint(ctx, prompt="a fox", model=str(sd), steps=4)
    assert picture.shape == (32, 32, 3)
    shares = [event.step for event in ctx.events if isinstance(event, api.Progress)]
    assert shares == sorted(shares)
    assert shares[-1] == 1
    assert [event for event in ctx.events if isinstance(event, api.Preview)]


def test_sizes_follow_the_shape_and_the_words_of_the_artist(sd: Path) -> None:
    assert paint(model=str(sd), steps=1, shape="4:3").shape == (24, 40, 3)
    assert paint(model=str(sd), steps=1, width=48).shape == (48, 48, 3)
    assert paint(model=str(sd), steps=1, width=64, height=16).shape == (16, 64, 3)


def test_a_size_between_two_is_refused_with_both(sd: Path) -> None:
    with pytest.raises(api.BadInput, match=r"multiples of 8 px.*Use 32 × 32 or 40 × 32"):
        paint(model=str(sd), width=33, height=32)


def test_words_and_guidance_matter_and_an_empty_prompt_works(sd: Path) -> None:
    values = {"model": str(sd), "steps": 2}
    apple = paint(prompt="apple", guidance=9, **values)
    assert (apple != paint(prompt="", **values)).any()
    assert (apple != paint(prompt="apple", guidance=2, **values)).any()
    assert (apple != paint(prompt="apple", guidance=9, negative_prompt="red", **values)).any()
