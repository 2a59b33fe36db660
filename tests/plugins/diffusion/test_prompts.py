"""Words that weigh, thoughts of their own, and prompts longer than the encoder's window."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from plugins.diffusion.paint import Paint
from studio import api, testing

FAMILIES = ("stable-diffusion", "stable-diffusion-xl")


def paint(model: Path, prompt: str, **values: Any) -> np.ndarray:
    (made,) = testing.results(
        testing.run(Paint, testing.FakeContext(seed=1), model=str(model), prompt=prompt, **values)
    )
    assert isinstance(made, api.Image)
    return np.asarray(made.picture)


@pytest.mark.parametrize("family", FAMILIES)
def test_weights_breaks_and_length_matter(family: str, tiny_model: Callable[[str], Path]) -> None:
    values = {"steps": 1, "guidance": 20}
    prompts = ("red fox", "(red:1.8) fox", "[red] fox", "red BREAK fox", "red fox " * 40, "red fox " * 40 + "hill")
    pictures = [paint(tiny_model(family), prompt, **values) for prompt in prompts]
    assert len({picture.tobytes() for picture in pictures}) == len(prompts)


def test_a_negative_prompt_weighs_too(sd: Path) -> None:
    values = {"steps": 1, "guidance": 20}
    plain, weighed = (paint(sd, "fox", negative_prompt=negative, **values) for negative in ("grey", "(grey:1.9)"))
    assert (plain != weighed).any()


def test_ten_thousand_words_are_painted(sd: Path) -> None:
    assert paint(sd, "fox " * 10_000, steps=1).shape == (32, 32, 3)


def test_a_family_that_does_not_weigh_says_so(tiny_model: Callable[[str], Path]) -> None:
    ctx = testing.FakeContext()
    testing.run(Paint, ctx, model=str(tiny_model("sana")), prompt="a (red:1.3) fox", steps=1, width=32, height=32)
    assert any(isinstance(event, api.Notice) and "does not weigh" in event.text for event in ctx.events)


@pytest.mark.parametrize(("prompt", "layers"), [("fox", 2), ("(fox:1.2)", 1)])
def test_clip_skip(sd: Path, prompt: str, layers: int) -> None:
    assert (paint(sd, prompt, steps=1) != paint(sd, prompt, steps=1, clip_skip=layers)).any()


def test_clip_skip_where_there_is_none_is_a_sentence(tiny_model: Callable[[str], Path]) -> None:
    with pytest.raises(api.BadInput, match="no clip skip"):
        paint(tiny_model("flux"), "fox", steps=1, clip_skip=1)
