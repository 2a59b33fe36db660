"""Overhead of the studio: the same decoding in the engine and in bare diffusers."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from queue import SimpleQueue

from studio.core.job import JobState
from studio.core.recipe import Recipe
from studio.engine.interface import EngineEvent, JobChanged
from studio.engine.lane_host import ENVIRONMENT
from studio.engine.local_engine import LocalEngine
from studio.engine.recipe_builder import build_recipe
from tests.benchmarks import bench_plugin
from tests.benchmarks.death import start_worker
from tests.benchmarks.figure import MIN_SAMPLES, Figure

BARE = """
import sys, time, torch
from diffusers import AutoencoderKL
from PIL import Image
from tests.benchmarks.bench_plugin import CONFIG, SIDE, STEPS

model = AutoencoderKL(**CONFIG).eval()
for line in sys.stdin:
    started = time.perf_counter()
    latents = torch.randn(STEPS, 1, 4, SIDE, SIDE, generator=torch.Generator().manual_seed(int(line)))
    for latent in latents:
        with torch.inference_mode():
            decoded = model.decode(latent).sample[0]
        picture = (decoded.clamp(-1, 1) / 2 + 0.5).permute(1, 2, 0).numpy()
    Image.fromarray((picture * 255 + 0.5).astype("uint8")).save(sys.argv[1])
    print((time.perf_counter() - started) * 1000, flush=True)
"""


def run() -> Iterator[Figure]:
    with tempfile.TemporaryDirectory() as folder, start_worker(bench_plugin.__file__) as (engine, events, library):
        recipe = build_recipe(engine.catalogue.tools["bench.decode"], {}, 1, library)
        command = [sys.executable, "-c", BARE, str(Path(folder) / "bare.png")]
        environment = {**ENVIRONMENT, **os.environ}
        with subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
        ) as bare:
            pairs = [_measure_pair(bare, engine, events, recipe) for _ in range(MIN_SAMPLES + 2)][2:]
    yield Figure(
        title="studio over bare diffusers",
        unit="%",
        samples=tuple(100 * (hosted / alone - 1) for alone, hosted in pairs),
        bound=2,
        statistic="median",
        baseline=sorted(alone for alone, _ in pairs)[len(pairs) // 2],
        baseline_title="the job in bare diffusers, in ms",
    )


def _measure_pair(
    bare: subprocess.Popen[str], engine: LocalEngine, events: SimpleQueue[EngineEvent], recipe: Recipe
) -> tuple[float, float]:
    """Measure one job of each, directly after each other, so that other load affects both. Return ms of both."""
    assert bare.stdin is not None
    assert bare.stdout is not None
    bare.stdin.write("1\n")
    bare.stdin.flush()
    alone = float(bare.stdout.readline())
    started = time.perf_counter()
    (job,) = engine.submit(recipe)
    while True:
        match events.get(timeout=120):
            case JobChanged(job=changed) if changed.id == job.id and changed.state.ended:
                assert changed.state is JobState.DONE, changed.failure
                return alone, (time.perf_counter() - started) * 1000
