"""The library's front: adopting, looking up, marks, and an index that can be thrown away."""

from __future__ import annotations

import io
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from msgspec.structs import replace
from PIL import Image

from studio.core.digests import sha256
from studio.core.errors import BadInput, StudioError
from studio.core.paths import Home
from studio.library.creation import Creation, CreationKind
from studio.library.index import schema
from studio.library.library import Library
from studio.library.storage import sidecar, writer
from tests.library import factories
from tests.library.kill_reindex import everything, rebuilt

Made = Callable[..., Creation]


def test_a_saved_picture_becomes_a_creation(library: Library) -> None:
    path = writer.save_image(library.home, factories.picture(), factories.recipe("a fox", seed=9))
    creation = library.add(path)
    assert creation.id == sha256(path)
    assert (creation.kind, creation.tool, creation.title) == (CreationKind.IMAGE, "diffusion.paint", "a fox")
    assert (creation.width, creation.height, creation.size) == (48, 32, path.stat().st_size)
    assert creation.recipe
    assert creation.recipe.seed == 9
    assert creation.created == creation.recipe.created
    assert library.add(path) == creation
    assert library.search() == [creation]


def test_every_kind_is_told_apart(library: Library, tmp_path: Path) -> None:
    home, recipe = library.home, factories.recipe("fox")
    for format in ("mp4", "webp", "gif"):
        path = writer.save_animation(home, factories.frames(6), recipe, fps=12, loop=True, format=format)
        creation = library.add(path)
        assert (creation.kind, creation.width) == (CreationKind.ANIMATION, 48)
        assert 0.4 < creation.duration < 0.6
    text = library.add(writer.save_text(home, "# The fox\n\nIt ran.", factories.recipe("write")))
    assert (text.kind, text.title) == (CreationKind.TEXT, "The fox")
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "weights.safetensors").write_bytes(b"12345")
    model = library.add(writer.save_model(home, folder, recipe, title="Mine", kind="autoencoder"))
    assert (model.kind, model.title, model.model_kind) == (CreationKind.MODEL, "Mine", "autoencoder")
    assert library.list_models("autoencoder") == [model]
    assert library.list_models("gan") == []
    before = everything(library)
    assert rebuilt(library) == before


def test_what_lies_elsewhere_is_not_added(library: Library, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="not in the library"):
        library.add(tmp_path / "a.png")
    with pytest.raises(BadInput, match="There is no file"):
        library.add(library.home.library / "a.png")
    (library.home.library / "a.png").write_bytes(b"no picture")
    with pytest.raises(BadInput, match="not a file of the studio"):
        library.add(library.home.library / "a.png")


def test_an_imported_picture_is_kept_byte_for_byte(library: Library, tmp_path: Path) -> None:
    path = tmp_path / "Mein Föto: 1?.JPG"
    Image.new("RGB", (30, 20), "red").save(path, "JPEG")
    creation = library.import_file(path)
    copy = Path(creation.path)
    assert copy.name == f"Mein Föto_ 1_-{creation.id[:10]}.JPG"
    assert copy.read_bytes() == path.read_bytes()
    assert (creation.tool, creation.title, creation.recipe) == ("import", path.name, None)
    assert library.import_file(path) == creation
    assert library.path_of("sha256:" + sha256(path)) == copy
    assert rebuilt(library) == {creation.id: creation}


def test_an_imported_creation_keeps_its_recipe(library: Library, tmp_path: Path) -> None:
    other = Home(tmp_path / "other")
    path = writer.save_image(other, factories.picture(), factories.recipe("a fox"))
    creation = library.import_file(path)
    assert creation.recipe
    assert creation.title == "a fox"


def test_any_other_file_can_be_read_by_a_recipe_and_is_not_shown(library: Library, tmp_path: Path) -> None:
    path = tmp_path / "sound.wav"
    path.write_bytes(b"RIFF....WAVE")
    creation = library.import_file(path)
    assert creation.kind is CreationKind.FILE
    assert library.path_of(creation.id)
    assert library.find_ids() == []
    assert rebuilt(library) == {creation.id: creation}


@pytest.mark.parametrize("content", [b"", b"no picture at all", b"\x89PNG\r\n\x1a\n" + bytes(50)])
def test_a_picture_that_cannot_be_read_is_refused(library: Library, tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(content)
    with pytest.raises(BadInput):
        library.import_file(path)
    assert [path for path in library.home.library.rglob("*") if path.is_file()] == []


@pytest.mark.parametrize("format", ["png", "jpeg", "webp", "avif"])
def test_a_picture_that_was_cut_is_refused(library: Library, tmp_path: Path, format: str) -> None:
    whole = writer.save_image(
        Home(tmp_path / "other"), factories.picture(), factories.recipe(), format=format
    ).read_bytes()
    path = tmp_path / f"cut.{format}"
    for parts in (9, 3, 2):
        path.write_bytes(whole[: len(whole) - len(whole) // parts])
        with pytest.raises(BadInput):
            library.import_file(path)
    assert library.find_ids() == []


def test_a_folder_or_nothing_cannot_be_adopted(library: Library, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="is a folder"):
        library.import_file(tmp_path)
    with pytest.raises(BadInput, match="There is no file"):
        library.import_file(tmp_path / "none.png")


def test_a_creation_is_found_by_the_beginning_of_its_id(library: Library, made: Made) -> None:
    creation = made()
    assert library.get(creation.id[:10]) == creation
    assert library.get(f"sha256:{creation.id}") == creation
    for nothing in ("", "abc", creation.id[:5], "0" * 64, "'; DROP TABLE creations; --", creation.id + "0"):
        assert library.get(nothing) is None
    assert library.path_of(creation.id[:10]) is None


def test_rows_come_in_the_order_asked_for(library: Library, made: Made) -> None:
    one, two, three = made(), made(), made()
    assert library.get_many([three.id, "0" * 64, one.id, two.id]) == [three, one, two]


def test_marks_are_in_the_row_and_beside_the_file(library: Library, made: Made) -> None:
    creation = made()
    library.star(creation.id, True)
    library.rate(creation.id, 4)
    marked = library.tag(creation.id, ["Fox", "  deep   blue ", "fox", "", "猫"])
    assert (marked.star, marked.rating, marked.tags) == (True, 4, ("Fox", "deep blue", "猫"))
    assert library.get(creation.id) == marked
    beside = sidecar.read(Path(creation.path))
    assert (beside.star, beside.rating, beside.tags) == (True, 4, marked.tags)
    assert not library.sweep().changed
    assert rebuilt(library) == {creation.id: marked}


def test_marks_that_cannot_be(library: Library, made: Made) -> None:
    creation = made()
    for stars in (-1, 6):
        with pytest.raises(BadInput, match="not between 0 and 5"):
            library.rate(creation.id, stars)
    with pytest.raises(BadInput, match="no creation"):
        library.star("0" * 64, True)
    Path(creation.path).unlink()
    with pytest.raises(BadInput, match="missing"):
        library.star(creation.id, True)


def test_a_sidecar_of_a_newer_studio_keeps_what_is_not_known_here(library: Library, made: Made) -> None:
    creation = made()
    path = Path(creation.path)
    sidecar.update(path, colour="red")
    library.star(creation.id, True)
    assert '"colour": "red"' in sidecar.sidecar_path(path).read_text()


def test_where_it_came_from_and_what_became_of_it(library: Library, made: Made) -> None:
    photo = made("photo")
    style = made("style")
    recipe = factories.recipe("restyled", image=f"sha256:{photo.id}", others=[f"sha256:{style.id}"], trained=style.id)
    child = library.add(
        writer.save_image(
            library.home,
            factories.picture(50),
            replace(recipe, inputs={"image": f"sha256:{photo.id}"}, parents=[photo.id]),
        )
    )
    assert {parent.id for parent in library.find_parents(child.id)} == {photo.id, style.id}
    assert library.find_children(photo.id) == [child]
    assert library.find_children(child.id) == []


def test_a_lost_thumbnail_is_made_again(library: Library, made: Made) -> None:
    creation = made()
    first = library.load_thumbnail(creation.id)
    assert first
    library.home.thumbs.unlink()
    library.close()
    again = Library(library.home)
    again.open()
    assert again.load_thumbnail(creation.id) == first
    assert again.load_thumbnail("0" * 64) is None
    again.close()


def test_a_garbled_thumbnail_database_is_replaced(home: Home) -> None:
    home.thumbs.write_bytes(b"no database" * 1000)
    library = Library(home)
    library.open()
    creation = library.add(writer.save_image(home, factories.picture(), factories.recipe()))
    assert library.load_thumbnail(creation.id)
    assert library.load_thumbnail(creation.id)
    library.close()


@pytest.mark.parametrize("format", ["mp4", "webp", "gif"])
def test_an_animation_shows_a_frame_from_a_third_of_the_way(library: Library, format: str) -> None:
    colours = [(200, 30, 30)] * 3 + [(30, 200, 30)] * 3 + [(30, 30, 200)] * 3
    frames = [Image.new("RGB", (48, 32), colour) for colour in colours]
    path = writer.save_animation(library.home, frames, factories.recipe(), fps=12, loop=True, format=format)
    kept = library.load_thumbnail(library.add(path).id)
    assert kept is not None
    red, green, blue = Image.open(io.BytesIO(kept)).resize((1, 1)).getpixel((0, 0))
    assert green > 150 > max(red, blue)
    library._thumbnails.delete([library.add(path).id])
    assert library.load_thumbnail(library.add(path).id) == kept, "made again, it is the same"


def test_an_animation_that_was_taken_in_shows_the_same(library: Library, tmp_path: Path) -> None:
    frames = [Image.new("RGB", (48, 32), colour) for colour in ("red", "green", "blue")]
    path = tmp_path / "a.gif"
    frames[0].save(path, save_all=True, append_images=frames[1:])
    creation = library.import_file(path)
    kept = library.load_thumbnail(creation.id)
    library._thumbnails.delete([creation.id])
    assert library.load_thumbnail(creation.id) == kept


def test_films_have_thumbnails(library: Library) -> None:
    creation = library.add(
        writer.save_animation(library.home, factories.frames(), factories.recipe(), fps=9, loop=True)
    )
    library._thumbnails.delete([creation.id])
    assert library.load_thumbnail(creation.id)


def test_texts_have_none(library: Library) -> None:
    assert library.load_thumbnail(library.add(writer.save_text(library.home, "words", factories.recipe())).id) is None


def test_the_index_of_a_newer_studio_is_refused(library: Library) -> None:
    library.close()
    connection = sqlite3.connect(library.home.index)
    connection.execute("PRAGMA user_version = 999")
    connection.close()
    newer = Library(library.home)
    with pytest.raises(StudioError, match="newer version of the studio"):
        newer.open()
    newer.close()


def test_a_migration_is_whole_or_not_at_all(tmp_path: Path) -> None:
    connection = sqlite3.connect(tmp_path / "a.db", isolation_level=None)
    connection.execute("CREATE TABLE links (other TEXT)")
    with pytest.raises(sqlite3.OperationalError, match="already exists"):
        schema.prepare_connection(connection)
    assert connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall() == [("links",)]
    connection.close()


@pytest.mark.parametrize("damage", ["garbage", "middle"])
def test_a_damaged_index_is_made_anew(library: Library, made: Made, damage: str) -> None:
    for _ in range(30):
        made("word " * 500)
    library.star(library.find_ids()[3], True)
    before = everything(library)
    library.close()
    content = bytearray(library.home.index.read_bytes())
    if damage == "garbage":
        content[:] = b"garbage" * 500
    else:
        content[4096:] = bytes(len(content) - 4096)
    library.home.index.write_bytes(content)
    for _ in range(2):  # what only a query notices is mended at the next start
        again = Library(library.home)
        again.open()
        with suppress(StudioError):
            again.sweep()
            found = everything(again)
        again.close()
    assert found == before


def test_threads_share_one_library(library: Library, made: Made) -> None:
    ids = [made().id for _ in range(4)]
    errors: list[BaseException] = []

    def work(number: int) -> None:
        try:
            for turn in range(15):
                library.star(ids[number], turn % 2 == 0)
                library.find_ids("fox")
                library.search()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert library.find_ids(starred=True) == library.find_ids()


def test_two_processes_write_one_index(library: Library, made: Made) -> None:
    code = """
from studio.core.paths import Home
from studio.library.storage import writer
from studio.library.library import Library
from tests.library import factories
from tests.library.kill_reindex import everything, rebuilt
library = Library(Home.default())
library.open()
for number in range(25):
    path = writer.save_image(library.home, factories.picture(1000 + number), factories.recipe("theirs", seed=number))
    creation = library.add(path)
    library.star(creation.id, True)
library.sweep()
library.close()
"""
    other = subprocess.Popen([sys.executable, "-c", code])
    for _ in range(25):
        library.star(made("ours").id, True)
        library.sweep()
    assert other.wait() == 0
    library.sweep()
    assert len(library.find_ids("ours", starred=True)) == len(library.find_ids("theirs", starred=True)) == 25
    before = everything(library)
    assert rebuilt(library) == before


def test_importing_the_library_is_light() -> None:
    heavy = ("PIL", "numpy", "http.client", "PySide6", "torch", "pydantic", "cv2", "imageio_ffmpeg", "psutil")
    code = f"import sys, studio.library.library; print([name for name in {heavy!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
