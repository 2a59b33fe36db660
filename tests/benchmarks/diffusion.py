"""What the plugin adds to painting a picture: in one process, over the same weights, against the bare pipeline.

The plugin paints in the worker's real context, whose messages are written to nowhere.
"""

from __future__ import annotations

import logging
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from plugins.diffusion.checkpoints.families import Task
from plugins.diffusion.models import loader
from plugins.diffusion.models.model import Model
from plugins.diffusion.pipeline import runner
from plugins.diffusion.tools.text_to_image import TextToImage
from studio.core.messages import RunJob
from studio.core.paths import Home
from studio.core.recipe import PluginRef, Recipe
from studio.core.settings import Settings
from studio.worker import devices
from studio.worker.jobs import seeding
from studio.worker.jobs.context import JobContext, JobSignals
from studio.worker.jobs.provenance import Provenance
from studio.worker.models.cache import ModelCache
from studio.worker.stdio import Outbox
from tests.benchmarks.figure import MIN_SAMPLES, Figure
from tests.plugins.diffusion.fixtures import tiny

STEPS = 8
SIDE = 64
"""Pixels. The tiny autoencoder halves them, so the denoiser works on 32 × 32 latents."""
WORDS = "a red apple"


class Timing(NamedTuple):
    """Milliseconds by the clock, and of all cores; and the pixels."""

    clock: float
    cores: float
    pixels: NDArray[np.uint8]


def run() -> Iterator[Figure]:
    logging.disable(logging.WARNING)
    with tempfile.TemporaryDirectory(prefix="studio-bench-") as folder, _context(Path(folder)) as context:
        model = loader.load(context(), str(_save_model(Path(folder) / "model")))
        pipe = _build_bare_pipeline(model.base)
        views = {"without preview": None, "with preview": model.preview}
        bare: list[Timing] = []
        hosted: dict[str, list[Timing]] = {name: [] for name in views}
        for number in range(MIN_SAMPLES + 1):
            bare.append(_measure(lambda: _run_bare(pipe)))
            for name in sorted(views, reverse=bool(number % 2)):  # no kind is always the last of three
                model.preview = views[name]
                hosted[name].append(_measure(lambda: _run_plugin(context(), model)))
        for took in (bare, *hosted.values()):
            del took[0]  # the first warms up
        yield from _compare(bare, hosted)


def _compare(bare: list[Timing], hosted: dict[str, list[Timing]]) -> Iterator[Figure]:
    for name, bound in (("without preview", 2.0), ("with preview", 5.0)):
        for of, judged in (("clock", bound), ("cores", None)):
            alone = [getattr(took, of) for took in bare]
            yield Figure(
                title=f"plugin over bare pipeline, {name}, {'time' if of == 'clock' else 'time of all cores'}",
                unit="%",
                samples=tuple(
                    100 * (getattr(took, of) / one - 1) for one, took in zip(alone, hosted[name], strict=True)
                ),
                bound=judged,
                statistic="median",
                baseline=sorted(alone)[len(alone) // 2],
                baseline_title=f"the bare pipeline, in ms for {STEPS} steps",
            )
    yield Figure(
        title="values that differ from the bare pipeline's",
        unit="",
        samples=tuple(float((took.pixels != bare[0].pixels).sum()) for kind in hosted.values() for took in kind),
        bound=0,
    )


def _measure(paint: Callable[[], Any]) -> Timing:
    seeding.seed_all(1)
    clock, cores = time.perf_counter(), time.process_time()
    picture = paint()
    return Timing((time.perf_counter() - clock) * 1000, (time.process_time() - cores) * 1000, np.asarray(picture))


def _run_bare(pipe: Any) -> Any:
    import torch

    return pipe(
        WORDS,
        negative_prompt="",
        num_inference_steps=STEPS,
        guidance_scale=7.5,
        width=SIDE,
        height=SIDE,
        generator=torch.Generator("cpu").manual_seed(1),
    ).images[0]


def _run_plugin(ctx: JobContext, model: Model) -> Any:
    params = TextToImage.Params(prompt=WORDS, steps=STEPS, guidance=7.5)
    return runner.run_pipeline(ctx, model, Task.TEXT_TO_IMAGE, params, size=(SIDE, SIDE))


def _build_bare_pipeline(base: Any) -> Any:
    """A pipeline that the plugin never touches, over the same weights."""
    scheduler = type(base.scheduler).from_config(base.scheduler.config)
    pipe = type(base)(**{**base.components, "scheduler": scheduler}, requires_safety_checker=False)
    pipe.set_progress_bar_config(disable=True)
    return pipe


def _save_model(folder: Path) -> Path:
    """A model with random weights whose denoiser takes over 50 ms a step on one core."""
    import torch
    from diffusers import DDIMScheduler, StableDiffusionPipeline, UNet2DConditionModel
    from diffusers.utils import logging as diffusers_logging

    diffusers_logging.disable_progress_bar()
    torch.manual_seed(0)
    tokenizer = tiny.build_clip_tokenizer()
    StableDiffusionPipeline(
        vae=tiny.build_vae(),
        text_encoder=tiny.build_clip_text_encoder(tokenizer),
        tokenizer=tokenizer,
        unet=UNet2DConditionModel(
            block_out_channels=(64, 128, 128),
            layers_per_block=1,
            sample_size=SIDE // 2,
            down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
            up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
            cross_attention_dim=32,
            attention_head_dim=4,
        ),
        scheduler=DDIMScheduler(clip_sample=False, set_alpha_to_one=False, steps_offset=1),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    ).save_pretrained(folder)
    return folder


@contextmanager
def _context(folder: Path) -> Iterator[Callable[[], JobContext]]:
    """Makes the worker's contexts, one for each job."""
    home = Home(folder / "home")
    home.create_folders()
    device = devices.choose("cpu")
    seeding.prefer_deterministic()
    models = ModelCache(lambda: devices.read_memory(device), lambda: devices.release_memory(device))
    provenance = Provenance(home.root / "hashes.json")
    with Path(os.devnull).open("wb") as nowhere:
        outbox = Outbox(nowhere)
        try:
            yield lambda: JobContext(
                RunJob(
                    job="bench", recipe=Recipe(tool=TextToImage.id, plugin=PluginRef("diffusion"), params={}, seed=1)
                ),
                tool=TextToImage,
                plugin=PluginRef("diffusion"),
                home=home,
                settings=Settings(),
                device=device,
                models=models,
                provenance=provenance,
                outbox=outbox,
                signals=JobSignals(),
                scratch=folder / "scratch",
                report_work=lambda _: None,
            )
        finally:
            outbox.close()
            provenance.close()
