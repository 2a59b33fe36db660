"""How much a model can read, and what takes it up."""

from __future__ import annotations

from msgspec import Struct


class TokenBudget(Struct, frozen=True):
    """`whole` is what fits in; `parts` are what takes it up, by name, in order. `left_out` does not come in at all.

    Where the parts are more than the whole, nothing would be read: something must be shortened first.
    """

    whole: int
    parts: dict[str, int] = {}
    left_out: int = 0
    unit: str = "tokens"

    @property
    def used(self) -> int:
        return sum(self.parts.values())

    @property
    def too_many(self) -> int:
        return max(0, self.used - self.whole)

    @property
    def sentence(self) -> str:
        """All of it in words: ``memory 12, text 800, new tokens 200 of 1,024 tokens, 96 left out``."""
        taken = ", ".join(f"{name} {count:,}" for name, count in self.parts.items())
        out = f", {self.left_out:,} left out" if self.left_out else ""
        over = f", {self.too_many:,} too many" if self.too_many else ""
        return f"{taken or 'nothing'} of {self.whole:,} {self.unit}{out}{over}"
