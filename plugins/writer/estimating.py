"""What writing will take: memory for weights and for what is read, tokens to write, and how full the page is."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import lru_cache
from math import prod
from pathlib import Path
from typing import Any

from studio import api

MOST = 4_000_000
"""Characters of a text that are counted; what is longer is said to be more."""


def estimate(choice: str, parts: Mapping[str, str], length: int, ctx: api.EstimateContext) -> api.Estimate | None:
    """For up to `length` tokens after what stands in `parts`, by the names of the parameters; the note stands at the
    first of them. None where the model is not here, or is none."""
    try:
        where = ctx.model(choice) if choice else ""
    except api.BadInput:
        return None
    if not isinstance(where, Path):
        return None
    try:
        config = json.loads((where / "config.json").read_bytes())
        weights = sum(_numbers(file) for file in sorted(where.glob("*.safetensors")))
        count = sum(_tokens(where, text) for text in parts.values())
    except (OSError, ValueError, api.BadInput):
        return None
    longest = int(config.get("max_position_embeddings") or 2048)
    remembered = min(longest, count + length) * _per_token(config)
    notes = {}
    if parts and count:
        over = f", {count + length - longest:,} too many" if count + length > longest else ""
        notes = {next(iter(parts)): f"{count:,} of {longest:,} tokens{over}"}
    memory = (weights + remembered) * ctx.dtype.itemsize
    return api.Estimate(memory=memory, work=length, rate=f"writer.{weights // 10**6}M", notes=notes)


def _numbers(file: Path) -> int:
    return sum(prod(shape) for shape in api.weight_shapes(file).values())


def _per_token(config: Mapping[str, Any]) -> int:
    """Numbers that are kept of a token: a key and a value in each layer."""
    heads = int(config.get("num_attention_heads") or 1)
    width = int(config.get("head_dim") or int(config.get("hidden_size") or 0) // heads)
    return 2 * int(config.get("num_hidden_layers") or 0) * int(config.get("num_key_value_heads") or heads) * width


def _tokens(where: Path, text: str) -> int:
    return len(_tokenizer(where, (where / "tokenizer.json").stat().st_mtime_ns).encode(text[:MOST]).ids)


@lru_cache(4)
def _tokenizer(where: Path, _changed: int) -> Any:
    """The vocabulary alone, without transformers, which takes a second to import."""
    from tokenizers import Tokenizer

    try:
        return Tokenizer.from_file(str(where / "tokenizer.json"))
    except Exception as error:  # tokenizers raises a bare Exception for a damaged file
        raise api.BadInput(f"The vocabulary in {where.name} is damaged.", "Choose another model.") from error
