"""The lineage of a creation: what it was made from, and what was made from it."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from studio.library.creation import Creation

if TYPE_CHECKING:
    from studio.library.library import Library

MAX_GENERATIONS = 12
MAX_CHILDREN = 12
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
    """Read up to `MAX_GENERATIONS` generations of parents, each creation once, and the children."""
    creation = library.get(id)
    if creation is None:
        return Lineage(id, ())
    generations: list[list[Creation]] = [[creation]]
    seen = {creation.id}
    while len(generations) < MAX_GENERATIONS:
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
    steps += [Step(child, len(generations)) for child in children[:MAX_CHILDREN]]
    return Lineage(id, tuple(steps), max(0, len(children) - MAX_CHILDREN))
