"""What each written token won against: the likeliest tokens at its place, before any sampler had its say."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from torch import Tensor

BEST = 5
MOST = 2000
"""Tokens of a text for which this is kept."""
AT_ONCE = 32
"""Tokens whose logits are looked at together; until then they are held."""
MOST_BYTES = 48_000
"""Of a file's front matter; about 600 tokens fit."""
LOOK_BACK = 4
"""Tokens before one that may share a character with it, or decide whether a space stands between."""
LEAST = 0.0005
"""What is less likely is not worth telling."""

Choice: TypeAlias = list[Any]
"""[text of the token, [[text, probability], …]], likeliest first; what was written is among them."""


class Alternatives:
    """Looks at the logits of each token, some at a time. All stays on the device until `told`, so nothing waits."""

    def __init__(self) -> None:
        self._tokens: list[int] = []
        self._waiting: list[Tensor] = []
        self._seen: list[tuple[Tensor, Tensor]] = []

    def note(self, logits: Tensor, token: int) -> None:
        """`token` was drawn from these raw logits [vocabulary], which nobody changes in place."""
        if len(self._tokens) < MOST:
            self._tokens.append(token)
            self._waiting.append(logits)
            if len(self._waiting) == AT_ONCE:
                self._look()

    def _look(self) -> None:
        """Keeps (log shares [n, `BEST` + 1], the last of what was drawn; tokens [n, `BEST`]) of those that wait."""
        import torch

        if not self._waiting:
            return
        logits = torch.stack(self._waiting).float()
        drawn = torch.tensor(self._tokens[-len(logits) :], device=logits.device)[:, None]
        best, tokens = logits.topk(min(BEST, logits.shape[1]))
        shares = torch.cat([best, logits.gather(1, drawn)], 1) - logits.logsumexp(1, keepdim=True)
        self._seen.append((shares, tokens))
        self._waiting = []

    def told(self, tokenizer: Any, prompt: Sequence[int], text: str) -> list[Choice]:
        """One for each token, as far as they make up `text` from its beginning and fit into a file."""
        found: list[Choice] = []
        at = room = 0
        for choice in self._choices(tokenizer, prompt):
            piece = choice[0]
            room += len(json.dumps(choice, ensure_ascii=False).encode())
            if room > MOST_BYTES or not text.startswith(piece, at):
                break
            at += len(piece)
            found.append(choice)
        return found

    def _choices(self, tokenizer: Any, prompt: Sequence[int]) -> Iterator[Choice]:
        import torch

        self._look()
        if not self._seen:
            return
        shares = torch.cat([some for some, _ in self._seen]).exp().tolist()
        likeliest = torch.cat([some for _, some in self._seen]).tolist()
        before = [*prompt[-LOOK_BACK:]]
        special = {*tokenizer.all_special_ids, *tokenizer.get_added_vocab().values()}
        for token, values, some in zip(self._tokens, shares, likeliest, strict=True):
            offered = dict(zip([*some, token], values, strict=True))
            ranked = sorted(offered, key=lambda one: -offered[one])
            ranked = [one for one in ranked if one == token or (one not in special and offered[one] >= LEAST)]
            texts = _texts(tokenizer, before[-LOOK_BACK:], [token, *ranked])
            options = [
                [piece, round(offered[one], 4)]
                for one, piece in zip(ranked, texts[1:], strict=True)
                if piece and "\ufffd" not in piece
            ]
            yield [texts[0].rstrip("\ufffd"), options]
            before.append(token)


def _texts(tokenizer: Any, before: Sequence[int], tokens: Sequence[int]) -> list[str]:
    """What each of `tokens` adds to the text of those before it; half a character is told by the token that ends it."""
    start, *whole = tokenizer.batch_decode(
        [[*before], *([*before, token] for token in tokens)], skip_special_tokens=True
    )
    length = len(start.rstrip("\ufffd"))
    return [text[length:] for text in whole]
