"""Exported copies keep their recipe in every format."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from studio.core.errors import BadInput
from studio.core.images import open_picture
from studio.library.formats import exif, mp4, xmp
from studio.library.library import Library
from studio.library.storage import recipe_embedding, sidecar, writer
from tests.library import factories


@pytest.mark.parametrize("extension", ["png", "jpg", "JPEG", "webp", "avif"])
def test_pictures(library: Library, tmp_path: Path, extension: str) -> None:
    picture = np.full((32, 48, 3), (200, 80, 30), np.uint8)
    creation = library.add(writer.save_image(library.home, picture, factories.make_recipe("fox")))
    path = library.export(creation.id, tmp_path / "out" / f"mine.{extension}")
    assert path == tmp_path / "out" / f"mine.{extension}"
    assert recipe_embedding.read_recipe(path) == creation.recipe
    assert np.abs(np.asarray(open_picture(path)).astype(int) - picture).max() <= 6
    if extension == "png":
        assert path.read_bytes() == Path(creation.path).read_bytes()
    assert not sidecar.sidecar_path(path).exists()


def test_into_a_folder_under_its_own_name(library: Library, tmp_path: Path) -> None:
    creation = library.add(writer.save_image(library.home, factories.make_picture(), factories.make_recipe()))
    assert library.export(creation.id, tmp_path) == tmp_path / Path(creation.path).name
    assert library.export(creation.id, tmp_path / "bare") == tmp_path / "bare.png"


def test_a_recipe_that_does_not_fit_is_in_the_sidecar(library: Library, tmp_path: Path) -> None:
    creation = library.add(
        writer.save_image(library.home, factories.make_picture(), factories.make_recipe("wörd " * 40_000))
    )
    path = library.export(creation.id, tmp_path / "a.jpg")
    assert recipe_embedding.read_recipe(path) == creation.recipe
    same_format = library.export(library.import_file(path).id, tmp_path / "b.jpg")
    assert same_format.read_bytes() == path.read_bytes()


def test_a_photo_is_not_labelled_as_made_by_a_model(library: Library, tmp_path: Path) -> None:
    photo = tmp_path / "photo.png"
    Image.new("RGB", (8, 8)).save(photo)
    path = library.export(library.import_file(photo).id, tmp_path / "photo.jpg")
    assert xmp.MADE_BY_MODEL.encode() not in path.read_bytes()
    assert exif.read(path).texts == {}


@pytest.mark.parametrize("source", ["mp4", "webp", "gif"])
@pytest.mark.parametrize("target", ["mp4", "webp", "gif"])
def test_animations(library: Library, tmp_path: Path, source: str, target: str) -> None:
    made = writer.save_animation(
        library.home, factories.make_frames(10), factories.make_recipe(), fps=10, loop=True, format=source
    )
    creation = library.add(made)
    path = library.export(creation.id, tmp_path / f"a.{target}")
    assert recipe_embedding.read_recipe(path) == creation.recipe
    if target == "mp4":
        assert mp4.read(path).seconds == pytest.approx(1.0, abs=0.05)
    else:
        with Image.open(path) as image:
            assert factories.count_frames(image) == 10
            assert image.size == (48, 32)


def test_texts(library: Library, tmp_path: Path) -> None:
    creation = library.add(writer.save_text(library.home, "# Fox\n", factories.make_recipe()))
    assert library.export(creation.id, tmp_path / "a.txt").read_text() == "# Fox\n"
    assert recipe_embedding.read_recipe(library.export(creation.id, tmp_path / "a.md")) == creation.recipe


def test_models(library: Library, tmp_path: Path) -> None:
    folder = tmp_path / "job"
    folder.mkdir()
    (folder / "model.safetensors").write_bytes(b"weights")
    creation = library.add(writer.save_model(library.home, folder, factories.make_recipe(), title="Mine", kind="gan"))
    path = library.export(creation.id, tmp_path / "copy")
    assert writer.digest_of(path) == creation.id
    with pytest.raises(BadInput, match="already exists"):
        library.export(creation.id, path.parent / "copy" / "model.safetensors")


def test_impossible_conversions_are_refused(library: Library, tmp_path: Path) -> None:
    picture = library.add(writer.save_image(library.home, factories.make_picture(), factories.make_recipe()))
    text = library.add(writer.save_text(library.home, "words", factories.make_recipe()))
    for creation, extension in ((picture, "mp4"), (picture, "exe"), (text, "png")):
        with pytest.raises(BadInput):
            library.export(creation.id, tmp_path / f"a.{extension}")
    Path(picture.path).unlink()
    with pytest.raises(BadInput, match="missing"):
        library.export(picture.id, tmp_path / "a.png")
    assert [*tmp_path.glob("a.*")] == []
