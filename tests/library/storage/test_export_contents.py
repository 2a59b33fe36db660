"""What an export includes: everything but paths, what others need, or nothing."""

from __future__ import annotations

import contextlib
import json
import zlib
from collections.abc import Iterator
from pathlib import Path

import msgspec
import numpy as np
import PIL.Image
import pytest
from PIL import ImageCms

from studio.core.errors import BadInput
from studio.core.export_include import Include
from studio.core.images import open_picture
from studio.core.recipe import ModelRef, Recipe
from studio.library.creation import Creation
from studio.library.formats import png
from studio.library.library import Library
from studio.library.storage import export_contents, recipe_embedding, sidecar, writer
from tests.library import factories

MARKER = "secretartist"
OLD_PATHS = {
    "model": f"/home/{MARKER}/models/m.safetensors",
    "folder": f"/srv/{MARKER}/photos",
    "loras": [f"C:\\Users\\{MARKER}\\x.safetensors", f"~/{MARKER}/y"],
    "text": "/imagine a fox",
}
NOTES = {
    "skipped": {f"/srv/{MARKER}/photos/a.png": "damaged"},
    "log": f"read /srv/{MARKER}/photos/b.png, then /home/{MARKER}/models/m.safetensors and /home/{MARKER}/z",
}


def old_recipe() -> Recipe:
    """Return a recipe as an earlier version wrote it, with paths."""
    made = factories.make_recipe("a red fox")
    models = [ModelRef("m.safetensors", "ab" * 32, "mit"), ModelRef(f"/home/{MARKER}/other")]
    return msgspec.structs.replace(made, params=made.params | OLD_PATHS, notes=NOTES, models=models)


@pytest.fixture(params=["png", "jpeg", "webp", "avif", "gif", "mp4", "anim.webp", "anim.png", "md"])
def old(request: pytest.FixtureRequest, library: Library, monkeypatch: pytest.MonkeyPatch) -> Creation:
    """Return a creation of an earlier version, whose file holds paths."""
    monkeypatch.setattr(writer, "finalize_recipe", lambda recipe, notes=None: recipe)
    format = request.param
    if format in writer.IMAGE_FORMATS:
        made = writer.save_image(library.home, factories.make_picture(), old_recipe(), format=format)
    elif format == "md":
        text = f"3 restyled into /srv/{MARKER}/photos.\n"
        made = writer.save_text(library.home, text, old_recipe(), title="Report")
    else:
        format = format.removeprefix("anim.")
        frames = factories.make_frames(4)
        made = writer.save_animation(library.home, frames, old_recipe(), fps=10, loop=True, format=format)
    creation = library.add(made)
    assert MARKER in dump(made)
    return creation


def dump(path: Path) -> str:
    """Return all bytes of a file and its sidecar as text: as they are, decompressed, and as UTF-16."""
    contents = [path.read_bytes()]
    beside = sidecar.sidecar_path(path)
    contents += [beside.read_bytes()] if beside.exists() else []
    return "\n".join(text for content in contents for text in (*_decode(content), *_inflate(content)))


def _decode(content: bytes) -> Iterator[str]:
    yield content.decode("latin-1")
    for start in (0, 1):
        yield content[start:].decode("utf-16-le", "replace")
        yield content[start:].decode("utf-16-be", "replace")


def _inflate(content: bytes) -> Iterator[str]:
    for head in (b"\x78\x01", b"\x78\x9c", b"\x78\xda", b"\x78\x5e"):
        at = content.find(head)
        while at >= 0:
            with contextlib.suppress(zlib.error):
                yield zlib.decompressobj().decompress(content[at:]).decode("latin-1")
            at = content.find(head, at + 1)


def pixels_of(path: Path) -> np.ndarray:
    return np.asarray(open_picture(path))


def test_everything_has_the_recipe_and_no_path(old: Creation, library: Library, tmp_path: Path) -> None:
    path = library.export(old.id, tmp_path / f"x{Path(old.path).suffix}")
    assert MARKER not in dump(path)
    recipe = recipe_embedding.read_recipe(path)
    assert recipe is not None
    assert recipe.params["model"] == "m.safetensors"
    assert recipe.params["folder"] == "photos"
    assert recipe.params["loras"] == ["x.safetensors", "y"]
    assert recipe.params["text"] == "/imagine a fox"
    assert recipe.params["prompt"] == "a red fox"
    assert recipe.notes["skipped"] == {"a.png": "damaged"}
    assert recipe.models == [ModelRef("m.safetensors", "ab" * 32, "mit"), ModelRef("other")]


def test_what_others_need_has_no_notes(old: Creation, library: Library, tmp_path: Path) -> None:
    path = library.export(old.id, tmp_path / f"x{Path(old.path).suffix}", Include.RECIPE)
    assert MARKER not in dump(path)
    recipe = recipe_embedding.read_recipe(path)
    assert recipe is not None
    assert (recipe.notes, recipe.created) == ({}, "")
    assert (recipe.seed, recipe.params["prompt"], recipe.models[0].sha256) == (
        old_recipe().seed, "a red fox", "ab" * 32
    )  # fmt: skip


def test_nothing_is_nothing(old: Creation, library: Library, tmp_path: Path) -> None:
    path = library.export(old.id, tmp_path / f"x{Path(old.path).suffix}", Include.NOTHING)
    text = dump(path)
    for word in (MARKER, "red fox", "studio_recipe", "trainedAlgorithmicMedia", "xmpmeta", "Software", "Lavf"):
        assert word not in text, word
    assert recipe_embedding.read_recipe(path) is None
    assert not sidecar.sidecar_path(path).exists()
    if path.suffix == ".md":
        assert path.read_text() == "3 restyled into photos.\n"
    elif path.suffix != ".mp4":
        assert np.array_equal(pixels_of(path), pixels_of(Path(old.path)))
        with PIL.Image.open(path) as image, PIL.Image.open(old.path) as before:
            assert image.info.get("icc_profile") == before.info.get("icc_profile")
            assert getattr(image, "n_frames", 1) == getattr(before, "n_frames", 1)


def test_nothing_after_everything_leaves_no_recipe_beside(library: Library, tmp_path: Path) -> None:
    made = writer.save_image(library.home, factories.make_picture(), factories.make_recipe("wörd " * 40_000))
    creation = library.add(made)
    library.export(creation.id, tmp_path / "a.jpg")
    path = library.export(creation.id, tmp_path / "a.jpg", Include.NOTHING)
    assert recipe_embedding.read_recipe(path) is None
    assert "wörd" not in sidecar.sidecar_path(path).read_text()


@pytest.mark.parametrize("target", ["jpg", "webp", "avif", "png"])
@pytest.mark.parametrize("include", [*Include])
def test_conversions_include_what_is_chosen(
    library: Library, tmp_path: Path, target: str, include: Include, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer, "finalize_recipe", lambda recipe, notes=None: recipe)
    source = "jpeg" if target == "png" else "png"
    creation = library.add(writer.save_image(library.home, factories.make_picture(), old_recipe(), format=source))
    path = library.export(creation.id, tmp_path / f"x.{target}", include)
    assert MARKER not in dump(path)
    assert (recipe_embedding.read_recipe(path) is None) == (include is Include.NOTHING)


@pytest.mark.parametrize("extension", ["jpg", "png", "webp", "avif"])
def test_a_photo_loses_all_but_its_orientation_and_profile(library: Library, tmp_path: Path, extension: str) -> None:
    tags = PIL.Image.Exif()
    tags[0x010F] = "A camera"
    tags[0x0112] = 6
    tags.get_ifd(0x8825)[1] = "N"
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    photo = tmp_path / f"photo.{extension}"
    image = PIL.Image.fromarray(factories.make_picture())
    image.save(photo, exif=tags.tobytes(), icc_profile=profile, comment=b"mine")
    creation = library.import_file(photo)
    path = library.export(creation.id, tmp_path / f"out.{extension}", Include.NOTHING)
    assert "A camera" not in dump(path)
    assert b"mine" not in path.read_bytes()
    with PIL.Image.open(path) as stripped:
        assert 0x8825 not in stripped.getexif()
        assert stripped.info["icc_profile"] == profile
    assert np.array_equal(pixels_of(path), pixels_of(photo))
    as_it_is = library.export(creation.id, tmp_path / f"same.{extension}")
    assert as_it_is.read_bytes() == photo.read_bytes()


def test_compressed_texts_and_unknown_chunks_go(library: Library, tmp_path: Path) -> None:
    plain = tmp_path / "a.png"
    PIL.Image.new("RGB", (4, 4), "teal").save(plain)
    data = plain.read_bytes()
    packed = b"note\0\0" + zlib.compress(MARKER.encode())
    more = [(b"zTXt", packed), (b"iTXt", b"n\0\1\0\0\0" + packed[6:]), (b"tIME", bytes(7)), (b"prVt", MARKER.encode())]
    plain.write_bytes(data[:33] + b"".join(png.pack_chunk(*chunk) for chunk in more) + data[33:] + MARKER.encode())
    assert MARKER in dump(plain)
    path = library.export(library.import_file(plain).id, tmp_path / "b.png", Include.NOTHING)
    assert path.read_bytes() == data


def test_a_format_that_cannot_be_stripped_is_said(library: Library, tmp_path: Path) -> None:
    PIL.Image.new("RGB", (4, 4)).save(tmp_path / "a.tif")
    creation = library.import_file(tmp_path / "a.tif")
    with pytest.raises(BadInput, match=r"Metadata cannot be removed from .tif. Export it as PNG."):
        library.export(creation.id, tmp_path / "b.tif", Include.NOTHING)
    assert not (tmp_path / "b.tif").exists()
    assert library.export(creation.id, tmp_path / "b.png", Include.NOTHING).exists()


@pytest.mark.parametrize("include", [*Include])
def test_old_models(library: Library, tmp_path: Path, include: Include, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "job"
    folder.mkdir()
    recipe = old_recipe()
    (folder / "README.md").write_text(f"| /srv/{MARKER}/photos | 3 |\n")
    (folder / "config.json").write_text(json.dumps({"_name_or_path": f"/mnt/{MARKER}/base", "a": 1}))
    header = json.dumps({"__metadata__": {"from": OLD_PATHS["folder"]}}).encode()
    (folder / "model.safetensors").write_bytes(len(header).to_bytes(8, "little") + header + b"weights")
    with monkeypatch.context() as patch:
        patch.setattr(writer, "finalize_recipe", lambda recipe, notes=None: recipe)
        creation = library.add(writer.save_model(library.home, folder, recipe, title="Mine", kind="gan"))
    path = library.export(creation.id, tmp_path / "copy", include)
    for file in path.rglob("*"):
        assert MARKER not in dump(file), file
    about = json.loads((path / "studio.json").read_bytes())
    assert (about["title"], about["kind"]) == ("Mine", "gan")
    assert ("recipe" in about) == (include is not Include.NOTHING)
    assert (path / "README.md").exists() == (include is not Include.NOTHING)
    assert json.loads((path / "config.json").read_bytes()) == {"_name_or_path": "base", "a": 1}
    weights = (path / "model.safetensors").read_bytes()
    assert weights[:8] == len(header).to_bytes(8, "little")
    assert weights.endswith(b"weights")
    assert len(weights) == 8 + len(header) + 7


def test_the_preview_says_what_is_included(library: Library) -> None:
    creation = library.add(writer.save_image(library.home, factories.make_picture(), old_recipe()))
    everything, recipe, nothing = (export_contents.describe_contents(creation, include) for include in Include)
    assert everything == (
        "Included: prompt and settings, seed, m.safetensors, other, time, notes (skipped, log). "
        "No paths of this computer."
    )
    assert recipe == "Included: prompt and settings, seed, m.safetensors, other. No paths of this computer."
    assert nothing == "Included: nothing but the image itself."
