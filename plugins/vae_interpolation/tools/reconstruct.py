"""What a model makes of a picture."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from studio import api

from ..mixing import images
from ..mixing.mixer import Mixer
from ..models import codec as models

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

BRIGHTEST = 0.25
"""The error, as a share of white, that is shown at full heat."""


class Inspect(api.Tool):
    """Shows a picture, what the model makes of it, and where the two differ."""

    id = "vae.inspect"
    title = "Inspect a model"
    icon = "mdi6.magnify-scan"

    class Params(api.Params):
        image: api.ImageInput
        size: int = api.param(512, ge=64, le=2048, step=8, unit="px")
        """Long side of each of the three pictures."""
        background: api.Colour = api.param("#ffffff", advanced=True)
        """Shown where the picture is transparent."""
        model: api.ModelChoice = api.param(models.SPATIAL, model=models.KINDS)

    def run(self, params: Params, ctx: api.Context) -> Iterator[api.Event]:
        import numpy as np

        yield api.Progress(0, 1, "Opening the picture")
        codec = models.load(ctx, params.model)
        opened = images.read_all([params.image], params.size, codec, ground=params.background)
        mixer = Mixer(codec, opened, detail=0.0)
        rebuilt = images.to_picture(mixer.finished(mixer.latents[0], mixer.reconstructions[0], mixer.images[0]))
        original = images.to_picture(mixer.images[0])
        error = np.abs(original.astype(np.float32) - rebuilt.astype(np.float32)) / np.float32(255.0)
        squared = float(np.square(error, dtype=np.float64).mean())
        psnr = 10.0 * math.log10(1.0 / squared) if squared > 0.0 else math.inf
        shape = list(mixer.latents[0].shape[1:])
        share = original.size / math.prod(shape)
        measured = {"mean_error": round(float(error.mean()), 4), "latent": shape}
        ctx.note("reconstruction", measured | ({"psnr": round(psnr, 2)} if math.isfinite(psnr) else {}))
        yield api.Notice(
            f"PSNR {psnr:.1f} dB, mean error {error.mean():.1%}. {codec.title} holds the picture in "
            f"{math.prod(shape):,} numbers, {share:.0f} times fewer than it has. "
            f"Left the picture, middle what comes back, right the error (brightest at {BRIGHTEST:.0%} of white)."
        )
        yield api.Image(images.sheet([original, rebuilt, _heat(error)], 3))


def _heat(error: NDArray[np.floating[Any]]) -> NDArray[np.uint8]:
    """The mean error of the channels as black, red, amber, white."""
    import numpy as np

    level = np.clip(error.mean(2) / BRIGHTEST, 0.0, 1.0)
    stops = np.array([[10, 10, 14], [128, 24, 32], [232, 163, 61], [255, 252, 240]], dtype=np.float32)
    channels = [np.interp(level, np.linspace(0.0, 1.0, len(stops)), stops[:, channel]) for channel in range(3)]
    return np.stack(channels, 2).round().astype(np.uint8)
