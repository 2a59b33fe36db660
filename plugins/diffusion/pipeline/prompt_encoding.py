"""Turn the artist's prompts into the arguments of a pipeline."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any, TypeAlias

from studio import api

from ..checkpoints.families import accepts, default_of
from ..models.model import Model
from ..modifiers import textual_inversion
from ..patching import patched_method
from . import prompt_weights
from .params import SamplingParams
from .prompt_weights import WeightedSpan

if TYPE_CHECKING:
    from compel import ReturnedEmbeddingsType
    from diffusers import DiffusionPipeline
    from torch import Tensor
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

Chunks: TypeAlias = list[list[WeightedSpan]]
_WEIGHTED_FAMILIES = ("stable-diffusion", "stable-diffusion-xl", "animatediff")
"""Families that support prompt weights."""


def encode_prompts(
    ctx: api.Context, model: Model, pipe: DiffusionPipeline, params: SamplingParams
) -> Mapping[str, Any]:
    """Return the arguments that hold the prompts: texts, or embeddings where weights or length need them.

    What the family does not support is left out with a notice. Raises BadInput for a clip skip that it cannot do.
    """
    resolved = textual_inversion.resolve_prompts(ctx, model, pipe, params)
    prompt, negative = resolved.prompt, resolved.negative_prompt
    if not accepts(pipe, "prompt"):
        if prompt.strip() or negative.strip():
            ctx.emit(api.Notice(f"{model.family.title} uses the image only; the prompts were left out."))
        return {}
    args = _build_clip_skip_args(model, pipe, params.clip_skip)
    chunks, negative_chunks = prompt_weights.parse_prompt(prompt), prompt_weights.parse_prompt(negative)
    if model.family.name in _WEIGHTED_FAMILIES:
        is_short = max(map(_build_counter(ctx, pipe), (prompt, negative))) <= _count_tokens_per_chunk(pipe)
        are_plain = prompt_weights.is_plain(chunks) and prompt_weights.is_plain(negative_chunks)
        if not are_plain or not is_short or params.clip_skip:
            return _encode_weighted(pipe, chunks, negative_chunks, params.clip_skip)
        prompt, negative = prompt_weights.strip_weights(chunks), prompt_weights.strip_weights(negative_chunks)
    elif _has_weights(chunks) or _has_weights(negative_chunks):
        ctx.emit(api.Notice(f"{model.family.title} does not support prompt weights; they were ignored."))
        prompt, negative = prompt_weights.strip_weights(chunks), prompt_weights.strip_weights(negative_chunks)
    args["prompt"] = prompt
    if _uses_negative_prompt(model, pipe):
        args["negative_prompt"] = negative or _find_default_negative_prompt(pipe)
    elif negative.strip():
        ctx.emit(api.Notice(f"{model.family.title} has no negative prompt; yours was left out."))
    return args


def _uses_negative_prompt(model: Model, pipe: DiffusionPipeline) -> bool:
    """Check whether a negative prompt has an effect. Some pipelines read it only with a guidance not meant for them."""
    other_guidance = accepts(pipe, "true_cfg_scale") and not hasattr(pipe, "do_classifier_free_guidance")
    return accepts(pipe, "negative_prompt") and (not other_guidance or model.family.guidance_name == "true_cfg_scale")


def _find_default_negative_prompt(pipe: DiffusionPipeline) -> str | None:
    """Return the value for no negative prompt. Pipelines with true guidance would skip guidance without any."""
    if accepts(pipe, "true_cfg_scale"):
        return " "
    default: str | None = default_of(pipe, "negative_prompt")
    return default


def _build_clip_skip_args(model: Model, pipe: DiffusionPipeline, layers: int) -> dict[str, Any]:
    if not layers:
        return {}
    if not accepts(pipe, "clip_skip"):
        raise api.BadInput(f"{model.family.title} does not support clip skip.", "Set clip skip to 0.")
    return {"clip_skip": layers}


def _has_weights(chunks: Chunks) -> bool:
    """Check whether a prompt has more than single brackets, which may be meant as brackets."""
    plain = (1.0, prompt_weights.BRACKET_WEIGHT)
    return len(chunks) > 1 or any(round(span.weight, 6) not in plain for span in chunks[0])


def _build_counter(ctx: api.Context, pipe: DiffusionPipeline) -> Callable[[str], int]:
    """Return a function that counts the tokens of a text, without those that begin and end it."""
    tokenizer = getattr(pipe, "tokenizer", None) or pipe.tokenizer_2

    def count(text: str) -> int:
        tokens = len(tokenizer(text, add_special_tokens=False, verbose=False).input_ids)
        if tokens:
            ctx.note("tokens", tokens)
        return tokens

    return count


def _count_tokens_per_chunk(pipe: DiffusionPipeline) -> int:
    """Return the number of tokens that the text encoder reads at once, 75 for CLIP's own."""
    tokenizer = getattr(pipe, "tokenizer", None) or pipe.tokenizer_2
    return min(75, int(tokenizer.model_max_length) - 2)


def _encode_weighted(
    pipe: DiffusionPipeline, chunks: Chunks, negative_chunks: Chunks, clip_skip: int
) -> dict[str, Any]:
    """Encode prompts of any length with compel, padded to the same length.

    Clip skip applies to the negative prompt too, as in AUTOMATIC1111.
    """
    import torch
    from compel import ReturnedEmbeddingsType

    if not hasattr(pipe, "tokenizer_2"):
        kind = ReturnedEmbeddingsType.LAST_HIDDEN_STATES_NORMALIZED
        with _skip_last_layers(pipe.text_encoder, clip_skip):
            embeds, negative = _encode_with_compel(pipe.tokenizer, pipe.text_encoder, kind, chunks, negative_chunks)
        return {"prompt_embeds": embeds, "negative_prompt_embeds": negative}
    kind = ReturnedEmbeddingsType.PENULTIMATE_HIDDEN_STATES_NON_NORMALIZED
    pairs = []
    for tokenizer, encoder in ((pipe.tokenizer, pipe.text_encoder), (pipe.tokenizer_2, pipe.text_encoder_2)):
        if encoder is not None:
            # The penultimate layer is used, so one more layer is skipped to get beyond it.
            with _skip_last_layers(encoder, clip_skip + 1 if clip_skip else 0):
                pairs.append(_encode_with_compel(tokenizer, encoder, kind, chunks, negative_chunks))
    embeds, negative = (torch.cat([pair[side] for pair in pairs], dim=-1) for side in (0, 1))
    pooled, negative_pooled = (
        _encode_pooled(pipe, prompt_weights.strip_weights(parsed)) for parsed in (chunks, negative_chunks)
    )
    is_empty = not prompt_weights.strip_weights(negative_chunks).strip()
    if is_empty and pipe.config.get("force_zeros_for_empty_prompt"):
        negative, negative_pooled = torch.zeros_like(negative), torch.zeros_like(negative_pooled)
    return {
        "prompt_embeds": embeds,
        "negative_prompt_embeds": negative,
        "pooled_prompt_embeds": pooled,
        "negative_pooled_prompt_embeds": negative_pooled,
    }


@contextmanager
def _skip_last_layers(encoder: PreTrainedModel, count: int) -> Iterator[None]:
    """Make the last layers of a text encoder return their input, until the block ends. The final norm stays.

    The layers are not removed, because transformers looks them up once and would not find them again.
    """
    layers = getattr(encoder, "text_model", encoder).encoder.layers
    if count >= len(layers):
        raise api.BadInput(
            f"Clip skip would skip all {len(layers)} layers of the text encoder.", "Lower the clip skip."
        )
    with ExitStack() as patches:
        for layer in layers[len(layers) - count :]:
            patches.enter_context(patched_method(layer, "forward", lambda _: lambda states, *_, **__: states))
        yield


def _encode_with_compel(
    tokenizer: PreTrainedTokenizerBase,
    encoder: PreTrainedModel,
    kind: ReturnedEmbeddingsType,
    chunks: Chunks,
    negative_chunks: Chunks,
) -> list[Tensor]:
    """Return the embeddings [1, tokens, width] of both prompts, padded to the same length."""
    import torch
    from compel import Compel
    from compel.prompt_parser import Conjunction, FlattenedPrompt

    compel = Compel(
        tokenizer,
        encoder,
        returned_embeddings_type=kind,
        truncate_long_prompts=False,
        dtype_for_device_getter=lambda _: encoder.dtype,
    )
    with torch.inference_mode():
        pair = [
            compel.build_conditioning_tensor_for_conjunction(
                Conjunction([FlattenedPrompt([(span.text, span.weight) for span in spans]) for spans in parsed])
            )[0]
            for parsed in (chunks, negative_chunks)
        ]
        padded: list[Tensor] = compel.pad_conditioning_tensors_to_same_length(pair)
    return [embeds.clone() for embeds in padded]


def _encode_pooled(pipe: DiffusionPipeline, text: str) -> Tensor:
    """Return the pooled embedding [1, width] of the second text encoder, which reads the first 75 tokens."""
    import torch

    tokens = pipe.tokenizer_2(
        text,
        padding="max_length",
        max_length=pipe.tokenizer_2.model_max_length,
        truncation=True,
        return_tensors="pt",
    ).input_ids
    with torch.no_grad():
        pooled: Tensor = pipe.text_encoder_2(tokens.to(pipe.text_encoder_2.device))[0]
    return pooled
