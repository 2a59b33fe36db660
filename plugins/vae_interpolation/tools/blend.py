"""Mix a few pictures into one, updated while the sliders move."""

from __future__ import annotations

from collections.abc import Iterator

from studio import api

from ..mixing import alignment, images
from ..mixing.bilinear import CornerMixer, prepare_corners
from ..models.codec import load_codec
from .params import SHARED, MixParams

DRAFT_SIZE = 256
"""Long side in pixels while a slider moves."""
CACHE_KEY = "vae.blend"


class Blend(api.Tool):
    """Mixes two to four images into one, and shows the result while you move the sliders."""

    id = "vae.blend"
    title = "Blend"
    live = True
    icon = "mdi6.set-center"

    class Params(MixParams):
        field_order = ("images", "across", "down", "size", *SHARED, "fit", "background", "model")
        images: list[api.ImageInput] = api.param(min_items=2, max_items=4)
        """The corners: top left, top right, bottom left, bottom right. Of three, the last is both bottom corners."""
        across: api.Unit = 0.5
        """From the left images to the right ones."""
        down: api.Unit = 0.0
        """From the top images to the bottom ones, if there are three or four."""
        size: int = api.param(512, ge=64, le=2048, step=8, unit="px")
        """Long side of the result. The first image gives the aspect ratio."""

    def run(self, params: Params, ctx: api.Context) -> Iterator[api.Event]:
        yield api.Progress(0, 1, "Opening the images")
        corners = _load_corners(params, ctx)
        alignment.report_ghosting(corners.pairs, ctx)
        picture = corners.render(params.across, params.down, handover=params.handover)
        yield api.Preview(picture)
        yield api.Image(picture)


def _load_corners(params: Blend.Params, ctx: api.Context) -> CornerMixer:
    """Prepare everything but the mix itself, and keep it for the latest pictures while only sliders change."""
    size = min(params.size, DRAFT_SIZE) if ctx.draft else params.size
    codec = load_codec(ctx, params.model)
    files = [(str(path), path.stat().st_mtime_ns if path.exists() else 0) for path in params.images]
    inputs = repr((files, size, id(codec), params.align, params.strength, params.detail, params.fit, params.background))

    def loader() -> tuple[str, CornerMixer]:
        pictures = images.read_pictures(params.images, size, codec, fit=params.fit, background=params.background)
        corners = prepare_corners(
            codec, pictures, ctx, align=params.align, strength=params.strength, detail=params.detail
        )
        return inputs, corners

    key = f"{CACHE_KEY}:draft" if ctx.draft else CACHE_KEY
    cached_inputs, corners = ctx.models.load(key, loader)
    if cached_inputs != inputs:
        ctx.models.drop(key)
        _, corners = ctx.models.load(key, loader)
    return corners
