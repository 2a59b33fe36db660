"""`style.transfer` as the studio runs it."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image, ImageCms, ImageOps

from plugins import style_transfer
from plugins.style_transfer.image_io import icc_profiles, image16
from plugins.style_transfer.inference import color_blend
from plugins.style_transfer.tools.style_image import StyleTransfer
from studio import api, testing
from tests.plugins.style_transfer.conftest import photograph
from tests.plugins.style_transfer.fixtures import deep_tiff
from tests.plugins.style_transfer.fixtures.colour_profiles import ADOBE, display_profile, grey_profile


def painted(ctx: testing.FakeContext | None = None, **values: Any) -> np.ndarray:
    (image,) = testing.results(testing.run(StyleTransfer, ctx, **values))
    return np.asarray(image.picture)


def test_keeps_the_rules(style: Path, photo: Path) -> None:
    testing.check_plugin(style_transfer.studio_tools())
    testing.check_light_import("plugins.style_transfer", [Path(style_transfer.__file__).parents[2]])
    testing.check_tool(StyleTransfer, {"image": photo, "style": str(style)})


def test_strength_goes_from_the_picture_over_the_painting_beyond_it(style: Path, photo: Path) -> None:
    own = np.asarray(Image.open(photo), np.float64)
    none, half, full, more = (
        painted(image=photo, style=str(style), strength=strength).astype(np.float64) for strength in (0, 0.5, 1, 1.5)
    )
    assert np.array_equal(none, own)
    assert np.abs(full - own).mean() > 10
    assert np.abs(half - (own + full) / 2).max() <= 1
    assert np.abs(more - np.clip(own + 1.5 * (full - own), 0, 255)).max() <= 2


def test_colours_or_light_and_dark_of_the_picture_stay(style: Path, photo: Path) -> None:
    weights = np.asarray(color_blend.LUMA)
    own = np.asarray(Image.open(photo), np.float64)
    plain, coloured, light = (
        painted(image=photo, style=str(style), **more).astype(np.float64)
        for more in ({}, {"keep_colours": 1.0}, {"keep_luminance": 1.0})
    )
    assert np.abs(coloured @ weights - plain @ weights).max() < 1.0
    assert np.abs(light @ weights - own @ weights).max() < 1.0
    chroma = [one - (one @ weights)[..., None] for one in (own, plain, coloured)]
    assert np.abs(chroma[2] - chroma[0]).mean() < 0.3 * np.abs(chroma[1] - chroma[0]).mean()


def test_two_styles_are_mixed(style: Path, other_style: Path, photo: Path) -> None:
    more = {"image": photo, "style": str(style), "second_style": str(other_style)}
    one, half, other = (painted(**more, blend=blend).astype(np.float64) for blend in (0.0, 0.5, 1.0))
    assert np.abs(one - other).mean() > 5
    assert np.abs(half - (one + other) / 2).max() <= 1
    assert np.array_equal(other, painted(image=photo, style=str(other_style)))


def test_the_preview_is_the_result(style: Path, tmp_path: Path) -> None:
    Image.fromarray(photograph(200, 120)).save(tmp_path / "large.png")
    values = {"image": tmp_path / "large.png", "style": str(style), "resolution": 96}
    proof, final = (painted(testing.FakeContext(draft=draft), **values) for draft in (True, False))
    assert proof.shape == (58, 96, 3)
    assert np.array_equal(proof, final)
    assert painted(**values, original_size=True).shape == (120, 200, 3)
    assert painted(testing.FakeContext(draft=True), **values, original_size=True).shape == (58, 96, 3)


def test_what_is_remembered_is_not_taken_for_another_picture(style: Path, tmp_path: Path) -> None:
    ctx = testing.FakeContext()
    path = tmp_path / "one.png"
    Image.fromarray(photograph(64, 64, seed=1)).save(path)
    first = painted(ctx, image=path, style=str(style))
    fresh = painted(image=path, style=str(style), strength=0.5)
    ctx.events.clear()
    assert np.array_equal(painted(ctx, image=path, style=str(style), strength=0.5), fresh)
    Image.fromarray(photograph(64, 64, seed=2)).resize((64, 65)).save(path)
    ctx.events.clear()
    assert painted(ctx, image=path, style=str(style)).shape != first.shape


def test_what_is_transparent_stays_so(style: Path, tmp_path: Path) -> None:
    image = Image.fromarray(photograph(40, 30)).convert("RGBA")
    alpha = np.random.default_rng(0).integers(0, 256, (30, 40)).astype(np.uint8)
    image.putalpha(Image.fromarray(alpha))
    image.save(tmp_path / "glass.png")
    made = painted(image=tmp_path / "glass.png", style=str(style))
    assert np.array_equal(made[..., 3], alpha)


def test_16_bits_stay_16(style: Path, tmp_path: Path) -> None:
    deep = photograph(40, 30).astype(np.uint16) * 256 + np.random.default_rng(0).integers(0, 256, (30, 40, 3))
    alpha = np.full((30, 40, 1), 40_000)
    path = tmp_path / "deep.png"
    cv2.imwrite(str(path), np.dstack([deep[..., ::-1], alpha]).astype(np.uint16))
    made = painted(image=path, style=str(style))
    assert made.dtype == np.uint16
    assert np.array_equal(made[..., 3], alpha[..., 0])
    assert np.array_equal(painted(image=path, style=str(style), strength=0)[..., :3], deep)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_16_bits_are_turned_as_8_are(orientation: int) -> None:
    image = Image.fromarray(photograph(40, 30))
    exif = image.getexif()
    exif[image16.ORIENTATION] = orientation
    image.info["exif"] = exif.tobytes()
    assert np.array_equal(image16._turned(np.asarray(image), orientation), np.asarray(ImageOps.exif_transpose(image)))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_tiff_of_16_bits_is_turned_once(orientation: int, tmp_path: Path) -> None:
    deep_tiff.write(tmp_path / "turned.tif", photograph(40, 30).astype(np.uint16) * 257, orientation=orientation)
    made = image16.opened(tmp_path / "turned.tif")
    assert made.top == 65535
    assert np.array_equal(made.rgb // 257, np.asarray(api.images.open_picture(tmp_path / "turned.tif")))


@pytest.mark.parametrize("fourth", [0, 1, 2])
def test_the_fourth_channel_of_16_bits_is_what_the_file_says(fourth: int, tmp_path: Path) -> None:
    pixels = photograph(40, 30).astype(np.uint16) * 257
    alpha = np.random.default_rng(0).integers(128, 256, (30, 40, 1)).astype(np.uint16) * 257
    seen = (pixels * (alpha / 65535)).astype(np.uint16) if fourth == 1 else pixels
    deep_tiff.write(tmp_path / "glass.tif", np.dstack([seen, alpha]), fourth=fourth)
    made = image16.opened(tmp_path / "glass.tif")
    assert np.abs(made.rgb.astype(int) - pixels).max() <= 2
    assert made.alpha is None if fourth == 0 else np.array_equal(made.alpha, alpha[..., 0])


def test_grey_of_16_bits_keeps_them_under_a_profile_of_its_own(tmp_path: Path) -> None:
    grey = np.tile(np.arange(256, dtype=np.uint16) * 257 // 2, (8, 1))
    Image.fromarray(grey).save(tmp_path / "grey.png", icc_profile=grey_profile(2.2))
    made = image16.opened(tmp_path / "grey.png")
    assert made.top == 65535
    assert np.abs(made.rgb / 257 - np.asarray(api.images.open_picture(tmp_path / "grey.png"))).max() <= 1.5


def test_a_profile_is_converted_alike_at_8_and_16_bits() -> None:
    profile = display_profile(ADOBE, 2.19921875)
    rgb = photograph(48, 32)
    source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
    wanted = np.asarray(
        ImageCms.profileToProfile(Image.fromarray(rgb), source, ImageCms.createProfile("sRGB"), outputMode="RGB"), int
    )
    made = icc_profiles.to_srgb(rgb.astype(np.uint16) * 257, profile)
    assert np.abs(wanted - rgb).max() > 10
    assert np.abs(made / 257 - wanted).max() <= 1.5
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    deep = rgb.astype(np.uint16) * 257
    assert icc_profiles.to_srgb(deep, srgb) is deep
    assert icc_profiles.to_srgb(deep, b"no profile" * 20) is None


def _saved(kind: str, folder: Path) -> Path:
    image = Image.fromarray(photograph(50, 40))
    path = folder / f"{kind}.tif"
    match kind:
        case "grey":
            image.convert("L").save(path)
        case "CMYK":
            image.convert("CMYK").save(path)
        case "palette":
            image.convert("P").save(path)
        case "black and white":
            image.convert("1").save(path)
        case "grey of 16 bits":
            cv2.imwrite(str(path), photograph(50, 40)[..., 0].astype(np.uint16) * 200)
        case "one pixel":
            image.crop((0, 0, 1, 1)).save(path)
        case "very wide":
            image.resize((20_000, 10)).save(path)
    return path


KINDS = ("grey", "CMYK", "palette", "black and white", "grey of 16 bits", "one pixel", "very wide")


@pytest.mark.parametrize("kind", KINDS)
def test_pictures_of_all_kinds_are_painted(kind: str, style: Path, tmp_path: Path) -> None:
    path = _saved(kind, tmp_path)
    made = painted(image=path, style=str(style), resolution=0)
    with Image.open(path) as image:
        assert made.shape == (image.height, image.width, 3)
    assert made.dtype == (np.uint16 if kind == "grey of 16 bits" else np.uint8)


def test_a_broken_picture_does_not_stop_the_others(style: Path, photo: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"\xff\xd8\xff nothing")
    events = testing.run(StyleTransfer, image=broken, images=[photo], style=str(style))
    (image,) = testing.results(events)
    assert image.name == "photo"
    assert any("broken.jpg" in event.text for event in events if isinstance(event, api.Notice))
    with pytest.raises(api.BadInput, match=r"broken\.jpg"):
        testing.run(StyleTransfer, image=broken, style=str(style))


def test_without_a_style_it_says_how_to_get_one(photo: Path, tmp_path: Path) -> None:
    with pytest.raises(api.BadInput, match=r"no style yet.*Train a style"):
        testing.run(StyleTransfer, testing.FakeContext(folder=tmp_path), image=photo)


def test_the_work_is_told_in_pixels(style: Path, photo: Path) -> None:
    told = testing.estimate(StyleTransfer, image=photo, style=str(style), resolution=48)
    assert told is not None
    assert told.work == pytest.approx(48 * 36 / 1e6)
