"""The tool that makes children of images."""

from __future__ import annotations

from collections.abc import Iterator

from studio import api

from ..models.gan_model import GanModel, load_gan
from ..sampling import crossing, images, latents
from ..sampling.crossing import Crossover
from ..sampling.estimates import estimate_images
from ..sampling.latents import Latent
from ..sampling.params import SheetParams, read_parents


class Breed(api.Tool):
    """Makes children of two or more images, which take after one parent or another and differ a little."""

    id = "gan.breed"
    title = "Breed"
    icon = "mdi6.family-tree"

    class Params(SheetParams):
        field_order = ("images", "seeds", "crossover", "mutation", "rows", "columns", "singles", "model", "class_name")
        images: list[api.ImageInput] = api.param([], max_items=16, title="Parents")
        """Creations of GAN tools."""
        seeds: list[int] = api.param([], max_items=16, title="Parents by seed")
        """Seeds of further parents."""
        crossover: Crossover = api.param("layers", labels=("Layers", "Ranges", "Blend"))
        """Layers: each layer is that of one parent. Ranges: shapes, parts and colours each of one parent. Blend: all
        layers are between the parents."""
        mutation: api.Unit = 0.2
        """How much of a stranger is in each child."""
        rows: int = api.param(3, ge=1, le=16)
        """Rows of a sheet of several children. 1 row and 1 column: a single child."""
        columns: int = api.param(4, ge=1, le=16)
        """Columns of the sheet."""
        singles: bool = api.param(True, title="Save each image")
        """Saves each child by itself as well, so that it can be a parent."""

    def estimate(self, params: Params, ctx: api.EstimateContext) -> api.Estimate | None:
        return estimate_images(ctx, params.model, params.tiles, "image")

    def run(self, params: Params, ctx: api.Context) -> Iterator[api.Event]:
        yield api.Progress(0, params.tiles, "Loading the model")
        model = load_gan(ctx, params.model)
        parents = read_parents(ctx, model, params, params.images, params.seeds)
        if len(parents) < 2:
            count = "There is one parent" if parents else "There are no parents"
            raise api.BadInput(f"{count}, and two are needed.", "Add creations of GAN tools, or seeds.")
        seeds = latents.list_seeds(ctx.seed, params.tiles)
        children = [_make_child(model, params, parents, seed) for seed in seeds]
        yield from images.render_sheet(ctx, model, children, params, seeds)


def _make_child(model: GanModel, params: Breed.Params, parents: list[Latent], seed: int) -> Latent:
    """Return the child of a seed, which is the same alone and on a sheet."""
    import torch

    generator = torch.Generator().manual_seed(seed)
    styles = crossing.cross([parent.styles for parent in parents], params.crossover, generator)
    if params.mutation:
        (stranger,) = params.draw(model, [seed])
        styles = crossing.mutate(styles, stranger.styles, latents.average_style(model), params.mutation)
    classes = {parent.class_number for parent in parents}
    return Latent(latents.round_styles(styles), classes.pop() if len(classes) == 1 else latents.NO_CLASS)
