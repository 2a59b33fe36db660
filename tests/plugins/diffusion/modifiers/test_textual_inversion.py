"""Textual inversions change an image where they are named, and leave the model unchanged."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from plugins.diffusion.checkpoints.families import Task
from plugins.diffusion.models import loader
from plugins.diffusion.modifiers import textual_inversion
from plugins.diffusion.tools.text_to_image import TextToImage
from studio import api, testing

FAMILIES = ("stable-diffusion", "stable-diffusion-xl")


@pytest.fixture
def ctx(tmp_path: Path) -> testing.FakeContext:
    """Return a context with textual inversions of one and of several vectors in its models folder."""
    folder = tmp_path / "models"
    folder.mkdir()
    torch.manual_seed(1)
    save_file({"emb_params": torch.randn(3, 32)}, folder / "inky.safetensors")
    save_file({"<spot>": torch.randn(32)}, folder / "spot.safetensors")
    save_file({"clip_l": torch.randn(2, 32), "clip_g": torch.randn(2, 32)}, folder / "gold-xl.safetensors")
    save_file({"emb_params": torch.randn(3, 48)}, folder / "other.safetensors")
    (folder / "old.pt").write_bytes(b"PK\x03\x04")
    return testing.FakeContext(seed=1, folder=tmp_path)


def paint(ctx: testing.FakeContext, model: Path, prompt: str = "a fox", **values: Any) -> np.ndarray:
    values = {"steps": 1, "guidance": 20, **values}
    (result,) = testing.results(testing.run(TextToImage, ctx, model=str(model), prompt=prompt, **values))
    ctx.events.clear()
    assert isinstance(result, api.Image)
    return np.asarray(result.picture)


@pytest.mark.parametrize(
    ("family", "name"), [("stable-diffusion", "inky"), ("stable-diffusion", "spot"), ("stable-diffusion-xl", "gold-xl")]
)
def test_an_inversion_changes_the_image_and_the_model_is_unchanged(
    family: str, name: str, ctx: testing.FakeContext, tiny_model: Callable[[str], Path]
) -> None:
    model = tiny_model(family)
    before = paint(ctx, model)
    base = loader.load(ctx, str(model)).base
    tokenizer, size = base.tokenizer, len(base.tokenizer)
    named = paint(ctx, model, f"a fox <embedding:{name}>")
    assert (named != before).any()
    assert (paint(ctx, model, f"a fox embedding:{name}") == named).all()
    assert (paint(ctx, model, f"a fox {name.title()}") == named).all()
    assert (paint(ctx, model, "a fox", embeddings=[f"{name}.safetensors"]) != before).any()
    assert (paint(ctx, model) == before).all()
    assert base.tokenizer is tokenizer
    assert len(tokenizer) == size


@pytest.mark.parametrize("prompt", ["a (spot:1.4) fox", "a spot fox " * 40, "[spot] BREAK fox"])
def test_an_inversion_works_in_weighted_and_long_prompts(ctx: testing.FakeContext, sd: Path, prompt: str) -> None:
    assert (paint(ctx, sd, prompt) != paint(ctx, sd, prompt.replace("spot", "dots"))).any()


def test_an_inversion_is_inserted_where_it_is_named(ctx: testing.FakeContext, sd: Path) -> None:
    plain = paint(ctx, sd, negative_prompt="grey")
    assert (paint(ctx, sd, negative_prompt="grey, inky") != plain).any()
    assert (paint(ctx, sd, negative_prompt="grey, inky", embeddings=["inky.safetensors"]) != plain).any()
    chosen = paint(ctx, sd, "a fox", embeddings=["inky.safetensors"])
    assert (chosen == paint(ctx, sd, "a fox, embedding:inky")).all()
    assert (chosen != paint(ctx, sd, "inky, a fox")).any()


def test_each_vector_replaces_a_placeholder_token(ctx: testing.FakeContext, sd: Path) -> None:
    model = loader.load(ctx, str(sd))
    pipe = model.pipeline_for(Task.TEXT_TO_IMAGE)
    params = TextToImage.Params(prompt="inky")
    with textual_inversion.apply(ctx, model, pipe, params):
        resolved = textual_inversion.resolve_prompts(ctx, model, pipe, params)
        ids = torch.tensor([pipe.tokenizer(resolved.prompt).input_ids])
        embeddings = pipe.text_encoder.get_input_embeddings()(ids)
    vectors = load_file(ctx.available_models("embedding")["inky.safetensors"])["emb_params"]
    assert torch.equal(embeddings[0, 1:-1], vectors)


def test_the_pooled_embedding_is_that_of_the_eos_token(
    ctx: testing.FakeContext, tiny_model: Callable[[str], Path]
) -> None:
    """Many configurations have 2 as the eos token, for which transformers takes the highest token instead."""
    model = loader.load(ctx, str(tiny_model("stable-diffusion-xl")))
    pipe = model.pipeline_for(Task.TEXT_TO_IMAGE)
    encoder = pipe.text_encoder_2
    params = TextToImage.Params(prompt="gold-xl fox")

    def encode_pooled() -> torch.Tensor:
        with textual_inversion.apply(ctx, model, pipe, params), torch.inference_mode():
            resolved = textual_inversion.resolve_prompts(ctx, model, pipe, params)
            embeds: torch.Tensor = encoder(torch.tensor([pipe.tokenizer_2(resolved.prompt).input_ids])).text_embeds
            return embeds

    expected, own_eos = encode_pooled(), encoder.text_model.eos_token_id
    encoder.text_model.eos_token_id = 2
    try:
        assert torch.equal(encode_pooled(), expected)
        assert encoder.text_model.eos_token_id == 2
    finally:
        encoder.text_model.eos_token_id = own_eos


@pytest.mark.parametrize(
    ("family", "values", "sentence"),
    [
        ("stable-diffusion", {"prompt": "embedding:other"}, r"other.* is made for .*48 numbers.* is .*32 numbers"),
        ("stable-diffusion", {"prompt": "embedding:gold-xl"}, r"gold-xl.* is made for .*32 and 32 numbers"),
        ("stable-diffusion-xl", {"prompt": "<embedding:inky>"}, r"inky.* is made for .*32 numbers.* 32 and 32 numbers"),
        ("stable-diffusion", {"prompt": "<embedding:old>"}, "old.pt is a pickle"),
        ("stable-diffusion", {"prompt": "embedding:missing"}, "no starter model named missing"),
        ("flux", {"embeddings": ["inky.safetensors"]}, "does not support textual inversions"),
    ],
)
def test_an_inversion_that_does_not_fit_is_refused(
    family: str, values: dict[str, Any], sentence: str, ctx: testing.FakeContext, tiny_model: Callable[[str], Path]
) -> None:
    with pytest.raises(api.BadInput, match=sentence):
        paint(ctx, tiny_model(family), width=32, height=32, **values)


def test_the_bare_name_of_an_inversion_that_does_not_fit_is_plain_text(ctx: testing.FakeContext, sd: Path) -> None:
    assert (paint(ctx, sd, "other") == paint(testing.FakeContext(seed=1), sd, "other")).all()
    assert (paint(ctx, sd, "inkyness") == paint(testing.FakeContext(seed=1), sd, "inkyness")).all()


def test_another_file_is_no_textual_inversion(ctx: testing.FakeContext, sd: Path) -> None:
    with pytest.raises(api.BadInput, match="and no textual inversion"):
        paint(ctx, sd, embeddings=[str(sd / "unet/diffusion_pytorch_model.safetensors")])


BUNDLES: dict[str, tuple[str, dict[str, tuple[int, int]]]] = {
    "kohya": ("stable-diffusion", {"string_to_param.*": (2, 32)}),
    "newer": ("stable-diffusion", {"emb_params": (1, 32)}),
    "pair": ("stable-diffusion-xl", {"clip_l": (2, 32), "clip_g": (2, 32)}),
}


def write_bundle(folder: Path, word: str, roles: dict[str, tuple[int, int]]) -> dict[str, torch.Tensor]:
    """Write `ink.safetensors`, a LoRA without effect and a textual inversion; return the vectors."""
    torch.manual_seed(3)
    stem = "lora_unet_down_blocks_1_attentions_0_transformer_blocks_0_attn1_to_k"
    layer = {f"{stem}.lora_down.weight": torch.zeros(2, 16), f"{stem}.lora_up.weight": torch.zeros(16, 2)}
    vectors = {role: torch.randn(shape) for role, shape in roles.items()}
    named = {f"bundle_emb.{word}.{role}": value for role, value in vectors.items()}
    save_file(layer | named, folder / "models" / "ink.safetensors")
    return vectors


@pytest.mark.parametrize("layout", BUNDLES)
@pytest.mark.parametrize("word", ["mychar", "my.char-2"])
def test_an_inversion_in_a_lora_works_by_its_word(
    layout: str, word: str, ctx: testing.FakeContext, tmp_path: Path, tiny_model: Callable[[str], Path]
) -> None:
    family, roles = BUNDLES[layout]
    vectors = write_bundle(tmp_path, word, roles)
    alone = vectors if len(vectors) == 2 else {"emb_params": next(iter(vectors.values()))}
    save_file(alone, tmp_path / "models" / "alone.safetensors")
    model = tiny_model(family)
    expected = paint(ctx, model, "a fox <embedding:alone>")
    assert (expected != paint(ctx, model, "a fox")).any()
    for prompt in (f"a fox {word.title()}", f"a fox <embedding:{word}>"):
        assert (paint(ctx, model, prompt, loras=["ink.safetensors"]) == expected).all()
    assert (paint(ctx, model, f"a fox {word} <lora:ink:1>") == expected).all()
    assert (paint(ctx, model, "a fox", loras=["ink.safetensors"]) == paint(ctx, model, "a fox")).all()


@pytest.mark.parametrize(
    ("width", "prompt", "texts"),
    [
        (32, "a mychar fox", []),
        (32, "a fox", ["ink.safetensors brings the textual inversion mychar: write mychar in the prompt to use it."]),
        (48, "a mychar fox", ["ink.safetensors also holds the textual inversion mychar, which does not fit sd and"]),
    ],
)
def test_an_inversion_in_a_lora_is_told_where_it_is_not_used(
    width: int, prompt: str, texts: list[str], ctx: testing.FakeContext, tmp_path: Path, sd: Path
) -> None:
    write_bundle(tmp_path, "mychar", {"string_to_param.*": (1, width)})
    testing.run(TextToImage, ctx, model=str(sd), prompt=prompt, loras=["ink.safetensors"], steps=1)
    told = [event.text for event in ctx.events if isinstance(event, api.Notice) and "inversion" in event.text]
    assert len(told) == len(texts)
    for text, start in zip(told, texts, strict=True):
        assert text.replace(sd.name, "sd").startswith(start)
