"""All that a library knows, before and after its index was thrown away."""

from __future__ import annotations

from studio.library.creation import Creation, CreationKind
from studio.library.library import Library


def rebuilt(library: Library) -> dict[str, Creation]:
    """Every creation, after the index was deleted and the library started again."""
    library.close()
    for path in library.home.root.glob("index.db*"):
        path.unlink()
    again = Library(library.home)
    again.open()
    assert again.needs_sweep
    again.sweep()
    assert not again.needs_sweep
    found = everything(again)
    again.close()
    return found


def everything(library: Library) -> dict[str, Creation]:
    ids = [*library.find_ids(), *library.find_ids(trashed=True), *library.find_ids(kind=CreationKind.FILE)]
    return {creation.id: creation for creation in library.get_many(ids)}
