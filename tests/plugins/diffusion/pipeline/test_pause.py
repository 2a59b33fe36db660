"""A paused image is resumed with the same pixels."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from plugins.diffusion.models import loader
from plugins.diffusion.tools.text_to_image import TextToImage
from studio import api, testing


class Pausing(testing.FakeContext):
    """Asks for a pause once a given number of steps is done."""

    after: int = 2

    def emit(self, event: api.Event) -> None:
        super().emit(event)
        steps = [event for event in self.events if isinstance(event, api.Progress) and event.step > 0]
        self.pause_requested = len(steps) >= self.after


def generate(ctx: testing.FakeContext, **values: Any) -> np.ndarray:
    (made,) = testing.results(testing.run(TextToImage, ctx, **values))
    assert isinstance(made, api.Image)
    return np.asarray(made.picture)


@pytest.mark.parametrize("sampler", ["model", "euler_a", "dpmpp_2m_sde", "unipc", "heun", "lcm"])
def test_resumed_image_equals_an_unpaused_one(sd: Path, tmp_path: Path, sampler: str) -> None:
    values: dict[str, Any] = {"prompt": "a fox", "model": str(sd), "steps": 5, "sampler": sampler}
    whole = generate(testing.FakeContext(seed=3), **values)
    with pytest.raises(api.Paused):
        testing.run(TextToImage, Pausing(seed=3, folder=tmp_path), **values)
    resumed = testing.FakeContext(seed=3, folder=tmp_path)
    assert (generate(resumed, **values) == whole).all()


def test_finished_steps_are_not_denoised_again(sd: Path, tmp_path: Path) -> None:
    values: dict[str, Any] = {"model": str(sd), "steps": 5}
    with pytest.raises(api.Paused):
        testing.run(TextToImage, Pausing(folder=tmp_path), **values)
    assert count_denoiser_calls(testing.FakeContext(folder=tmp_path), sd, **values) == 3


def test_image_can_be_paused_twice(sd: Path, tmp_path: Path) -> None:
    values: dict[str, Any] = {"model": str(sd), "steps": 6}
    for after in (2, 4):
        ctx = Pausing(folder=tmp_path)
        ctx.after = after
        with pytest.raises(api.Paused):
            testing.run(TextToImage, ctx, **values)
    whole = generate(testing.FakeContext(), **values)
    assert (generate(testing.FakeContext(folder=tmp_path), **values) == whole).all()


def test_outputs_of_another_model_are_ignored(sd: Path, tmp_path: Path) -> None:
    with pytest.raises(api.Paused):
        testing.run(TextToImage, Pausing(folder=tmp_path), model=str(sd), steps=4)
    (sd / "model_index.json").touch()
    assert count_denoiser_calls(testing.FakeContext(folder=tmp_path), sd, model=str(sd), steps=4) == 4


def count_denoiser_calls(ctx: testing.FakeContext, folder: Path, **values: Any) -> int:
    """Count the calls of the denoiser."""
    calls: list[int] = []
    loader.load(ctx, str(folder)).base.unet.conv_in.register_forward_hook(lambda *_: calls.append(1))
    generate(ctx, **values)
    return len(calls)
