"""The tool that moves parts of an image from handle points to target points."""

from __future__ import annotations

from collections.abc import Iterator

from studio import api

from ..editing import dragging
from ..models.gan_model import load_gan
from ..sampling import images, latents
from ..sampling.latents import Latent, read_latent, round_styles
from ..sampling.params import SamplingParams
from ..sampling.regions import read_region

PREVIEW_EVERY = 2


class Drag(api.Tool):
    """Moves parts of an image: each handle point goes to its target, and the GAN repaints the rest to fit."""

    id = "gan.drag"
    title = "Drag"
    icon = "mdi6.cursor-move"

    class Params(SamplingParams):
        field_order = ("model", "image", "points", "mask", "steps", "intermediate")
        image: api.ImageInput | None = api.param(None)
        """An image of this GAN. Empty: the image of the seed."""
        points: list[api.ArrowInput] = api.param([], min_items=1, max_items=dragging.MAX_POINTS, title="Points")
        """From where to where: X, Y > X, Y in per cent of width and height, such as 30, 40 > 55, 40."""
        mask: api.MaskInput | None = api.param(None)
        """Region that may change. Empty: all of the image."""
        steps: int = api.param(60, ge=1, le=2000)
        """It ends earlier when all points have arrived."""
        intermediate: int = api.param(0, ge=0, le=100, title="Keep every", unit="steps", advanced=True)
        """Saves the image at this interval as well, so that you can go back to an earlier state. 0 saves the last
        one only."""

    def estimate(self, params: Params, ctx: api.EstimateContext) -> api.Estimate:
        return api.Estimate(work=params.steps, rate=f"gan.drag:{ctx.model(params.model)}")

    def run(self, params: Params, ctx: api.Context) -> Iterator[api.Event]:
        pairs = dragging.parse_points(params.points)
        yield api.Progress(0, params.steps, "Loading the model")
        model = load_gan(ctx, params.model)
        start = read_latent(ctx, params.image, model) if params.image else params.draw(model, [ctx.seed])[0]
        region = read_region(params.mask, model.generator.image_size) if params.mask else None
        state = None
        for step, state in enumerate(dragging.drag(model, start.styles, pairs, steps=params.steps, region=region), 1):
            yield api.Progress(step, params.steps, f"{state.distance:.0%} to go")
            if step % PREVIEW_EVERY == 0:
                yield api.Preview(api.images.to_uint8(state.image))
            if params.intermediate and step % params.intermediate == 0:
                latent = Latent(round_styles(state.styles), start.class_number)
                notes = latents.build_note(model, latent)
                yield api.Image(api.images.to_uint8(state.image), name=f"step-{step:04d}", notes=notes)
        if state is None:
            return
        if state.distance > dragging.REACHED:
            ctx.note("distance", round(state.distance, 3))
            yield api.Notice("Not all points have arrived. More steps, or a shorter way, may help.")
        latent = Latent(round_styles(state.styles), start.class_number)
        for pixels in images.render(model, [latent], params.noise, [ctx.seed]):
            name = "last" if params.intermediate else ""
            yield api.Image(pixels, name=name, notes=latents.build_note(model, latent))
