"""Ways to draw the next token that transformers does not have. Each works on float32 logits [vocabulary] and the
tokens so far, and leaves -inf where nothing may be drawn."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from torch import Generator, Tensor

DRY_LOOKS_BACK = 2048
DRY_LONGEST = 50


class Sampler(Protocol):
    def __call__(self, logits: Tensor, tokens: Sequence[int]) -> Tensor:
        """The logits after this sampler; `tokens` are all that stands before, prompt and text."""


@dataclass(frozen=True)
class Repetition:
    """The logits of what is there already are divided by `penalty` where positive, else multiplied (Keskar and others
    2019, CTRL)."""

    penalty: float

    def __call__(self, logits: Tensor, tokens: Sequence[int]) -> Tensor:
        import torch

        seen = torch.tensor(sorted(set(tokens)), device=logits.device)
        values = logits[seen]
        return logits.index_copy(0, seen, torch.where(values < 0, values * self.penalty, values / self.penalty))


@dataclass(frozen=True)
class Presence:
    """`presence` is taken from what was written already, and `frequency` for each time it was (the rule of OpenAI's
    API). The first `after` tokens, the prompt, do not count."""

    presence: float
    frequency: float
    after: int = 0

    def __call__(self, logits: Tensor, tokens: Sequence[int]) -> Tensor:
        import torch

        written = torch.tensor(tokens[self.after :], dtype=torch.long, device=logits.device)
        counts = torch.bincount(written, minlength=len(logits)).to(logits.dtype)
        return logits - self.frequency * counts - self.presence * (counts > 0)


@dataclass(frozen=True)
class Dry:
    """Don't repeat yourself (p-e-w, text-generation-webui pull request 5677): a token that would make a run longer,
    of which at least `allowed` tokens stood there before, loses `multiplier` · `base`^(length - `allowed`).

    No run goes over one of `breakers`.
    """

    multiplier: float
    base: float = 1.75
    allowed: int = 2
    breakers: Collection[int] = ()

    def __call__(self, logits: Tensor, tokens: Sequence[int]) -> Tensor:
        longest = self.runs(tokens[-DRY_LOOKS_BACK:])
        found = logits.clone()
        for token, length in longest.items():
            if length >= self.allowed:
                found[token] -= self.multiplier * self.base ** (length - self.allowed)
        return found

    def runs(self, tokens: Sequence[int]) -> dict[int, int]:
        """By token, how long the run is that it followed once and would follow again."""
        longest: dict[int, int] = {}
        if not tokens or tokens[-1] in self.breakers:
            return longest
        last, end = tokens[-1], len(tokens) - 1
        for place in range(end):
            if tokens[place] != last:
                continue
            length = 1
            while (
                length < DRY_LONGEST
                and place - length >= 0
                and tokens[place - length] == tokens[end - length]
                and tokens[place - length] not in self.breakers
            ):
                length += 1
            longest[tokens[place + 1]] = max(length, longest.get(tokens[place + 1], 0))
        return longest


@dataclass(frozen=True)
class Bias:
    """Adds to the logits of some tokens; -inf bans them."""

    values: dict[int, float]

    def __call__(self, logits: Tensor, tokens: Sequence[int]) -> Tensor:  # noqa: ARG002
        import torch

        numbers = torch.tensor([*self.values], device=logits.device)
        return logits.index_add(0, numbers, torch.tensor([*self.values.values()], device=logits.device))


@dataclass(frozen=True)
class Banned:
    """Sequences of tokens that must not be written: the last token of one is banned where the others stand, unless a
    form leaves nothing else."""

    sequences: Sequence[Sequence[int]]

    def __call__(self, logits: Tensor, tokens: Sequence[int]) -> Tensor:
        found = logits.clone()
        for *before, last in self.sequences:
            if not before or list(tokens[-len(before) :]) == before:
                found[last] = -float("inf")
        return found if found.max() > -float("inf") else logits


@dataclass(frozen=True)
class Xtc:
    """Exclude top choices (p-e-w, text-generation-webui pull request 6335): with `probability`, all tokens of at
    least `threshold` but the least likely of them are left out; nothing is where one of `spared` would be."""

    probability: float
    threshold: float
    chance: Generator
    spared: Collection[int] = ()

    def __call__(self, logits: Tensor, tokens: Sequence[int]) -> Tensor:  # noqa: ARG002
        import torch

        if float(torch.rand((), generator=self.chance)) >= self.probability:
            return logits
        shares = logits.softmax(-1)
        top = (shares >= self.threshold).nonzero().flatten()
        if len(top) < 2:
            return logits
        kept = top[shares[top].argmin()]
        out = top[top != kept]
        if {int(token) for token in out} & set(self.spared):
            return logits
        return logits.index_fill(0, out, -float("inf"))


@dataclass
class Mirostat:
    """Mirostat 2 (Basu and others 2021, arXiv 2007.14966): what is more surprising than `mu` bits is left out, and
    `mu` follows so that the mean surprise is `tau`. Tell it what was drawn by `drew`."""

    tau: float
    eta: float = 0.1
    mu: float = field(init=False)
    _shares: Tensor | None = field(init=False, default=None, repr=False)

    def __post_init__(self) -> None:
        self.mu = 2 * self.tau

    def __call__(self, logits: Tensor, tokens: Sequence[int]) -> Tensor:  # noqa: ARG002
        surprise = -logits.log_softmax(-1) / 0.6931471805599453
        over = surprise > self.mu
        over[logits.argmax()] = False
        left = logits.masked_fill(over, -float("inf"))
        self._shares = left.softmax(-1)
        return left

    def drew(self, token: int) -> None:
        """`token` was drawn from what the last call left."""
        import math

        if self._shares is not None:
            self.mu -= self.eta * (-math.log2(max(float(self._shares[token]), 1e-30)) - self.tau)
