"""The tool that makes images from seeds."""

from __future__ import annotations

from collections.abc import Iterator

from studio import api

from ..models.gan_model import load_gan
from ..sampling import images, latents
from ..sampling.estimates import estimate_images
from ..sampling.params import SheetParams


class Dream(api.Tool):
    """Makes new images of the kind that a GAN has learned, and repaints them while you move on its map."""

    id = "gan.dream"
    title = "Dream"
    live = True
    icon = "mdi6.weather-night"

    class Params(SheetParams):
        field_order = ("model", "class_name", "map_x", "map_y", "truncation", "rows", "columns")
        map_x: float = api.param(0.0, ge=-1.0, le=1.0, step=0.01, title="Map, across", pad="map_y")
        """Moves from the seed's image to others, on a map whose middle is that image."""
        map_y: float = api.param(0.0, ge=-1.0, le=1.0, step=0.01, title="Map, up")
        """The second direction of the map."""

    def estimate(self, params: Params, ctx: api.EstimateContext) -> api.Estimate | None:
        return estimate_images(ctx, params.model, params.tiles, "image")

    def run(self, params: Params, ctx: api.Context) -> Iterator[api.Event]:
        yield api.Progress(0, params.tiles, "Loading the model")
        model = load_gan(ctx, params.model)
        seeds = latents.list_seeds(ctx.seed, params.tiles)
        chosen = params.draw(model, seeds, params.map_x, params.map_y)
        yield from images.render_sheet(ctx, model, chosen, params, seeds)
