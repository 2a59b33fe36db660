"""Which source face goes onto which target face."""

from __future__ import annotations

import re

from studio import api

_PAIR = re.compile(r"\s*(\d{1,3})\s*(?:>|→|:)\s*(\d{1,3})\s*")
HINT = "Write a mapping such as “1>2, 2>1”: source face 1 onto target face 2, and 2 onto 1. Find faces numbers them."


def parse_mapping(text: str) -> list[tuple[int, int]]:
    """Parse pairs of numbers of faces, from 1: ``1>2, 2>1``. Raises BadInput for anything else."""
    pairs = []
    for part in re.split(r"[,;\n]", text) if text.strip() else []:
        match = _PAIR.fullmatch(part)
        if match is None:
            raise api.BadInput(f"“{part.strip()[:40]}” is no pair of faces.", HINT)
        pairs.append((int(match[1]), int(match[2])))
    targets = [target for _, target in pairs]
    if double := next((target for target in targets if targets.count(target) > 1), None):
        raise api.BadInput(f"Two faces are to be put onto target face {double}.", "Name each target face once.")
    return pairs


def choose_pairs(mapping: list[tuple[int, int]], sources: int, targets: int) -> list[tuple[int, int]]:
    """Return the pairs of a mapping, or the only possible pair without one. Faces that are not named stay.

    Raises BadInput if there are several faces and no mapping, or for the number of a face that was not found.
    """
    if not mapping:
        if (sources, targets) == (1, 1):
            return [(1, 1)]
        raise api.BadInput(
            f"{_count(sources, 'source face')} and {_count(targets, 'target face')} were found, and no mapping.", HINT
        )
    for source, target in mapping:
        if not 1 <= source <= sources:
            raise api.BadInput(f"There is no source face {source}; {_count(sources, 'face')} found.", HINT)
        if not 1 <= target <= targets:
            raise api.BadInput(f"There is no target face {target}; {_count(targets, 'face')} found.", HINT)
    return mapping


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
