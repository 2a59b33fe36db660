"""Samplers that transformers does not have.

Each takes float32 logits [vocabulary] and the tokens so far, and sets the logits of excluded tokens to -inf.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from torch import Generator, Tensor

DRY_RANGE = 2048
"""Number of last tokens in which DRY looks for repetitions."""
DRY_MAX_LENGTH = 50
"""Longest repeated sequence, in tokens, that DRY tells from a longer one."""


class LogitsProcessor(Protocol):
    def __call__(self, logits: Tensor, tokens: Sequence[int]) -> Tensor:
        """Return the processed logits [vocabulary]. `tokens` are the prompt and the text so far."""


@dataclass(frozen=True)
class RepetitionPenalty:
    """Divides positive logits of tokens that occurred by `penalty`, and multiplies negative ones (CTRL, Keskar et al.
    2019)."""

    penalty: float

    def __call__(self, logits: Tensor, tokens: Sequence[int]) -> Tensor:
        import torch

        seen = torch.tensor(sorted(set(tokens)), device=logits.device)
        values = logits[seen]
        return logits.index_copy(0, seen, torch.where(values < 0, values * self.penalty, values / self.penalty))


@dataclass(frozen=True)
class PresencePenalty:
    """Subtracts `presence` from tokens that were written, and `frequency` for each time (the rule of OpenAI's API).

    The first `prompt_length` tokens do not count.
    """

    presence: float
    frequency: float
    prompt_length: int = 0

    def __call__(self, logits: Tensor, tokens: Sequence[int]) -> Tensor:
        import torch

        written = torch.tensor(tokens[self.prompt_length :], dtype=torch.long, device=logits.device)
        counts = torch.bincount(written, minlength=len(logits)).to(logits.dtype)
        return logits - self.frequency * counts - self.presence * (counts > 0)


@dataclass(frozen=True)
class Dry:
    """Don't repeat yourself (p-e-w, text-generation-webui pull request 5677).

    A token that would extend a repeated sequence of at least `allowed_length` tokens loses
    `multiplier` · `base`^(length - `allowed_length`). No sequence extends over one of `sequence_breakers`.
    """

    multiplier: float
    base: float = 1.75
    allowed_length: int = 2
    sequence_breakers: Collection[int] = ()

    def __call__(self, logits: Tensor, tokens: Sequence[int]) -> Tensor:
        penalised = logits.clone()
        for token, length in self.find_repetitions(tokens[-DRY_RANGE:]).items():
            if length >= self.allowed_length:
                penalised[token] -= self.multiplier * self.base ** (length - self.allowed_length)
        return penalised

    def find_repetitions(self, tokens: Sequence[int]) -> dict[int, int]:
        """Return, by token, the length of the longest sequence that it followed and would follow again."""
        lengths: dict[int, int] = {}
        if not tokens or tokens[-1] in self.sequence_breakers:
            return lengths
        last, end = tokens[-1], len(tokens) - 1
        for place in range(end):
            if tokens[place] != last:
                continue
            length = 1
            while (
                length < DRY_MAX_LENGTH
                and place - length >= 0
                and tokens[place - length] == tokens[end - length]
                and tokens[place - length] not in self.sequence_breakers
            ):
                length += 1
            lengths[tokens[place + 1]] = max(length, lengths.get(tokens[place + 1], 0))
        return lengths


@dataclass(frozen=True)
class LogitBias:
    """Adds a value to the logits of some tokens; -inf bans a token."""

    biases: Mapping[int, float]

    def __call__(self, logits: Tensor, tokens: Sequence[int]) -> Tensor:  # noqa: ARG002
        import torch

        ids = torch.tensor([*self.biases], device=logits.device)
        return logits.index_add(0, ids, torch.tensor([*self.biases.values()], device=logits.device))


@dataclass(frozen=True)
class BannedSequences:
    """Excludes the last token of a sequence after the tokens before it, unless no other token is allowed."""

    sequences: Sequence[Sequence[int]]

    def __call__(self, logits: Tensor, tokens: Sequence[int]) -> Tensor:
        allowed = logits.clone()
        for *before, last in self.sequences:
            if not before or list(tokens[-len(before) :]) == before:
                allowed[last] = -float("inf")
        return allowed if allowed.max() > -float("inf") else logits


@dataclass(frozen=True)
class Xtc:
    """Exclude top choices (p-e-w, text-generation-webui pull request 6335).

    With `probability`, it excludes all tokens of at least `threshold` but the least likely of them. It does nothing
    where it would exclude one of `protected`.
    """

    probability: float
    threshold: float
    generator: Generator
    protected: Collection[int] = ()

    def __call__(self, logits: Tensor, tokens: Sequence[int]) -> Tensor:  # noqa: ARG002
        import torch

        if float(torch.rand((), generator=self.generator)) >= self.probability:
            return logits
        probabilities = logits.softmax(-1)
        top = (probabilities >= self.threshold).nonzero().flatten()
        if len(top) < 2:
            return logits
        least = top[probabilities[top].argmin()]
        excluded = top[top != least]
        if {int(token) for token in excluded} & set(self.protected):
            return logits
        return logits.index_fill(0, excluded, -float("inf"))


@dataclass
class Mirostat:
    """Mirostat 2 (Basu et al. 2021, arXiv 2007.14966).

    Excludes tokens with a surprise above `mu` bits, and adapts `mu` so that the mean surprise becomes `tau`. Pass each
    sampled token to `accept_token`.
    """

    tau: float
    eta: float = 0.1
    mu: float = field(init=False)
    _probabilities: Tensor | None = field(init=False, default=None, repr=False)

    def __post_init__(self) -> None:
        self.mu = 2 * self.tau

    def __call__(self, logits: Tensor, tokens: Sequence[int]) -> Tensor:  # noqa: ARG002
        surprise = -logits.log_softmax(-1) / 0.6931471805599453
        excluded = surprise > self.mu
        excluded[logits.argmax()] = False
        remaining = logits.masked_fill(excluded, -float("inf"))
        self._probabilities = remaining.softmax(-1)
        return remaining

    def accept_token(self, token: int) -> None:
        """Adapt `mu` to the token that was sampled after the last call."""
        if self._probabilities is not None:
            self.mu -= self.eta * (-math.log2(max(float(self._probabilities[token]), 1e-30)) - self.tau)
