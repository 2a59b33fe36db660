"""What a picture shows, in words."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from studio import api

from ..generation import estimate as estimating
from ..models import transformers_loader, writer

LARGEST = 1536
"""Pixels of the longer side that a model is given: more is seen by none of them and takes memory."""


class WriterCaption(api.Tool):
    """Says in words what a picture shows. Needs a vision-language model, such as BLIP, LLaVA or Qwen-VL."""

    id = "writer.caption"
    title = "Describe a picture"
    output = "text"
    icon = "mdi6.image-text"

    class Params(api.Params):
        image: api.ImageInput
        """What is described."""
        prompt: api.Prompt = api.param("", title="Question")
        """What you want to know; empty asks for a description. A model without a chat template goes on from it."""
        model: api.ModelChoice = api.param("", model="vision-language")
        length: int = api.param(80, ge=1, le=2000, title="Length", unit="tokens")

    def estimate(self, params: Params, ctx: api.EstimateContext) -> api.Estimate | None:
        return estimating.of_weights(params.model, params.length, ctx)

    def run(self, params: Params, ctx: api.Context) -> Iterator[api.Event]:
        yield api.Progress(0, 0, "Getting the model ready")
        model, processor, name = _load(ctx, params.model)
        picture = api.images.open_picture(params.image).convert("RGB")
        picture.thumbnail((LARGEST, LARGEST))
        yield api.Progress(0, params.length, "Looking")
        text = _said(model, processor, picture, params, ctx)
        if not text:
            raise api.StudioError(f"{name} said nothing about this picture.", "Ask it something.")
        yield api.Preview(text)
        yield api.Text(text, params.image.stem, notes={"question": params.prompt})


def _load(ctx: api.Context, choice: str) -> tuple[Any, Any, str]:
    """(model, processor, name). Raises BadInput."""
    if not choice:
        raise api.BadInput("No model that sees is chosen.", "Choose a vision-language model, such as BLIP or Qwen-VL.")
    where = writer.folder(ctx, choice)
    key = f"seer:{where}:{writer.stamp(where)}:{ctx.device}"
    return ctx.models.load(key, lambda: _opened(where, ctx))


def _opened(where: Path, ctx: api.Context) -> tuple[Any, Any, str]:
    from transformers import AutoModelForImageTextToText, AutoProcessor

    what = "a vision-language model"
    model = transformers_loader.opened(AutoModelForImageTextToText, where, ctx.dtype, ctx.device, what=what)
    try:
        processor = AutoProcessor.from_pretrained(where, **transformers_loader.LOCAL)
    except Exception as error:  # many kinds of processors, each with errors of its own
        raise api.BadInput(
            f"{where.name} cannot be loaded as {what}.", "Choose one in transformers' format."
        ) from error
    return model.eval().requires_grad_(False), processor, where.name


def _said(model: Any, processor: Any, picture: Any, params: WriterCaption.Params, ctx: api.Context) -> str:
    import torch

    inputs = _inputs(processor, picture, _harmless(params.prompt.strip(), processor.tokenizer))
    placed = {
        name: value.to(ctx.device, model.dtype) if value.is_floating_point() else value.to(ctx.device)
        for name, value in inputs.items()
    }
    with torch.inference_mode():
        made = model.generate(
            **placed, do_sample=False, max_new_tokens=params.length, stopping_criteria=[_stopping(ctx, params.length)]
        )
    tokens = made[0].tolist()
    asked = inputs["input_ids"][0].tolist() if "input_ids" in inputs else []
    if asked and tokens[: len(asked)] == asked:
        tokens = tokens[len(asked) :]
    return str(processor.decode(tokens, skip_special_tokens=True)).strip()


def _inputs(processor: Any, picture: Any, question: str) -> dict[str, Any]:
    if getattr(processor, "chat_template", None):
        content = [{"type": "image", "image": picture}, {"type": "text", "text": question or "Describe this picture."}]
        return dict(
            processor.apply_chat_template(
                [{"role": "user", "content": content}],
                add_generation_prompt=True,
                tokenize=True,
                return_dict=True,
                return_tensors="pt",
            )
        )
    words = {"text": question} if question else {}
    return dict(processor(images=picture, return_tensors="pt", **words))


def _harmless(question: str, tokenizer: Any) -> str:
    """The question without anything that the model would take for a sign of its own, such as `<image>`."""
    for sign in sorted({*tokenizer.all_special_tokens, *tokenizer.get_added_vocab()}):
        question = question.replace(sign, f"{sign[0]} {sign[1:]}")
    return question


def _stopping(ctx: api.Context, length: int) -> Callable[..., Any]:
    """Shows how far it is, and lets a cancel through, at each token."""
    import torch

    began, count = time.monotonic(), 0

    def stop(tokens: Any, _scores: Any, **_more: Any) -> Any:
        nonlocal count
        count += 1
        rate = count / max(1e-6, time.monotonic() - began)
        ctx.emit(api.Progress(count, length, f"{rate:.0f} tokens a second"))
        return torch.zeros(tokens.shape[0], dtype=torch.bool, device=tokens.device)

    return stop
