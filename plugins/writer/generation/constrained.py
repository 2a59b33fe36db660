"""Constrain the output to a JSON schema, a regular expression or a list of choices, with llguidance."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from studio import api

if TYPE_CHECKING:
    from llguidance import LLMatcher
    from llguidance._lib import JsonCompileOptions
    from torch import Tensor
    from transformers import PreTrainedTokenizerBase

_COMPACT: JsonCompileOptions = {"whitespace_flexible": False, "item_separator": ", ", "key_separator": ": "}


@dataclass
class GrammarConstraint:
    """A logits processor that excludes every token that the grammar does not allow next.

    Pass each sampled token to `accept_token`.
    """

    matcher: LLMatcher
    is_complete: bool = field(init=False, default=False)
    """True once nothing may follow."""

    def __call__(self, logits: Tensor, tokens: Sequence[int]) -> Tensor:  # noqa: ARG002
        import torch

        bitmask = np.frombuffer(self.matcher.compute_bitmask(), np.uint8)
        allowed = torch.from_numpy(np.unpackbits(bitmask, bitorder="little")[: len(logits)].astype(bool))
        padding = len(logits) - len(allowed)
        if padding > 0:  # the output layer of a model may be larger than its vocabulary
            allowed = torch.nn.functional.pad(allowed, (0, padding))
        return logits.masked_fill(~allowed.to(logits.device), -float("inf"))

    def accept_token(self, token: int) -> None:
        self.matcher.consume_token(token)
        self.is_complete = bool(self.matcher.is_stopped())


def constrain_to_schema(tokenizer: PreTrainedTokenizerBase, schema: Mapping[str, Any]) -> GrammarConstraint:
    """Constrain to JSON that is valid by the schema. Raises BadInput for an invalid or unsupported schema."""
    from llguidance import LLMatcher

    return _build(tokenizer, LLMatcher.grammar_from_json_schema(json.dumps(schema), defaults=_COMPACT))


def constrain_to_regex(tokenizer: PreTrainedTokenizerBase, expression: str) -> GrammarConstraint:
    """Constrain to text that matches the whole expression. Raises BadInput for an invalid expression."""
    from llguidance import LLMatcher

    return _build(tokenizer, LLMatcher.grammar_from_regex(expression))


def constrain_to_choices(tokenizer: PreTrainedTokenizerBase, choices: Sequence[str]) -> GrammarConstraint:
    """Constrain to exactly one of the choices."""
    from llguidance import LLMatcher

    return _build(tokenizer, LLMatcher.grammar_from_lark("start: " + " | ".join(map(json.dumps, choices))))


def _build(tokenizer: PreTrainedTokenizerBase, grammar: str) -> GrammarConstraint:
    from llguidance import LLMatcher, hf

    vocabulary = getattr(tokenizer, "_studio_llguidance", None)
    if vocabulary is None:
        vocabulary = hf.from_tokenizer(tokenizer)
        tokenizer._studio_llguidance = vocabulary  # it takes a second for a large vocabulary
    matcher = LLMatcher(vocabulary, grammar, log_level=0)
    if matcher.is_error():
        raise api.BadInput("This regular expression or schema is not valid.", "Check it for mistakes.")
    return GrammarConstraint(matcher)
