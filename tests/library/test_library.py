"""The library imports, finds and marks creations, and its index can be rebuilt."""

from __future__ import annotations

import io
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np
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
from tests.library.kill_reindex import read_all, rebuild_index

MakeCreation = Callable[..., Creation]


def test_a_saved_picture_becomes_a_creation(library: Library) -> None:
    path = writer.save_image(library.home, factories.make_picture(), factories.make_recipe("a fox", seed=9))
    creation = library.add(path)
    assert creation.id == sha256(path)
    assert (creation.kind, creation.tool, creation.title) == (CreationKind.IMAGE, "diffusion.paint", "a fox")
    assert (creation.width, creation.height, creation.size) == (48, 32, path.stat().st_size)
    assert creation.recipe
    assert creation.recipe.seed == 9
    assert creation.created == creation.recipe.created
    assert library.add(path) == creation
    assert library.search() == [creation]


def test_a_known_digest_is_not_computed_again(library: Library) -> None:
    path = writer.save_image(library.home, factories.make_picture(), factories.make_recipe("a fox"))
    assert library.add(path, digest="d" * 64).id == "d" * 64


def test_every_kind_is_recognised(library: Library, tmp_path: Path) -> None:
    home, recipe = library.home, factories.make_recipe("fox")
    for format in ("mp4", "webp", "gif"):
        path = writer.save_animation(home, factories.make_frames(6), recipe, fps=12, loop=True, format=format)
        creation = library.add(path)
        assert (creation.kind, creation.width) == (CreationKind.ANIMATION, 48)
        assert 0.4 < creation.duration < 0.6
    text = library.add(writer.save_text(home, "# The fox\n\nIt ran.", factories.make_recipe("write")))
    assert (text.kind, text.title) == (CreationKind.TEXT, "The fox")
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "weights.safetensors").write_bytes(b"12345")
    model = library.add(writer.save_model(home, folder, recipe, title="Mine", kind="autoencoder"))
    assert (model.kind, model.title, model.model_kind) == (CreationKind.MODEL, "Mine", "autoencoder")
    assert library.list_models("autoencoder") == [model]
    assert library.list_models("gan") == []
    before = read_all(library)
    assert rebuild_index(library) == before


def test_a_file_outside_the_library_is_not_added(library: Library, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="not in the library"):
        library.add(tmp_path / "a.png")
    with pytest.raises(BadInput, match="There is no file"):
        library.add(library.home.library / "a.png")
    (library.home.library / "a.png").write_bytes(b"no picture")
    with pytest.raises(BadInput, match="not a file of the studio"):
        library.add(library.home.library / "a.png")


def test_an_imported_image_is_copied_byte_for_byte(library: Library, tmp_path: Path) -> None:
    path = tmp_path / "Mein Föto: 1?.JPG"
    Image.new("RGB", (30, 20), "red").save(path, "JPEG")
    creation = library.import_file(path)
    copy = Path(creation.path)
    assert copy.name == f"Mein Föto_ 1_-{creation.id[:10]}.JPG"
    assert copy.read_bytes() == path.read_bytes()
    assert (creation.tool, creation.title, creation.recipe) == ("import", path.name, None)
    assert library.import_file(path) == creation
    assert library.path_of("sha256:" + sha256(path)) == copy
    assert rebuild_index(library) == {creation.id: creation}


def test_an_imported_creation_keeps_its_recipe(library: Library, tmp_path: Path) -> None:
    other = Home(tmp_path / "other")
    path = writer.save_image(other, factories.make_picture(), factories.make_recipe("a fox"))
    creation = library.import_file(path)
    assert creation.recipe
    assert creation.title == "a fox"


def test_other_files_are_imported_but_hidden(library: Library, tmp_path: Path) -> None:
    path = tmp_path / "sound.wav"
    path.write_bytes(b"RIFF....WAVE")
    creation = library.import_file(path)
    assert creation.kind is CreationKind.FILE
    assert library.path_of(creation.id)
    assert library.find_ids() == []
    assert rebuild_index(library) == {creation.id: creation}


@pytest.mark.parametrize("content", [b"", b"no picture at all", b"\x89PNG\r\n\x1a\n" + bytes(50)])
def test_an_unreadable_image_is_refused(library: Library, tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(content)
    with pytest.raises(BadInput):
        library.import_file(path)
    assert [path for path in library.home.library.rglob("*") if path.is_file()] == []


@pytest.mark.parametrize("format", ["png", "jpeg", "webp", "avif"])
def test_a_truncated_image_is_refused(library: Library, tmp_path: Path, format: str) -> None:
    whole = writer.save_image(
        Home(tmp_path / "other"), factories.make_picture(), factories.make_recipe(), format=format
    ).read_bytes()
    path = tmp_path / f"cut.{format}"
    for parts in (9, 3, 2):
        path.write_bytes(whole[: len(whole) - len(whole) // parts])
        with pytest.raises(BadInput):
            library.import_file(path)
    assert library.find_ids() == []


def test_a_folder_or_missing_file_cannot_be_imported(library: Library, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="is a folder"):
        library.import_file(tmp_path)
    with pytest.raises(BadInput, match="There is no file"):
        library.import_file(tmp_path / "none.png")


def test_a_creation_is_found_by_the_beginning_of_its_id(library: Library, make_creation: MakeCreation) -> None:
    creation = make_creation()
    assert library.get(creation.id[:10]) == creation
    assert library.get(f"sha256:{creation.id}") == creation
    for nothing in ("", "abc", creation.id[:5], "0" * 64, "'; DROP TABLE creations; --", creation.id + "0"):
        assert library.get(nothing) is None
    assert library.path_of(creation.id[:10]) is None


def test_creations_are_returned_in_the_order_of_the_ids(library: Library, make_creation: MakeCreation) -> None:
    one, two, three = make_creation(), make_creation(), make_creation()
    assert library.get_many([three.id, "0" * 64, one.id, two.id]) == [three, one, two]


def test_marks_are_in_the_row_and_beside_the_file(library: Library, make_creation: MakeCreation) -> None:
    creation = make_creation()
    library.star(creation.id, True)
    library.rate(creation.id, 4)
    marked = library.tag(creation.id, ["Fox", "  deep   blue ", "fox", "", "猫"])
    assert (marked.star, marked.rating, marked.tags) == (True, 4, ("Fox", "deep blue", "猫"))
    assert library.get(creation.id) == marked
    beside = sidecar.read(Path(creation.path))
    assert (beside.star, beside.rating, beside.tags) == (True, 4, marked.tags)
    assert not library.sweep().changed
    assert rebuild_index(library) == {creation.id: marked}


def test_invalid_marks_are_refused(library: Library, make_creation: MakeCreation) -> None:
    creation = make_creation()
    for stars in (-1, 6):
        with pytest.raises(BadInput, match="not between 0 and 5"):
            library.rate(creation.id, stars)
    with pytest.raises(BadInput, match="no creation"):
        library.star("0" * 64, True)
    Path(creation.path).unlink()
    with pytest.raises(BadInput, match="missing"):
        library.star(creation.id, True)


def test_unknown_sidecar_fields_are_preserved(library: Library, make_creation: MakeCreation) -> None:
    creation = make_creation()
    path = Path(creation.path)
    sidecar.update(path, colour="red")
    library.star(creation.id, True)
    assert '"colour": "red"' in sidecar.sidecar_path(path).read_text()


def test_parents_and_children(library: Library, make_creation: MakeCreation) -> None:
    photo = make_creation("photo")
    style = make_creation("style")
    recipe = factories.make_recipe(
        "restyled", image=f"sha256:{photo.id}", others=[f"sha256:{style.id}"], trained=style.id
    )
    child = library.add(
        writer.save_image(
            library.home,
            factories.make_picture(50),
            replace(recipe, inputs={"image": f"sha256:{photo.id}"}, parents=[photo.id]),
        )
    )
    assert {parent.id for parent in library.find_parents(child.id)} == {photo.id, style.id}
    assert library.find_children(photo.id) == [child]
    assert library.find_children(child.id) == []


def test_a_lost_thumbnail_is_rendered_again(library: Library, make_creation: MakeCreation) -> None:
    creation = make_creation()
    first = library.load_thumbnail(creation.id)
    assert first
    library.home.thumbs.unlink()
    library.close()
    again = Library(library.home)
    again.open()
    assert again.load_thumbnail(creation.id) == first
    assert again.load_thumbnail("0" * 64) is None
    again.close()


def test_a_damaged_thumbnail_database_is_replaced(home: Home) -> None:
    home.thumbs.write_bytes(b"no database" * 1000)
    library = Library(home)
    library.open()
    creation = library.add(writer.save_image(home, factories.make_picture(), factories.make_recipe()))
    assert library.load_thumbnail(creation.id)
    assert library.load_thumbnail(creation.id)
    library.close()


@pytest.mark.parametrize("format", ["mp4", "webp", "gif"])
def test_the_thumbnail_of_an_animation_is_the_frame_at_a_third(library: Library, format: str) -> None:
    colours = [(200, 30, 30)] * 3 + [(30, 200, 30)] * 3 + [(30, 30, 200)] * 3
    frames = [Image.new("RGB", (48, 32), colour) for colour in colours]
    path = writer.save_animation(library.home, frames, factories.make_recipe(), fps=12, loop=True, format=format)
    thumbnail = library.load_thumbnail(library.add(path).id)
    assert thumbnail is not None
    red, green, blue = np.asarray(Image.open(io.BytesIO(thumbnail)).resize((1, 1)))[0, 0].tolist()
    assert green > 150 > max(red, blue)
    library._thumbnails.delete([library.add(path).id])
    assert library.load_thumbnail(library.add(path).id) == thumbnail, "rendering again gives the same"


def test_an_imported_animation_has_the_same_thumbnail(library: Library, tmp_path: Path) -> None:
    frames = [Image.new("RGB", (48, 32), colour) for colour in ("red", "green", "blue")]
    path = tmp_path / "a.gif"
    frames[0].save(path, save_all=True, append_images=frames[1:])
    creation = library.import_file(path)
    kept = library.load_thumbnail(creation.id)
    library._thumbnails.delete([creation.id])
    assert library.load_thumbnail(creation.id) == kept


def test_videos_have_thumbnails(library: Library) -> None:
    creation = library.add(
        writer.save_animation(library.home, factories.make_frames(), factories.make_recipe(), fps=9, loop=True)
    )
    library._thumbnails.delete([creation.id])
    assert library.load_thumbnail(creation.id)


def test_texts_have_no_thumbnails(library: Library) -> None:
    assert (
        library.load_thumbnail(library.add(writer.save_text(library.home, "words", factories.make_recipe())).id) is None
    )


def test_the_index_of_a_newer_studio_is_refused(library: Library) -> None:
    library.close()
    connection = sqlite3.connect(library.home.index)
    connection.execute("PRAGMA user_version = 999")
    connection.close()
    newer = Library(library.home)
    with pytest.raises(StudioError, match="newer version of the studio"):
        newer.open()
    newer.close()


def test_a_failed_migration_is_rolled_back(tmp_path: Path) -> None:
    connection = sqlite3.connect(tmp_path / "a.db", isolation_level=None)
    connection.execute("CREATE TABLE links (other TEXT)")
    with pytest.raises(sqlite3.OperationalError, match="already exists"):
        schema.prepare_connection(connection)
    assert connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall() == [("links",)]
    connection.close()


@pytest.mark.parametrize("damage", ["garbage", "middle"])
def test_a_damaged_index_is_rebuilt(library: Library, make_creation: MakeCreation, damage: str) -> None:
    for _ in range(30):
        make_creation("word " * 500)
    library.star(library.find_ids()[3], True)
    before = read_all(library)
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
            found = read_all(again)
        again.close()
    assert found == before


def test_threads_share_one_library(library: Library, make_creation: MakeCreation) -> None:
    ids = [make_creation().id for _ in range(4)]
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


def test_two_processes_write_one_index(library: Library, make_creation: MakeCreation) -> None:
    code = """
from studio.core.paths import Home
from studio.library.storage import writer
from studio.library.library import Library
from tests.library import factories
library = Library(Home.default())
library.open()
for number in range(25):
    recipe = factories.make_recipe("theirs", seed=number)
    path = writer.save_image(library.home, factories.make_picture(1000 + number), recipe)
    creation = library.add(path)
    library.star(creation.id, True)
library.sweep()
library.close()
"""
    other = subprocess.Popen([sys.executable, "-c", code])
    for _ in range(25):
        library.star(make_creation("ours").id, True)
        library.sweep()
    assert other.wait() == 0
    library.sweep()
    assert len(library.find_ids("ours", starred=True)) == len(library.find_ids("theirs", starred=True)) == 25
    before = read_all(library)
    assert rebuild_index(library) == before


def test_importing_the_library_is_light() -> None:
    heavy = ("PIL", "numpy", "http.client", "PySide6", "torch", "pydantic", "cv2", "imageio_ffmpeg", "psutil")
    code = f"import sys, studio.library.library; print([name for name in {heavy!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
