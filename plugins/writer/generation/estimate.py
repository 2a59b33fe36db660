"""What writing will take: memory for weights and for what is read, tokens to write, and how full the page is."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from math import prod
from pathlib import Path
from typing import Any

from studio import api

from ..models import gguf, transformers_loader
from ..models import tokenizer as vocabulary

REMEMBERED = 16
"""Texts whose tokens are kept: memory and lore are the same from key to key."""
MOST = 4_000_000
"""Characters of a text that are counted; what is longer is said to be more."""
LETTERS = 4
"""Characters of a token, about."""
UNPACKED_ON_CPU = ("fp8", "mxfp8")
"""Quantisers that compute on accelerators only."""


@dataclass(frozen=True)
class Facts:
    """What a model tells without being loaded: numbers of its weights, their bytes once it is, numbers kept of each
    token that is read, and bytes of one of these.

    `tokenizer` counts as transformers' does; None where it lies in a GGUF file that was not opened yet.
    """

    tokenizer: Counter | None
    longest: int
    numbers: int
    weights: int
    per_token: int
    itemsize: int


def facts(choice: str, ctx: api.EstimateContext) -> Facts | None:
    """None where the model is not here, or is none."""
    try:
        where = ctx.model(choice) if choice else ""
        if not isinstance(where, Path):
            return None
        file, itemsize = gguf.of(where), ctx.dtype.itemsize
        if file:
            tokenizer = _unpacked_tokenizer(file, spelled) if (spelled := vocabulary.spelled(file)) else None
            longest, numbers, per_token = _of_header(file, file.stat().st_mtime_ns)
            return Facts(tokenizer, longest, numbers, numbers * itemsize, per_token, itemsize)
        config = json.loads((where / "config.json").read_bytes())
        numbers, weights = _weighed(where, ctx)
        tokenizer = _tokenizer(where, (where / "tokenizer.json").stat().st_mtime_ns)
    except (OSError, ValueError, api.BadInput):
        return None
    longest = int(config.get("max_position_embeddings") or 2048)
    return Facts(tokenizer, longest, numbers, weights, _per_token(config), itemsize)


def told(
    known: Facts, count: int, length: int, notes: Mapping[str, str], budget: api.TokenBudget | None = None
) -> api.Estimate:
    """For up to `length` tokens after `count`."""
    remembered = min(known.longest, count + length) * known.per_token * known.itemsize
    return api.Estimate(
        memory=known.weights + remembered, work=length, rate=_rate(known.numbers), notes=notes, budget=budget
    )


def estimate(choice: str, parts: Mapping[str, str], length: int, ctx: api.EstimateContext) -> api.Estimate | None:
    """For up to `length` tokens after what stands in `parts`, by the names of the parameters; the note stands at the
    first of them. None where the model is not here, or is none."""
    known = facts(choice, ctx)
    if known is None:
        return None
    if known.tokenizer is None:
        return told(known, guessed(*parts.values()), length, {})
    count = sum(len(vocabulary.words(known.tokenizer, text[:MOST])) for text in parts.values())
    notes = {}
    if parts and count:
        over = f", {count + length - known.longest:,} too many" if count + length > known.longest else ""
        notes = {next(iter(parts)): f"{count:,} of {known.longest:,} tokens{over}"}
    return told(known, count, length, notes)


def of_weights(choice: str, length: int, ctx: api.EstimateContext) -> api.Estimate | None:
    """For up to `length` tokens, where the weights alone tell. None where the model is not here."""
    where = ctx.model(choice) if choice else ""
    if not isinstance(where, Path):
        return None
    numbers, weights = _weighed(where, ctx)
    return api.Estimate(memory=weights, work=length, rate=_rate(numbers)) if numbers else None


def guessed(*texts: str) -> int:
    """About how many tokens there are in texts, where no vocabulary tells."""
    return sum(map(len, texts)) // LETTERS


def _rate(numbers: int) -> str:
    return f"writer.{numbers // 10**6}M"


def _weighed(where: Path, ctx: api.EstimateContext) -> tuple[int, int]:
    """(numbers in a folder's weights, bytes of them once they are loaded)."""
    files = sorted(where.glob("*.safetensors"))
    numbers = sum(prod(shape) for file in files for shape in api.model_files.weight_shapes(file).values())
    packed = transformers_loader.quantisation(where)
    if packed and not (ctx.device == "cpu" and transformers_loader.method_of(packed) in UNPACKED_ON_CPU):
        return numbers, sum(file.stat().st_size for file in files)
    return numbers, numbers * ctx.dtype.itemsize


@lru_cache(4)
def _of_header(file: Path, _changed: int) -> tuple[int, int, int]:
    """(tokens that a GGUF file's model looks back on, numbers of its weights, numbers kept of a token). Its header
    takes a quarter of a second."""
    found = api.model_files.gguf_header(file)
    heads = found.number("attention.head_count", 1) or 1
    width = found.number("embedding_length") / heads
    each = found.number("attention.key_length", width) + found.number("attention.value_length", width)
    kept = found.number("block_count") * found.number("attention.head_count_kv", heads) * each
    numbers = sum(prod(tensor.shape) for tensor in found.tensors.values())
    return int(found.number("context_length")) or 2048, numbers, int(kept)


def _per_token(config: Mapping[str, Any]) -> int:
    """Numbers that are kept of a token: a key and a value in each layer."""
    heads = int(config.get("num_attention_heads") or 1)
    width = int(config.get("head_dim") or int(config.get("hidden_size") or 0) // heads)
    return 2 * int(config.get("num_hidden_layers") or 0) * int(config.get("num_key_value_heads") or heads) * width


class Counter:
    """A vocabulary alone, without transformers, which takes a second to import and must not be by two threads."""

    def __init__(self, spelled: str, name: str) -> None:
        """From tokenizers' JSON, of a model with a name. Raises BadInput."""
        from tokenizers import Tokenizer

        try:
            self._inside = Tokenizer.from_str(spelled)
        except Exception as error:  # tokenizers raises a bare Exception for a damaged file
            raise api.BadInput(f"The vocabulary in {name} is damaged.", "Choose another model.") from error
        self._inside.encode_special_tokens = True
        self._vocabulary: dict[str, int] = self._inside.get_vocab()
        self._ids = lru_cache(REMEMBERED)(lambda text: self._inside.encode(text, add_special_tokens=False).ids)

    def __call__(self, text: str, **_: bool) -> dict[str, list[int]]:
        """As transformers has it; what looks like a control token is taken as the letters that it is."""
        return {"input_ids": [*self._ids(text)]}

    def get_vocab(self) -> dict[str, int]:
        return self._vocabulary

    def convert_tokens_to_ids(self, token: str) -> int:
        return self._vocabulary[token]


@lru_cache(4)
def _tokenizer(where: Path, _changed: int) -> Counter:
    return Counter((where / "tokenizer.json").read_text(encoding="utf-8"), where.name)


@lru_cache(1)
def _unpacked_tokenizer(file: Path, spelled: str) -> Counter:
    return Counter(spelled, file.name)
