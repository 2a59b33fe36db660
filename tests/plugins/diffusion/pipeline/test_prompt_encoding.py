"""Words that weigh, thoughts of their own, and prompts longer than the encoder's window."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from plugins.diffusion.models import loader
from plugins.diffusion.pipeline import prompt_encoding as prompts
from plugins.diffusion.tools.text_to_image import TextToImage
from studio import api, testing

FAMILIES = ("stable-diffusion", "stable-diffusion-xl")


def paint(model: Path, prompt: str, ctx: testing.FakeContext | None = None, **values: Any) -> np.ndarray:
    ctx = ctx or testing.FakeContext(seed=1)
    (made,) = testing.results(testing.run(TextToImage, ctx, model=str(model), prompt=prompt, **values))
    ctx.events.clear()
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
    testing.run(TextToImage, ctx, model=str(tiny_model("sana")), prompt="a (red:1.3) fox", steps=1, width=32, height=32)
    assert any(
        isinstance(event, api.Notice) and "does not support prompt weights" in event.text for event in ctx.events
    )


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("prompt", ["fox", "(fox:1.2)", "fox " * 40])
def test_clip_skip_leaves_out_layers_of_any_prompt(family: str, prompt: str, tiny_model: Callable[[str], Path]) -> None:
    most = 2 if family == "stable-diffusion" else 1
    ctx, model = testing.FakeContext(), tiny_model(family)
    pictures = [paint(model, prompt, ctx, steps=1, clip_skip=layers) for layers in (*range(most + 1), 0)]
    assert (pictures[0] == pictures[-1]).all()
    assert len({picture.tobytes() for picture in pictures}) == most + 1


@pytest.mark.parametrize("family", FAMILIES)
def test_clip_skip_is_that_of_diffusers(family: str, tiny_model: Callable[[str], Path]) -> None:
    model = loader.load(testing.FakeContext(), str(tiny_model(family)))
    params = TextToImage.Params(prompt="a red fox", clip_skip=1)
    found = prompts.encode_prompts(testing.FakeContext(), model, model.base, params)["prompt_embeds"]
    wanted = model.base.encode_prompt(
        "a red fox", device="cpu", num_images_per_prompt=1, do_classifier_free_guidance=False, clip_skip=1
    )[0]
    assert torch.allclose(found, wanted, atol=1e-5)


def test_more_layers_than_there_are_cannot_be_left_out(sd: Path) -> None:
    with pytest.raises(api.BadInput, match="would skip all 3 layers"):
        paint(sd, "fox", steps=1, clip_skip=3)


def test_clip_skip_where_there_is_none_is_a_sentence(tiny_model: Callable[[str], Path]) -> None:
    with pytest.raises(api.BadInput, match="does not support clip skip"):
        paint(tiny_model("flux"), "fox", steps=1, clip_skip=1)
