"""Text that always has a form: a JSON schema, a regular expression, or one of some choices (by llguidance)."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from studio import api

if TYPE_CHECKING:
    from torch import Tensor

_COMPACT = {"whitespace_flexible": False, "item_separator": ", ", "key_separator": ": "}


@dataclass
class Constrained:
    """A sampler that leaves only what the form allows. Tell it what was drawn by `drew`; `done` once it is whole."""

    matcher: Any
    done: bool = field(init=False, default=False)

    def __call__(self, logits: Tensor, tokens: Sequence[int]) -> Tensor:  # noqa: ARG002
        import torch

        packed = np.frombuffer(self.matcher.compute_bitmask(), np.uint8)
        allowed = torch.from_numpy(np.unpackbits(packed, bitorder="little")[: len(logits)].astype(bool))
        missing = len(logits) - len(allowed)
        if missing > 0:  # A model may have more numbers than its vocabulary has tokens.
            allowed = torch.nn.functional.pad(allowed, (0, missing))
        return logits.masked_fill(~allowed.to(logits.device), -float("inf"))

    def drew(self, token: int) -> None:
        self.matcher.consume_token(token)
        self.done = bool(self.matcher.is_stopped())


def json_schema(tokenizer: Any, schema: Mapping[str, Any]) -> Constrained:
    """JSON that is valid by the schema. Raises BadInput for a schema that cannot be followed."""
    from llguidance import LLMatcher

    return _of(tokenizer, LLMatcher.grammar_from_json_schema(json.dumps(schema), defaults=_COMPACT))


def regular(tokenizer: Any, expression: str) -> Constrained:
    """Text that matches the whole expression. Raises BadInput for one that is none."""
    from llguidance import LLMatcher

    return _of(tokenizer, LLMatcher.grammar_from_regex(expression))


def choice(tokenizer: Any, choices: Sequence[str]) -> Constrained:
    """One of the choices, to the letter."""
    from llguidance import LLMatcher

    return _of(tokenizer, LLMatcher.grammar_from_lark("start: " + " | ".join(map(json.dumps, choices))))


def _of(tokenizer: Any, grammar: str) -> Constrained:
    from llguidance import LLMatcher, hf

    known = getattr(tokenizer, "_studio_constraints", None)
    if known is None:
        known = hf.from_tokenizer(tokenizer)
        tokenizer._studio_constraints = known  # It takes a second for a large vocabulary.
    matcher = LLMatcher(known, grammar, log_level=0)
    if matcher.is_error():
        raise api.BadInput("This form cannot be followed.", "Look for a mistake in it.")
    return Constrained(matcher)
