"""A sweep updates the index after any change of the files."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

from msgspec.structs import replace

from studio.core.files import PART
from studio.library.creation import Creation
from studio.library.library import Library
from studio.library.storage import sidecar, writer
from tests.library import factories

MakeCreation = Callable[..., Creation]


def test_nothing_changed(library: Library, make_creation: MakeCreation) -> None:
    make_creation()
    assert not library.sweep().changed


def test_files_without_rows_are_indexed(library: Library) -> None:
    paths = [
        writer.save_image(library.home, factories.make_picture(number), factories.make_recipe()) for number in range(3)
    ]
    steps: list[tuple[int, int]] = []
    done = library.sweep(lambda step, total: steps.append((step, total)))
    assert len(done.added) == 3
    assert steps[-1] == (3, 3)
    assert {library.path_of(id) for id in done.added} == set(paths)


def test_rows_without_files_are_missing_until_the_file_comes_back(
    library: Library, make_creation: MakeCreation, tmp_path: Path
) -> None:
    creation = make_creation()
    library.star(creation.id, True)
    path = Path(creation.path)
    path.rename(tmp_path / "away.png")
    assert library.sweep().missing == (creation.id,)
    assert library.find_ids() == []
    found = library.get(creation.id)
    assert found
    assert (found.missing, found.star, found.recipe) == (True, True, creation.recipe)
    assert library.path_of(creation.id) is None
    (tmp_path / "away.png").rename(path)
    assert library.sweep().changed
    assert library.get(creation.id) == replace(creation, star=True)


def test_a_file_that_was_moved_by_hand_is_the_same_creation(library: Library, make_creation: MakeCreation) -> None:
    creation = make_creation()
    target = library.home.library / "mine" / "fox.png"
    target.parent.mkdir()
    Path(creation.path).rename(target)
    done = library.sweep()
    assert (done.added, done.missing) == ((), ())
    assert library.get(creation.id) == replace(creation, path=str(target))


def test_a_copy_is_the_same_creation_and_takes_over_when_the_first_goes(
    library: Library, make_creation: MakeCreation
) -> None:
    creation = make_creation()
    copy = library.home.library / "copy.png"
    shutil.copy2(creation.path, copy)
    assert library.sweep().added == ()
    assert library.get(creation.id) == creation
    assert not library.sweep().changed
    Path(creation.path).unlink()
    assert library.sweep().missing == ()
    assert library.path_of(creation.id) == copy


def test_a_file_that_was_overwritten_is_another_creation(library: Library, make_creation: MakeCreation) -> None:
    creation, other = make_creation(), make_creation()
    shutil.copy(other.path, creation.path)
    assert library.sweep().missing == ()
    found = library.get(creation.id)
    assert found
    assert found.missing
    assert library.find_ids() == [other.id]


def test_marks_changed_outside_are_indexed(library: Library, make_creation: MakeCreation) -> None:
    creation = make_creation()
    sidecar.update(Path(creation.path), star=True, tags=["sent"])
    done = library.sweep()
    assert (done.updated, done.added) == (1, ())
    assert library.get(creation.id) == replace(creation, star=True, tags=("sent",))
    assert library.find_ids("tag:sent") == [creation.id]


def test_a_damaged_sidecar_loses_only_the_marks(library: Library, make_creation: MakeCreation) -> None:
    creation = make_creation()
    for content in (b"", b"{", b"[1]", b'{"star": "yes"}', b'{"recipe": {}}', b"\xff\xfe", b"[" * 100_000):
        sidecar.sidecar_path(Path(creation.path)).write_bytes(content)
        library.sweep()
        assert library.get(creation.id) == creation


def test_other_files_are_reported_once(library: Library) -> None:
    broken = library.home.library / "broken.jpg"
    broken.write_bytes(b"\xff\xd8\xff\xe0" + bytes(100))
    (library.home.library / ".DS_Store").write_bytes(b"x")
    (library.home.library / "notes.xyz").write_bytes(b"x")
    assert sum("broken.jpg" in problem for problem in library.sweep().problems) == 1
    assert library.sweep().problems == ()
    shutil.copy(
        writer.save_image(library.home, factories.make_picture(), factories.make_recipe(), format="jpg"), broken
    )
    assert len(library.sweep().added) == 1


def test_only_abandoned_temporary_files_are_removed(library: Library) -> None:
    mine = library.home.library / f"{PART}{os.getpid()}-ab.png"
    gone = library.home.library / "2026" / f"{PART}999999999-ab.png"
    folder = library.home.library / f"{PART}999999998-ab"
    nameless = library.home.library / f"{PART}ab.png"
    gone.parent.mkdir()
    folder.mkdir()
    for path in (mine, gone, folder / "weights", nameless):
        path.write_bytes(b"half")
    assert library.sweep().removed == 3
    assert mine.exists()
    assert [path for path in (gone, folder, nameless) if path.exists()] == []
    os.utime(mine, (0, 0))
    assert library.sweep().removed == 1


def test_a_sidecar_left_behind_by_a_kill_follows_its_file(library: Library, make_creation: MakeCreation) -> None:
    creation = make_creation()
    library.star(creation.id, True)
    path = Path(creation.path)
    there = library.home.trash / path.relative_to(library.home.library)
    there.parent.mkdir(parents=True)
    path.rename(there)
    library.sweep()
    found = library.get(creation.id)
    assert found
    assert (found.star, found.trashed, found.path) == (True, True, str(there))
    there.rename(path)
    library.sweep()
    assert library.get(creation.id) == replace(creation, star=True)


def test_links_out_of_the_library_are_not_followed(
    library: Library, tmp_path: Path, make_creation: MakeCreation
) -> None:
    creation = make_creation()
    (library.home.library / "loop").symlink_to(library.home.library, target_is_directory=True)
    (library.home.library / "dangling.png").symlink_to(tmp_path / "none.png")
    library.sweep()
    assert library.find_ids() == [creation.id]
