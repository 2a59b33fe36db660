"""Describe an image, or answer a question about it, with a vision-language model."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from studio import api

from ..generation import estimate
from ..generation.template_renderer import limit_templates
from ..models import transformers_loader
from ..models.writer import find_model

if TYPE_CHECKING:
    from PIL.Image import Image
    from torch import FloatTensor, LongTensor, Tensor
    from transformers import PreTrainedModel, PreTrainedTokenizerBase, ProcessorMixin

    StoppingCriterion: TypeAlias = Callable[..., Tensor]

LARGEST_SIDE = 1536
"""Longer side of the image in px: no such model sees more, and larger images take more memory."""


class WriterCaption(api.Tool):
    """Describes an image, or answers a question about it. Needs a vision-language model such as BLIP or Qwen-VL."""

    id = "writer.caption"
    title = "Describe image"
    output = "text"
    icon = "mdi6.image-text"

    class Params(api.Params):
        image: api.ImageInput
        """The image to describe."""
        prompt: api.Prompt = api.param("", title="Question")
        """Your question about the image. Empty asks for a description. A model without a chat template continues it."""
        model: api.ModelChoice = api.param("", model="vision-language")
        length: int = api.param(80, ge=1, le=2000, title="Maximum length", unit="tokens")

    def estimate(self, params: Params, ctx: api.EstimateContext) -> api.Estimate | None:
        return estimate.estimate_weights(params.model, params.length, ctx)

    def run(self, params: Params, ctx: api.Context) -> Iterator[api.Event]:
        yield api.Progress(0, 0, "Loading the model")
        model, processor, name = _load(ctx, params.model)
        image = api.images.open_picture(params.image).convert("RGB")
        image.thumbnail((LARGEST_SIDE, LARGEST_SIDE))
        yield api.Progress(0, params.length, "Looking at the image")
        text = _describe(model, processor, image, params, ctx)
        if not text:
            raise api.StudioError(f"{name} returned an empty description.", "Ask a question about the image.")
        yield api.Preview(text)
        yield api.Text(text, params.image.stem, notes={"question": params.prompt})


def _load(ctx: api.Context, choice: str) -> tuple[PreTrainedModel, ProcessorMixin, str]:
    """Return (model, processor, name). Raises BadInput."""
    if not choice:
        raise api.BadInput(
            "No vision-language model is chosen.", "Choose one that reads images, such as BLIP or Qwen-VL."
        )
    path = find_model(ctx, choice)
    key = f"seer:{path}:{api.model_files.file_stamp(path)}:{ctx.device}"
    return ctx.models.load(key, lambda: _open(path, ctx))


def _open(path: Path, ctx: api.Context) -> tuple[PreTrainedModel, ProcessorMixin, str]:
    from transformers import AutoModelForImageTextToText, AutoProcessor

    description = "a vision-language model"
    model = transformers_loader.load_pretrained(
        AutoModelForImageTextToText, path, ctx.dtype, ctx.device, description=description
    )
    try:
        processor = AutoProcessor.from_pretrained(path, **transformers_loader.LOCAL)
    except Exception as error:  # many types of processors, each with errors of its own
        raise api.BadInput(
            f"{path.name} cannot be loaded as {description}.", "Choose one in the transformers format."
        ) from error
    return model.eval().requires_grad_(False), processor, path.name


def _describe(
    model: PreTrainedModel, processor: ProcessorMixin, image: Image, params: WriterCaption.Params, ctx: api.Context
) -> str:
    import torch

    question = _escape_special_tokens(params.prompt.strip(), processor.tokenizer)
    inputs = {
        name: value.to(ctx.device, model.dtype) if value.is_floating_point() else value.to(ctx.device)
        for name, value in _build_inputs(processor, image, question).items()
    }
    stopping = _report_tokens(ctx, params.length)
    with torch.inference_mode():
        output = model.generate(**inputs, do_sample=False, max_new_tokens=params.length, stopping_criteria=[stopping])
    tokens = output[0].tolist()
    prompt = inputs["input_ids"][0].tolist() if "input_ids" in inputs else []
    if prompt and tokens[: len(prompt)] == prompt:
        tokens = tokens[len(prompt) :]
    return str(processor.decode(tokens, skip_special_tokens=True)).strip()


def _build_inputs(processor: ProcessorMixin, image: Image, question: str) -> dict[str, Tensor]:
    if getattr(processor, "chat_template", None):
        content = [{"type": "image", "image": image}, {"type": "text", "text": question or "Describe this picture."}]
        with limit_templates():
            return dict(
                processor.apply_chat_template(
                    [{"role": "user", "content": content}],
                    add_generation_prompt=True,
                    tokenize=True,
                    return_dict=True,
                    return_tensors="pt",
                )
            )
    text = {"text": question} if question else {}
    return dict(processor(images=image, return_tensors="pt", **text))


def _escape_special_tokens(question: str, tokenizer: PreTrainedTokenizerBase) -> str:
    """Return the question with a space in each special token, such as `<image>`, so that it is read as text."""
    for token in sorted({*tokenizer.all_special_tokens, *tokenizer.get_added_vocab()}):
        question = question.replace(token, f"{token[0]} {token[1:]}")
    return question


def _report_tokens(ctx: api.Context, length: int) -> StoppingCriterion:
    """Return a stopping criterion that reports progress at each token, where the job can be cancelled."""
    import torch

    started, count = time.monotonic(), 0

    def report(tokens: LongTensor, _scores: FloatTensor, **_options: object) -> Tensor:
        nonlocal count
        count += 1
        rate = count / max(1e-6, time.monotonic() - started)
        ctx.emit(api.Progress(count, length, f"{rate:.0f} tokens per second"))
        return torch.zeros(tokens.shape[0], dtype=torch.bool, device=tokens.device)

    return report
