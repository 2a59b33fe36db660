"""Describes images with a vision-language model."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from studio import api

from ..models import transformers_loader
from ..models.writer import find_model
from .template_renderer import limit_templates

if TYPE_CHECKING:
    from PIL.Image import Image
    from torch import FloatTensor, LongTensor, Tensor
    from transformers import PreTrainedModel, PreTrainedTokenizerBase, ProcessorMixin

    StoppingCriterion: TypeAlias = Callable[..., Tensor]

MODEL_KIND = "vision-language"
LARGEST_SIDE = 1536
"""Longer side of the image in px: no such model sees more, and larger images take more memory."""


@dataclass(frozen=True)
class Describer:
    """A loaded model with its processor."""

    model: PreTrainedModel
    processor: ProcessorMixin
    name: str

    def describe(
        self, image: Image, question: str, *, default_question: str, length: int, on_token: Callable[[int], None]
    ) -> str:
        """Return the description of an image, or the answer to a question, of at most `length` tokens.

        `default_question` is asked where there is no question and the model has a chat template. `on_token` is called
        with the number of tokens and may raise Cancelled.
        """
        import torch

        question = _escape_special_tokens(question.strip(), self.processor.tokenizer)
        image = image.convert("RGB")
        image.thumbnail((LARGEST_SIDE, LARGEST_SIDE))
        device = self.model.device
        inputs = {
            name: value.to(device, self.model.dtype) if value.is_floating_point() else value.to(device)
            for name, value in _build_inputs(self.processor, image, question, default_question).items()
        }
        stopping = [_count_tokens(on_token)]
        with torch.inference_mode():
            output = self.model.generate(**inputs, do_sample=False, max_new_tokens=length, stopping_criteria=stopping)
        tokens = output[0].tolist()
        prompt = inputs["input_ids"][0].tolist() if "input_ids" in inputs else []
        if prompt and tokens[: len(prompt)] == prompt:
            tokens = tokens[len(prompt) :]
        return str(self.processor.decode(tokens, skip_special_tokens=True)).strip()


def load_describer(ctx: api.Context, choice: str) -> Describer:
    """Load the model of a `ModelChoice`. Raises BadInput."""
    if not choice:
        has_models = bool(ctx.available_models(MODEL_KIND))
        hint = "Choose one that reads images" if has_models else "Put one into the models folder"
        raise api.BadInput("No vision-language model is chosen.", f"{hint}, such as BLIP or Qwen-VL.")
    path = find_model(ctx, choice)
    key = f"seer:{path}:{api.model_files.file_stamp(path)}:{ctx.device}"
    return ctx.models.load(key, lambda: _open(path, ctx))


def _open(path: Path, ctx: api.Context) -> Describer:
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
    return Describer(model.eval().requires_grad_(False), processor, path.name)


def _build_inputs(processor: ProcessorMixin, image: Image, question: str, default_question: str) -> dict[str, Tensor]:
    if getattr(processor, "chat_template", None):
        content = [{"type": "image", "image": image}, {"type": "text", "text": question or default_question}]
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


def _count_tokens(on_token: Callable[[int], None]) -> StoppingCriterion:
    """Return a stopping criterion that stops nothing, and calls `on_token` with the number of tokens at each."""
    import torch

    count = 0

    def report(tokens: LongTensor, _scores: FloatTensor, **_options: object) -> Tensor:
        nonlocal count
        count += 1
        on_token(count)
        return torch.zeros(tokens.shape[0], dtype=torch.bool, device=tokens.device)

    return report
