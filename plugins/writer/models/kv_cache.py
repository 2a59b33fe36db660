"""What a model has read stays computed: of the next text only what differs is read."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from studio import api

if TYPE_CHECKING:
    from torch import Tensor

CHUNK = 256
"""Tokens that are read at a time, with a cancel point behind each."""
MOST_PARKED = 2**30
"""Bytes: of a model with 8 billion numbers, 8,000 tokens."""


class Prefix:
    """The keys and values of `tokens`, as transformers' `DynamicCache` holds them."""

    def __init__(self, model: Any, device: str) -> None:
        self._model, self._device = model, device
        self.tokens: list[int] = []
        self._cache: Any = None
        self.latest_read = 0
        """How many tokens the last `read` computed."""

    def read(self, tokens: Sequence[int], check: Callable[[], None]) -> Tensor:
        """Logits [vocabulary] for what follows `tokens` (one or more). `check` may raise between two chunks; what was
        read until then stays."""
        import torch

        self._cut(min(_common(self.tokens, tokens), len(tokens) - 1))
        rest = tokens[len(self.tokens) :]
        self.latest_read = len(rest)
        logits: Tensor | None = None
        with torch.inference_mode():
            for start in range(0, len(rest), CHUNK):
                check()
                logits = self._step(rest[start : start + CHUNK])
        assert logits is not None
        return logits

    def add(self, token: int) -> Tensor:
        """Logits for what follows one more token."""
        import torch

        with torch.inference_mode():
            return self._step([token])

    def forget(self) -> None:
        self.tokens, self._cache = [], None

    def save_state(self, file: Path) -> None:
        """Writes what was read into a file: of its beginning as much as fits into `MOST_PARKED` bytes, and into a
        quarter of what is free there. Nothing where the model remembers otherwise than by keys and values."""
        import torch
        from safetensors.torch import save_file

        with torch.inference_mode():
            held = self._held()
            size = sum(tensor.nbytes for tensor in held.values())
            room = min(MOST_PARKED, shutil.disk_usage(file.parent).free // 4)
            if size > room:
                self._cut(len(self.tokens) * room // size)
                held = self._held()
            if held:
                seen = [layer.get_seq_length() for layer in self._cache.layers]
                held = {name: tensor.cpu().contiguous() for name, tensor in held.items()}
                save_file({"tokens": torch.tensor(self.tokens), **held}, file, {"notes": json.dumps({"seen": seen})})

    def restore_state(self, file: Path) -> None:
        """Goes on from what `save_state` wrote for the same model. Raises OSError or ValueError when it is damaged."""
        import torch
        from transformers import DynamicCache

        tensors, notes = api.model_files.read_tensors(file)
        cache = DynamicCache(config=self._model.config)
        with torch.inference_mode():
            for number, (layer, seen) in enumerate(zip(cache.layers, notes["seen"], strict=True)):
                if f"{number}.keys" in tensors:
                    layer.update(*(tensors[f"{number}.{name}"].to(self._device) for name in ("keys", "values")))
                if layer.is_sliding:
                    layer.cumulative_length = seen
        self.tokens, self._cache = tensors["tokens"].tolist(), cache

    def _held(self) -> dict[str, Tensor]:
        """Keys and values by layer; empty where there are none, or other things beside them."""
        from transformers.cache_utils import DynamicLayer, DynamicSlidingWindowLayer

        layers = self._cache.layers if self.tokens else []
        if any(type(layer) not in (DynamicLayer, DynamicSlidingWindowLayer) for layer in layers):
            return {}
        filled = [(number, layer) for number, layer in enumerate(layers) if layer.is_initialized]
        return {f"{at}.{name}": getattr(layer, name) for at, layer in filled for name in ("keys", "values")}

    def _step(self, tokens: Sequence[int]) -> Tensor:
        import torch

        ids = torch.tensor([[*tokens]], device=self._device)
        try:
            made = self._model(input_ids=ids, past_key_values=self._cache, use_cache=True, logits_to_keep=1)
        except BaseException:
            self.forget()  # Some layers may have taken the tokens and others not.
            raise
        self.tokens += tokens
        logits: Tensor = made.logits[0, -1]
        return logits

    def _cut(self, length: int) -> None:
        """Keeps the first `length` tokens; all is read again where the cache of this model cannot be cut."""
        from transformers import DynamicCache

        if self._cache is None or not length:
            self.tokens, self._cache = [], DynamicCache(config=self._model.config)
        elif length < len(self.tokens):
            try:
                self._cache.crop(length - len(self.tokens))
                self.tokens = self.tokens[:length]
            except (ValueError, NotImplementedError, AttributeError, RuntimeError):
                self.tokens, self._cache = [], DynamicCache(config=self._model.config)


def _common(ours: Sequence[int], theirs: Sequence[int]) -> int:
    for number, (one, other) in enumerate(zip(ours, theirs, strict=False)):
        if one != other:
            return number
    return min(len(ours), len(theirs))
