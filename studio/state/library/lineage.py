"""Where a creation came from, and what was made from it."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from studio.library.creation import Creation

if TYPE_CHECKING:
    from studio.library.library import Library

GENERATIONS = 12
SHOWN = 12
"""Children that are listed; `more` counts the others."""


class Step(NamedTuple):
    """`depth` is 0 for the oldest."""

    creation: Creation
    depth: int


class Lineage(NamedTuple):
    """Ancestors, the creation itself, then what was made from it."""

    id: str
    steps: tuple[Step, ...]
    more: int = 0


def read_lineage(library: Library, id: str) -> Lineage:
    """Follows parents up to `GENERATIONS` back, each creation once."""
    me = library.get(id)
    if me is None:
        return Lineage(id, ())
    generations: list[list[Creation]] = [[me]]
    seen = {me.id}
    while len(generations) < GENERATIONS:
        older: list[Creation] = []
        for child in generations[-1]:
            for parent in library.find_parents(child.id):
                if parent.id not in seen:
                    seen.add(parent.id)
                    older.append(parent)
        if not older:
            break
        generations.append(older)
    oldest_first = list(reversed(generations))
    steps = [Step(creation, depth) for depth, level in enumerate(oldest_first) for creation in level]
    children = [child for child in library.find_children(id) if child.id not in seen and not child.trashed]
    steps += [Step(child, len(generations)) for child in children[:SHOWN]]
    return Lineage(id, tuple(steps), max(0, len(children) - SHOWN))
