"""From the artist's words to what a pipeline is given."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

from studio import api

from ..checkpoints.families import accepts, default_of
from ..models.model import Model
from ..modifiers import textual_inversion
from ..patching import patched_method
from . import prompt_weights
from .prompt_weights import WeightedSpan

if TYPE_CHECKING:
    from torch import Tensor

_CLIP = ("stable-diffusion", "stable-diffusion-xl", "animatediff")
"""The families whose words can be weighed."""


def encode_prompts(ctx: api.Context, model: Model, pipe: Any, params: Any) -> Mapping[str, Any]:
    """The arguments of a call that stand for the words."""
    said = textual_inversion.resolve_prompts(ctx, model, pipe, params)
    prompt, negative = said.prompt, said.negative_prompt
    if not accepts(pipe, "prompt"):
        if prompt.strip() or negative.strip():
            ctx.emit(api.Notice(f"{model.family.title} goes by the picture alone; your words were left out."))
        return {}
    given = _clip_skip(model, pipe, params.clip_skip)
    wanted, unwanted = prompt_weights.parse_prompt(prompt), prompt_weights.parse_prompt(negative)
    if model.family.name in _CLIP:
        short = max(map(_count(ctx, pipe), (prompt, negative))) <= _at_once(pipe)
        if prompt_weights.is_plain(wanted) and prompt_weights.is_plain(unwanted) and short and not params.clip_skip:
            prompt, negative = prompt_weights.strip_weights(wanted), prompt_weights.strip_weights(unwanted)
        else:
            return _weighed(pipe, wanted, unwanted, params.clip_skip)
    elif _has_weights(wanted) or _has_weights(unwanted):
        ctx.emit(api.Notice(f"{model.family.title} does not weigh words; yours count alike."))
        prompt, negative = prompt_weights.strip_weights(wanted), prompt_weights.strip_weights(unwanted)
    given["prompt"] = prompt
    if _hears_what_not(model, pipe):
        given["negative_prompt"] = negative or _nothing(pipe)
    elif negative.strip():
        ctx.emit(api.Notice(f"{model.family.title} has no negative prompt; yours was left out."))
    return given


def _hears_what_not(model: Model, pipe: Any) -> bool:
    """Some know a negative prompt, and look at it only under a guidance that they were not made for."""
    other = accepts(pipe, "true_cfg_scale") and not hasattr(pipe, "do_classifier_free_guidance")
    return accepts(pipe, "negative_prompt") and (not other or model.family.guidance_name == "true_cfg_scale")


def _nothing(pipe: Any) -> str | None:
    """Pipelines with true guidance leave it out where there is no negative prompt at all."""
    return " " if accepts(pipe, "true_cfg_scale") else default_of(pipe, "negative_prompt")


def _clip_skip(model: Model, pipe: Any, layers: int) -> dict[str, Any]:
    if not layers:
        return {}
    if not accepts(pipe, "clip_skip"):
        raise api.BadInput(f"{model.family.title} has no clip skip.", "Set it to 0.")
    return {"clip_skip": layers}


def _has_weights(parsed: list[list[WeightedSpan]]) -> bool:
    """Whether more than plain brackets was written, which are also just brackets."""
    return len(parsed) > 1 or any(round(part.weight, 6) not in (1.0, prompt_weights.STEP) for part in parsed[0])


def _count(ctx: api.Context, pipe: Any) -> Callable[[str], int]:
    """Tokens of a text, without those that begin and end it."""
    tokenizer = getattr(pipe, "tokenizer", None) or pipe.tokenizer_2

    def count(text: str) -> int:
        tokens = len(tokenizer(text, add_special_tokens=False, verbose=False).input_ids)
        if tokens:
            ctx.note("tokens", tokens)
        return tokens

    return count


def _at_once(pipe: Any) -> int:
    """Tokens that the text encoder sees at once: 75 for CLIP's own."""
    tokenizer = getattr(pipe, "tokenizer", None) or pipe.tokenizer_2
    return min(75, int(tokenizer.model_max_length) - 2)


def _weighed(
    pipe: Any, wanted: list[list[WeightedSpan]], unwanted: list[list[WeightedSpan]], clip_skip: int
) -> dict[str, Any]:
    """Embeddings by compel, of any length, padded to one. Clip skip counts for both, as in AUTOMATIC1111."""
    import torch
    from compel import ReturnedEmbeddingsType

    if not hasattr(pipe, "tokenizer_2"):
        kind = ReturnedEmbeddingsType.LAST_HIDDEN_STATES_NORMALIZED
        with _without_last(pipe.text_encoder, clip_skip):
            pair = _encoded(pipe.tokenizer, pipe.text_encoder, kind, wanted, unwanted)
        return {"prompt_embeds": pair[0], "negative_prompt_embeds": pair[1]}
    kind = ReturnedEmbeddingsType.PENULTIMATE_HIDDEN_STATES_NON_NORMALIZED
    both = []
    for tokenizer, encoder in ((pipe.tokenizer, pipe.text_encoder), (pipe.tokenizer_2, pipe.text_encoder_2)):
        if encoder is not None:
            # The last but one is taken, so one layer more is left out to get beyond it.
            with _without_last(encoder, clip_skip + 1 if clip_skip else 0):
                both.append(_encoded(tokenizer, encoder, kind, wanted, unwanted))
    embeds, negative = (torch.cat([pair[side] for pair in both], dim=-1) for side in (0, 1))
    pooled, negative_pooled = (_pooled(pipe, prompt_weights.strip_weights(parsed)) for parsed in (wanted, unwanted))
    if not prompt_weights.strip_weights(unwanted).strip() and pipe.config.get("force_zeros_for_empty_prompt"):
        negative, negative_pooled = torch.zeros_like(negative), torch.zeros_like(negative_pooled)
    return {
        "prompt_embeds": embeds,
        "negative_prompt_embeds": negative,
        "pooled_prompt_embeds": pooled,
        "negative_pooled_prompt_embeds": negative_pooled,
    }


@contextmanager
def _without_last(encoder: Any, count: int) -> Iterator[None]:
    """The encoder with its last layers handing on what they get. What follows the last one stays.

    They are not taken out: transformers looks for the layers once, and would never find them again.
    """
    layers = getattr(encoder, "text_model", encoder).encoder.layers
    if count >= len(layers):
        raise api.BadInput(
            f"The text encoder has {len(layers)} layers, which clip skip would leave out.", "Set clip skip lower."
        )
    with ExitStack() as skipped:
        for layer in layers[len(layers) - count :]:
            skipped.enter_context(patched_method(layer, "forward", lambda _: lambda states, *_, **__: states))
        yield


def _encoded(
    tokenizer: Any, encoder: Any, kind: Any, wanted: list[list[WeightedSpan]], unwanted: list[list[WeightedSpan]]
) -> list[Tensor]:
    """Embeddings [1, tokens, width] of both, of one length."""
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
                Conjunction([FlattenedPrompt([(part.text, part.weight) for part in parts]) for parts in parsed])
            )[0]
            for parsed in (wanted, unwanted)
        ]
        padded: list[Tensor] = compel.pad_conditioning_tensors_to_same_length(pair)
    return [one.clone() for one in padded]


def _pooled(pipe: Any, text: str) -> Tensor:
    """What the second encoder makes of the whole, [1, width]. It sees the first 75 tokens."""
    import torch

    tokens = pipe.tokenizer_2(
        text,
        padding="max_length",
        max_length=pipe.tokenizer_2.model_max_length,
        truncation=True,
        return_tensors="pt",
    ).input_ids
    with torch.no_grad():
        found: Tensor = pipe.text_encoder_2(tokens.to(pipe.text_encoder_2.device))[0]
    return found
