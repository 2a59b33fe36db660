"""The lineage of a creation with very many parents or children is short, and says how many it leaves out."""

from __future__ import annotations

import hashlib

from studio.core.paths import Home
from studio.library.creation import Creation, CreationKind
from studio.library.index import schema
from studio.library.index.extraction import IndexEntry
from studio.library.library import Library
from studio.state.library.lineage import MAX_CHILDREN, MAX_PARENTS, read_lineage


def test_a_wide_family_is_read_in_few_steps(home: Home) -> None:
    library = Library(home)
    library.open()
    ids = [hashlib.sha256(str(number).encode()).hexdigest() for number in range(201)]
    with library._begin() as connection:
        for number, id in enumerate(ids):
            path = str(home.library / f"{number}.png")
            creation = Creation(id=id, path=path, kind=CreationKind.IMAGE, tool="a.b", created="2026-01-01T00:00:00Z")
            schema.write_row(connection, home, IndexEntry(creation, ""))
        links = [(ids[0], parent) for parent in ids[1:101]] + [(child, ids[0]) for child in ids[101:]]
        connection.executemany("INSERT INTO links (child, parent) VALUES (?, ?)", links)
    lineage = read_lineage(library, ids[0])
    library.close()
    assert len(lineage.steps) == MAX_PARENTS + 1 + MAX_CHILDREN
    assert (lineage.more_parents, lineage.more) == (100 - MAX_PARENTS, 100 - MAX_CHILDREN)
