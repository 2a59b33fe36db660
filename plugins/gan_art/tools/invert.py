"""The tool that finds the latent of any image."""

from __future__ import annotations

from collections.abc import Iterator

from studio import api

from ..editing import inversion
from ..models.gan_model import MODEL_KIND, STARTER, load_gan
from ..models.image_features import load_extractor
from ..sampling import latents
from ..sampling.latents import Latent, round_styles
from ..sampling.targets import read_target

PREVIEW_EVERY = 10


class Invert(api.Tool):
    """Finds the latent of an image, so that it can be steered, mixed and bred like the images of the GAN."""

    id = "gan.invert"
    title = "Invert"
    icon = "mdi6.image-search-outline"

    class Params(api.Params):
        model: api.ModelChoice = api.param(STARTER, model=MODEL_KIND)
        """The GAN that should make the image. It only succeeds with images of the kind that it was trained on."""
        image: api.ImageInput
        """The image. It is cropped to the aspect ratio of the GAN at the centre, and scaled."""
        steps: int = api.param(300, ge=1, le=10_000)
        """More steps come closer to the image."""
        regularisation: float = api.param(0.05, ge=0.0, le=10.0, step=0.01)
        """Keeps the latent near the average. Higher values stay better to edit, lower ones come closer to the image."""

    def estimate(self, params: Params, ctx: api.EstimateContext) -> api.Estimate:
        return api.Estimate(work=params.steps, rate=f"gan.invert:{ctx.model(params.model)}")

    def run(self, params: Params, ctx: api.Context) -> Iterator[api.Event]:
        yield api.Progress(0, params.steps, "Loading the model")
        model = load_gan(ctx, params.model)
        target = read_target(params.image, model)
        state = None
        states = inversion.invert_image(
            model,
            load_extractor(ctx),
            target,
            steps=params.steps,
            regularisation=params.regularisation,
            seed=ctx.seed,
        )
        for step, state in enumerate(states, 1):
            yield api.Progress(step, params.steps, f"loss {state.loss:.3f}")
            if step % PREVIEW_EVERY == 0 and step < params.steps:
                yield api.Preview(api.images.to_uint8(state.image))
        if state is None:
            return
        latent = Latent(round_styles(state.styles))
        image = model.synthesize(latent.styles[None])[0]
        ctx.note("psnr", round(inversion.measure_psnr(image, target[0]), 2))
        yield api.Image(api.images.to_uint8(image), notes=latents.build_note(model, latent))
