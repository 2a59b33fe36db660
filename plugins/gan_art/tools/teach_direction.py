"""The tool that learns a direction from liked and disliked images."""

from __future__ import annotations

from collections.abc import Iterator

from studio import api

from ..editing import direction_sheet, directions
from ..editing.direction_file import MODEL_KIND, load_directions
from ..editing.directions import LayerRange
from ..models.gan_model import MODEL_KIND as GAN_KIND
from ..models.gan_model import STARTER, load_gan
from ..models.image_features import load_extractor
from ..sampling.latents import read_latent


class TeachDirection(api.Tool):
    """Learns a direction from images that you like and images that you do not, such as five of each."""

    id = "gan.teach_direction"
    title = "Teach a direction"
    output = "model"
    icon = "mdi6.thumbs-up-down-outline"

    class Params(api.Params):
        model: api.ModelChoice = api.param(STARTER, model=GAN_KIND)
        """The GAN that made the images."""
        liked: list[api.ImageInput] = api.param([], min_items=1, max_items=200)
        """Images of this GAN that have what you want more of."""
        disliked: list[api.ImageInput] = api.param([], min_items=1, max_items=200)
        """Images of this GAN that lack it."""
        name: str = api.param("My direction", title="Direction")
        """Name of the direction."""
        layers: LayerRange = api.param("all", labels=("All", "Coarse", "Middle", "Fine"))
        """Coarse layers decide the shape, middle ones parts and patterns, fine ones colours and texture."""
        directions: api.ModelChoice | None = api.param(None, model=MODEL_KIND, title="Add to", advanced=True)
        """A set of directions that the new one is added to, in a new set."""
        title: str = api.param("My directions", title="Name")
        """Name of the set in the other tools."""

    def run(self, params: Params, ctx: api.Context) -> Iterator[api.Event]:
        import torch

        yield api.Progress(0, 0, "Loading the model")
        model = load_gan(ctx, params.model)
        liked, disliked = (
            torch.stack([read_latent(ctx, path, model).styles for path in paths])
            for paths in (params.liked, params.disliked)
        )
        taught = directions.teach_direction(liked, disliked)
        layers = directions.choose_layers(model.generator.layer_count, params.layers)
        values = torch.zeros_like(taught)
        values[layers] = taught[layers]
        if not bool(values.any()):
            raise api.BadInput("The liked and disliked images are the same.", "Choose images that differ.")
        yield api.Progress(0, 0, "Measuring the direction")
        meter = directions.DirectionMeter(model, load_extractor(ctx), ctx.seed)
        known = load_directions(ctx, params.directions, model) if params.directions else []
        kept = [*known, meter.calibrate(meter.measure(params.name, values))]
        sheet = direction_sheet.build_sheet(model, kept, ctx.seed)
        yield api.Preview(sheet, "From minus to plus, one direction per row")
        yield direction_sheet.save_set(ctx, params.title, kept, model, sheet, MODEL_KIND)
