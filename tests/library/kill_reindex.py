"""The content of a library before and after its index is rebuilt."""

from __future__ import annotations

from studio.library.creation import Creation, CreationKind
from studio.library.library import Library


def rebuild_index(library: Library) -> dict[str, Creation]:
    """Delete the index, open the library again, and return all creations."""
    library.close()
    for path in library.home.root.glob("index.db*"):
        path.unlink()
    again = Library(library.home)
    again.open()
    assert again.needs_sweep
    again.sweep()
    assert not again.needs_sweep
    creations = read_all(again)
    again.close()
    return creations


def read_all(library: Library) -> dict[str, Creation]:
    """Return all creations, shown, trashed and hidden ones."""
    ids = [*library.find_ids(), *library.find_ids(trashed=True), *library.find_ids(kind=CreationKind.FILE)]
    return {creation.id: creation for creation in library.get_many(ids)}
