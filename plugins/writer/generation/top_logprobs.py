"""Collect, for each generated token, the most likely tokens at its place, before any sampler changed the logits."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import PreTrainedTokenizerBase

TOP = 5
"""Number of tokens that are collected for each place."""
MAX_TOKENS = 2000
"""Number of generated tokens for which they are collected."""
BATCH = 32
"""Number of logits that are processed together; they are kept until then."""
MAX_BYTES = 48_000
"""Size in a file's front matter; about 600 tokens fit."""
LOOK_BACK = 4
"""Number of earlier tokens that may share a character with a token, or decide whether a space comes between."""
MIN_PROBABILITY = 0.0005

Choice: TypeAlias = list[str | list[list[str | float]]]
"""[text of the token, [[text, probability], …]], most likely first; the generated token is among them."""


class TopLogprobs:
    """Collects the logits of each token in batches. All stays on the device until `decode`, so nothing waits."""

    def __init__(self) -> None:
        self._tokens: list[int] = []
        self._pending: list[Tensor] = []
        self._processed: list[tuple[Tensor, Tensor]] = []

    def add(self, logits: Tensor, token: int) -> None:
        """Add a `token` that was sampled from these raw logits [vocabulary], which must not be changed in place."""
        if len(self._tokens) < MAX_TOKENS:
            self._tokens.append(token)
            self._pending.append(logits)
            if len(self._pending) == BATCH:
                self._process_batch()

    def decode(self, tokenizer: PreTrainedTokenizerBase, prompt: Sequence[int], text: str) -> list[Choice]:
        """Return a choice for each token, as far as they make up `text` from its beginning and fit into a file."""
        choices: list[Choice] = []
        place = size = 0
        for piece, options in self._decode_tokens(tokenizer, prompt):
            choice: Choice = [piece, options]
            size += len(json.dumps(choice, ensure_ascii=False).encode())
            if size > MAX_BYTES or not text.startswith(piece, place):
                break
            place += len(piece)
            choices.append(choice)
        return choices

    def _process_batch(self) -> None:
        """Store (log probabilities [n, `TOP` + 1], the last of the sampled token; tokens [n, `TOP`])."""
        import torch

        if not self._pending:
            return
        logits = torch.stack(self._pending).float()
        sampled = torch.tensor(self._tokens[-len(logits) :], device=logits.device)[:, None]
        values, tokens = logits.topk(min(TOP, logits.shape[1]))
        logprobs = torch.cat([values, logits.gather(1, sampled)], 1) - logits.logsumexp(1, keepdim=True)
        self._processed.append((logprobs, tokens))
        self._pending = []

    def _decode_tokens(
        self, tokenizer: PreTrainedTokenizerBase, prompt: Sequence[int]
    ) -> Iterator[tuple[str, list[list[str | float]]]]:
        import torch

        self._process_batch()
        if not self._processed:
            return
        probabilities = torch.cat([logprobs for logprobs, _ in self._processed]).exp().tolist()
        top_tokens = torch.cat([tokens for _, tokens in self._processed]).tolist()
        before = [*prompt[-LOOK_BACK:]]
        special = {*tokenizer.all_special_ids, *tokenizer.get_added_vocab().values()}
        for token, values, top in zip(self._tokens, probabilities, top_tokens, strict=True):
            by_token = dict(zip([*top, token], values, strict=True))
            ranked = [
                one
                for one in sorted(by_token, key=lambda one: -by_token[one])
                if one == token or (one not in special and by_token[one] >= MIN_PROBABILITY)
            ]
            text, *texts = _decode_each(tokenizer, before[-LOOK_BACK:], [token, *ranked])
            options: list[list[str | float]] = [
                [piece, round(by_token[one], 4)]
                for one, piece in zip(ranked, texts, strict=True)
                if piece and "\ufffd" not in piece
            ]
            yield text.rstrip("\ufffd"), options
            before.append(token)


def _decode_each(tokenizer: PreTrainedTokenizerBase, before: Sequence[int], tokens: Sequence[int]) -> list[str]:
    """Return what each of `tokens` adds to the text of those before it.

    A character of several tokens belongs to the token that completes it.
    """
    start, *texts = tokenizer.batch_decode(
        [[*before], *([*before, token] for token in tokens)], skip_special_tokens=True
    )
    length = len(start.rstrip("\ufffd"))
    return [text[length:] for text in texts]
