"""The lineage of a creation: what it was made from, and what was made from it."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from studio.library.creation import Creation

if TYPE_CHECKING:
    from studio.library.library import Library

MAX_GENERATIONS = 12
MAX_PARENTS = 24
"""Parents of a generation that are listed; `more_parents` counts the others."""
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
    more_parents: int = 0


def read_lineage(library: Library, id: str) -> Lineage:
    """Read up to `MAX_GENERATIONS` generations of parents, each creation once, and the children.

    Of a generation with many parents, and of many children, the first are listed.
    """
    creation = library.get(id)
    if creation is None:
        return Lineage(id, ())
    generations: list[list[Creation]] = [[creation]]
    seen = {creation.id}
    more_parents = 0
    while len(generations) < MAX_GENERATIONS:
        parents = library.find_parents(*(child.id for child in generations[-1]))
        unseen = [parent for parent in parents if parent.id not in seen]
        older = unseen[:MAX_PARENTS]
        more_parents += len(unseen) - len(older)
        seen.update(parent.id for parent in older)
        if not older:
            break
        generations.append(older)
    oldest_first = list(reversed(generations))
    steps = [Step(creation, depth) for depth, level in enumerate(oldest_first) for creation in level]
    children = [child for child in library.find_children(id) if child.id not in seen and not child.trashed]
    steps += [Step(child, len(generations)) for child in children[:MAX_CHILDREN]]
    return Lineage(id, tuple(steps), max(0, len(children) - MAX_CHILDREN), more_parents)
