"""Image to image, inpainting and variations with real pipelines."""

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


def generate(tool: type[api.Tool], seed: int = 5, **values: Any) -> np.ndarray:
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
def test_tool_can_be_cancelled_and_is_deterministic(tool: type[api.Tool], sd: Path, picture: Path, mask: Path) -> None:
    own: dict[type[api.Tool], dict[str, Any]] = {
        ImageToImage: {"image": picture},
        Inpaint: {"image": picture, "mask": mask},
        Variations: {"origin": 3},
    }
    testing.check_tool(tool, {"prompt": "a fox", "model": str(sd), "steps": 2, **own[tool]})


def test_higher_strength_changes_the_image_more(sd: Path, picture: Path) -> None:
    values: dict[str, Any] = {"image": picture, "model": str(sd), "steps": 4, "width": 40, "height": 32}
    weak, strong = (generate(ImageToImage, strength=share, **values).astype(int) for share in (0.0, 1.0))
    none = generate(ImageToImage, strength=0.05, **values).astype(int)
    assert abs(strong - none).mean() > abs(weak - none).mean()


def test_large_image_is_resized_for_the_model_with_a_notice(sd: Path, picture: Path) -> None:
    ctx = testing.FakeContext()
    testing.run(ImageToImage, ctx, image=picture, model=str(sd), steps=1)
    assert [event.text for event in ctx.events if isinstance(event, api.Notice)] == [
        "The image is generated at 32 × 32."
    ]


@pytest.mark.parametrize("area", ["part", "whole"])
def test_pixels_outside_the_mask_stay_unchanged(sd: Path, picture: Path, mask: Path, area: str) -> None:
    original = np.asarray(Image.open(picture))
    result = generate(Inpaint, image=picture, mask=mask, model=str(sd), steps=2, area=area, feather=4)
    assert result.shape == original.shape
    changed = (result != original).any(axis=2)
    assert changed[22:38, 32:48].mean() > 0.9
    changed[14:46, 24:56] = False
    assert not changed.any()


def test_outpainting_makes_the_image_larger(sd: Path, picture: Path) -> None:
    original = np.asarray(Image.open(picture))
    result = generate(Inpaint, image=picture, model=str(sd), steps=2, left=16, bottom=8, feather=4)
    assert result.shape == (72, 96, 3)
    assert (result[:56, 24:] == original[:56, 8:]).all()


@pytest.mark.parametrize(
    ("value", "given", "sentence"), [(0, True, "The mask is empty"), (0, False, "There is no mask")]
)
def test_missing_or_empty_mask_is_refused(
    sd: Path, picture: Path, tmp_path: Path, value: int, given: bool, sentence: str
) -> None:
    Image.new("L", (80, 64), value).save(tmp_path / "flat.png")
    values: dict[str, Any] = {"mask": tmp_path / "flat.png"} if given else {}
    with pytest.raises(api.BadInput, match=sentence):
        generate(Inpaint, image=picture, model=str(sd), steps=1, **values)


def test_full_mask_of_another_size_emits_a_notice(sd: Path, picture: Path, tmp_path: Path) -> None:
    Image.new("L", (20, 20), 255).save(tmp_path / "full.png")
    ctx = testing.FakeContext()
    testing.run(Inpaint, ctx, image=picture, mask=tmp_path / "full.png", model=str(sd), steps=1)
    assert any(isinstance(event, api.Notice) and "whole image" in event.text for event in ctx.events)


def test_inpainting_model_is_refused_by_other_tools(tmp_path: Path, picture: Path, mask: Path) -> None:
    folder = tiny.stable_diffusion(tmp_path / "inpainting", channels=9)
    assert generate(Inpaint, image=picture, mask=mask, model=str(folder), steps=1).shape == (64, 80, 3)
    with pytest.raises(api.BadInput, match="made for inpainting only"):
        generate(TextToImage, model=str(folder), steps=1)


def test_refiner_needs_an_image(tiny_model: Callable[[str], Path], tmp_path: Path, picture: Path) -> None:
    folder = tiny.refiner(tmp_path / "refiner")
    assert generate(ImageToImage, image=picture, model=str(folder), steps=2).shape == (32, 32, 3)
    with pytest.raises(api.BadInput, match="is a refiner"):
        generate(TextToImage, model=str(folder), steps=1)


@pytest.mark.parametrize("sampler", ["model", "euler_a"])
def test_higher_variation_strength_changes_the_image_more(sd: Path, sampler: str) -> None:
    values: dict[str, Any] = {"prompt": "a fox", "model": str(sd), "steps": 3, "sampler": sampler}
    itself = generate(TextToImage, seed=9, **values).astype(int)
    assert (generate(Variations, origin=9, variation=0, **values) == itself).all()
    near, far = (generate(Variations, origin=9, variation=share, **values).astype(int) for share in (0.1, 1.0))
    assert 0 < abs(near - itself).mean() < abs(far - itself).mean()


def strength_notices(tool: type[api.Tool], **values: Any) -> list[str]:
    ctx = testing.FakeContext()
    testing.run(tool, ctx, steps=1, **values)
    return [event.text for event in ctx.events if isinstance(event, api.Notice) and "strength" in event.text]


@pytest.mark.parametrize("family", ["flux-kontext", "instruct-pix2pix", "flux2-klein"])
def test_ignored_strength_emits_a_notice(family: str, tiny_model: Callable[[str], Path], picture: Path) -> None:
    values: dict[str, Any] = {"image": picture, "model": str(tiny_model(family)), "width": 64, "height": 64}
    assert strength_notices(ImageToImage, **values, strength=0.3) == [
        f"{family} edits the image by the prompt alone; the denoising strength has no effect."
    ]
    assert strength_notices(ImageToImage, **values) == []


def test_used_strength_emits_no_notice(sd: Path, picture: Path, mask: Path) -> None:
    assert strength_notices(ImageToImage, image=picture, model=str(sd), strength=0.3) == []
    assert strength_notices(Inpaint, image=picture, mask=mask, model=str(sd), strength=0.5) == []


def test_ignored_strength_of_inpainting_emits_a_notice(
    tiny_model: Callable[[str], Path], picture: Path, mask: Path
) -> None:
    name = "kandinsky22-inpainting"
    values: dict[str, Any] = {"image": picture, "mask": mask, "model": str(tiny_model(name))}
    assert strength_notices(Inpaint, **values, strength=0.5) == [
        f"{name} always replaces the whole masked area; the denoising strength has no effect."
    ]
