"""A KV cache that is kept between jobs: only the tokens after the common prefix are computed again."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from studio import api

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import DynamicCache, PreTrainedModel

CHUNK = 256
"""Tokens per forward pass of a prefill, with a cancel point before each."""
MAX_SAVED_BYTES = 2**30
"""Enough for about 8,000 tokens of a model with 8 billion parameters."""


class KVCache:
    """The keys and values of `tokens`, in a `DynamicCache` of transformers."""

    def __init__(self, model: PreTrainedModel, device: str) -> None:
        self._model, self._device = model, device
        self.tokens: list[int] = []
        self._cache: DynamicCache | None = None
        self.computed_tokens = 0
        """Number of tokens that the last `prefill` had to compute."""

    def prefill(self, tokens: Sequence[int], check_cancelled: Callable[[], None]) -> Tensor:
        """Return the logits [vocabulary] after `tokens` (at least one), computing what is not cached.

        `check_cancelled` may raise between two chunks; the chunks before it stay cached.
        """
        import torch

        self._truncate(min(_common_length(self.tokens, tokens), len(tokens) - 1))
        rest = tokens[len(self.tokens) :]
        self.computed_tokens = len(rest)
        logits: Tensor | None = None
        with torch.inference_mode():
            for start in range(0, len(rest), CHUNK):
                check_cancelled()
                logits = self._forward(rest[start : start + CHUNK])
        assert logits is not None
        return logits

    def append(self, token: int) -> Tensor:
        """Return the logits [vocabulary] after one more token."""
        import torch

        with torch.inference_mode():
            return self._forward([token])

    def clear(self) -> None:
        self.tokens, self._cache = [], None

    def save_state(self, file: Path) -> None:
        """Write the cache to a safetensors file; nothing if it is empty or the model keeps other states.

        A cache larger than `MAX_SAVED_BYTES`, or than a quarter of the free disk space, is truncated to its beginning.
        """
        import torch
        from safetensors.torch import save_file

        with torch.inference_mode():
            tensors = self._layer_tensors()
            size = sum(tensor.nbytes for tensor in tensors.values())
            limit = min(MAX_SAVED_BYTES, shutil.disk_usage(file.parent).free // 4)
            if size > limit:
                self._truncate(len(self.tokens) * limit // size)
                tensors = self._layer_tensors()
            if tensors and self._cache is not None:
                lengths = [layer.get_seq_length() for layer in self._cache.layers]
                tensors = {name: tensor.cpu().contiguous() for name, tensor in tensors.items()}
                notes = {"notes": json.dumps({"lengths": lengths})}
                save_file({"tokens": torch.tensor(self.tokens), **tensors}, file, notes)

    def restore_state(self, file: Path) -> None:
        """Load what `save_state` wrote for the same model. Raises OSError or ValueError if it is damaged."""
        import torch
        from transformers import DynamicCache

        tensors, notes = api.model_files.read_tensors(file)
        cache = DynamicCache(config=self._model.config)
        with torch.inference_mode():
            for number, (layer, length) in enumerate(zip(cache.layers, notes["lengths"], strict=True)):
                if f"{number}.keys" in tensors:
                    layer.update(*(tensors[f"{number}.{name}"].to(self._device) for name in ("keys", "values")))
                if layer.is_sliding:
                    layer.cumulative_length = length
        self.tokens, self._cache = tensors["tokens"].tolist(), cache

    def _layer_tensors(self) -> dict[str, Tensor]:
        """Return keys and values by layer; empty if there are none, or if a layer keeps other states as well."""
        from transformers.cache_utils import DynamicLayer, DynamicSlidingWindowLayer

        layers = self._cache.layers if self.tokens and self._cache is not None else []
        if any(type(layer) not in (DynamicLayer, DynamicSlidingWindowLayer) for layer in layers):
            return {}
        filled = [(number, layer) for number, layer in enumerate(layers) if layer.is_initialized]
        return {f"{number}.{name}": getattr(layer, name) for number, layer in filled for name in ("keys", "values")}

    def _forward(self, tokens: Sequence[int]) -> Tensor:
        import torch

        ids = torch.tensor([[*tokens]], device=self._device)
        try:
            output = self._model(input_ids=ids, past_key_values=self._cache, use_cache=True, logits_to_keep=1)
        except BaseException:
            self.clear()  # some layers may have cached the tokens and others not
            raise
        self.tokens += tokens
        logits: Tensor = output.logits[0, -1]
        return logits

    def _truncate(self, length: int) -> None:
        """Keep the first `length` tokens; none if the cache of this model cannot be truncated."""
        from transformers import DynamicCache

        if self._cache is None or not length:
            self.tokens, self._cache = [], DynamicCache(config=self._model.config)
        elif length < len(self.tokens):
            try:
                self._cache.crop(length - len(self.tokens))
                self.tokens = self.tokens[:length]
            except (ValueError, NotImplementedError, AttributeError, RuntimeError):
                self.tokens, self._cache = [], DynamicCache(config=self._model.config)


def _common_length(first: Sequence[int], second: Sequence[int]) -> int:
    """Return the length of the common prefix."""
    for number, (one, other) in enumerate(zip(first, second, strict=False)):
        if one != other:
            return number
    return min(len(first), len(second))
