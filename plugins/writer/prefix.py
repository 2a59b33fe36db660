"""What a model has read stays computed: of the next text only what differs is read."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor

CHUNK = 256
"""Tokens that are read at a time, with a cancel point behind each."""


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
