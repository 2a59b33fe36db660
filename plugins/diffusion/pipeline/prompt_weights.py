"""The grammar of weighted prompts that artists know from AUTOMATIC1111.

``(word)`` weighs 1.1 times, ``((word))`` 1.21 times, ``(word:1.3)`` 1.3 times, ``[word]`` 1/1.1 times;
``BREAK`` begins a new thought that is encoded by itself; a backslash takes the meaning from a bracket.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

STEP = 1.1
_TOKEN = re.compile(r"\\[\\()\[\]:]|[()\[\]]|:\s*[+-]?\d*\.?\d+\s*(?=\))|[^\\()\[\]:]+|[\\:]")
_BREAK = re.compile(r"\s*\bBREAK\b\s*")


@dataclass(frozen=True)
class WeightedSpan:
    """Words of one weight."""

    text: str
    weight: float = 1.0


@dataclass
class _Group:
    bracket: str
    begin: int


def parse_prompt(prompt: str) -> list[list[WeightedSpan]]:
    """The parts of each thought; at least one thought with one part. Brackets left open count to the end."""
    return [_parts(text) for text in _BREAK.split(prompt)]


def is_plain(parsed: list[list[WeightedSpan]]) -> bool:
    """Whether the grammar was not used, so that the words say all."""
    return len(parsed) == 1 and all(part.weight == 1.0 for part in parsed[0])


def strip_weights(parsed: list[list[WeightedSpan]]) -> str:
    """Without weights."""
    return " ".join("".join(part.text for part in parts) for parts in parsed)


def _parts(text: str) -> list[WeightedSpan]:
    parts: list[WeightedSpan] = []
    open_groups: list[_Group] = []
    for token in _TOKEN.findall(text):
        if token in "([":
            open_groups.append(_Group(token, len(parts)))
        elif token in ")]" and open_groups and open_groups[-1].bracket == {")": "(", "]": "["}[token]:
            group = open_groups.pop()
            _weigh(parts, group.begin, STEP if token == ")" else 1 / STEP)
        elif token[0] == ":" and len(token) > 1 and open_groups and open_groups[-1].bracket == "(":
            # The closing bracket follows and weighs once more, which is taken back here.
            _weigh(parts, open_groups[-1].begin, float(token[1:]) / STEP)
        else:
            parts.append(WeightedSpan(token[1:] if token[0] == "\\" and len(token) > 1 else token))
    for group in reversed(open_groups):
        _weigh(parts, group.begin, STEP if group.bracket == "(" else 1 / STEP)
    return _joined(parts) or [WeightedSpan("")]


def _weigh(parts: list[WeightedSpan], begin: int, factor: float) -> None:
    parts[begin:] = [WeightedSpan(part.text, part.weight * factor) for part in parts[begin:]]


def _joined(parts: list[WeightedSpan]) -> list[WeightedSpan]:
    """Neighbours of one weight become one part."""
    joined: list[WeightedSpan] = []
    for part in parts:
        weight = round(part.weight, 6)
        if joined and joined[-1].weight == weight:
            joined[-1] = WeightedSpan(joined[-1].text + part.text, weight)
        else:
            joined.append(WeightedSpan(part.text, weight))
    return joined
