"""A paused picture goes on with the same pixels, also in another process."""

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
        steps = [one for one in self.events if isinstance(one, api.Progress) and one.step > 0]
        self.pause_requested = len(steps) >= self.after


def picture(ctx: testing.FakeContext, **values: Any) -> np.ndarray:
    (made,) = testing.results(testing.run(TextToImage, ctx, **values))
    assert isinstance(made, api.Image)
    return np.asarray(made.picture)


@pytest.mark.parametrize("sampler", ["model", "euler_a", "dpmpp_2m_sde", "unipc", "heun", "lcm"])
def test_the_pixels_are_those_of_an_unpaused_run(sd: Path, tmp_path: Path, sampler: str) -> None:
    values = {"prompt": "a fox", "model": str(sd), "steps": 5, "sampler": sampler}
    whole = picture(testing.FakeContext(seed=3), **values)
    with pytest.raises(api.Paused):
        testing.run(TextToImage, Pausing(seed=3, folder=tmp_path), **values)
    resumed = testing.FakeContext(seed=3, folder=tmp_path)
    assert (picture(resumed, **values) == whole).all()


def test_what_was_denoised_is_not_denoised_again(sd: Path, tmp_path: Path) -> None:
    values = {"model": str(sd), "steps": 5}
    with pytest.raises(api.Paused):
        testing.run(TextToImage, Pausing(folder=tmp_path), **values)
    assert denoised(testing.FakeContext(folder=tmp_path), sd, **values) == 3


def test_a_picture_can_be_paused_twice(sd: Path, tmp_path: Path) -> None:
    values = {"model": str(sd), "steps": 6}
    for after in (2, 4):
        ctx = Pausing(folder=tmp_path)
        ctx.after = after
        with pytest.raises(api.Paused):
            testing.run(TextToImage, ctx, **values)
    whole = picture(testing.FakeContext(), **values)
    assert (picture(testing.FakeContext(folder=tmp_path), **values) == whole).all()


def test_what_another_model_said_is_left_alone(sd: Path, tmp_path: Path) -> None:
    with pytest.raises(api.Paused):
        testing.run(TextToImage, Pausing(folder=tmp_path), model=str(sd), steps=4)
    (sd / "model_index.json").touch()
    assert denoised(testing.FakeContext(folder=tmp_path), sd, model=str(sd), steps=4) == 4


def denoised(ctx: testing.FakeContext, folder: Path, **values: Any) -> int:
    """How often the denoiser itself is asked."""
    calls: list[int] = []
    loader.load(ctx, str(folder)).base.unet.conv_in.register_forward_hook(lambda *_: calls.append(1))
    picture(ctx, **values)
    return len(calls)
