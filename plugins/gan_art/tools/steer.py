"""The tool that moves an image along directions, live."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from studio import api

from ..editing import direction_file
from ..editing.directions import Direction, apply_directions
from ..models.gan_model import load_gan
from ..sampling import images
from ..sampling.latents import Latent, read_latent, round_styles
from ..sampling.params import SamplingParams

SLIDERS = 8


class Steer(api.Tool):
    """Changes an image along directions of its GAN, such as ripeness or roundness, while you move sliders."""

    id = "gan.steer"
    title = "Steer"
    live = True
    icon = "mdi6.tune-vertical"

    class Params(SamplingParams):
        field_order = ("model", "image", "directions", *(f"amount_{number}" for number in range(1, SLIDERS + 1)))
        image: api.ImageInput | None = api.param(None)
        """An image of this GAN. Empty: the image of the seed."""
        directions: api.ModelChoice | None = api.param(None, model=direction_file.MODEL_KIND)
        """A set of directions. Empty: those that come with the GAN. Files of GANSpace and InterfaceGAN work, too."""
        amount_1: float = api.param(0.0, ge=-2.0, le=2.0, step=0.01, title="Direction 1")
        """1 and −1 are the ends of the range in which the images stay natural."""
        amount_2: float = api.param(0.0, ge=-2.0, le=2.0, step=0.01, title="Direction 2")
        amount_3: float = api.param(0.0, ge=-2.0, le=2.0, step=0.01, title="Direction 3")
        amount_4: float = api.param(0.0, ge=-2.0, le=2.0, step=0.01, title="Direction 4")
        amount_5: float = api.param(0.0, ge=-2.0, le=2.0, step=0.01, title="Direction 5")
        amount_6: float = api.param(0.0, ge=-2.0, le=2.0, step=0.01, title="Direction 6")
        amount_7: float = api.param(0.0, ge=-2.0, le=2.0, step=0.01, title="Direction 7")
        amount_8: float = api.param(0.0, ge=-2.0, le=2.0, step=0.01, title="Direction 8")
        amounts: list[str] = api.param([], max_items=64, title="By name", advanced=True)
        """Directions by their names, such as ripeness=0.5, also those after the eighth."""

    def estimate(self, params: Params, ctx: api.EstimateContext) -> api.Estimate:
        """Show the names of the directions beside their sliders."""
        names = _read_names(params, ctx)
        notes = {f"amount_{number}": names[number - 1] if number <= len(names) else "–" for number in range(1, 9)}
        return api.Estimate(notes=notes)

    def run(self, params: Params, ctx: api.Context) -> Iterator[api.Event]:
        model = load_gan(ctx, params.model)
        found = direction_file.load_directions(ctx, params.directions or "", model)
        if not found:
            raise api.BadInput(f"{model.title} has no directions yet.", "Find some with “Find directions”.")
        moves = _choose_moves(params, found)
        start = read_latent(ctx, params.image, model) if params.image else params.draw(model, [ctx.seed])[0]
        steered = Latent(round_styles(apply_directions(start.styles, moves)), start.class_number)
        ctx.note("directions", {direction.name: amount for direction, amount in moves})
        yield from images.render_one(ctx, model, steered, params.noise, ctx.seed)


def _choose_moves(params: Steer.Params, found: list[Direction]) -> list[tuple[Direction, float]]:
    """Return the directions that are moved along, with their amounts. Raises BadInput for an unknown name."""
    moves: list[tuple[Direction, float]] = []
    for number in range(1, SLIDERS + 1):
        if amount := float(getattr(params, f"amount_{number}")):
            if number > len(found):
                raise api.BadInput(f"There are only {len(found)} directions.", f"Set direction {number} to 0.")
            moves.append((found[number - 1], amount))
    known = {direction.name.casefold(): direction for direction in found}
    for text in params.amounts:
        name, equals, value = text.rpartition("=")
        direction = known.get(name.strip().casefold())
        try:
            amount = float(value)
        except ValueError:
            equals = ""
        if not equals or direction is None:
            names = ", ".join(one.name for one in found[:20])
            raise api.BadInput(f"“{text}” is not a direction and an amount.", f"Write NAME=AMOUNT. There are: {names}.")
        moves.append((direction, amount))
    return moves


def _read_names(params: Steer.Params, ctx: api.EstimateContext) -> list[str]:
    try:
        path = Path(ctx.model(params.directions or params.model))
        return direction_file.read_names(path / direction_file.FILE if path.is_dir() else path)
    except (api.BadInput, OSError):
        return []
