"""Parse prompts with the weights that artists know from AUTOMATIC1111.

``(word)`` weighs 1.1, ``((word))`` 1.21, ``(word:1.3)`` 1.3, ``[word]`` 1/1.1. ``BREAK`` starts a new chunk that is
encoded by itself. A backslash makes a bracket an ordinary character.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

BRACKET_WEIGHT = 1.1
_TOKEN = re.compile(r"\\[\\()\[\]:]|[()\[\]]|:\s*[+-]?\d*\.?\d+\s*(?=\))|[^\\()\[\]:]+|[\\:]")
_BREAK = re.compile(r"\s*\bBREAK\b\s*")


@dataclass(frozen=True)
class WeightedSpan:
    """A piece of a prompt with one weight."""

    text: str
    weight: float = 1.0


@dataclass
class _OpenBracket:
    character: str
    first_span: int


def parse_prompt(prompt: str) -> list[list[WeightedSpan]]:
    """Return the chunks of a prompt, at least one, each with at least one span.

    A bracket that is never closed counts to the end of its chunk.
    """
    return [_parse_chunk(text) for text in _BREAK.split(prompt)]


def is_plain(chunks: list[list[WeightedSpan]]) -> bool:
    """Check whether a prompt has no weights and only one chunk."""
    return len(chunks) == 1 and all(span.weight == 1.0 for span in chunks[0])


def strip_weights(chunks: list[list[WeightedSpan]]) -> str:
    """Return the text of a parsed prompt."""
    return " ".join("".join(span.text for span in spans) for spans in chunks)


def _parse_chunk(text: str) -> list[WeightedSpan]:
    spans: list[WeightedSpan] = []
    brackets: list[_OpenBracket] = []
    for token in _TOKEN.findall(text):
        if token in "([":
            brackets.append(_OpenBracket(token, len(spans)))
        elif token in ")]" and brackets and brackets[-1].character == {")": "(", "]": "["}[token]:
            bracket = brackets.pop()
            _multiply_weights(spans, bracket.first_span, BRACKET_WEIGHT if token == ")" else 1 / BRACKET_WEIGHT)
        elif token[0] == ":" and len(token) > 1 and brackets and brackets[-1].character == "(":
            # The closing bracket follows and multiplies once more, which is undone here.
            _multiply_weights(spans, brackets[-1].first_span, float(token[1:]) / BRACKET_WEIGHT)
        else:
            spans.append(WeightedSpan(token[1:] if token[0] == "\\" and len(token) > 1 else token))
    for bracket in reversed(brackets):
        _multiply_weights(spans, bracket.first_span, BRACKET_WEIGHT if bracket.character == "(" else 1 / BRACKET_WEIGHT)
    return _join_equal_weights(spans) or [WeightedSpan("")]


def _multiply_weights(spans: list[WeightedSpan], first: int, factor: float) -> None:
    spans[first:] = [WeightedSpan(span.text, span.weight * factor) for span in spans[first:]]


def _join_equal_weights(spans: list[WeightedSpan]) -> list[WeightedSpan]:
    joined: list[WeightedSpan] = []
    for span in spans:
        weight = round(span.weight, 6)
        if joined and joined[-1].weight == weight:
            joined[-1] = WeightedSpan(joined[-1].text + span.text, weight)
        else:
            joined.append(WeightedSpan(span.text, weight))
    return joined
