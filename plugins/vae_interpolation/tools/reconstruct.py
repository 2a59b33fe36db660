"""Compare a picture with a model's reconstruction of it."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from studio import api

from ..mixing import images
from ..mixing.mixer import Mixer
from ..models.codec import MODEL_KINDS, SPATIAL_STARTER, load_codec

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

MAX_ERROR = 0.25
"""The error, as a fraction of white, that has the brightest colour in the error map."""


class Reconstruct(api.Tool):
    """Shows an image, the model's reconstruction of it, and a map of the errors."""

    id = "vae.inspect"
    title = "Test reconstruction"
    icon = "mdi6.magnify-scan"

    class Params(api.Params):
        image: api.ImageInput
        size: int = api.param(512, ge=64, le=2048, step=8, unit="px")
        """Long side of each of the three images."""
        background: api.Colour = api.param("#ffffff", advanced=True)
        """Background of transparent images."""
        model: api.ModelChoice = api.param(SPATIAL_STARTER, model=MODEL_KINDS)

    def run(self, params: Params, ctx: api.Context) -> Iterator[api.Event]:
        import numpy as np

        yield api.Progress(0, 1, "Opening the image")
        codec = load_codec(ctx, params.model)
        pictures = images.read_pictures([params.image], params.size, codec, background=params.background)
        mixer = Mixer(codec, pictures, detail=0.0)
        decoded = mixer.decode(mixer.latents[0], mixer.reconstructions[0], mixer.images[0])
        original, reconstruction = images.to_picture(mixer.images[0]), images.to_picture(decoded)
        error = np.abs(original.astype(np.float32) - reconstruction.astype(np.float32)) / np.float32(255.0)
        squared = float(np.square(error, dtype=np.float64).mean())
        psnr = 10.0 * math.log10(1.0 / squared) if squared > 0.0 else math.inf
        shape = list(mixer.latents[0].shape[1:])
        values = math.prod(shape)
        note: dict[str, object] = {"mean_error": round(float(error.mean()), 4), "latent": shape}
        ctx.note("reconstruction", note | ({"psnr": round(psnr, 2)} if math.isfinite(psnr) else {}))
        yield api.Notice(
            f"PSNR {psnr:.1f} dB, mean error {error.mean():.1%}. The latent of {codec.title} has {values:,} values, "
            f"{original.size / values:.0f} times fewer than the image. Left: original. Middle: reconstruction. "
            f"Right: error (brightest from {MAX_ERROR:.0%} of white)."
        )
        yield api.Image(images.arrange_grid([original, reconstruction, _error_map(error)], 3))


def _error_map(error: NDArray[np.floating[Any]]) -> NDArray[np.uint8]:
    """Return the mean error of the channels as black, red, amber and white."""
    import numpy as np

    level = np.clip(error.mean(2) / MAX_ERROR, 0.0, 1.0)
    stops = np.array([[10, 10, 14], [128, 24, 32], [232, 163, 61], [255, 252, 240]], dtype=np.float32)
    channels = [np.interp(level, np.linspace(0.0, 1.0, len(stops)), stops[:, channel]) for channel in range(3)]
    return np.stack(channels, 2).round().astype(np.uint8)
