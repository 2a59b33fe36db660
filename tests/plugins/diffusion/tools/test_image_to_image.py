"""From pictures to pictures: repainting, inpainting, and small changes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from plugins.diffusion.tools.image_to_image import ImageToImage
from plugins.diffusion.tools.inpaint import Inpaint
from plugins.diffusion.tools.text_to_image import TextToImage
from plugins.diffusion.tools.variations import Variations
from studio import api, testing
from tests.plugins.diffusion.fixtures import tiny


def made(tool: type[api.Tool], seed: int = 5, **values: Any) -> np.ndarray:
    (event,) = testing.results(testing.run(tool, testing.FakeContext(seed=seed), **values))
    assert isinstance(event, api.Image)
    return np.asarray(event.picture)


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    path = tmp_path / "picture.png"
    Image.radial_gradient("L").resize((80, 64)).convert("RGB").save(path)
    return path


@pytest.fixture
def mask(tmp_path: Path) -> Path:
    path = tmp_path / "mask.png"
    white = Image.new("L", (80, 64), 0)
    white.paste(255, (30, 20, 50, 40))
    white.save(path)
    return path


@pytest.mark.parametrize("tool", [ImageToImage, Inpaint, Variations])
def test_it_can_be_cancelled_and_repeats_itself(tool: type[api.Tool], sd: Path, picture: Path, mask: Path) -> None:
    own = {ImageToImage: {"image": picture}, Inpaint: {"image": picture, "mask": mask}, Variations: {"origin": 3}}
    testing.check_tool(tool, {"prompt": "a fox", "model": str(sd), "steps": 2, **own[tool]})


def test_more_strength_goes_further_from_the_picture(sd: Path, picture: Path) -> None:
    values = {"image": picture, "model": str(sd), "steps": 4, "width": 40, "height": 32}
    weak, strong = (made(ImageToImage, strength=share, **values).astype(int) for share in (0.0, 1.0))
    none = made(ImageToImage, strength=0.05, **values).astype(int)
    assert abs(strong - none).mean() > abs(weak - none).mean()


def test_a_large_picture_is_painted_at_a_size_that_suits_the_model_and_that_is_said(sd: Path, picture: Path) -> None:
    ctx = testing.FakeContext()
    testing.run(ImageToImage, ctx, image=picture, model=str(sd), steps=1)
    assert [event.text for event in ctx.events if isinstance(event, api.Notice)] == [
        "The image is generated at 32 × 32."
    ]


@pytest.mark.parametrize("area", ["part", "whole"])
def test_what_lies_outside_the_mask_stays_to_the_pixel(sd: Path, picture: Path, mask: Path, area: str) -> None:
    before = np.asarray(Image.open(picture))
    after = made(Inpaint, image=picture, mask=mask, model=str(sd), steps=2, area=area, feather=4)
    assert after.shape == before.shape
    changed = (after != before).any(axis=2)
    assert changed[22:38, 32:48].mean() > 0.9
    changed[14:46, 24:56] = False
    assert not changed.any()


def test_painting_beyond_the_edges_makes_the_picture_larger(sd: Path, picture: Path) -> None:
    before = np.asarray(Image.open(picture))
    after = made(Inpaint, image=picture, model=str(sd), steps=2, left=16, bottom=8, feather=4)
    assert after.shape == (72, 96, 3)
    assert (after[:56, 24:] == before[:56, 8:]).all()


@pytest.mark.parametrize(
    ("value", "given", "sentence"), [(0, True, "The mask is empty"), (0, False, "There is no mask")]
)
def test_nothing_to_paint_is_a_sentence(
    sd: Path, picture: Path, tmp_path: Path, value: int, given: bool, sentence: str
) -> None:
    Image.new("L", (80, 64), value).save(tmp_path / "flat.png")
    values = {"mask": tmp_path / "flat.png"} if given else {}
    with pytest.raises(api.BadInput, match=sentence):
        made(Inpaint, image=picture, model=str(sd), steps=1, **values)


def test_a_full_mask_of_another_size_paints_everything_and_says_so(sd: Path, picture: Path, tmp_path: Path) -> None:
    Image.new("L", (20, 20), 255).save(tmp_path / "full.png")
    ctx = testing.FakeContext()
    testing.run(Inpaint, ctx, image=picture, mask=tmp_path / "full.png", model=str(sd), steps=1)
    assert any(isinstance(event, api.Notice) and "whole image" in event.text for event in ctx.events)


def test_an_inpainting_model_inpaints_and_says_that_it_does_nothing_else(
    tmp_path: Path, picture: Path, mask: Path
) -> None:
    folder = tiny.stable_diffusion(tmp_path / "inpainting", channels=9)
    assert made(Inpaint, image=picture, mask=mask, model=str(folder), steps=1).shape == (64, 80, 3)
    with pytest.raises(api.BadInput, match="made for inpainting only"):
        made(TextToImage, model=str(folder), steps=1)


def test_a_refiner_repaints_and_says_that_it_cannot_paint(
    tiny_model: Callable[[str], Path], tmp_path: Path, picture: Path
) -> None:
    folder = tiny.refiner(tmp_path / "refiner")
    assert made(ImageToImage, image=picture, model=str(folder), steps=2).shape == (32, 32, 3)
    with pytest.raises(api.BadInput, match="is a refiner"):
        made(TextToImage, model=str(folder), steps=1)


@pytest.mark.parametrize("sampler", ["model", "euler_a"])
def test_no_variation_is_the_picture_itself_and_more_of_it_goes_further(sd: Path, sampler: str) -> None:
    values = {"prompt": "a fox", "model": str(sd), "steps": 3, "sampler": sampler}
    itself = made(TextToImage, seed=9, **values).astype(int)
    assert (made(Variations, origin=9, variation=0, **values) == itself).all()
    near, far = (made(Variations, origin=9, variation=share, **values).astype(int) for share in (0.1, 1.0))
    assert 0 < abs(near - itself).mean() < abs(far - itself).mean()


def notices(tool: type[api.Tool], **values: Any) -> list[str]:
    ctx = testing.FakeContext()
    testing.run(tool, ctx, steps=1, **values)
    return [event.text for event in ctx.events if isinstance(event, api.Notice) and "strength" in event.text]


@pytest.mark.parametrize("family", ["flux-kontext", "instruct-pix2pix", "flux2-klein"])
def test_a_strength_that_does_nothing_is_said(family: str, tiny_model: Callable[[str], Path], picture: Path) -> None:
    values = {"image": picture, "model": str(tiny_model(family)), "width": 64, "height": 64}
    assert notices(ImageToImage, **values, strength=0.3) == [
        f"{family} edits the image by the prompt alone; the denoising strength has no effect."
    ]
    assert notices(ImageToImage, **values) == []


def test_a_strength_that_counts_is_not_spoken_of(sd: Path, picture: Path, mask: Path) -> None:
    assert notices(ImageToImage, image=picture, model=str(sd), strength=0.3) == []
    assert notices(Inpaint, image=picture, mask=mask, model=str(sd), strength=0.5) == []


def test_a_strength_that_does_nothing_under_a_mask_is_said(
    tiny_model: Callable[[str], Path], picture: Path, mask: Path
) -> None:
    name = "kandinsky22-inpainting"
    values = {"image": picture, "mask": mask, "model": str(tiny_model(name))}
    assert notices(Inpaint, **values, strength=0.5) == [
        f"{name} always replaces the whole masked area; the denoising strength has no effect."
    ]
