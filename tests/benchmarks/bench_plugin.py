"""A plugin for the benchmarks, copied into the plugin folder of a temporary home."""

from __future__ import annotations

import time
from collections.abc import Iterator

from studio import api

CONFIG = {
    "block_out_channels": (32, 64),
    "down_block_types": ("DownEncoderBlock2D",) * 2,
    "up_block_types": ("UpDecoderBlock2D",) * 2,
    "layers_per_block": 1,
    "norm_num_groups": 16,
}
"""Configuration of a small `AutoencoderKL` with random weights, which needs no file."""
STEPS, SIDE = 12, 48
PREVIEW_EVERY = 4


class Decode(api.Tool):
    """Does the same work as `overhead.BARE` does without the studio."""

    id = "bench.decode"
    title = "Decode"

    def run(self, params: api.Params, ctx: api.Context) -> Iterator[api.Event]:
        import torch
        from diffusers import AutoencoderKL

        model = ctx.models.load("bench", lambda: AutoencoderKL(**CONFIG).eval())
        latents = torch.randn(STEPS, 1, 4, SIDE, SIDE, generator=ctx.generator())
        for step, latent in enumerate(latents):
            with torch.inference_mode():
                decoded = model.decode(latent).sample[0]
            picture = (decoded.clamp(-1, 1) / 2 + 0.5).permute(1, 2, 0).numpy()
            yield api.Progress(step + 1, STEPS)
            if step % PREVIEW_EVERY == 0:
                yield api.Preview(picture)
        yield api.Image(picture)


class Show(api.Tool):
    """Yields previews and a result, labelled with the time at which their array was ready."""

    id = "bench.show"
    title = "Show"

    class Params(api.Params):
        side: api.Count = 1024
        previews: int = api.param(0, ge=0, le=100)

    def run(self, params: Params, ctx: api.Context) -> Iterator[api.Event]:
        import numpy as np

        random = np.random.default_rng(ctx.seed)
        picture = np.kron(
            random.integers(0, 256, (16, 16, 3), np.uint8), np.ones((params.side // 16,) * 2 + (1,), np.uint8)
        )
        for _ in range(params.previews):
            time.sleep(0.25)
            picture = np.ascontiguousarray(picture[::-1])
            yield api.Preview(picture, label=str(time.monotonic_ns()))
        if not params.previews:
            yield api.Image(picture, notes={"ready": time.monotonic_ns()})


@api.hookimpl
def studio_tools() -> list[type[api.Tool]]:
    return [Decode, Show]
