"""Prompts with weights, chunks and clip skip, and prompts longer than the text encoder reads at once."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from plugins.diffusion.models import loader
from plugins.diffusion.pipeline import prompt_encoding
from plugins.diffusion.tools.text_to_image import TextToImage
from studio import api, testing

FAMILIES = ("stable-diffusion", "stable-diffusion-xl")


def generate(model: Path, prompt: str, ctx: testing.FakeContext | None = None, **values: Any) -> np.ndarray:
    ctx = ctx or testing.FakeContext(seed=1)
    (made,) = testing.results(testing.run(TextToImage, ctx, model=str(model), prompt=prompt, **values))
    ctx.events.clear()
    assert isinstance(made, api.Image)
    return np.asarray(made.picture)


@pytest.mark.parametrize("family", FAMILIES)
def test_weights_breaks_and_length_change_the_image(family: str, tiny_model: Callable[[str], Path]) -> None:
    values: dict[str, Any] = {"steps": 1, "guidance": 20}
    prompts = ("red fox", "(red:1.8) fox", "[red] fox", "red BREAK fox", "red fox " * 40, "red fox " * 40 + "hill")
    pictures = [generate(tiny_model(family), prompt, **values) for prompt in prompts]
    assert len({picture.tobytes() for picture in pictures}) == len(prompts)


def test_negative_prompt_has_weights_too(sd: Path) -> None:
    values: dict[str, Any] = {"steps": 1, "guidance": 20}
    plain, weighted = (generate(sd, "fox", negative_prompt=negative, **values) for negative in ("grey", "(grey:1.9)"))
    assert (plain != weighted).any()


def test_prompt_may_have_ten_thousand_words(sd: Path) -> None:
    assert generate(sd, "fox " * 10_000, steps=1).shape == (32, 32, 3)


def test_family_without_prompt_weights_emits_a_notice(tiny_model: Callable[[str], Path]) -> None:
    ctx = testing.FakeContext()
    testing.run(TextToImage, ctx, model=str(tiny_model("sana")), prompt="a (red:1.3) fox", steps=1, width=32, height=32)
    assert any(
        isinstance(event, api.Notice) and "does not support prompt weights" in event.text for event in ctx.events
    )


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("prompt", ["fox", "(fox:1.2)", "fox " * 40])
def test_clip_skip_works_with_any_prompt(family: str, prompt: str, tiny_model: Callable[[str], Path]) -> None:
    limit = 2 if family == "stable-diffusion" else 1
    ctx, model = testing.FakeContext(), tiny_model(family)
    pictures = [generate(model, prompt, ctx, steps=1, clip_skip=layers) for layers in (*range(limit + 1), 0)]
    assert (pictures[0] == pictures[-1]).all()
    assert len({picture.tobytes() for picture in pictures}) == limit + 1


@pytest.mark.parametrize("family", FAMILIES)
def test_clip_skip_agrees_with_diffusers(family: str, tiny_model: Callable[[str], Path]) -> None:
    model = loader.load(testing.FakeContext(), str(tiny_model(family)))
    params = TextToImage.Params(prompt="a red fox", clip_skip=1)
    embeds = prompt_encoding.encode_prompts(testing.FakeContext(), model, model.base, params)["prompt_embeds"]
    expected = model.base.encode_prompt(
        "a red fox", device="cpu", num_images_per_prompt=1, do_classifier_free_guidance=False, clip_skip=1
    )[0]
    assert torch.allclose(embeds, expected, atol=1e-5)


def test_clip_skip_of_all_layers_is_refused(sd: Path) -> None:
    with pytest.raises(api.BadInput, match="would skip all 3 layers"):
        generate(sd, "fox", steps=1, clip_skip=3)


def test_clip_skip_is_refused_by_families_without_it(tiny_model: Callable[[str], Path]) -> None:
    with pytest.raises(api.BadInput, match="does not support clip skip"):
        generate(tiny_model("flux"), "fox", steps=1, clip_skip=1)
