"""Textual inversions: embeddings of words that were learnt from images, added to the text encoders for one job."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from studio import api

from ..checkpoints import lora_names, probe
from ..checkpoints import textual_inversion_file as inversion_file
from ..checkpoints.textual_inversion_file import PAIR, Source
from ..models import placeholder_tokens
from ..models.model import Model
from . import lora

if TYPE_CHECKING:
    from diffusers import DiffusionPipeline
    from torch import Tensor, nn
    from transformers import PreTrainedModel

_MENTION = r"<embedding:([^<>:]+)>|\bembedding:([^\s,:()\[\]<>|]+)"
_PICKLE_SUFFIXES = (".pt", ".bin")
_ENCODERS = (("tokenizer", "text_encoder", PAIR[0]), ("tokenizer_2", "text_encoder_2", PAIR[1]))
"""Tokenizer, text encoder, and the name of its vectors in a file for two encoders."""


@dataclass(frozen=True)
class TextualInversion:
    """A source, and the placeholder tokens that stand for its vectors in the prompt, one for each."""

    source: Source
    tokens: tuple[str, ...]


@dataclass(frozen=True)
class ResolvedPrompts:
    """The prompts with placeholder tokens, and the textual inversions that these stand for."""

    prompt: str
    negative_prompt: str
    inversions: tuple[TextualInversion, ...]


def resolve_prompts(ctx: api.Context, model: Model, pipe: DiffusionPipeline, params: Any) -> ResolvedPrompts:
    """Replace each textual inversion in the prompts by its placeholder tokens; append those of the form to the prompt.

    An inversion is written as ``<embedding:name>``, as ``embedding:name``, or as the bare name of an installed file
    that fits the model, or of an inversion that one of the LoRAs brings. Raises BadInput for a file that is missing,
    damaged, no textual inversion, or for another family.
    """
    prompts = [lora.strip_tags(text) for text in (params.prompt, params.negative_prompt)]
    chosen = [Source(_find_file(ctx, choice)) for choice in params.embeddings]
    known = {
        **{name: Source(_find_file(ctx, choice)) for name, choice in _find_bare_names(ctx, pipe, prompts).items()},
        **{source.word.lower(): source for source in find_bundled(ctx, params) if _is_usable(source, pipe)},
        **{source.path.stem.lower(): source for source in chosen},
    }
    inversions: dict[Source, TextualInversion] = {}

    def insert_tokens(source: Source) -> str:
        if source not in inversions:
            count = _count_vectors(source, model, pipe)
            tokens = placeholder_tokens.name_tokens(len(inversions), count)
            inversions[source] = TextualInversion(source, tokens)
        return " ".join(inversions[source].tokens)

    def replace_mention(match: re.Match[str]) -> str:
        name = Path((match[1] or match[2] or match[0]).strip().rstrip(".;!?")).name
        source = known.get(name.removesuffix(".safetensors").lower())
        return insert_tokens(source or Source(_find_file(ctx, name)))

    pattern = "|".join([_MENTION, *([_names_pattern(known)] if known else [])])
    prompt, negative_prompt = (re.sub(pattern, replace_mention, text, flags=re.IGNORECASE) for text in prompts)
    for source in [source for source in chosen if source not in inversions]:
        prompt = f"{prompt}, {insert_tokens(source)}" if prompt.strip() else insert_tokens(source)
    return ResolvedPrompts(prompt, negative_prompt, tuple(inversions.values()))


def find_bundled(ctx: api.Context, params: Any) -> list[Source]:
    """Find the textual inversions in the LoRAs of a job."""
    loras = lora.collect_loras(ctx, params.prompt, params.loras, params.lora_weights)
    return [
        Source(path, word)
        for path in dict.fromkeys(lora.path for lora in loras)
        for word in lora_names.bundled_embeddings(api.model_files.read_weight_shapes(path))
    ]


@contextmanager
def apply(ctx: api.Context, model: Model, pipe: DiffusionPipeline, params: Any) -> Iterator[dict[str, Any]]:
    """Add the textual inversions in the prompts to the text encoders until the block ends."""
    inversions = resolve_prompts(ctx, model, pipe, params).inversions
    used = {inversion.source for inversion in inversions}
    for source in find_bundled(ctx, params):
        if not _is_usable(source, pipe):
            brings = f"{source.path.name} also holds the textual inversion {source.word}"
            ctx.emit(api.Notice(f"{brings}, which does not fit {model.title} and is left out.", "warning"))
        elif source not in used:
            ctx.emit(
                api.Notice(
                    f"{source.path.name} brings the textual inversion {source.word}: write {source.word} in the prompt "
                    "to use it."
                )
            )
    with ExitStack() as added:
        for tokenizer, encoder, key in _ENCODERS:
            if inversions and getattr(pipe, encoder, None) is not None:
                vectors = {
                    inversion.tokens: inversion_file.read_vectors(inversion.source, key) for inversion in inversions
                }
                added.enter_context(_add_tokens(pipe, tokenizer, getattr(pipe, encoder), vectors))
        yield {}


@contextmanager
def _add_tokens(
    pipe: DiffusionPipeline, name: str, encoder: PreTrainedModel, vectors: Mapping[tuple[str, ...], Tensor]
) -> Iterator[None]:
    """Add tokens to a copy of the tokenizer, and their vectors to the embedding's output. No weight is changed."""
    import torch

    own_tokenizer = getattr(pipe, name)
    tokens = [token for group in vectors for token in group]
    tokenizer, first_id = placeholder_tokens.extend_tokenizer(own_tokenizer, tokens)
    rows = torch.cat(list(vectors.values()))
    last_ids: list[Tensor] = []

    def remove_new_ids(_: nn.Module, inputs: tuple[Tensor]) -> tuple[Tensor]:
        last_ids[:] = inputs
        return (torch.where(inputs[0] >= first_id, 0, inputs[0]),)

    def insert_vectors(_: nn.Module, __: object, embeddings: Tensor) -> Tensor:
        is_new = last_ids[0] >= first_id
        embeddings[is_new] = rows.to(embeddings)[last_ids[0][is_new] - first_id]
        return embeddings

    embedding = encoder.get_input_embeddings()
    text_model = getattr(encoder, "text_model", encoder)
    own_eos = text_model.eos_token_id
    hooks = [
        embedding.register_forward_pre_hook(remove_new_ids),
        embedding.register_forward_hook(insert_vectors),
    ]
    try:
        setattr(pipe, name, tokenizer)
        # Some configurations have a wrong eos token, and transformers then takes the highest token, which is a new one.
        text_model.eos_token_id = tokenizer.eos_token_id
        yield
    finally:
        text_model.eos_token_id = own_eos
        setattr(pipe, name, own_tokenizer)
        for hook in hooks:
            hook.remove()


def _encoder_widths(pipe: DiffusionPipeline) -> tuple[int, ...]:
    """Return the width of each text encoder; none where the encoders are not CLIP's."""
    components = [getattr(pipe, name, None) for name in ("text_encoder", "text_encoder_2", "text_encoder_3")]
    encoders = [encoder for encoder in components if encoder is not None]
    if not all(type(encoder).__name__.startswith("CLIPText") for encoder in encoders):
        return ()
    return tuple(encoder.config.hidden_size for encoder in encoders)


def _count_vectors(source: Source, model: Model, pipe: DiffusionPipeline) -> int:
    """Count the vectors of a file. Raises BadInput where it does not fit the model."""
    widths = _encoder_widths(pipe)
    if not widths:
        raise api.BadInput(
            f"{model.family.title} does not support textual inversions.", "Remove them, or choose another model."
        )
    shapes = inversion_file.read_shapes(source)
    if _fits(shapes, pipe):
        return inversion_file.count_rows(next(iter(shapes.values())))
    raise inversion_file.describe_mismatch(source, shapes, model.title, widths)


def _fits(shapes: probe.Shapes, pipe: DiffusionPipeline) -> bool:
    """Compare the vectors with the text encoders; a pair is for pipelines that can have a second encoder."""
    keys = [key for _, encoder, key in _ENCODERS if getattr(pipe, encoder, None) is not None]
    if not hasattr(pipe, "text_encoder_2"):
        keys = list(shapes) if len(shapes) == 1 else []
    vectors = [shapes[key] for key in keys if key in shapes]
    has_equal_rows = len({inversion_file.count_rows(shape) for shape in vectors}) == 1
    return has_equal_rows and tuple(shape[-1] for shape in vectors) == _encoder_widths(pipe)


def _find_file(ctx: api.Context, name: str) -> Path:
    """Find a file by its name, with or without the suffix, or by the folder that holds it. Pickles are refused."""
    first_error: api.BadInput | None = None
    for suffix in ("", ".safetensors", *_PICKLE_SUFFIXES):
        try:
            path = Path(ctx.model(name + suffix))
        except api.BadInput as error:
            first_error = first_error or error
            continue
        return inversion_file.find_file(path)
    assert first_error is not None
    raise first_error


def _find_bare_names(ctx: api.Context, pipe: DiffusionPipeline, prompts: Sequence[str]) -> dict[str, str]:
    """Return the installed files that fit and whose bare names stand in the prompts: choices by lower-case name."""
    if not _encoder_widths(pipe):
        return {}
    installed = {path.stem.lower(): (choice, path) for choice, path in ctx.available_models("embedding").items()}
    if not installed:
        return {}
    pattern = _names_pattern(installed)
    names = {match.lower() for text in prompts for match in re.findall(pattern, text, re.IGNORECASE)}
    return {name: installed[name][0] for name in names if _is_usable(Source(installed[name][1]), pipe)}


def _is_usable(source: Source, pipe: DiffusionPipeline) -> bool:
    try:
        return bool(_encoder_widths(pipe)) and _fits(inversion_file.read_shapes(source), pipe)
    except api.BadInput:
        return False


def _names_pattern(names: Collection[str]) -> str:
    """Build a pattern for any of the names as a whole word, the longest first."""
    return rf"(?<![\w-])(?:{'|'.join(map(re.escape, sorted(names, key=len, reverse=True)))})(?![\w-])"
