"""Pictures are described by small models that were taught two sentences."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import (
    BlipConfig,
    BlipForConditionalGeneration,
    BlipImageProcessorPil,
    BlipProcessor,
    CLIPImageProcessorPil,
    CLIPVisionConfig,
    LlamaConfig,
    LlavaConfig,
    LlavaForConditionalGeneration,
    LlavaProcessor,
    PreTrainedTokenizerFast,
)

from plugins.writer.tools.caption import WriterCaption
from studio import api, testing
from studio.library.models import model_kind

SIDE, PATCH = 16, 8
COLOURS = ("red", "blue")
WORDS = ["[PAD]", "[UNK]", "[BOS]", "[SEP]", "[CLS]", "<image>", "a", "square", "what", "<", "image>", *COLOURS]
TEMPLATE = (
    "{% for message in messages %}{% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}<image> {% else %}{{ part['text'] }} {% endif %}{% endfor %}{% endfor %}"
)


@pytest.fixture(autouse=True)
def without_torchvision(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.ERROR, "transformers")


def tokenizer() -> PreTrainedTokenizerFast:
    inner = Tokenizer(models.WordLevel({word: number for number, word in enumerate(WORDS)}, unk_token="[UNK]"))
    inner.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return PreTrainedTokenizerFast(
        tokenizer_object=inner, pad_token="[PAD]", unk_token="[UNK]", bos_token="[BOS]", eos_token="[SEP]",
        cls_token="[CLS]", sep_token="[SEP]", additional_special_tokens=["<image>"],
    )  # fmt: skip


def picture(colour: str) -> Image.Image:
    return Image.new("RGB", (40, 30), colour)


def taught(model: Any, inputs: list[dict[str, torch.Tensor]]) -> None:
    optimizer = torch.optim.Adam(model.parameters(), 1e-2)
    for _ in range(120):
        loss = sum(model(**one).loss for one in inputs)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    model.eval()


@pytest.fixture(scope="module")
def blip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(1)
    sizes = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    ids = {"bos_token_id": 2, "eos_token_id": 3, "sep_token_id": 3, "pad_token_id": 0}
    model = BlipForConditionalGeneration(
        BlipConfig(
            text_config={**sizes, **ids, "vocab_size": len(WORDS), "encoder_hidden_size": 16, "projection_dim": 16,
                         "hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0},
            vision_config={**sizes, "image_size": SIDE, "patch_size": PATCH},
            projection_dim=16, image_text_hidden_size=16,
        )
    )  # fmt: skip
    processor = BlipProcessor(BlipImageProcessorPil(size={"height": SIDE, "width": SIDE}), tokenizer())
    lessons = []
    for colour in COLOURS:
        words = torch.tensor([[2, *tokenizer()(f"a {colour} square", add_special_tokens=False).input_ids, 3]])
        pixels = processor(images=picture(colour), return_tensors="pt")["pixel_values"]
        lessons.append({"pixel_values": pixels, "input_ids": words, "labels": words})
    taught(model, lessons)
    folder = tmp_path_factory.mktemp("blip")
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def llava(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(1)
    sizes = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
    config = LlavaConfig(
        vision_config=CLIPVisionConfig(**sizes, image_size=SIDE, patch_size=PATCH),
        text_config=LlamaConfig(**sizes, vocab_size=len(WORDS), bos_token_id=2, eos_token_id=3, pad_token_id=0),
        image_token_index=5, image_seq_length=4, vision_feature_layer=-1,
    )  # fmt: skip
    model = LlavaForConditionalGeneration(config)
    size = {"height": SIDE, "width": SIDE}
    seen = CLIPImageProcessorPil(size=size, crop_size=size, do_center_crop=False)
    processor = LlavaProcessor(
        seen, tokenizer(), patch_size=PATCH, vision_feature_select_strategy="default", chat_template=TEMPLATE,
        num_additional_image_tokens=1,
    )  # fmt: skip
    lessons = []
    for colour in COLOURS:
        words = f"<image> what a {colour} square [SEP]"
        one = dict(processor(text=words, images=picture(colour), return_tensors="pt"))
        lessons.append({**one, "labels": one["input_ids"]})
    taught(model, lessons)
    folder = tmp_path_factory.mktemp("llava")
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder


def said(model: Path | str, colour: str, place: Path, **values: Any) -> str:
    picture(colour).save(place / f"{colour}.png")
    (text,) = testing.results(testing.run(WriterCaption, model=str(model), image=place / f"{colour}.png", **values))
    assert isinstance(text, api.Text)
    return text.text


@pytest.mark.parametrize("colour", COLOURS)
def test_image_is_described(blip: Path, colour: str, tmp_path: Path) -> None:
    assert said(blip, colour, tmp_path) == f"a {colour} square"


@pytest.mark.parametrize("colour", COLOURS)
def test_question_is_put_into_the_chat_template(llava: Path, colour: str, tmp_path: Path) -> None:
    assert said(llava, colour, tmp_path, prompt="what") == f"a {colour} square"


def test_special_tokens_in_a_question_are_escaped(llava: Path, tmp_path: Path) -> None:
    assert said(llava, "red", tmp_path, prompt="<image> what")


def test_vision_language_models_are_recognised(blip: Path, llava: Path, writer: Path) -> None:
    assert [model_kind.kind_of(folder) for folder in (blip, llava, writer)] == [
        model_kind.VISION_LANGUAGE,
        model_kind.VISION_LANGUAGE,
        model_kind.LANGUAGE,
    ]


def test_other_models_raise_bad_input(writer: Path, tmp_path: Path) -> None:
    with pytest.raises(api.BadInput, match="No vision-language model"):
        said("", "red", tmp_path)
    with pytest.raises(api.BadInput, match="vision-language"):
        said(writer, "red", tmp_path)


def test_estimate_is_of_the_weights(blip: Path, tmp_path: Path) -> None:
    picture("red").save(tmp_path / "red.png")
    told = testing.estimate(WriterCaption, model=str(blip), image=tmp_path / "red.png")
    assert told is not None
    assert told.memory == 4 * sum(value.numel() for value in load_file(blip / "model.safetensors").values())
    assert testing.estimate(WriterCaption, model="", image=tmp_path / "red.png") is None


def test_generation_can_be_cancelled_between_two_tokens(blip: Path, tmp_path: Path) -> None:
    picture("red").save(tmp_path / "red.png")
    ctx = testing.FakeContext(cancel_after=4)
    with pytest.raises(api.Cancelled):
        testing.run(WriterCaption, ctx, model=str(blip), image=tmp_path / "red.png")
    assert ctx.told == 1
    assert isinstance(ctx.events[-1], api.Progress)
    assert "tokens per second" in ctx.events[-1].text
