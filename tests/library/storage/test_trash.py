"""Creations are moved to the trash, restored, and deleted permanently."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from msgspec.structs import replace
from PIL import Image

from studio.library.creation import Creation
from studio.library.library import Library
from studio.library.storage import sidecar
from tests.library.kill_reindex import read_all, rebuild_index

MakeCreation = Callable[..., Creation]


def test_trash_and_restore_are_exact(library: Library, make_creation: MakeCreation) -> None:
    kept, thrown = make_creation(), make_creation()
    library.star(thrown.id, True)
    thrown = library.get_many([thrown.id])[0]
    path = Path(thrown.path)
    before = (path.read_bytes(), path.stat().st_mtime_ns, sidecar.sidecar_path(path).read_bytes())
    assert library.trash([thrown.id, "0" * 64]) == [thrown.id]
    assert library.find_ids() == [kept.id]
    assert library.find_ids(trashed=True) == [thrown.id]
    there = library.get_many([thrown.id])[0]
    assert Path(there.path) == library.home.trash / path.relative_to(library.home.library)
    assert there == replace(thrown, path=there.path, trashed=True)
    assert library.path_of(thrown.id) == Path(there.path)
    assert not library.sweep().changed
    assert library.trash([thrown.id]) == []
    assert library.restore([thrown.id]) == [thrown.id]
    assert library.get_many([thrown.id]) == [thrown]
    assert (path.read_bytes(), path.stat().st_mtime_ns, sidecar.sidecar_path(path).read_bytes()) == before
    assert not library.sweep().changed


def test_the_trash_survives_the_index(library: Library, make_creation: MakeCreation) -> None:
    creation = make_creation()
    library.tag(creation.id, ["gone"])
    library.trash([creation.id])
    before = read_all(library)
    assert before[creation.id].trashed
    assert rebuild_index(library) == before


def test_emptying_the_trash_deletes_permanently(library: Library, make_creation: MakeCreation) -> None:
    kept, thrown = make_creation(), make_creation()
    library.star(thrown.id, True)
    library.trash([thrown.id])
    assert library.empty_trash() == 1
    assert [*library.home.trash.iterdir()] == []
    assert library.get(thrown.id) is None
    assert library.find_ids() == [kept.id]
    assert library.empty_trash() == 0
    assert not library.sweep().changed


def test_only_given_ids_in_the_trash_are_deleted(library: Library, make_creation: MakeCreation) -> None:
    kept, thrown, waiting = make_creation(), make_creation(), make_creation()
    library.star(thrown.id, True)
    library.trash([thrown.id, waiting.id])
    assert library.load_thumbnail(thrown.id)
    assert library.delete([kept.id, thrown.id, "0" * 64]) == [thrown.id]
    assert library.get(thrown.id) is None
    assert library.load_thumbnail(thrown.id) is None
    assert library.find_ids() == [kept.id]
    assert library.find_ids(trashed=True) == [waiting.id]
    assert [path.name for path in library.home.trash.rglob("*") if path.is_file()] == [Path(waiting.path).name]
    assert not library.sweep().changed


def test_children_of_a_deleted_creation_stay(library: Library, make_creation: MakeCreation) -> None:
    before = make_creation()
    after = make_creation(parents=[before.id])
    library.trash([before.id])
    library.delete([before.id])
    assert library.find_parents(after.id) == []
    assert rebuild_index(library)[after.id] == library.get(after.id)


def test_importing_a_trashed_file_restores_it(library: Library, tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    Image.new("RGB", (8, 8)).save(path)
    creation = library.import_file(path)
    library.trash([creation.id])
    assert library.import_file(path) == creation
