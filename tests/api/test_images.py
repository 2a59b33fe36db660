"""`api.images`: resize pictures, remove transparency, and convert between pixels and model values."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image, ImageOps

from studio import api
from studio.api import images

LEVELS = np.arange(256, dtype=np.uint8)


def make_gradient(width: int, height: int, mode: str = "RGB") -> Image.Image:
    values = np.linspace(0, 255, width * height * len(mode)).reshape(height, width, len(mode))
    return Image.fromarray(values.astype(np.uint8), mode)


def test_transparency_is_composited_over_the_background() -> None:
    clear = Image.new("RGBA", (2, 1), (255, 0, 0, 0))
    assert images.flatten_alpha(clear).getpixel((0, 0)) == (255, 255, 255)
    assert images.flatten_alpha(clear, "#102030").getpixel((0, 0)) == (16, 32, 48)
    opaque = make_gradient(3, 2)
    assert images.flatten_alpha(opaque) is opaque


def test_fit_fills_a_size_or_pads_it() -> None:
    picture = make_gradient(40, 20)
    assert images.fit(picture, (40, 20)) is picture
    cropped = images.fit(picture, (16, 16))
    assert cropped == ImageOps.fit(picture, (16, 16), Image.Resampling.LANCZOS)
    padded = images.fit(picture, (16, 16), mode="pad", background="#0a0b0c")
    assert padded.size == (16, 16)
    assert padded.getpixel((8, 0)) == (10, 11, 12)


@pytest.mark.parametrize(
    ("size", "longest", "multiple", "expected"),
    [((400, 200), 128, 8, (128, 64)), ((3, 4000), 512, 64, (64, 512)), ((100, 90), 101, 8, (104, 88))],
)
def test_sizes_for_a_model_are_multiples(
    size: tuple[int, int], longest: int, multiple: int, expected: tuple[int, int]
) -> None:
    assert images.size_for_model(size, longest, multiple) == expected
    assert images.resize_for_model(make_gradient(*size), longest, multiple).size == expected


def test_limit_size_only_scales_down() -> None:
    assert images.limit_size((4000, 3), 100) == (100, 1)
    assert images.limit_size((40, 30), 100) == (40, 30)
    assert images.limit_size((4000, 3000), 0) == (4000, 3000)


def test_shrink_shorter_side_never_enlarges() -> None:
    picture = make_gradient(40, 20)
    assert images.shrink_shorter_side(picture, 10).size == (20, 10)
    assert images.shrink_shorter_side(picture, 30) is picture


@pytest.mark.parametrize("value_range", [images.SIGNED, images.UNIT, (0.0, 255.0)])
def test_every_level_survives_a_round_trip_through_model_values(value_range: images.ValueRange) -> None:
    pixels = LEVELS.reshape(8, 8, 4)[..., :3]
    values = images.from_uint8(pixels, value_range)
    assert values.shape == (3, 8, 8)
    assert values.dtype == np.float32
    assert (values.min(), values.max()) == pytest.approx((value_range[0], values.max()))
    assert np.array_equal(images.to_uint8(torch.from_numpy(values), value_range), pixels)
    flat = images.from_uint8(pixels, value_range, channels_first=False)
    assert np.array_equal(images.to_uint8(flat, value_range), pixels)


def test_values_are_those_that_the_models_were_trained_with() -> None:
    """A change of the last bit would change trainings that are resumed."""
    signed = images.from_uint8(LEVELS[None, :, None])[0, 0]
    assert np.array_equal(signed, LEVELS.astype(np.float32) / 127.5 - 1)
    assert np.array_equal(signed, (torch.from_numpy(LEVELS).float() / 127.5 - 1).numpy())
    unit = images.from_uint8(LEVELS[None, :, None], images.UNIT)[0, 0]
    assert np.array_equal(unit, LEVELS.astype(np.float32) / np.float32(255.0))


def test_batches_keep_their_first_axis_and_the_memory_order() -> None:
    pixels = LEVELS[:240].reshape(2, 5, 8, 3)
    values = images.from_uint8(pixels)
    assert values.shape == (2, 3, 5, 8)
    assert torch.from_numpy(values).is_contiguous(memory_format=torch.channels_last)
    assert np.array_equal(images.to_uint8(torch.from_numpy(values)), pixels)


def test_to_uint8_clips_and_rounds() -> None:
    values = torch.tensor([-2.0, -1.0, 0.0, 1.0, 7.0]).reshape(1, 1, 5)
    assert images.to_uint8(values)[0, :, 0].tolist() == [0, 0, 128, 255, 255]
    assert images.to_uint8(values.half().numpy(), images.UNIT)[0, 0].tolist() == [0, 0, 0, 255, 255]
    reference = ((values.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)[0, 0]
    assert images.to_uint8(values)[0, :, 0].tolist() == reference.tolist()


def test_common_image_suffixes_are_known() -> None:
    assert {".png", ".jpg", ".webp", ".avif", ".gif", ".tiff"} <= images.IMAGE_SUFFIXES
    assert api.images is images
