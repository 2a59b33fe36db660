"""The context window of a model, and the parts that fill it."""

from __future__ import annotations

from msgspec import Struct


class TokenBudget(Struct, frozen=True):
    """Sizes in `unit`: `whole` is the capacity, `parts` fill it in this order, and `left_out` does not fit.

    If the parts exceed the capacity, the job is refused until something is shortened.
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
        """Size by which the parts exceed the capacity."""
        return max(0, self.used - self.whole)

    @property
    def sentence(self) -> str:
        """Text such as ``memory 12, text 800, new tokens 200 of 1,024 tokens, 96 left out``."""
        parts = ", ".join(f"{name} {count:,}" for name, count in self.parts.items())
        out = f", {self.left_out:,} left out" if self.left_out else ""
        over = f", {self.too_many:,} too many" if self.too_many else ""
        return f"{parts or 'nothing'} of {self.whole:,} {self.unit}{out}{over}"
