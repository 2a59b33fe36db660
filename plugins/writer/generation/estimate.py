"""Estimate a generation before it runs: memory for weights and KV cache, tokens to generate, and the token budget."""

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
from ..models.tokenizer import encode_text, find_gguf_vocabulary

CACHED_TEXTS = 16
"""Number of texts whose tokens are cached: memory and lorebook rarely change between two key presses."""
MAX_CHARACTERS = 4_000_000
"""Number of characters of a text that are encoded to count its tokens."""
CHARACTERS_PER_TOKEN = 4
DEQUANTISED_ON_CPU = ("fp8", "mxfp8")
"""Quantisation methods that compute on accelerators only."""


class TokenCounter:
    """A tokenizer of the tokenizers library, without transformers.

    Importing transformers takes a second and is not safe in two threads.
    """

    def __init__(self, vocabulary: str, name: str) -> None:
        """Load the JSON of the tokenizers library for the model called `name`. Raises BadInput if it is damaged."""
        from tokenizers import Tokenizer

        try:
            self._tokenizer = Tokenizer.from_str(vocabulary)
        except Exception as error:  # tokenizers raises a bare Exception for a damaged file
            raise api.BadInput(f"The tokenizer of {name} is damaged.", "Choose another model.") from error
        self._tokenizer.encode_special_tokens = True
        self._vocabulary: dict[str, int] = self._tokenizer.get_vocab()
        self._encode = lru_cache(CACHED_TEXTS)(lambda text: self._tokenizer.encode(text, add_special_tokens=False).ids)

    def __call__(self, text: str, **_: bool) -> dict[str, list[int]]:
        """Return token ids as a transformers tokenizer does, with control tokens encoded as plain characters."""
        return {"input_ids": [*self._encode(text)]}

    def get_vocab(self) -> dict[str, int]:
        return self._vocabulary

    def convert_tokens_to_ids(self, tokens: str) -> int:
        return self._vocabulary[tokens]


@dataclass(frozen=True)
class ModelSize:
    """Sizes of a model, read without loading it."""

    tokenizer: TokenCounter | None
    """None for a GGUF file that this process has not loaded."""
    context_length: int
    parameters: int
    weight_bytes: int
    """Bytes of the weights once they are loaded."""
    cached_values: int
    """Number of values in the KV cache for each token."""
    itemsize: int
    """Bytes of one value in the KV cache."""


def read_model_size(choice: str, ctx: api.EstimateContext) -> ModelSize | None:
    """Read the size of the model that a `ModelChoice` names; None if it is not on this computer or damaged."""
    try:
        path = ctx.model(choice) if choice else ""
        if not isinstance(path, Path):
            return None
        itemsize = ctx.dtype.itemsize
        if file := gguf.find_file(path):
            vocabulary = find_gguf_vocabulary(file)
            counter = _load_gguf_counter(file, vocabulary) if vocabulary else None
            context_length, parameters, cached_values = _read_gguf_size(file, file.stat().st_mtime_ns)
            return ModelSize(counter, context_length, parameters, parameters * itemsize, cached_values, itemsize)
        config = json.loads((path / "config.json").read_bytes())
        parameters, weight_bytes = _count_weights(path, ctx)
        counter = _load_counter(path, (path / "tokenizer.json").stat().st_mtime_ns)
    except (OSError, ValueError, api.BadInput):
        return None
    context_length = int(config.get("max_position_embeddings") or 2048)
    return ModelSize(counter, context_length, parameters, weight_bytes, _count_cached_values(config), itemsize)


def build_estimate(
    model: ModelSize,
    prompt_length: int,
    length: int,
    notes: Mapping[str, str] | None = None,
    budget: api.TokenBudget | None = None,
) -> api.Estimate:
    """Build the estimate for up to `length` new tokens after a prompt of `prompt_length` tokens."""
    kv_cache_bytes = min(model.context_length, prompt_length + length) * model.cached_values * model.itemsize
    return api.Estimate(
        memory=model.weight_bytes + kv_cache_bytes,
        work=length,
        rate=_rate_name(model.parameters),
        notes=notes or {},
        budget=budget,
    )


def estimate_generation(
    choice: str, texts: Mapping[str, str], length: int, ctx: api.EstimateContext
) -> api.Estimate | None:
    """Estimate up to `length` new tokens after `texts`, by parameter name; None if the model is not here.

    The note about the number of tokens belongs to the first parameter.
    """
    model = read_model_size(choice, ctx)
    if model is None:
        return None
    if model.tokenizer is None:
        return build_estimate(model, guess_token_count(*texts.values()), length)
    count = sum(len(encode_text(model.tokenizer, text[:MAX_CHARACTERS])) for text in texts.values())
    notes = {}
    if texts and count:
        excess = count + length - model.context_length
        too_many = f", {excess:,} too many" if excess > 0 else ""
        notes = {next(iter(texts)): f"{count:,} of {model.context_length:,} tokens{too_many}"}
    return build_estimate(model, count, length, notes)


def estimate_weights(choice: str, length: int, ctx: api.EstimateContext) -> api.Estimate | None:
    """Estimate up to `length` new tokens by the weights alone; None if the model is not on this computer."""
    path = ctx.model(choice) if choice else ""
    if not isinstance(path, Path):
        return None
    parameters, weight_bytes = _count_weights(path, ctx)
    return api.Estimate(memory=weight_bytes, work=length, rate=_rate_name(parameters)) if parameters else None


def guess_token_count(*texts: str) -> int:
    """Return the approximate number of tokens in texts, for a model whose tokenizer is not loaded."""
    return sum(map(len, texts)) // CHARACTERS_PER_TOKEN


def _rate_name(parameters: int) -> str:
    return f"writer.{parameters // 10**6}M"


def _count_weights(path: Path, ctx: api.EstimateContext) -> tuple[int, int]:
    """Return the number of parameters in a folder, and their bytes once they are loaded."""
    files = sorted(path.glob("*.safetensors"))
    parameters = sum(prod(shape) for file in files for shape in api.model_files.read_weight_shapes(file).values())
    quantisation = transformers_loader.read_quantisation(path)
    if quantisation and not (ctx.device == "cpu" and transformers_loader.method_of(quantisation) in DEQUANTISED_ON_CPU):
        return parameters, sum(file.stat().st_size for file in files)
    return parameters, parameters * ctx.dtype.itemsize


@lru_cache(4)
def _read_gguf_size(file: Path, _modified: int) -> tuple[int, int, int]:
    """Return (context length, parameters, cached values of a token). Reading the header takes a quarter of a second."""
    header = api.model_files.read_gguf_header(file)
    heads = header.number("attention.head_count", 1) or 1
    width = header.number("embedding_length") / heads
    key_and_value = header.number("attention.key_length", width) + header.number("attention.value_length", width)
    cached_values = header.number("block_count") * header.number("attention.head_count_kv", heads) * key_and_value
    parameters = sum(prod(tensor.shape) for tensor in header.tensors.values())
    return int(header.number("context_length")) or 2048, parameters, int(cached_values)


def _count_cached_values(config: Mapping[str, Any]) -> int:
    """Return the number of values in the KV cache for each token: a key and a value in each layer."""
    heads = int(config.get("num_attention_heads") or 1)
    width = int(config.get("head_dim") or int(config.get("hidden_size") or 0) // heads)
    return 2 * int(config.get("num_hidden_layers") or 0) * int(config.get("num_key_value_heads") or heads) * width


@lru_cache(4)
def _load_counter(path: Path, _modified: int) -> TokenCounter:
    return TokenCounter((path / "tokenizer.json").read_text(encoding="utf-8"), path.name)


@lru_cache(1)
def _load_gguf_counter(file: Path, vocabulary: str) -> TokenCounter:
    return TokenCounter(vocabulary, file.name)
