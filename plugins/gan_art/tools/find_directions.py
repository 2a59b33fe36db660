"""The tool that finds directions in the latent space of a GAN."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from studio import api

from ..editing import direction_sheet, directions
from ..editing.direction_file import MODEL_KIND
from ..models.gan_model import MODEL_KIND as GAN_KIND
from ..models.gan_model import STARTER, load_gan
from ..models.image_features import load_extractor

CANDIDATES = 16
"""Number of directions of each method and range of layers that are measured."""


class FindDirections(api.Tool):
    """Finds directions that change something in the images of a GAN, and ranks them by what they do."""

    id = "gan.find_directions"
    title = "Find directions"
    output = "model"
    icon = "mdi6.compass-outline"

    class Params(api.Params):
        model: api.ModelChoice = api.param(STARTER, model=GAN_KIND)
        """The GAN that is explored."""
        method: Literal["both", "sefa", "pca"] = api.param("both", labels=("Both", "SeFa", "PCA"))
        """SeFa reads the directions from the weights of the layers. PCA finds where styles vary most."""
        layers: Literal["each", "all", "coarse", "middle", "fine"] = api.param(
            "each", labels=("Each range", "All", "Coarse", "Middle", "Fine")
        )
        """Coarse layers decide the shape, middle ones parts and patterns, fine ones colours and texture."""
        keep: int = api.param(8, ge=1, le=64, title="Directions")
        """Number of directions that are kept: in each range, those with the greatest effect and few side effects."""
        names: list[str] = api.param([], max_items=64, title="Names")
        """Names of the directions in order of their rank. Names can also be given later with “Name directions”."""
        title: str = api.param("My directions", title="Name")
        """Name of the set in the other tools."""

    def run(self, params: Params, ctx: api.Context) -> Iterator[api.Event]:
        yield api.Progress(0, 0, "Loading the model")
        model = load_gan(ctx, params.model)
        meter = directions.DirectionMeter(model, load_extractor(ctx), ctx.seed)
        candidates = []
        ranges = directions.LAYER_RANGES[1:] if params.layers == "each" else (params.layers,)
        methods: tuple[directions.Method, ...] = ("sefa", "pca") if params.method == "both" else (params.method,)
        for method in methods:
            if params.method == "both" and method == "sefa" and not hasattr(model.generator, "list_style_weights"):
                continue
            for layers in ranges:
                found = directions.find_candidates(model, method, layers, CANDIDATES, ctx.seed)
                candidates += [(layers.capitalize(), values) for values in found]
        ranked: list[directions.Direction] = []
        for number, ranked in directions.rank_directions(meter, candidates):  # noqa: B007
            yield api.Progress(number, len(candidates), "Measuring directions")
        kept = []
        for number, direction in enumerate(directions.keep_different(ranked, params.keep), 1):
            kept.append(meter.calibrate(direction))
            yield api.Progress(number, params.keep, "Measuring the ranges")
        kept = directions.rename_directions(directions.number_names(kept), params.names)
        sheet = direction_sheet.build_sheet(model, kept, ctx.seed)
        yield api.Preview(sheet, "From minus to plus, one direction per row")
        yield direction_sheet.save_set(ctx, params.title, kept, model, sheet, MODEL_KIND)
