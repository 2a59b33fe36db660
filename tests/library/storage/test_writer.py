"""Pictures and texts on disk: exact pixels, the recipe inside, and the labels that others read."""

from __future__ import annotations

import random
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from msgspec.structs import replace
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


def same(found: Recipe | None, recipe: Recipe) -> bool:
    """Equal but for the time, which is when the file was saved."""
    return found is not None and replace(found, created="") == replace(recipe, created="")


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("words", factories.HOSTILE_WORDS)
def test_a_recipe_comes_back_from_every_format(home: Home, format: str, words: str) -> None:
    recipe = factories.recipe(words, notes_of_mine=[1, 2.5, None, {"a": words}])
    path = writer.save_image(home, factories.picture(), recipe, format=format)
    assert same(recipe_embedding.read_recipe(path), recipe)
    assert not sidecar.sidecar_path(path).exists()


def test_any_text_at_all_comes_back(home: Home) -> None:
    chance = random.Random(11)
    for number in range(60):
        recipe = factories.recipe(factories.any_text(chance), negative_prompt=factories.any_text(chance), seed=number)
        path = writer.save_image(home, factories.picture(size=(4, 4)), recipe, format=FORMATS[number % 4])
        assert same(recipe_embedding.read_recipe(path), recipe)


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_png_keeps_eight_bits_exactly(home: Home, channels: int) -> None:
    picture = factories.picture(channels=channels)
    path = writer.save_image(home, picture, factories.recipe())
    with Image.open(path) as image:
        assert np.array_equal(np.asarray(image).reshape(picture.shape), picture)


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_png_keeps_sixteen_bits_exactly(home: Home, channels: int) -> None:
    cv2 = pytest.importorskip("cv2")
    picture = np.random.default_rng(3).integers(0, 65536, (9, 7, channels)).astype(np.uint16)
    path = writer.save_image(home, picture, factories.recipe())
    found = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    assert found.dtype == np.uint16
    order = {1: [0], 3: [2, 1, 0], 4: [2, 1, 0, 3]}[channels]
    assert np.array_equal(found.reshape(picture.shape)[..., order], picture)
    assert same(recipe_embedding.read_recipe(path), factories.recipe())


def test_the_same_pixels_and_recipe_differ_only_in_the_time(home: Home) -> None:
    first, second = (writer.save_image(home, factories.picture(), factories.recipe()) for _ in range(2))
    assert np.array_equal(np.asarray(open_picture(first)), np.asarray(open_picture(second)))


@pytest.mark.parametrize("values", [np.float16, np.float32, np.float64])
def test_floating_point_is_clipped_and_rounded(home: Home, values: type) -> None:
    picture = np.array([[[-1.0, 0.0, 0.5], [1.0, 2.0, np.nan]]], values)
    path = writer.save_image(home, picture, factories.recipe())
    assert np.asarray(open_picture(path)).tolist() == [[[0, 0, 128], [255, 255, 0]]]


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "I;16", "F", "YCbCr"])
@pytest.mark.parametrize("format", FORMATS)
def test_every_mode_can_be_saved_in_every_format(home: Home, mode: str, format: str) -> None:
    path = writer.save_image(home, Image.new(mode, (6, 4)), factories.recipe(), format=format)
    assert open_picture(path).size == (6, 4)


@pytest.mark.parametrize(
    "picture", [np.zeros((0, 4, 3), np.uint8), np.zeros((4, 4, 2), np.uint8), np.zeros(5), np.zeros((4, 4), np.int64)]
)
def test_what_is_no_picture_gets_a_sentence(home: Home, picture: object) -> None:
    with pytest.raises(StudioError, match=r"not an image|no pixels"):
        writer.save_image(home, picture, factories.recipe())


def test_png_carries_what_other_tools_read(home: Home) -> None:
    path = writer.save_image(home, factories.picture(), factories.recipe("a fox", seed=99))
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
def test_other_formats_carry_it_too(home: Home, format: str) -> None:
    path = writer.save_image(home, factories.picture(), factories.recipe("ein Füchs 狐", seed=99), format=format)
    header = exif.read(path)
    said = a1111.parse(header.texts["UserComment"])
    assert (said.prompt, said.settings["Seed"]) == ("ein Füchs 狐", "99")
    assert xmp.MADE_BY_MODEL.encode() in header.xmp
    with Image.open(path) as image:
        assert image.info["icc_profile"]


def test_a_long_recipe_stands_beside_a_jpeg_and_inside_the_others(home: Home) -> None:
    recipe = factories.recipe("wörd " * 40_000)
    for format in FORMATS:
        path = writer.save_image(home, factories.picture(), recipe, format=format)
        assert same(recipe_embedding.read_recipe(path), recipe)
        assert sidecar.sidecar_path(path).exists() == (format == "jpeg")
    assert xmp.MADE_BY_MODEL.encode() in exif.read(path).xmp


def test_transparency_is_laid_on_white_in_a_jpeg(home: Home) -> None:
    path = writer.save_image(home, np.zeros((8, 8, 4), np.uint8), factories.recipe(), format="jpg")
    assert path.suffix == ".jpg"
    assert np.asarray(open_picture(path)).min() > 250


def test_the_name_says_tool_seed_and_content(home: Home) -> None:
    path = writer.save_image(home, factories.picture(), factories.recipe(seed=7), name="frame 3/7")
    assert path.name == f"diffusion.paint-7-frame 3_7-{writer.digest_of(path)[:10]}.png"
    assert path.parent.parent.parent.parent == home.library


def test_notes_that_are_no_json_are_written_as_words(home: Home) -> None:
    notes = {"where": Path("x"), 5: np.float32(0.5), "many": {1, 2}, "half": "\ud800"}
    path = writer.save_image(home, factories.picture(), factories.recipe(), notes=notes)
    found = recipe_embedding.read_recipe(path)
    assert found
    assert found.notes == {"where": "x", "5": 0.5, "many": [1, 2], "half": "?"}


@pytest.mark.parametrize("format", ["tiff", "exe", ""])
def test_an_unknown_format_names_those_that_are_known(home: Home, format: str) -> None:
    with pytest.raises(BadInput, match="png, jpeg, webp, avif"):
        writer.save_image(home, factories.picture(), factories.recipe(), format=format)


def test_a_picture_too_large_for_a_format(home: Home) -> None:
    with pytest.raises(BadInput, match="16,383"):
        writer.save_image(home, np.zeros((1, 16_400, 3), np.uint8), factories.recipe(), format="webp")
    assert [*home.library.rglob("*.webp")] == []


def test_the_thumbnail_is_kept_when_saving(home: Home) -> None:
    path = writer.save_image(home, factories.picture(size=(600, 300), channels=4), factories.recipe())
    kept = thumbnail_db.ThumbnailDb(home.thumbs)
    content = kept.get(writer.digest_of(path))
    kept.close()
    assert content
    with Image.open(__import__("io").BytesIO(content)) as image:
        assert (image.format, image.size) == ("JPEG", (256, 128))


@pytest.mark.parametrize("words", [*factories.HOSTILE_WORDS, "", "\n\n", "---\n---\n"])
def test_a_text_comes_back_to_the_letter(home: Home, words: str) -> None:
    path = writer.save_text(home, words, factories.recipe(words), title=words)
    assert markdown.read_body(path) == words
    assert markdown.read_front_matter(path)["title"] == words
    assert same(recipe_embedding.read_recipe(path), factories.recipe(words))


def test_a_model_is_moved_with_its_card(home: Home, tmp_path: Path) -> None:
    folder = tmp_path / "trained"
    (folder / "unet").mkdir(parents=True)
    (folder / "unet" / "weights.safetensors").write_bytes(b"weights")
    (folder / "README.md").write_text("# Card")
    (folder / "studio.json").write_text('{"licence": "CC0"}')
    path = writer.save_model(home, folder, factories.recipe(tool="vae.train"), title="Mine", kind="autoencoder")
    assert not folder.exists()
    assert (path / "unet" / "weights.safetensors").read_bytes() == b"weights"
    assert '"licence":"CC0"' in (path / "studio.json").read_text()
    assert same(recipe_embedding.read_recipe(path), factories.recipe(tool="vae.train"))
    assert path.name.endswith(writer.digest_of(path)[:10])


def test_a_model_without_a_folder(home: Home, tmp_path: Path) -> None:
    with pytest.raises(StudioError, match="does not exist"):
        writer.save_model(home, tmp_path / "none", factories.recipe(), title="", kind="")


@pytest.mark.skipif(sys.platform == "win32", reason="needs limits of a process")
@pytest.mark.parametrize("format", ["png", "mp4", "webp", "gif"])
def test_no_room_leaves_a_sentence_and_nothing_else(home: Home, format: str) -> None:
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
        writer.save_image(home, factories.picture(size=(300, 300)), factories.recipe())
    else:
        frames = (factories.picture(n, (300, 300)) for n in range(9))
        writer.save_animation(home, frames, factories.recipe(), fps=9, loop=True, format={format!r})
except StudioError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "could not be" in done.stdout or "Could not save" in done.stdout
    assert [path for path in home.library.rglob("*") if path.is_file()] == []


@pytest.mark.skipif(
    not hasattr(__import__("os"), "geteuid") or __import__("os").geteuid() == 0, reason="root may write anywhere"
)
def test_a_folder_that_may_not_be_written_to(home: Home) -> None:
    home.library.chmod(0o500)
    with pytest.raises(StudioError, match="write-protected"):
        writer.save_image(home, factories.picture(), factories.recipe())
    home.library.chmod(0o700)
