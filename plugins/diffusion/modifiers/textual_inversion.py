"""Textual inversions: words that were learned from pictures, known to a text encoder for one picture."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from studio import api

from ..checkpoints import probe
from ..models.model import Model
from . import lora

if TYPE_CHECKING:
    from torch import Tensor

_MENTION = r"<embedding:([^<>:]+)>|\bembedding:([^\s,:()\[\]<>|]+)"
_PICKLED = (".pt", ".bin")
_ENCODERS = (("tokenizer", "text_encoder", "clip_l"), ("tokenizer_2", "text_encoder_2", "clip_g"))
_FAMILY_OF_WIDTHS = {
    (768,): "Stable Diffusion 1",
    (1024,): "Stable Diffusion 2",
    (768, 1280): "Stable Diffusion XL",
    (1280,): "the refiner of Stable Diffusion XL",
}


@dataclass(frozen=True)
class TextualInversion:
    """A textual inversion. `tokens` stand for its vectors in what the tokenizer reads, one for each."""

    path: Path
    tokens: tuple[str, ...]


@dataclass(frozen=True)
class ResolvedPrompts:
    """The prompts as the tokenizer is given them, and the words that it must know for that."""

    prompt: str
    negative: str
    words: tuple[TextualInversion, ...]


def resolve_prompts(ctx: api.Context, model: Model, pipe: Any, params: Any) -> ResolvedPrompts:
    """The prompts with each textual inversion that they name, and at the end of the first what the form adds.

    Named are ``<embedding:name>``, ``embedding:name``, and the bare name of a file at hand that
    fits the model. Raises BadInput for what is missing, damaged, no textual inversion, or made
    for another family.
    """
    prompts = [lora.strip_tags(text) for text in (params.prompt, params.negative_prompt)]
    chosen = {_file(ctx, choice): choice for choice in params.embeddings}
    by_name = {**_at_hand(ctx, pipe, prompts), **{path.stem.lower(): choice for path, choice in chosen.items()}}
    words: dict[Path, TextualInversion] = {}

    def spoken(path: Path) -> str:
        if path not in words:
            count = _fitting(path, model, pipe)
            words[path] = TextualInversion(path, tuple(f"<|word-{len(words)}-{number}|>" for number in range(count)))
        return " ".join(words[path].tokens)

    def replaced(found: re.Match[str]) -> str:
        name = Path((found[1] or found[2] or found[0]).strip().rstrip(".;!?")).name
        return spoken(_file(ctx, by_name.get(name.removesuffix(".safetensors").lower(), name)))

    pattern = "|".join([_MENTION, *([_any_of(by_name)] if by_name else [])])
    prompt, negative = (re.sub(pattern, replaced, text, flags=re.IGNORECASE) for text in prompts)
    for path in [path for path in chosen if path not in words]:
        prompt = f"{prompt}, {spoken(path)}" if prompt.strip() else spoken(path)
    return ResolvedPrompts(prompt, negative, tuple(words.values()))


@contextmanager
def apply(ctx: api.Context, model: Model, pipe: Any, params: Any) -> Iterator[dict[str, Any]]:
    """The pipeline with the words that are asked for, until the block ends."""
    words = resolve_prompts(ctx, model, pipe, params).words
    with ExitStack() as learned:
        for tokenizer, encoder, key in _ENCODERS:
            if words and getattr(pipe, encoder, None) is not None:
                vectors = {word.tokens: _vectors(word.path, key) for word in words}
                learned.enter_context(_learned(pipe, tokenizer, getattr(pipe, encoder), vectors))
        yield {}


@contextmanager
def _learned(pipe: Any, name: str, encoder: Any, vectors: Mapping[tuple[str, ...], Tensor]) -> Iterator[None]:
    """Tokens that a copy of the tokenizer knows, and vectors in their places. No weight is changed."""
    import copy

    import torch
    from transformers import AddedToken

    known = getattr(pipe, name)
    tokenizer = copy.deepcopy(known)
    tokens = [token for word in vectors for token in word]
    tokenizer.add_tokens([AddedToken(token, normalized=False, special=True) for token in tokens], special_tokens=True)
    first = min(tokenizer.convert_tokens_to_ids(tokens))
    rows = torch.cat(list(vectors.values()))
    asked: list[Tensor] = []

    def before(_: Any, given: tuple[Tensor]) -> tuple[Tensor]:
        asked[:] = given
        return (torch.where(given[0] >= first, 0, given[0]),)

    def after(_: Any, __: Any, found: Tensor) -> Tensor:
        new = asked[0] >= first
        found[new] = rows.to(found)[asked[0][new] - first]
        return found

    embedding = encoder.get_input_embeddings()
    inside = getattr(encoder, "text_model", encoder)
    end = inside.eos_token_id
    hooks = [embedding.register_forward_pre_hook(before), embedding.register_forward_hook(after)]
    try:
        setattr(pipe, name, tokenizer)
        # Some configurations name a wrong end, for which transformers takes the highest token, which is now a new one.
        inside.eos_token_id = tokenizer.eos_token_id
        yield
    finally:
        inside.eos_token_id = end
        setattr(pipe, name, known)
        for hook in hooks:
            hook.remove()


def _widths(pipe: Any) -> tuple[int, ...]:
    """Of the vectors of a pipeline's encoders; none where it learns no words."""
    found = [getattr(pipe, name, None) for name in ("text_encoder", "text_encoder_2", "text_encoder_3")]
    encoders = [encoder for encoder in found if encoder is not None]
    if not all(type(encoder).__name__.startswith("CLIPText") for encoder in encoders):
        return ()
    return tuple(encoder.config.hidden_size for encoder in encoders)


def _fitting(path: Path, model: Model, pipe: Any) -> int:
    """How many vectors it has."""
    widths = _widths(pipe)
    if not widths:
        raise api.BadInput(
            f"{model.family.title} learns no words from textual inversions.",
            "Take them away, or choose another model.",
        )
    shapes = _shapes(path)
    if _fits(shapes, pipe):
        return _rows(next(iter(shapes.values())))
    theirs = tuple(shapes[name][-1] for name in sorted(shapes, reverse=True))
    raise api.BadInput(
        f"{path.name} is made for {_family(theirs)}, and {model.title} is {_family(widths)}.",
        "Choose a textual inversion of the same family.",
    )


def _fits(shapes: probe.Shapes, pipe: Any) -> bool:
    """A pair is for models that have, or once had, a second encoder."""
    keys = [key for _, encoder, key in _ENCODERS if getattr(pipe, encoder, None) is not None]
    if not hasattr(pipe, "text_encoder_2"):
        keys = list(shapes) if len(shapes) == 1 else []
    vectors = [shapes[key] for key in keys if key in shapes]
    return len({_rows(shape) for shape in vectors}) == 1 and tuple(shape[-1] for shape in vectors) == _widths(pipe)


def _family(widths: Sequence[int]) -> str:
    numbers = " and ".join(map(str, widths))
    return f"{_FAMILY_OF_WIDTHS.get(tuple(widths), 'a model of another kind')} (words of {numbers} numbers)"


def _rows(shape: tuple[int, ...]) -> int:
    return shape[0] if len(shape) > 1 else 1


def _vectors(path: Path, key: str) -> Tensor:
    """[vectors, width] for one encoder."""
    from safetensors.torch import load_file

    tensors = load_file(path)
    found: Tensor = tensors[key] if key in tensors else next(iter(tensors.values()))
    return found.reshape(-1, found.shape[-1])


def _shapes(path: Path) -> probe.Shapes:
    """Of a textual inversion: ``emb_params``, diffusers' ``<token>``, or ``clip_l`` and ``clip_g``."""
    shapes = api.model_files.weight_shapes(path)
    pair = {name: shapes[name] for name in ("clip_l", "clip_g") if name in shapes}
    if not (pair or len(shapes) == 1) or any(not 1 <= len(shape) <= 2 or 0 in shape for shape in shapes.values()):
        raise api.BadInput(
            f"{path.name} is {probe.identify(shapes).what}, and no textual inversion.", "Choose another file."
        )
    return pair or shapes


def _file(ctx: api.Context, name: str) -> Path:
    """By its name, with or without the ending; or a folder that holds one. A pickle is refused by name."""
    failed: api.BadInput | None = None
    for ending in ("", ".safetensors", *_PICKLED):
        try:
            path = Path(ctx.model(name + ending))
        except api.BadInput as error:
            failed = failed or error
            continue
        inside = sorted(path.glob("*.safetensors")) if path.is_dir() else [path]
        if len(inside) != 1:
            raise api.BadInput(f"{path.name} is no folder of a textual inversion.", "Choose its safetensors file.")
        _shapes(inside[0])
        return inside[0]
    assert failed is not None
    raise failed


def _at_hand(ctx: api.Context, pipe: Any, prompts: Sequence[str]) -> dict[str, str]:
    """The choices that the prompts may name bare and that fit, by these names in small letters."""
    if not _widths(pipe):
        return {}
    offered = {path.stem.lower(): (choice, path) for choice, path in ctx.available_models("embedding").items()}
    if not offered:
        return {}
    named = {found.lower() for text in prompts for found in re.findall(_any_of(offered), text, re.IGNORECASE)}
    return {name: offered[name][0] for name in named if _is_quietly(offered[name][1], pipe)}


def _is_quietly(path: Path, pipe: Any) -> bool:
    try:
        return _fits(_shapes(path), pipe)
    except api.BadInput:
        return False


def _any_of(names: Collection[str]) -> str:
    """Whole words alone, the longest first."""
    return rf"(?<![\w-])(?:{'|'.join(map(re.escape, sorted(names, key=len, reverse=True)))})(?![\w-])"
