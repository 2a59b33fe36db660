"""The history model: search, changes, and loading on demand."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image
from pytestqt.qtbot import QtBot

from studio.core.paths import Home
from studio.core.recipe import PluginRef, Recipe
from studio.library.creation import Creation, CreationKind
from studio.library.index import schema
from studio.library.index.extraction import IndexEntry
from studio.library.library import Library
from studio.library.storage import writer
from studio.state.library import history_model
from studio.state.library.history_model import HistoryModel
from studio.state.library.lineage import Lineage
from studio.state.library.thumbnail_cache import ThumbnailCache, decode
from studio.state.list_diff import Change
from tests.ui.history.sample_library import SampleLibrary


def ids(model: HistoryModel) -> list[str]:
    return [model.id_at(row) for row in range(model.rowCount())]


def look(model: HistoryModel, qtbot: QtBot, search: str = "", **where: bool) -> list[str]:
    with qtbot.waitSignal(model.searched):
        model.search(search, **where)
    return ids(model)


def until_written(model: HistoryModel, qtbot: QtBot) -> None:
    with qtbot.waitSignal(model.searched):
        model.refresh()


def test_the_newest_comes_first(searched: HistoryModel, sample: SampleLibrary) -> None:
    assert ids(searched) == [sample.tale.id, sample.morph.id, sample.painted.id, sample.photo.id]


def test_search(model: HistoryModel, sample: SampleLibrary, qtbot: QtBot) -> None:
    assert look(model, qtbot, "lantern") == [sample.tale.id]
    assert look(model, qtbot, "tool:style") == [sample.painted.id]
    assert look(model, qtbot, "seed:41882") == [sample.painted.id]
    assert look(model, qtbot, "nothing like it") == []
    assert len(look(model, qtbot)) == 4


def test_the_last_of_several_quick_searches_wins(model: HistoryModel, sample: SampleLibrary, qtbot: QtBot) -> None:
    with qtbot.waitSignal(model.searched):
        for text in ("z", "zz", "imp", "lan"):
            model.search(text)
    assert ids(model) == [sample.tale.id]


def test_rows_and_thumbnails_are_loaded_on_demand(searched: HistoryModel, sample: SampleLibrary, qtbot: QtBot) -> None:
    index = searched.index(2)
    assert searched.data(index, HistoryModel.CreationRole).id == sample.painted.id
    qtbot.waitUntil(lambda: searched.data(index, HistoryModel.ThumbnailRole) is not None)
    green = searched.data(index, HistoryModel.ThumbnailRole).pixelColor(10, 10)
    assert green.green() > 180
    assert green.red() < 60
    assert searched.data(index) == "Impressionist, image"


def test_a_missing_thumbnail_is_not_requested_again(
    searched: HistoryModel, sample: SampleLibrary, qtbot: QtBot
) -> None:
    index = searched.index(0)
    qtbot.waitUntil(lambda: searched.data(index, HistoryModel.ThumbnailRole) is not None)


def test_a_new_creation_comes_first(searched: HistoryModel, sample: SampleLibrary, qtbot: QtBot) -> None:
    recipe = Recipe(tool="a.b", plugin=PluginRef("a"), created="2026-02-01T00:00:00.000Z")
    new = sample.library.add(writer.save_image(sample.library.home, Image.new("RGB", (8, 8)), recipe))
    with qtbot.waitSignal(searched.rowsInserted):
        searched.insert(new)
    assert ids(searched)[0] == new.id
    searched.insert(new)
    assert ids(searched).count(new.id) == 1


def test_a_new_creation_appears_in_a_search_only_if_it_matches(
    model: HistoryModel, sample: SampleLibrary, qtbot: QtBot
) -> None:
    look(model, qtbot, "lantern")
    recipe = Recipe(tool="a.b", plugin=PluginRef("a"), created="2026-02-01T00:00:00.000Z")
    new = sample.library.add(writer.save_image(sample.library.home, Image.new("RGB", (8, 8)), recipe))
    with qtbot.waitSignal(model.searched):
        model.insert(new)
    assert ids(model) == [sample.tale.id]


def test_a_star_shows_at_once_and_is_kept(searched: HistoryModel, sample: SampleLibrary, qtbot: QtBot) -> None:
    with qtbot.waitSignal(searched.dataChanged):
        searched.star([sample.photo.id], True)
    creation = searched.creation(3)
    assert creation is not None
    assert creation.star
    assert look(searched, qtbot, starred=True) in ([sample.photo.id], [])
    until_written(searched, qtbot)
    searched.close()
    assert sample.read(sample.photo).star


def test_rating_and_tags_are_kept(searched: HistoryModel, sample: SampleLibrary, qtbot: QtBot) -> None:
    searched.rate([sample.photo.id], 4)
    searched.tag([sample.photo.id], ["red", "cup"])
    searched.close()
    kept = sample.read(sample.photo)
    assert (kept.rating, kept.tags) == (4, ("red", "cup"))


def test_trash_and_restore(searched: HistoryModel, sample: SampleLibrary, qtbot: QtBot) -> None:
    with qtbot.waitSignal(searched.searched):
        searched.trash([sample.tale.id, sample.painted.id])
        assert ids(searched) == [sample.morph.id, sample.photo.id], "they leave at once"
    assert ids(searched) == [sample.morph.id, sample.photo.id]
    assert look(searched, qtbot, trashed=True) == [sample.tale.id, sample.painted.id]
    with qtbot.waitSignal(searched.searched):
        searched.restore([sample.painted.id])
    assert ids(searched) == [sample.tale.id]
    assert look(searched, qtbot) == [sample.morph.id, sample.painted.id, sample.photo.id]


def test_emptying_the_trash_deletes(searched: HistoryModel, sample: SampleLibrary, qtbot: QtBot) -> None:
    with qtbot.waitSignal(searched.searched):
        searched.trash([sample.tale.id])
    look(searched, qtbot, trashed=True)
    with qtbot.waitSignal(searched.searched):
        searched.empty_trash()
    assert ids(searched) == []
    assert sample.library.get(sample.tale.id) is None


def test_deleting_takes_only_what_is_in_the_trash(searched: HistoryModel, sample: SampleLibrary, qtbot: QtBot) -> None:
    with qtbot.waitSignal(searched.searched):
        searched.trash([sample.tale.id, sample.photo.id])
    look(searched, qtbot, trashed=True)
    with qtbot.waitSignal(searched.searched):
        searched.delete([sample.tale.id])
        assert ids(searched) == [sample.photo.id], "it leaves at once"
    with qtbot.waitSignal(searched.failed) as failed:
        searched.delete([sample.painted.id])
    assert failed.args[0].startswith("1 of 1 could not be deleted.")
    assert sample.library.get(sample.tale.id) is None
    assert sample.library.get(sample.painted.id) is not None


def test_a_failed_change_is_reported_and_reverted(searched: HistoryModel, sample: SampleLibrary, qtbot: QtBot) -> None:
    Path(sample.photo.path).unlink()
    with qtbot.waitSignal(searched.failed) as failed:
        searched.star([sample.photo.id], True)
    assert "missing" in failed.args[0]
    qtbot.waitUntil(lambda: (fourth := searched.creation(3)) is not None and not fourth.star)


def test_a_damaged_library_is_reported(tmp_path: Path, qtbot: QtBot) -> None:
    (tmp_path / "index.db").mkdir()
    library = Library(Home(tmp_path))
    model = HistoryModel(library)
    with qtbot.waitSignal(model.failed):
        model.search()
    model.close()
    library.close()


def test_lineage_has_parents_and_children(searched: HistoryModel, sample: SampleLibrary, qtbot: QtBot) -> None:
    found: list[Lineage] = []
    searched.read_lineage(sample.painted.id, found.append)
    qtbot.waitUntil(lambda: bool(found))
    assert [(step.creation.id, step.depth) for step in found[0].steps] == [
        (sample.photo.id, 0), (sample.painted.id, 1), (sample.morph.id, 2),
    ]  # fmt: skip
    before: list[Creation | None] = []
    searched.read_source_image(sample.painted.id, before.append)
    searched.read_source_image(sample.photo.id, before.append)
    qtbot.waitUntil(lambda: len(before) == 2)
    assert {one.id if one else None for one in before} == {sample.photo.id, None}


def test_a_long_history_is_read_page_by_page(library: Library, qtbot: QtBot) -> None:
    with library._begin() as connection:
        for number in range(3 * history_model.FIRST_ROWS):
            creation = Creation(
                id=f"{number:064x}",
                path=str(library.home.library / f"{number}.png"),
                kind=CreationKind.IMAGE,
                tool="a.b",
                title=f"number {number}",
                created=f"2026-01-01T00:{number // 60:02d}:{number % 60:02d}.000Z",
            )
            schema.write_row(connection, library.home, IndexEntry(creation, creation.title))
    model = HistoryModel(library)
    resets: list[int] = []
    model.modelReset.connect(lambda: resets.append(model.rowCount()))
    assert len(look(model, qtbot)) == 3 * history_model.FIRST_ROWS
    assert resets == [history_model.FIRST_ROWS], "the first page is shown before the rest is known"
    last = model.rowCount() - 1
    assert model.creation(last) is None
    qtbot.waitUntil(lambda: model.creation(last) is not None)
    oldest = model.creation(last)
    assert oldest is not None
    assert oldest.title == "number 0"
    model.close()


@pytest.mark.parametrize(
    ("old", "new", "removed", "inserted"),
    [
        ("abcdef", "abcdef", None, None),
        ("abcdef", "xabcdef", None, (0, 0)),
        ("abcdef", "abef", (2, 3), None),
        ("abcdef", "abXYef", (2, 3), (2, 3)),
        ("", "abc", None, (0, 2)),
        ("abc", "", (0, 2), None),
        ("aaa", "aaaa", None, (3, 3)),
    ],
)
def test_list_diff_changes_only_what_differs(
    model: HistoryModel, old: str, new: str, removed: object, inserted: object, qtbot: QtBot
) -> None:
    model._apply_change(Change.between([], list(old)))
    said: dict[str, object] = {}
    model.rowsRemoved.connect(lambda _, first, last: said.update(removed=(first, last)))
    model.rowsInserted.connect(lambda _, first, last: said.update(inserted=(first, last)))
    model._apply_change(Change.between(model._ids, list(new)))
    assert ids(model) == list(new)
    assert (said.get("removed"), said.get("inserted")) == (removed, inserted)


def jpeg(width: int, height: int) -> bytes:
    import io

    packed = io.BytesIO()
    Image.new("RGB", (width, height), (9, 99, 199)).save(packed, "JPEG")
    return packed.getvalue()


@pytest.mark.parametrize("size", [(256, 10), (10, 256), (256, 256), (3, 3)])
def test_thumbnails_are_squares_of_the_size_they_are_drawn_at(size: tuple[int, int], qtbot: QtBot) -> None:
    image = decode(jpeg(*size), 96)
    assert (image.width(), image.height()) == (96, 96)
    assert decode(b"no picture", 96).isNull()


def test_thumbnails_keep_to_their_budget(qtbot: QtBot) -> None:
    content = jpeg(256, 256)
    thumbs = ThumbnailCache(lambda _: content, budget=10 * 96 * 96 * 4)
    thumbs.set_side(90)
    came: list[str] = []
    thumbs.ready.connect(lambda one, _: came.append(one))
    for number in range(40):
        thumbs.get(str(number))
    qtbot.waitUntil(lambda: len(came) == 40)
    assert thumbs.size_in_bytes <= 10 * 96 * 96 * 4
    assert thumbs.get(came[-1]) is not None
    thumbs.close()
