"""Every family paints, repaints and inpaints where diffusers has the pipeline, from a folder on disk."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from plugins.diffusion.families import KNOWN, Task
from plugins.diffusion.inpaint import Inpaint
from plugins.diffusion.paint import Paint
from plugins.diffusion.repaint import Repaint
from plugins.diffusion.vary import Vary
from studio import api, testing
from tests.plugins.diffusion.conftest import BUILDERS

TASKS = {Paint: Task.PAINT, Vary: Task.PAINT, Repaint: Task.REPAINT, Inpaint: Task.INPAINT}
CASES = [(family, tool) for family in BUILDERS for tool, task in TASKS.items() if KNOWN[family].has(task)]


@pytest.fixture(autouse=True)
def as_small_as_the_models(monkeypatch: pytest.MonkeyPatch) -> None:
    """Some families' configurations do not say what size they were made for."""
    monkeypatch.setitem(KNOWN, "z-image", replace(KNOWN["z-image"], own_size=32))


@pytest.fixture
def inputs(tmp_path: Path) -> dict[type[api.Tool], dict[str, Any]]:
    Image.radial_gradient("L").resize((32, 32)).convert("RGB").save(tmp_path / "picture.png")
    mask = Image.new("L", (32, 32), 0)
    mask.paste(255, (8, 8, 24, 24))
    mask.save(tmp_path / "mask.png")
    picture = {"image": tmp_path / "picture.png"}
    size = {"width": 32, "height": 32}
    return {Paint: size, Vary: size, Repaint: picture | size, Inpaint: picture | {"mask": tmp_path / "mask.png"}}


@pytest.mark.parametrize(("family", "tool"), CASES, ids=lambda value: getattr(value, "id", value))
def test_it_works_and_shows_how_the_picture_comes_about(
    family: str,
    tool: type[api.Tool],
    tiny_model: Callable[[str], Path],
    inputs: dict[type[api.Tool], dict[str, Any]],
) -> None:
    ctx = testing.FakeContext(seed=2)
    events = testing.run(
        tool, ctx, prompt="a red fox", negative_prompt="grey", model=str(tiny_model(family)), steps=2, **inputs[tool]
    )
    (made,) = testing.results(events)
    assert isinstance(made, api.Image)
    assert np.asarray(made.picture).shape == (32, 32, 3)
    assert [event for event in events if isinstance(event, api.Preview)]


def test_the_families_that_are_said_to_be_tried_are_those_tried_here() -> None:
    assert {family.name for family in KNOWN.values() if family.tried} == set(BUILDERS)


@pytest.mark.parametrize("family", list(BUILDERS))
def test_paused_pictures_of_every_family_go_on_with_the_same_pixels(
    family: str, tiny_model: Callable[[str], Path], tmp_path: Path
) -> None:
    values = {"prompt": "a fox", "model": str(tiny_model(family)), "steps": 3, "width": 32, "height": 32}
    (whole,) = testing.results(testing.run(Paint, testing.FakeContext(seed=4), **values))
    with pytest.raises(api.Paused):
        testing.run(Paint, testing.FakeContext(seed=4, folder=tmp_path, pause_requested=True), **values)
    (resumed,) = testing.results(testing.run(Paint, testing.FakeContext(seed=4, folder=tmp_path), **values))
    assert isinstance(whole, api.Image)
    assert isinstance(resumed, api.Image)
    assert (np.asarray(whole.picture) == np.asarray(resumed.picture)).all()
