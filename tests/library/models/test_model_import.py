"""Models come back from folders and archives as they were exported. Hostile ones cost a sentence and leave nothing."""

from __future__ import annotations

import json
import stat
import struct
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from studio.core import training_record
from studio.core.errors import BadInput, CannotWrite
from studio.core.export_include import Include
from studio.core.paths import Home
from studio.core.recipe import PluginRef, Recipe
from studio.core.training_record import MeasurePoint, TrainingRecord
from studio.library.creation import Creation
from studio.library.library import Library
from studio.library.models import offers
from studio.library.models.licences import find_unaccepted
from studio.library.models.model_import import import_file, import_model
from studio.library.storage import model_archive, writer

ABOUT = json.dumps({"title": "Owl", "kind": "style"})


@pytest.fixture
def trained(library: Library, tmp_path: Path) -> Creation:
    """A renamed model with a card and a record, in folders of its own."""
    folder = tmp_path / "job"
    (folder / "unet").mkdir(parents=True)
    (folder / "unet" / "model.safetensors").write_bytes(b"weights")
    (folder / "README.md").write_text("# Fox\n\nA fox.\n")
    (folder / "studio.json").write_text('{"licence": "CC-BY-4.0"}')
    record = TrainingRecord(folder / training_record.MODEL_FOLDER)
    record.append_measures(MeasurePoint(10, 1.0, {"loss": 0.5}))
    recipe = Recipe(tool="style.train", plugin=PluginRef("style"), params={"steps": 10}, seed=3)
    model = library.add(writer.save_model(library.home, folder, recipe, title="Fox", kind="style"))
    return library.rename(model.id, "Red: fox")


@pytest.fixture
def other(tmp_path: Path) -> Iterator[Library]:
    """The library of another home."""
    library = Library(Home(tmp_path / "other"))
    library.open()
    yield library
    library.close()


@pytest.mark.parametrize("name", ["", "Red.zip", "a folder"])
def test_a_model_comes_back_in_another_home(
    library: Library, other: Library, trained: Creation, tmp_path: Path, name: str
) -> None:
    out = tmp_path / "out"
    out.mkdir()
    exported = library.export(trained.id, out / name)
    assert exported == out / (name or "Red_ fox")
    model = import_file(other, exported)
    assert (model.title, model.model_kind, model.missing) == ("Red: fox", "style", False)
    assert model.recipe == trained.recipe
    path = Path(model.path)
    assert (path / "README.md").read_text() == "# Red: fox\n\nA fox.\n"
    assert (path / "unet" / "model.safetensors").read_bytes() == b"weights"
    assert training_record.of_model(path).read_measures()[0].values == {"loss": 0.5}
    assert offers.resolve_model(other.home, "red: fox") == path
    assert offers.resolve_model(other.home, trained.id) == path  # recipes of the first home hold this id
    (terms,) = find_unaccepted(other.home, [model.id], [])
    assert terms.sentence.startswith("Red: fox "), "a trained model is called by its name, and not by its id"
    assert find_unaccepted(library.home, [trained.id], []) == []


def test_a_model_that_is_there_is_not_copied(library: Library, trained: Creation, tmp_path: Path) -> None:
    archive = library.export(trained.id, tmp_path / "fox.zip")
    library.trash([trained.id])
    assert import_model(library, archive).id == trained.id
    assert [model.title for model in library.list_models()] == ["Red: fox"]


def test_a_name_that_is_taken_gets_a_number(
    library: Library, other: Library, trained: Creation, tmp_path: Path
) -> None:
    (other.home.models / "red: FOX").mkdir()
    model = import_model(other, library.export(trained.id, tmp_path / "fox.zip"))
    assert model.title == "Red: fox 2"


def test_an_archive_of_nothing_holds_the_model_alone(
    library: Library, other: Library, trained: Creation, tmp_path: Path
) -> None:
    archive = library.export(trained.id, tmp_path / "fox.zip", Include.NOTHING)
    with zipfile.ZipFile(archive) as opened:
        assert sorted(opened.namelist()) == ["fox/studio.json", "fox/unet/model.safetensors"]
        assert all(entry.compress_type == zipfile.ZIP_STORED for entry in opened.infolist())
    model = import_model(other, archive)
    assert (model.title, model.recipe) == ("Red: fox", None)


def write_archive(path: Path, *entries: tuple[str | zipfile.ZipInfo, str], method: int = zipfile.ZIP_STORED) -> Path:
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, content in entries:
            archive.writestr(name, content)
    return path


def make_link(name: str) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(name)
    entry.external_attr = (stat.S_IFLNK | 0o777) << 16
    return entry


HOSTILE = {
    "a parent": [("m/studio.json", ABOUT), ("m/../../evil.txt", "x")],
    "absolute": [("studio.json", ABOUT), ("/tmp/evil.txt", "x")],
    "backslash": [("studio.json", ABOUT), ("..\\evil.txt", "x")],
    "a drive": [("studio.json", ABOUT), ("C:evil.txt", "x")],
    "a link": [("studio.json", ABOUT), (make_link("weights"), "/etc/passwd")],
    "two of one name": [("studio.json", ABOUT), ("a.json", "x"), ("A.json", "x")],
    "a program": [("studio.json", ABOUT), ("model.pkl", "x")],
    "code": [("studio.json", ABOUT), ("modeling.py", "x")],
    "no model": [("readme.txt", "x")],
    "too deep": [("a/b/studio.json", ABOUT)],
    "empty": [],
    "no kind": [("studio.json", '{"title": "x"}')],
    "no title": [("studio.json", '{"kind": "style"}')],
    "a path as kind": [("studio.json", '{"title": "x", "kind": "../x"}')],
    "no json": [("studio.json", "[")],
    "a long name": [("studio.json", ABOUT), ("x" * 300, "x")],
    "a file that is a folder": [("studio.json", ABOUT), ("a", "x"), ("a/b", "x")],
    "a control character": [("studio.json", ABOUT), ("a\x1bb", "x")],
    "many files": [("studio.json", ABOUT), *((f"f{number}", "") for number in range(model_archive.MAX_FILES))],
}


def check_refused(library: Library, path: Path) -> None:
    with pytest.raises((BadInput, CannotWrite)) as raised:
        import_model(library, path)
    assert "Traceback" not in str(raised.value)
    assert str(raised.value).count("\n") == 0
    assert library.list_models() == []
    assert [file for file in library.home.library.rglob("*") if file.is_file()] == []
    assert not list(library.home.library.rglob(".part-*"))


@pytest.mark.parametrize("entries", HOSTILE.values(), ids=HOSTILE)
def test_hostile_archives_are_refused(
    library: Library, tmp_path: Path, entries: list[tuple[str | zipfile.ZipInfo, str]]
) -> None:
    check_refused(library, write_archive(tmp_path / "evil.zip", *entries))
    assert not (tmp_path / "evil.txt").exists()


def test_a_bomb_is_refused_before_it_is_unpacked(library: Library, tmp_path: Path) -> None:
    zeros = "\0" * (2 * model_archive.ALLOWED_BYTES)
    bomb = write_archive(
        tmp_path / "bomb.zip", ("studio.json", ABOUT), ("model.safetensors", zeros), method=zipfile.ZIP_DEFLATED
    )
    assert bomb.stat().st_size < 2**20
    check_refused(library, bomb)


def test_an_archive_that_lies_about_sizes_is_refused(library: Library, tmp_path: Path) -> None:
    archive = write_archive(
        tmp_path / "liar.zip", ("studio.json", ABOUT), ("m.safetensors", "x" * 5000), method=zipfile.ZIP_DEFLATED
    )
    content = archive.read_bytes()
    archive.write_bytes(content.replace(struct.pack("<I", 5000), struct.pack("<I", 10)))
    check_refused(library, archive)


@pytest.mark.parametrize("cut", [10, 60, 150])
def test_damaged_archives_are_refused(library: Library, tmp_path: Path, cut: int) -> None:
    archive = write_archive(tmp_path / "cut.zip", ("studio.json", ABOUT), ("model.safetensors", "weights"))
    archive.write_bytes(archive.read_bytes()[:-cut])
    check_refused(library, archive)
    archive.write_bytes(b"no archive")
    check_refused(library, archive)
    check_refused(library, tmp_path / "missing.zip")


def test_a_list_of_files_that_is_too_long_is_not_read(
    library: Library, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive = write_archive(tmp_path / "long.zip", ("studio.json", ABOUT), ("x" * 150, "x"))
    monkeypatch.setattr(model_archive, "MAX_DIRECTORY", 200)
    check_refused(library, archive)
    monkeypatch.setattr(model_archive, "MAX_DIRECTORY", 300)
    assert import_model(library, archive).title == "Owl"


def test_hostile_folders_are_refused(library: Library, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    check_refused(library, folder)
    (folder / "studio.json").write_text(ABOUT)
    (folder / "weights").symlink_to("/etc/passwd")
    check_refused(library, folder)


def test_files_that_systems_add_are_left_out(library: Library, tmp_path: Path) -> None:
    archive = write_archive(
        tmp_path / "mac.zip", ("Owl/studio.json", ABOUT), ("Owl/.DS_Store", "x"), ("__MACOSX/Owl/._studio.json", "x")
    )
    model = import_model(library, archive)
    assert model.title == "Owl"
    assert [name for name, _ in writer.list_model_files(Path(model.path))] == ["studio.json"]
