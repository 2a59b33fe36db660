"""`style.transfer` as the studio runs it."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageCms, ImageOps

from plugins import style_transfer
from plugins.style_transfer.image_io import icc_profiles, image16
from plugins.style_transfer.inference import color_blend
from plugins.style_transfer.tools.style_image import StyleTransfer
from studio import api, testing
from tests.plugins.style_transfer.conftest import make_photo
from tests.plugins.style_transfer.fixtures import deep_tiff
from tests.plugins.style_transfer.fixtures.colour_profiles import ADOBE, build_display_profile, build_grey_profile
from tests.plugins.style_transfer.fixtures.results import get_notices, get_result


def stylize(ctx: testing.FakeContext | None = None, **values: Any) -> NDArray[Any]:
    return np.asarray(get_result(testing.run(StyleTransfer, ctx, **values), api.Image).picture)


def test_the_tool_conforms(style: Path, photo: Path) -> None:
    testing.check_plugin(style_transfer.studio_tools())
    testing.check_light_import("plugins.style_transfer", [Path(style_transfer.__file__).parents[2]])
    testing.check_tool(StyleTransfer, {"image": photo, "style": str(style)})


def test_strength_interpolates_and_extrapolates(style: Path, photo: Path) -> None:
    original = np.asarray(Image.open(photo), np.float64)
    none, half, full, exaggerated = (
        stylize(image=photo, style=str(style), strength=strength).astype(np.float64) for strength in (0, 0.5, 1, 1.5)
    )
    assert np.array_equal(none, original)
    assert np.abs(full - original).mean() > 10
    assert np.abs(half - (original + full) / 2).max() <= 1
    assert np.abs(exaggerated - np.clip(original + 1.5 * (full - original), 0, 255)).max() <= 2


def test_colours_or_luminance_of_the_original_are_kept(style: Path, photo: Path) -> None:
    weights = np.asarray(color_blend.LUMA)
    original = np.asarray(Image.open(photo), np.float64)
    plain, coloured, light = (
        stylize(image=photo, style=str(style), keep_colours=colours, keep_luminance=luminance).astype(np.float64)
        for colours, luminance in ((0, 0), (1, 0), (0, 1))
    )
    assert np.abs(coloured @ weights - plain @ weights).max() < 1.0
    assert np.abs(light @ weights - original @ weights).max() < 1.0
    chroma = [image - (image @ weights)[..., None] for image in (original, plain, coloured)]
    assert np.abs(chroma[2] - chroma[0]).mean() < 0.3 * np.abs(chroma[1] - chroma[0]).mean()


def test_two_styles_are_mixed(style: Path, other_style: Path, photo: Path) -> None:
    values: dict[str, Any] = {"image": photo, "style": str(style), "second_style": str(other_style)}
    first, half, second = (stylize(**values, blend=blend).astype(np.float64) for blend in (0.0, 0.5, 1.0))
    assert np.abs(first - second).mean() > 5
    assert np.abs(half - (first + second) / 2).max() <= 1
    assert np.array_equal(second, stylize(image=photo, style=str(other_style)))


def test_the_preview_equals_the_result(style: Path, tmp_path: Path) -> None:
    Image.fromarray(make_photo(200, 120)).save(tmp_path / "large.png")
    values: dict[str, Any] = {"image": tmp_path / "large.png", "style": str(style), "resolution": 96}
    draft, final = (stylize(testing.FakeContext(draft=is_draft), **values) for is_draft in (True, False))
    assert draft.shape == (58, 96, 3)
    assert np.array_equal(draft, final)
    assert stylize(**values, original_size=True).shape == (120, 200, 3)
    assert stylize(testing.FakeContext(draft=True), **values, original_size=True).shape == (58, 96, 3)


def test_the_cache_is_not_used_for_another_image(style: Path, tmp_path: Path) -> None:
    ctx = testing.FakeContext()
    path = tmp_path / "one.png"
    Image.fromarray(make_photo(64, 64, seed=1)).save(path)
    first = stylize(ctx, image=path, style=str(style))
    fresh = stylize(image=path, style=str(style), strength=0.5)
    ctx.events.clear()
    assert np.array_equal(stylize(ctx, image=path, style=str(style), strength=0.5), fresh)
    Image.fromarray(make_photo(64, 64, seed=2)).resize((64, 65)).save(path)
    ctx.events.clear()
    assert stylize(ctx, image=path, style=str(style)).shape != first.shape


def test_the_alpha_channel_is_kept(style: Path, tmp_path: Path) -> None:
    image = Image.fromarray(make_photo(40, 30)).convert("RGBA")
    alpha = np.random.default_rng(0).integers(0, 256, (30, 40)).astype(np.uint8)
    image.putalpha(Image.fromarray(alpha))
    image.save(tmp_path / "glass.png")
    result = stylize(image=tmp_path / "glass.png", style=str(style))
    assert np.array_equal(result[..., 3], alpha)


def test_16_bits_per_channel_are_kept(style: Path, tmp_path: Path) -> None:
    deep = make_photo(40, 30).astype(np.uint16) * 256 + np.random.default_rng(0).integers(0, 256, (30, 40, 3))
    alpha = np.full((30, 40, 1), 40_000)
    path = tmp_path / "deep.png"
    cv2.imwrite(str(path), np.dstack([deep[..., ::-1], alpha]).astype(np.uint16))
    result = stylize(image=path, style=str(style))
    assert result.dtype == np.uint16
    assert np.array_equal(result[..., 3], alpha[..., 0])
    assert np.array_equal(stylize(image=path, style=str(style), strength=0)[..., :3], deep)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_is_applied_to_16_bits_as_to_8(orientation: int) -> None:
    image = Image.fromarray(make_photo(40, 30))
    exif = image.getexif()
    exif[0x0112] = orientation
    image.info["exif"] = exif.tobytes()
    assert np.array_equal(
        image16.apply_orientation(np.asarray(image), orientation), np.asarray(ImageOps.exif_transpose(image))
    )


@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_is_applied_once_to_a_16_bit_tiff(orientation: int, tmp_path: Path) -> None:
    deep_tiff.write_tiff(tmp_path / "turned.tif", make_photo(40, 30).astype(np.uint16) * 257, orientation=orientation)
    result = image16.open_image(tmp_path / "turned.tif")
    assert result.max_value == 65535
    assert np.array_equal(result.rgb // 257, np.asarray(api.images.open_picture(tmp_path / "turned.tif")))


@pytest.mark.parametrize("extra_sample", [0, 1, 2])
def test_a_fourth_channel_of_16_bits_is_read_as_the_file_says(extra_sample: int, tmp_path: Path) -> None:
    pixels = make_photo(40, 30).astype(np.uint16) * 257
    alpha = np.random.default_rng(0).integers(128, 256, (30, 40, 1)).astype(np.uint16) * 257
    stored = (pixels * (alpha / 65535)).astype(np.uint16) if extra_sample == 1 else pixels
    deep_tiff.write_tiff(tmp_path / "glass.tif", np.dstack([stored, alpha]), extra_sample=extra_sample)
    result = image16.open_image(tmp_path / "glass.tif")
    assert np.abs(result.rgb.astype(int) - pixels).max() <= 2
    if extra_sample == 0:
        assert result.alpha is None
    else:
        assert result.alpha is not None
        assert np.array_equal(result.alpha, alpha[..., 0])


def test_16_bit_grey_with_a_profile_keeps_16_bits(tmp_path: Path) -> None:
    grey = np.tile(np.arange(256, dtype=np.uint16) * 257 // 2, (8, 1))
    Image.fromarray(grey).save(tmp_path / "grey.png", icc_profile=build_grey_profile(2.2))
    result = image16.open_image(tmp_path / "grey.png")
    assert result.max_value == 65535
    assert np.abs(result.rgb / 257 - np.asarray(api.images.open_picture(tmp_path / "grey.png"))).max() <= 1.5


def test_profiles_are_converted_alike_at_8_and_16_bits() -> None:
    profile = build_display_profile(ADOBE, 2.19921875)
    rgb = make_photo(48, 32)
    source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
    expected = np.asarray(
        ImageCms.profileToProfile(Image.fromarray(rgb), source, ImageCms.createProfile("sRGB"), outputMode="RGB"), int
    )
    result = icc_profiles.to_srgb(rgb.astype(np.uint16) * 257, profile)
    assert result is not None
    assert np.abs(expected - rgb).max() > 10
    assert np.abs(result / 257 - expected).max() <= 1.5
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    deep = rgb.astype(np.uint16) * 257
    assert icc_profiles.to_srgb(deep, srgb) is deep
    assert icc_profiles.to_srgb(deep, b"no profile" * 20) is None


def save_image(kind: str, folder: Path) -> Path:
    image = Image.fromarray(make_photo(50, 40))
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
            cv2.imwrite(str(path), make_photo(50, 40)[..., 0].astype(np.uint16) * 200)
        case "one pixel":
            image.crop((0, 0, 1, 1)).save(path)
        case "very wide":
            image.resize((20_000, 10)).save(path)
    return path


KINDS = ("grey", "CMYK", "palette", "black and white", "grey of 16 bits", "one pixel", "very wide")


@pytest.mark.parametrize("kind", KINDS)
def test_pictures_of_all_kinds_are_stylize(kind: str, style: Path, tmp_path: Path) -> None:
    path = save_image(kind, tmp_path)
    result = stylize(image=path, style=str(style), resolution=0)
    with Image.open(path) as image:
        assert result.shape == (image.height, image.width, 3)
    assert result.dtype == (np.uint16 if kind == "grey of 16 bits" else np.uint8)


def test_a_damaged_image_does_not_stop_the_others(style: Path, photo: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"\xff\xd8\xff nothing")
    events = testing.run(StyleTransfer, image=broken, images=[photo], style=str(style))
    assert get_result(events, api.Image).name == "photo"
    assert any("broken.jpg" in text for text in get_notices(events))
    with pytest.raises(api.BadInput, match=r"broken\.jpg"):
        testing.run(StyleTransfer, image=broken, style=str(style))


def test_without_a_style_the_error_says_how_to_get_one(photo: Path, tmp_path: Path) -> None:
    with pytest.raises(api.BadInput, match=r"no style yet.*Train a style"):
        testing.run(StyleTransfer, testing.FakeContext(folder=tmp_path), image=photo)


def test_the_estimate_counts_pixels(style: Path, photo: Path) -> None:
    estimate = testing.estimate(StyleTransfer, image=photo, style=str(style), resolution=48)
    assert estimate is not None
    assert estimate.work == pytest.approx(48 * 36 / 1e6)
