"""Saved images and texts have exact pixels, the recipe, and metadata for other tools."""

from __future__ import annotations

import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from msgspec.structs import replace
from numpy.typing import NDArray
from PIL import Image, ImageCms

from studio.core.errors import BadInput, StudioError
from studio.core.images import open_picture
from studio.core.paths import Home
from studio.core.recipe import Recipe
from studio.library.foreign import a1111
from studio.library.formats import exif, markdown, png, xmp
from studio.library.storage import recipe_embedding, sidecar, thumbnail_db, writer
from tests.library import factories

FORMATS = ("png", "jpeg", "webp", "avif")


def is_same_image(found: Recipe | None, recipe: Recipe) -> bool:
    """Equal but for the time, which is when the file was saved."""
    return found is not None and replace(found, created="") == replace(recipe, created="")


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("words", factories.HOSTILE_WORDS)
def test_a_recipe_survives_in_every_format(home: Home, format: str, words: str) -> None:
    recipe = factories.make_recipe(words, notes_of_mine=[1, 2.5, None, {"a": words}])
    path = writer.save_image(home, factories.make_picture(), recipe, format=format)
    assert is_same_image(recipe_embedding.read_recipe(path), recipe)
    assert not sidecar.sidecar_path(path).exists()


def test_any_text_survives(home: Home) -> None:
    chance = random.Random(11)
    for number in range(60):
        recipe = factories.make_recipe(
            factories.make_text(chance), negative_prompt=factories.make_text(chance), seed=number
        )
        path = writer.save_image(home, factories.make_picture(size=(4, 4)), recipe, format=FORMATS[number % 4])
        assert is_same_image(recipe_embedding.read_recipe(path), recipe)


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_png_keeps_eight_bits_exactly(home: Home, channels: int) -> None:
    picture = factories.make_picture(channels=channels)
    path = writer.save_image(home, picture, factories.make_recipe())
    with Image.open(path) as image:
        assert np.array_equal(np.asarray(image).reshape(picture.shape), picture)


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_png_keeps_sixteen_bits_exactly(home: Home, channels: int) -> None:
    cv2 = pytest.importorskip("cv2")
    picture = np.random.default_rng(3).integers(0, 65536, (9, 7, channels)).astype(np.uint16)
    path = writer.save_image(home, picture, factories.make_recipe())
    found = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    assert found.dtype == np.uint16
    order = {1: [0], 3: [2, 1, 0], 4: [2, 1, 0, 3]}[channels]
    assert np.array_equal(found.reshape(picture.shape)[..., order], picture)
    assert is_same_image(recipe_embedding.read_recipe(path), factories.make_recipe())


def test_the_same_pixels_and_recipe_differ_only_in_the_time(home: Home) -> None:
    first, second = (writer.save_image(home, factories.make_picture(), factories.make_recipe()) for _ in range(2))
    assert np.array_equal(np.asarray(open_picture(first)), np.asarray(open_picture(second)))


@pytest.mark.parametrize("values", [np.float16, np.float32, np.float64])
def test_floating_point_is_clipped_and_rounded(home: Home, values: type) -> None:
    picture: NDArray[np.floating] = np.array([[[-1.0, 0.0, 0.5], [1.0, 2.0, np.nan]]], values)
    path = writer.save_image(home, picture, factories.make_recipe())
    assert np.asarray(open_picture(path)).tolist() == [[[0, 0, 128], [255, 255, 0]]]


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "I;16", "F", "YCbCr"])
@pytest.mark.parametrize("format", FORMATS)
def test_every_mode_can_be_saved_in_every_format(home: Home, mode: str, format: str) -> None:
    path = writer.save_image(home, Image.new(mode, (6, 4)), factories.make_recipe(), format=format)
    assert open_picture(path).size == (6, 4)


@pytest.mark.parametrize(
    "picture", [np.zeros((0, 4, 3), np.uint8), np.zeros((4, 4, 2), np.uint8), np.zeros(5), np.zeros((4, 4), np.int64)]
)
def test_an_invalid_image_is_refused(home: Home, picture: object) -> None:
    with pytest.raises(StudioError, match=r"not an image|no pixels"):
        writer.save_image(home, picture, factories.make_recipe())


@pytest.mark.parametrize("format", ["png", "jpeg", "webp"])
@pytest.mark.parametrize(
    ("note", "name"), [("composite", "composite"), ("", "trainedAlgorithmicMedia"), ("<x>", "trainedAlgorithmicMedia")]
)
def test_a_tool_chooses_the_digital_source_type(home: Home, format: str, note: str, name: str) -> None:
    notes = {"digital_source_type": note}
    path = writer.save_image(home, factories.make_picture(), factories.make_recipe(), format=format, notes=notes)
    assert f"<Iptc4xmpExt:DigitalSourceType>{xmp.SOURCE_TYPES}{name}<".encode() in path.read_bytes()


def test_png_has_metadata_for_other_tools(home: Home) -> None:
    path = writer.save_image(home, factories.make_picture(), factories.make_recipe("a fox", seed=99))
    with Image.open(path) as image:
        image.load()
        said = a1111.parse(image.info["parameters"])
        profile = ImageCms.ImageCmsProfile(__import__("io").BytesIO(image.info["icc_profile"]))
        assert xmp.MADE_BY_MODEL in image.info[png.XMP_KEY]
    assert said.prompt == "a fox"
    assert said.negative_prompt == "blurry"
    assert said.settings["Seed"] == "99"
    assert said.settings["Size"] == "48x32"
    assert said.settings["CFG scale"] == "7.5"
    assert "sRGB" in ImageCms.getProfileDescription(profile)


@pytest.mark.parametrize("format", FORMATS[1:])
def test_other_formats_have_metadata_for_other_tools(home: Home, format: str) -> None:
    path = writer.save_image(
        home, factories.make_picture(), factories.make_recipe("ein Füchs 狐", seed=99), format=format
    )
    header = exif.read(path)
    said = a1111.parse(header.texts["UserComment"])
    assert (said.prompt, said.settings["Seed"]) == ("ein Füchs 狐", "99")
    assert xmp.MADE_BY_MODEL.encode() in header.xmp
    with Image.open(path) as image:
        assert image.info["icc_profile"]


def test_a_long_recipe_is_in_the_sidecar_of_a_jpeg_only(home: Home) -> None:
    recipe = factories.make_recipe("wörd " * 40_000)
    for format in FORMATS:
        path = writer.save_image(home, factories.make_picture(), recipe, format=format)
        assert is_same_image(recipe_embedding.read_recipe(path), recipe)
        assert sidecar.sidecar_path(path).exists() == (format == "jpeg")
    assert xmp.MADE_BY_MODEL.encode() in exif.read(path).xmp


def test_transparency_becomes_white_in_a_jpeg(home: Home) -> None:
    path = writer.save_image(home, np.zeros((8, 8, 4), np.uint8), factories.make_recipe(), format="jpg")
    assert path.suffix == ".jpg"
    assert np.asarray(open_picture(path)).min() > 250


def test_the_file_name_has_tool_seed_and_digest(home: Home) -> None:
    path = writer.save_image(home, factories.make_picture(), factories.make_recipe(seed=7), name="frame 3/7")
    assert path.name == f"diffusion.paint-7-frame 3_7-{writer.digest_of(path)[:10]}.png"
    assert path.parent.parent.parent.parent == home.library


def test_notes_that_are_not_json_become_text(home: Home) -> None:
    notes: dict[Any, object] = {"where": Path("x"), 5: np.float32(0.5), "many": {1, 2}, "half": "\ud800"}
    path = writer.save_image(home, factories.make_picture(), factories.make_recipe(), notes=notes)
    found = recipe_embedding.read_recipe(path)
    assert found
    assert found.notes == {"where": "x", "5": 0.5, "many": [1, 2], "half": "?"}


@pytest.mark.parametrize("format", ["tiff", "exe", ""])
def test_an_unknown_format_is_refused_with_a_list(home: Home, format: str) -> None:
    with pytest.raises(BadInput, match="png, jpeg, webp, avif"):
        writer.save_image(home, factories.make_picture(), factories.make_recipe(), format=format)


def test_an_image_too_large_for_its_format_is_refused(home: Home) -> None:
    with pytest.raises(BadInput, match="16,383"):
        writer.save_image(home, np.zeros((1, 16_400, 3), np.uint8), factories.make_recipe(), format="webp")
    assert [*home.library.rglob("*.webp")] == []


def test_saving_stores_the_thumbnail(home: Home) -> None:
    path = writer.save_image(home, factories.make_picture(size=(600, 300), channels=4), factories.make_recipe())
    kept = thumbnail_db.ThumbnailDb(home.thumbs)
    content = kept.get(writer.digest_of(path))
    kept.close()
    assert content
    with Image.open(__import__("io").BytesIO(content)) as image:
        assert (image.format, image.size) == ("JPEG", (256, 128))


@pytest.mark.parametrize("words", [*factories.HOSTILE_WORDS, "", "\n\n", "---\n---\n"])
def test_a_text_survives_exactly(home: Home, words: str) -> None:
    path = writer.save_text(home, words, factories.make_recipe(words), title=words)
    assert markdown.read_body(path) == words
    assert markdown.read_front_matter(path)["title"] == words
    assert is_same_image(recipe_embedding.read_recipe(path), factories.make_recipe(words))


def test_a_model_folder_is_moved_into_the_library(home: Home, tmp_path: Path) -> None:
    folder = tmp_path / "trained"
    (folder / "unet").mkdir(parents=True)
    (folder / "unet" / "weights.safetensors").write_bytes(b"weights")
    (folder / "README.md").write_text("# Card")
    (folder / "studio.json").write_text('{"licence": "CC0"}')
    path = writer.save_model(home, folder, factories.make_recipe(tool="vae.train"), title="Mine", kind="autoencoder")
    assert not folder.exists()
    assert (path / "unet" / "weights.safetensors").read_bytes() == b"weights"
    assert '"licence":"CC0"' in (path / "studio.json").read_text()
    assert is_same_image(recipe_embedding.read_recipe(path), factories.make_recipe(tool="vae.train"))
    assert path.name.endswith(writer.digest_of(path)[:10])


def test_a_model_without_a_folder(home: Home, tmp_path: Path) -> None:
    with pytest.raises(StudioError, match="does not exist"):
        writer.save_model(home, tmp_path / "none", factories.make_recipe(), title="", kind="")


@pytest.mark.skipif(sys.platform == "win32", reason="needs limits of a process")
@pytest.mark.parametrize("format", ["png", "mp4", "webp", "gif"])
def test_a_full_disk_is_reported_and_leaves_no_file(home: Home, format: str) -> None:
    """A limit on the size of files stands in for a full disk: writing fails in the midst."""
    code = f"""
import resource
from studio.core.errors import StudioError
from studio.core.paths import Home
from studio.library.storage import writer
from tests.library import factories
import PIL.Image, numpy, tempfile, imageio_ffmpeg, subprocess
resource.setrlimit(resource.RLIMIT_FSIZE, (4000, 4000))
home = Home.default()
try:
    if {format!r} == "png":
        writer.save_image(home, factories.make_picture(size=(300, 300)), factories.make_recipe())
    else:
        frames = (factories.make_picture(n, (300, 300)) for n in range(9))
        writer.save_animation(home, frames, factories.make_recipe(), fps=9, loop=True, format={format!r})
except StudioError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "could not be" in done.stdout or "Could not save" in done.stdout
    assert [path for path in home.library.rglob("*") if path.is_file()] == []


@pytest.mark.skipif(
    not hasattr(__import__("os"), "geteuid") or __import__("os").geteuid() == 0, reason="root may write anywhere"
)
def test_a_write_protected_folder_is_reported(home: Home) -> None:
    home.library.chmod(0o500)
    with pytest.raises(StudioError, match="write-protected"):
        writer.save_image(home, factories.make_picture(), factories.make_recipe())
    home.library.chmod(0o700)
