"""Pictures that nobody took: draws and walks from a model's prior."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Literal

from studio import api

from ..mixing import images as pictures
from ..mixing import latent_paths
from ..models import codec as models
from ..models.codec import GlobalCodec

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

BATCH = 16


class Dream(api.Tool):
    """Draws pictures from nothing, or walks through them."""

    id = "vae.dream"
    title = "Dream"
    icon = "mdi6.weather-night"

    class Params(api.Params):
        kind: Literal["draws", "walk"] = api.param("draws", labels=("A sheet of pictures", "A walk"))
        """A walk goes from dream to dream and ends where it began."""
        pictures: int = api.param(16, ge=1, le=256)
        """How many pictures are drawn, or how many the walk passes."""
        size: int = api.param(512, ge=64, le=2048, step=8, unit="px")
        """Side of the result. What a small model draws is enlarged."""
        strength: float = api.param(0.8, ge=0.0, le=2.0, step=0.05, title="Daring")
        """At 0.8 dreams are clearest; below they are nearer to the ordinary, above stranger."""
        frames: int = api.param(96, ge=2, le=5000)
        """Frames of a walk."""
        fps: float = api.param(24.0, ge=1.0, le=120.0, unit="frames a second", title="Frame rate")
        singles: bool = api.param(False, title="Save each picture as well", advanced=True)
        """Each draw also becomes a picture of its own."""
        model: api.ModelChoice = api.param(models.GLOBAL, model="global-autoencoder")
        """A model with one latent for the whole picture. The starter knows small pictures only."""

    def run(self, params: Params, ctx: api.Context) -> Iterator[api.Event]:
        import torch

        yield api.Progress(0, params.pictures, "Falling asleep")
        codec = models.load(ctx, params.model)
        if not isinstance(codec, GlobalCodec):
            raise api.BadInput(
                f"{codec.title} cannot dream: its latent is a small picture, and has no whole to draw.",
                "Choose a model with a global latent, such as vae-global.",
            )
        noise = torch.randn(params.pictures, codec.width, generator=ctx.generator()) * params.strength
        if params.kind == "walk":
            yield api.Animation(_walk(codec, noise, params, ctx), fps=params.fps, loop=True)
        else:
            yield from _draws(codec, noise, params)


def _draws(codec: GlobalCodec, noise: Tensor, params: Dream.Params) -> Iterator[api.Event]:
    columns = math.ceil(math.sqrt(len(noise)))
    gap = 0 if len(noise) == 1 else max(2, params.size // 64)
    side = max(8, (params.size - gap * (columns - 1)) // columns)
    tiles: list[NDArray[np.uint8]] = []
    for start in range(0, len(noise), BATCH):
        for latent in codec.dream(noise[start : start + BATCH]):
            tiles.append(_picture(codec, latent, params.size if params.singles else side))
        yield api.Progress(len(tiles), len(noise), "Dreaming")
    shown = [_resized(tile, side) for tile in tiles]
    yield api.Image(pictures.sheet(shown, columns, gap=gap), name="sheet" if params.singles and len(tiles) > 1 else "")
    if params.singles and len(tiles) > 1:
        for number, tile in enumerate(tiles):
            yield api.Image(tile, name=f"dream-{number + 1:03d}")


def _walk(codec: GlobalCodec, noise: Tensor, params: Dream.Params, ctx: api.Context) -> Iterator[NDArray[np.uint8]]:
    """Along great arcs of the noise, so that every frame is as likely as a draw."""
    stops = list(noise)
    for number, at in enumerate(latent_paths.positions(params.frames, len(stops), "loop")):
        here = min(int(at), len(stops) - 1)
        shares = latent_paths.weights("spherical", stops, here, latent_paths.eased(at - here, "smooth"), closed=True)
        point = sum(share * stops[stop] for stop, share in shares.items())
        frame = _picture(codec, codec.dream(point[None])[0], params.size)
        ctx.emit(api.Progress(number + 1, params.frames, "Walking"))
        yield frame


def _picture(codec: GlobalCodec, latent: Tensor, side: int) -> NDArray[np.uint8]:
    return _resized(pictures.to_picture(codec.decode(latent[None])), side)


def _resized(picture: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    import numpy as np
    from PIL import Image

    return np.asarray(Image.fromarray(picture).resize((side, side), Image.Resampling.LANCZOS))
