"""Every sampler generates an image and resumes it with the same pixels, for each kind of noise."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
from diffusers import DDIMScheduler, EDMEulerScheduler, FlowMatchEulerDiscreteScheduler
from PIL import Image

from plugins.diffusion.pipeline import schedulers
from plugins.diffusion.pipeline.schedulers import Sampler, Schedule
from plugins.diffusion.tools.image_to_image import ImageToImage
from plugins.diffusion.tools.text_to_image import TextToImage
from studio import api, testing

NAMES = [name for name in get_args(Sampler) if name != "model"]
FLOW = ("euler", "heun", "dpmpp_2m", "dpmpp_2m_sde", "unipc", "deis", "lcm")
DIFFUSION_SCHEDULER = DDIMScheduler(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear")
FLOW_SCHEDULER = FlowMatchEulerDiscreteScheduler(shift=3.0)


class Pausing(testing.FakeContext):
    """Asks for a pause once two steps are done."""

    def emit(self, event: api.Event) -> None:
        super().emit(event)
        steps = [event for event in self.events if isinstance(event, api.Progress) and event.step > 0]
        self.pause_requested = len(steps) >= 2


def generate(ctx: testing.FakeContext, tool: type[api.Tool] = TextToImage, **values: Any) -> np.ndarray:
    (made,) = testing.results(testing.run(tool, ctx, **values))
    ctx.events.clear()
    assert isinstance(made, api.Image)
    return np.asarray(made.picture)


def generate_and_resume(folder: Path, model: Path, sampler: str, **values: Any) -> np.ndarray:
    """Generate an image, and fail if a paused and resumed one differs."""
    values |= {"prompt": "a fox", "model": str(model), "steps": 4, "sampler": sampler}
    ctx = testing.FakeContext(seed=3, folder=folder)
    whole = generate(ctx, **values)
    with pytest.raises(api.Paused):
        testing.run(TextToImage, Pausing(seed=3, folder=folder, models=ctx.models), **values)
    assert (generate(ctx, **values) == whole).all()
    return whole


@pytest.mark.parametrize("sampler", NAMES)
def test_every_sampler_resumes_with_the_same_pixels(sd: Path, tmp_path: Path, sampler: str) -> None:
    assert generate_and_resume(tmp_path, sd, sampler).std() > 0


def test_samplers_differ(sd: Path) -> None:
    ctx = testing.FakeContext(seed=3)
    values: dict[str, Any] = {"prompt": "a fox", "model": str(sd), "steps": 5}
    pictures = {generate(ctx, sampler=name, **values).tobytes() for name in NAMES}
    assert len(pictures) == len(NAMES)


@pytest.mark.parametrize("sampler", FLOW)
@pytest.mark.parametrize("family", ["stable-diffusion-3", "flux"])
def test_flow_models_have_their_own_samplers(
    family: str, sampler: str, tiny_model: Callable[[str], Path], tmp_path: Path
) -> None:
    assert generate_and_resume(tmp_path, tiny_model(family), sampler, width=32, height=32).std() > 0


@pytest.mark.parametrize("sampler", FLOW)
def test_flow_samplers_start_from_an_image(sampler: str, tiny_model: Callable[[str], Path], tmp_path: Path) -> None:
    Image.radial_gradient("L").resize((32, 32)).convert("RGB").save(tmp_path / "picture.png")
    values: dict[str, Any] = {
        "model": str(tiny_model("stable-diffusion-3")),
        "image": tmp_path / "picture.png",
        "steps": 4,
    }
    assert generate(testing.FakeContext(), ImageToImage, sampler=sampler, **values).shape == (32, 32, 3)


@pytest.mark.filterwarnings("ignore:__array__ implementation")
def test_flow_is_shifted_for_the_size_as_the_model_says() -> None:
    own = FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True)
    expected = schedulers.build_scheduler(own, "model")
    expected.set_timesteps(sigmas=np.linspace(1, 1 / 8, 8), mu=0.9)
    for name in ("dpmpp_2m", "unipc", "deis"):
        sampler = schedulers.build_scheduler(own, name)
        sampler.set_timesteps(8, mu=0.9)
        assert np.interp(0.5, np.linspace(0, 1, 8), sampler.sigmas[:-1]) == pytest.approx(
            np.interp(0.5, np.linspace(0, 1, 8), expected.sigmas[:-1]), abs=0.05
        )


def test_the_shift_of_another_samplers_config_is_kept() -> None:
    flow_scheduler = schedulers.build_scheduler(FlowMatchEulerDiscreteScheduler(shift=3.0), "dpmpp_2m")
    assert flow_scheduler.config.flow_shift == 3.0
    assert schedulers.build_scheduler(flow_scheduler, "euler").config.shift == 3.0


@pytest.mark.parametrize("schedule", [name for name in get_args(Schedule) if name != "model"])
def test_schedules_change_the_image(sd: Path, schedule: str) -> None:
    values: dict[str, Any] = {"prompt": "a fox", "model": str(sd), "steps": 4, "sampler": "dpmpp_2m"}
    plain = generate(testing.FakeContext(seed=3), **values)
    assert (generate(testing.FakeContext(seed=3), schedule=schedule, **values) != plain).any()


def test_schedule_replaces_that_of_the_sampler() -> None:
    config = schedulers.build_scheduler(DIFFUSION_SCHEDULER, "dpmpp_2m_karras", "exponential").config
    assert (config.use_karras_sigmas, config.use_exponential_sigmas) == (False, True)
    assert schedulers.build_scheduler(FLOW_SCHEDULER, "model", "karras").config.use_karras_sigmas


@pytest.mark.parametrize(
    ("own", "sampler", "schedule", "sentence"),
    [
        (DIFFUSION_SCHEDULER, "ddim", "karras", "DDIM does not support this noise schedule.*DPM.. 2M"),
        (FLOW_SCHEDULER, "dpmpp_2m", "karras", "DPM.. 2M does not support this noise schedule.*Euler"),
        (FLOW_SCHEDULER, "ddim", "model", "DDIM does not work with this model.*Heun"),
        (EDMEulerScheduler(), "heun", "model", "Heun does not work with this model.*DPM.. 2M"),
        (DDIMScheduler(rescale_betas_zero_snr=True), "dpm2", "model", "starts from pure noise"),
    ],
)
def test_unsupported_combinations_are_refused(own: Any, sampler: Any, schedule: Any, sentence: str) -> None:
    with pytest.raises(api.BadInput, match=sentence):
        schedulers.build_scheduler(own, sampler, schedule)


@pytest.mark.parametrize("sampler", ["lcm", "tcd"])
def test_too_many_steps_are_refused(sd: Path, sampler: str) -> None:
    with pytest.raises(api.BadInput, match="at most 50 steps, and 60 are needed"):
        generate(testing.FakeContext(), model=str(sd), steps=60, sampler=sampler)


def test_step_limit_does_not_apply_to_other_samplers() -> None:
    schedulers.check_steps(
        schedulers.build_scheduler(schedulers.build_scheduler(DIFFUSION_SCHEDULER, "lcm"), "euler"), 60
    )


def test_models_with_preconditioning_have_their_own_samplers(sd: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(sd, tmp_path / "edm"))
    EDMEulerScheduler().save_pretrained(folder / "scheduler")
    index = folder / "model_index.json"
    index.write_text(index.read_text("utf-8").replace("DDIMScheduler", "EDMEulerScheduler"), "utf-8")
    pictures = [
        generate(testing.FakeContext(), model=str(folder), steps=3, sampler=name).tobytes()
        for name in ("euler", "dpmpp_2m", "dpmpp_2m_sde")
    ]
    assert len(set(pictures)) == 3
