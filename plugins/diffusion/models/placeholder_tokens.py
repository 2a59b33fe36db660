"""Placeholder tokens, which stand for the vectors of a textual inversion in a prompt."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from transformers import CLIPTokenizer


def name_tokens(number: int, count: int) -> tuple[str, ...]:
    """Name the tokens of the textual inversion `number` of a prompt, one for each of its vectors."""
    return tuple(f"<|word-{number}-{place}|>" for place in range(count))


def extend_tokenizer(tokenizer: CLIPTokenizer, tokens: Sequence[str]) -> tuple[CLIPTokenizer, int]:
    """Return a copy of a tokenizer that knows more tokens, and the id of the first one. The others follow it."""
    from transformers import AddedToken

    extended = copy.deepcopy(tokenizer)
    extended.add_tokens([AddedToken(token, normalized=False, special=True) for token in tokens], special_tokens=True)
    return extended, min(extended.convert_tokens_to_ids([*tokens]))
