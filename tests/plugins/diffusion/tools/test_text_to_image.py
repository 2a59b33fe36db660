"""Text to image with real pipelines."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from plugins.diffusion import studio_tools
from plugins.diffusion.tools.text_to_image import TextToImage
from studio import api, testing


def generate(ctx: testing.FakeContext | None = None, **values: Any) -> np.ndarray:
    (picture,) = testing.results(testing.run(TextToImage, ctx or testing.FakeContext(seed=7), **values))
    assert isinstance(picture, api.Image)
    return np.asarray(picture.picture)


def test_plugin_follows_the_conventions() -> None:
    testing.check_plugin(studio_tools())
    testing.check_light_import("plugins.diffusion", [Path()])


def test_tool_can_be_cancelled_and_is_deterministic(sd: Path) -> None:
    testing.check_tool(TextToImage, {"prompt": "a red apple", "model": str(sd), "steps": 3})


def test_every_step_emits_progress_and_previews(sd: Path) -> None:
    ctx = testing.FakeContext(seed=1)
    picture = generate(ctx, prompt="a fox", model=str(sd), steps=4)
    assert picture.shape == (32, 32, 3)
    shares = [event.step for event in ctx.events if isinstance(event, api.Progress)]
    assert shares == sorted(shares)
    assert shares[-1] == 1
    assert [event for event in ctx.events if isinstance(event, api.Preview)]


def test_size_follows_aspect_ratio_width_and_height(sd: Path) -> None:
    assert generate(model=str(sd), steps=1, shape="4:3").shape == (24, 40, 3)
    assert generate(model=str(sd), steps=1, width=48).shape == (48, 48, 3)
    assert generate(model=str(sd), steps=1, width=64, height=16).shape == (16, 64, 3)


def test_unsupported_size_is_refused_with_the_nearest_sizes(sd: Path) -> None:
    with pytest.raises(api.BadInput, match=r"multiples of 8 px.*Use 32 × 32 or 40 × 32"):
        generate(model=str(sd), width=33, height=32)


def test_prompts_and_guidance_change_the_image(sd: Path) -> None:
    values: dict[str, Any] = {"model": str(sd), "steps": 2}
    apple = generate(prompt="apple", guidance=9, **values)
    assert (apple != generate(prompt="", **values)).any()
    assert (apple != generate(prompt="apple", guidance=2, **values)).any()
    assert (apple != generate(prompt="apple", guidance=9, negative_prompt="red", **values)).any()
