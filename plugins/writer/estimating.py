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

from . import vocabulary

REMEMBERED = 16
"""Texts whose tokens are kept: memory and lore are the same from key to key."""
MOST = 4_000_000
"""Characters of a text that are counted; what is longer is said to be more."""


@dataclass(frozen=True)
class Facts:
    """What a model's folder tells without loading it. `tokenizer` counts as transformers' does."""

    tokenizer: Counter
    longest: int
    weights: int
    per_token: int
    itemsize: int


def facts(choice: str, ctx: api.EstimateContext) -> Facts | None:
    """None where the model is not here, or is none."""
    try:
        where = ctx.model(choice) if choice else ""
        if not isinstance(where, Path):
            return None
        config = json.loads((where / "config.json").read_bytes())
        weights = sum(_numbers(file) for file in sorted(where.glob("*.safetensors")))
        tokenizer = _tokenizer(where, (where / "tokenizer.json").stat().st_mtime_ns)
    except (OSError, ValueError, api.BadInput):
        return None
    longest = int(config.get("max_position_embeddings") or 2048)
    return Facts(tokenizer, longest, weights, _per_token(config), ctx.dtype.itemsize)


def told(
    known: Facts, count: int, length: int, notes: Mapping[str, str], budget: api.Budget | None = None
) -> api.Estimate:
    """For up to `length` tokens after `count`."""
    remembered = min(known.longest, count + length) * known.per_token
    memory = (known.weights + remembered) * known.itemsize
    rate = f"writer.{known.weights // 10**6}M"
    return api.Estimate(memory=memory, work=length, rate=rate, notes=notes, budget=budget)


def estimate(choice: str, parts: Mapping[str, str], length: int, ctx: api.EstimateContext) -> api.Estimate | None:
    """For up to `length` tokens after what stands in `parts`, by the names of the parameters; the note stands at the
    first of them. None where the model is not here, or is none."""
    known = facts(choice, ctx)
    if known is None:
        return None
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
    weights = sum(_numbers(file) for file in sorted(where.glob("*.safetensors")))
    rate = f"writer.{weights // 10**6}M"
    return api.Estimate(memory=weights * ctx.dtype.itemsize, work=length, rate=rate) if weights else None


def _numbers(file: Path) -> int:
    return sum(prod(shape) for shape in api.weight_shapes(file).values())


def _per_token(config: Mapping[str, Any]) -> int:
    """Numbers that are kept of a token: a key and a value in each layer."""
    heads = int(config.get("num_attention_heads") or 1)
    width = int(config.get("head_dim") or int(config.get("hidden_size") or 0) // heads)
    return 2 * int(config.get("num_hidden_layers") or 0) * int(config.get("num_key_value_heads") or heads) * width


class Counter:
    """A vocabulary alone, without transformers, which takes a second to import and must not be by two threads."""

    def __init__(self, file: Path) -> None:
        from tokenizers import Tokenizer

        try:
            self._inside = Tokenizer.from_file(str(file))
        except Exception as error:  # tokenizers raises a bare Exception for a damaged file
            raise api.BadInput(f"The vocabulary in {file.parent.name} is damaged.", "Choose another model.") from error
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
    return Counter(where / "tokenizer.json")
