"""The tool that names, chooses and joins directions."""

from __future__ import annotations

from collections.abc import Iterator

from studio import api

from ..editing import direction_sheet, directions
from ..editing.direction_file import MODEL_KIND, load_directions
from ..models.gan_model import MODEL_KIND as GAN_KIND
from ..models.gan_model import STARTER, load_gan


class NameDirections(api.Tool):
    """Names directions, leaves some out, and joins sets of them into one."""

    id = "gan.name_directions"
    title = "Name directions"
    output = "model"
    icon = "mdi6.tag-text-outline"

    class Params(api.Params):
        model: api.ModelChoice = api.param(STARTER, model=GAN_KIND)
        """The GAN that the directions belong to."""
        directions: list[api.ModelChoice] = api.param([], model=MODEL_KIND, min_items=1, max_items=8)
        """Sets of directions. Files of GANSpace (.npz) and InterfaceGAN (.npy) work, too."""
        names: list[str] = api.param([], max_items=256, title="Names")
        """New names in order. Empty keeps a name, “-” leaves the direction out."""
        title: str = api.param("My directions", title="Name")
        """Name of the new set."""

    def run(self, params: Params, ctx: api.Context) -> Iterator[api.Event]:
        yield api.Progress(0, 0, "Loading the model")
        model = load_gan(ctx, params.model)
        found = [one for choice in params.directions for one in load_directions(ctx, choice, model)]
        named = directions.rename_directions(found, params.names)
        if not named:
            raise api.BadInput("No direction is left.", "Give at least one a name, or leave its name empty.")
        sheet = direction_sheet.build_sheet(model, named, ctx.seed)
        yield api.Preview(sheet, "From minus to plus, one direction per row")
        yield direction_sheet.save_set(ctx, params.title, named, model, sheet, MODEL_KIND)
