"""Images are described by tiny models that learnt two sentences."""

from __future__ import annotations

import logging
from pathlib import Path

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
    PreTrainedModel,
    PreTrainedTokenizerFast,
)

from plugins.writer.tools.caption import WriterCaption
from studio import api, testing
from studio.library.models import model_kind
from tests.plugins.writer.conftest import run_estimate, run_text

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


def solid_image(colour: str) -> Image.Image:
    return Image.new("RGB", (40, 30), colour)


def train(model: PreTrainedModel, inputs: list[dict[str, torch.Tensor]]) -> None:
    optimizer = torch.optim.Adam(model.parameters(), 1e-2)
    for _ in range(120):
        loss = sum(model(**sample).loss for sample in inputs)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    model.eval()


@pytest.fixture(scope="module")
def blip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(1)
    shape = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    ids = {"bos_token_id": 2, "eos_token_id": 3, "sep_token_id": 3, "pad_token_id": 0}
    model = BlipForConditionalGeneration(
        BlipConfig(
            text_config={**shape, **ids, "vocab_size": len(WORDS), "encoder_hidden_size": 16, "projection_dim": 16,
                         "hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0},
            vision_config={**shape, "image_size": SIDE, "patch_size": PATCH},
            projection_dim=16, image_text_hidden_size=16,
        )
    )  # fmt: skip
    processor = BlipProcessor(BlipImageProcessorPil(size={"height": SIDE, "width": SIDE}), tokenizer())
    samples = []
    for colour in COLOURS:
        words = torch.tensor([[2, *tokenizer()(f"a {colour} square", add_special_tokens=False).input_ids, 3]])
        pixels = processor(images=solid_image(colour), return_tensors="pt")["pixel_values"]
        samples.append({"pixel_values": pixels, "input_ids": words, "labels": words})
    train(model, samples)
    folder = tmp_path_factory.mktemp("blip")
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def llava(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(1)
    shape = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
    config = LlavaConfig(
        vision_config=CLIPVisionConfig(**shape, image_size=SIDE, patch_size=PATCH),
        text_config=LlamaConfig(**shape, vocab_size=len(WORDS), bos_token_id=2, eos_token_id=3, pad_token_id=0),
        image_token_index=5, image_seq_length=4, vision_feature_layer=-1,
    )  # fmt: skip
    model = LlavaForConditionalGeneration(config)
    size = {"height": SIDE, "width": SIDE}
    image_processor = CLIPImageProcessorPil(size=size, crop_size=size, do_center_crop=False)
    processor = LlavaProcessor(
        image_processor, tokenizer(), patch_size=PATCH, vision_feature_select_strategy="default",
        chat_template=TEMPLATE, num_additional_image_tokens=1,
    )  # fmt: skip
    samples = []
    for colour in COLOURS:
        words = f"<image> what a {colour} square [SEP]"
        sample = dict(processor(text=words, images=solid_image(colour), return_tensors="pt"))
        samples.append({**sample, "labels": sample["input_ids"]})
    train(model, samples)
    folder = tmp_path_factory.mktemp("llava")
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder


def describe(model: Path | str, colour: str, folder: Path, **values: object) -> str:
    solid_image(colour).save(folder / f"{colour}.png")
    return run_text(WriterCaption, model=str(model), image=folder / f"{colour}.png", **values).text


@pytest.mark.parametrize("colour", COLOURS)
def test_image_is_described(blip: Path, colour: str, tmp_path: Path) -> None:
    assert describe(blip, colour, tmp_path) == f"a {colour} square"


@pytest.mark.parametrize("colour", COLOURS)
def test_question_is_put_into_the_chat_template(llava: Path, colour: str, tmp_path: Path) -> None:
    assert describe(llava, colour, tmp_path, prompt="what") == f"a {colour} square"


def test_special_tokens_in_a_question_are_escaped(llava: Path, tmp_path: Path) -> None:
    assert describe(llava, "red", tmp_path, prompt="<image> what")


def test_vision_language_models_are_recognised(blip: Path, llava: Path, causal_model: Path) -> None:
    assert [model_kind.kind_of(folder) for folder in (blip, llava, causal_model)] == [
        model_kind.VISION_LANGUAGE,
        model_kind.VISION_LANGUAGE,
        model_kind.LANGUAGE,
    ]


def test_other_models_raise_bad_input(causal_model: Path, tmp_path: Path) -> None:
    with pytest.raises(api.BadInput, match="No vision-language model"):
        describe("", "red", tmp_path)
    with pytest.raises(api.BadInput, match="vision-language"):
        describe(causal_model, "red", tmp_path)


def test_estimate_is_of_the_weights(blip: Path, tmp_path: Path) -> None:
    solid_image("red").save(tmp_path / "red.png")
    estimate = run_estimate(WriterCaption, model=str(blip), image=tmp_path / "red.png")
    assert estimate.memory == 4 * sum(value.numel() for value in load_file(blip / "model.safetensors").values())
    assert testing.estimate(WriterCaption, model="", image=tmp_path / "red.png") is None


def test_generation_can_be_cancelled_between_two_tokens(blip: Path, tmp_path: Path) -> None:
    solid_image("red").save(tmp_path / "red.png")
    ctx = testing.FakeContext(cancel_after=4)
    with pytest.raises(api.Cancelled):
        testing.run(WriterCaption, ctx, model=str(blip), image=tmp_path / "red.png")
    assert ctx.cancellations == 1
    assert isinstance(ctx.events[-1], api.Progress)
    assert "tokens per second" in ctx.events[-1].text
