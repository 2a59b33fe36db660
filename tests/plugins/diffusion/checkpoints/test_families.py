"""Every family does each task that diffusers has a pipeline for, from a folder on disk."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from plugins.diffusion.checkpoints.families import FAMILIES, Task
from plugins.diffusion.models.model import Model
from plugins.diffusion.tools.image_to_image import ImageToImage
from plugins.diffusion.tools.inpaint import Inpaint
from plugins.diffusion.tools.text_to_image import TextToImage
from plugins.diffusion.tools.variations import Variations
from scripts.diffusion_docs import supports_variations
from studio import api, testing
from tests.plugins.diffusion.conftest import BUILDERS

MODELS = testing.FakeModels()
"""Loaded models, kept from test to test as the studio keeps them from job to job."""
TASKS = {
    TextToImage: Task.TEXT_TO_IMAGE,
    Variations: Task.TEXT_TO_IMAGE,
    ImageToImage: Task.IMAGE_TO_IMAGE,
    Inpaint: Task.INPAINT,
}
CASES = [
    (family, tool)
    for family in BUILDERS
    for tool, task in TASKS.items()
    if (supports_variations(FAMILIES[family]) if tool is Variations else FAMILIES[family].supports(task))
]


@pytest.fixture(autouse=True)
def use_tiny_native_sizes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Override the native size, which many pipelines hard-code."""
    monkeypatch.setattr(Model, "size", property(lambda model: side(model.family.name)))


def side(family: str) -> int:
    """Return the side of a small image, in pixels."""
    return max(32, FAMILIES[family].min_side)


def inputs(tool: type[api.Tool], family: str, folder: Path) -> dict[str, Any]:
    """Return the parameters of a tool besides the prompts, with images saved in the folder."""
    length = side(family)
    Image.radial_gradient("L").resize((length, length)).convert("RGB").save(folder / "picture.png")
    mask = Image.new("L", (length, length), 0)
    mask.paste(255, (8, 8, 24, 24))
    mask.save(folder / "mask.png")
    picture, size = {"image": folder / "picture.png"}, {"width": length, "height": length}
    by_tool: dict[type[api.Tool], dict[str, Any]] = {
        TextToImage: size,
        Variations: size,
        ImageToImage: picture | size,
        Inpaint: picture | {"mask": folder / "mask.png"},
    }
    return by_tool[tool]


@pytest.mark.parametrize(("family", "tool"), CASES, ids=lambda value: getattr(value, "id", value))
def test_a_tool_makes_an_image_and_previews(
    family: str,
    tool: type[api.Tool],
    tiny_model: Callable[[str], Path],
    tmp_path: Path,
) -> None:
    model = tiny_model(
        f"{family}-inpainting" if tool is Inpaint and FAMILIES[family].needs_inpainting_model else family
    )
    values = {"prompt": "a red fox", "negative_prompt": "grey", "model": str(model), "steps": 2}
    events = testing.run(tool, testing.FakeContext(seed=2, models=MODELS), **values, **inputs(tool, family, tmp_path))
    (made,) = testing.results(events)
    assert isinstance(made, api.Image)
    assert np.asarray(made.picture).shape == (side(family), side(family), 3)
    assert [event for event in events if isinstance(event, api.Preview)]


def test_a_side_below_the_minimum_of_the_family_is_refused(tiny_model: Callable[[str], Path]) -> None:
    with pytest.raises(api.BadInput, match="at least 64 px"):
        testing.run(TextToImage, model=str(tiny_model("flux2")), width=32, height=64)


def test_guidance_works_with_an_empty_negative_prompt(tiny_model: Callable[[str], Path]) -> None:
    values = {"prompt": "a fox", "model": str(tiny_model("qwenimage")), "steps": 2}
    weak, strong = (
        testing.results(
            testing.run(TextToImage, testing.FakeContext(seed=3, models=MODELS), guidance=guidance, **values)
        )[0]
        for guidance in (1.5, 8.0)
    )
    assert isinstance(weak, api.Image)
    assert isinstance(strong, api.Image)
    assert (np.asarray(weak.picture) != np.asarray(strong.picture)).any()


def test_a_negative_prompt_without_effect_gives_a_notice(tiny_model: Callable[[str], Path]) -> None:
    ctx = testing.FakeContext(models=MODELS)
    testing.run(TextToImage, ctx, model=str(tiny_model("flux")), negative_prompt="grey", steps=1)
    assert any(isinstance(event, api.Notice) and "no negative prompt" in event.text for event in ctx.events)


def test_few_step_models_keep_their_sampler(tiny_model: Callable[[str], Path]) -> None:
    with pytest.raises(api.BadInput, match="LCM sampler only"):
        testing.run(TextToImage, model=str(tiny_model("lcm")), sampler="euler", steps=1)


def test_families_marked_as_tested_are_those_tested_here() -> None:
    assert {family.name for family in FAMILIES.values() if family.tested and not family.video} == set(BUILDERS)


@pytest.mark.parametrize("family", list(BUILDERS))
def test_paused_images_of_every_family_resume_with_the_same_pixels(
    family: str, tiny_model: Callable[[str], Path], tmp_path: Path
) -> None:
    tool = next(tool for known, tool in CASES if known == family)
    values = {"prompt": "a fox", "model": str(tiny_model(family)), "steps": 3, **inputs(tool, family, tmp_path)}

    def run(**more: Any) -> list[api.Event]:
        return testing.run(tool, testing.FakeContext(seed=4, models=MODELS, **more), **values)

    (whole,) = testing.results(run())
    with pytest.raises(api.Paused):
        run(folder=tmp_path, pause_requested=True)
    (resumed,) = testing.results(run(folder=tmp_path))
    assert isinstance(whole, api.Image)
    assert isinstance(resumed, api.Image)
    assert (np.asarray(whole.picture) == np.asarray(resumed.picture)).all()
