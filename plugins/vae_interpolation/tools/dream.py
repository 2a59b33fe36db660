"""Generate pictures from a model's prior: a contact sheet, or a walk through latent space."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Literal

from studio import api

from ..mixing import images, latent_paths
from ..models.codec import GLOBAL_STARTER, GlobalCodec, load_codec

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

BATCH = 16


class Dream(api.Tool):
    """Generates new images, or an animation that passes through them."""

    id = "vae.dream"
    title = "Dream"
    icon = "mdi6.weather-night"

    class Params(api.Params):
        kind: Literal["draws", "walk"] = api.param("draws", labels=("Contact sheet", "Latent walk"), title="Output")
        """A latent walk is an animation from image to image that ends where it began."""
        pictures: int = api.param(16, ge=1, le=256)
        """Number of images on the sheet, or that the walk passes through."""
        size: int = api.param(512, ge=64, le=2048, step=8, unit="px")
        """Side of the result. Images of a small model are enlarged."""
        strength: float = api.param(0.8, ge=0.0, le=2.0, step=0.05, title="Truncation")
        """Scale of the random latents. 0.8 gives the clearest images; lower is closer to the average, higher more
        unusual."""
        frames: int = api.param(96, ge=2, le=5000)
        """Number of frames of a latent walk."""
        fps: float = api.param(24.0, ge=1.0, le=120.0, unit="frames per second", title="Frame rate")
        singles: bool = api.param(False, title="Save each image", advanced=True)
        """Saves each image of the sheet as well."""
        model: api.ModelChoice = api.param(GLOBAL_STARTER, model="global-autoencoder")
        """A model with one latent vector for the whole image. The starter generates small images only."""

    def run(self, params: Params, ctx: api.Context) -> Iterator[api.Event]:
        import torch

        yield api.Progress(0, params.pictures, "Loading the model")
        codec = load_codec(ctx, params.model)
        if not isinstance(codec, GlobalCodec):
            raise api.BadInput(
                f"{codec.title} cannot generate images: it has a spatial latent, which only encodes images.",
                "Choose a model with a global latent, such as vae-global.",
            )
        noise = torch.randn(params.pictures, codec.latent_size, generator=ctx.generator()) * params.strength
        if params.kind == "walk":
            yield api.Animation(_walk(codec, noise, params, ctx), fps=params.fps, loop=True)
        else:
            yield from _generate_sheet(codec, noise, params)


def _generate_sheet(codec: GlobalCodec, noise: Tensor, params: Dream.Params) -> Iterator[api.Event]:
    columns = math.ceil(math.sqrt(len(noise)))
    gap = 0 if len(noise) == 1 else max(2, params.size // 64)
    side = max(8, (params.size - gap * (columns - 1)) // columns)
    has_singles = params.singles and len(noise) > 1
    tiles: list[NDArray[np.uint8]] = []
    for start in range(0, len(noise), BATCH):
        for latent in codec.dream(noise[start : start + BATCH]):
            tiles.append(_decode(codec, latent, params.size if params.singles else side))
        yield api.Progress(len(tiles), len(noise), "Generating")
    sheet = images.arrange_grid([_resize(tile, side) for tile in tiles], columns, gap=gap)
    yield api.Image(sheet, name="sheet" if has_singles else "")
    if has_singles:
        for number, tile in enumerate(tiles):
            yield api.Image(tile, name=f"dream-{number + 1:03d}")


def _walk(codec: GlobalCodec, noise: Tensor, params: Dream.Params, ctx: api.Context) -> Iterator[NDArray[np.uint8]]:
    """Yield frames along great circles of the noise, so that each is as likely as a random picture."""
    stops = list(noise)
    for number, position in enumerate(latent_paths.compute_frame_positions(params.frames, len(stops), "loop")):
        start = min(int(position), len(stops) - 1)
        t = latent_paths.ease(position - start, "smooth")
        weights = latent_paths.compute_weights("spherical", stops, start, t, closed=True)
        point = sum(weight * stops[stop] for stop, weight in weights.items())
        frame = _decode(codec, codec.dream(point[None])[0], params.size)
        ctx.emit(api.Progress(number + 1, params.frames, "Rendering frames"))
        yield frame


def _decode(codec: GlobalCodec, latent: Tensor, side: int) -> NDArray[np.uint8]:
    return _resize(images.to_picture(codec.decode(latent[None])), side)


def _resize(picture: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    import numpy as np
    from PIL import Image

    return np.asarray(Image.fromarray(picture).resize((side, side), Image.Resampling.LANCZOS))
