"""The tool that tunes a GAN to one image."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from studio import api
from studio.api.model_card import ModelCard

from ..editing import inversion
from ..models.gan_model import MODEL_KIND, STARTER, load_gan, save_gan
from ..models.image_features import load_extractor
from ..models.thumbnail import save_thumbnail
from ..sampling.latents import read_latent
from ..sampling.targets import read_target

PREVIEW_EVERY = 10


class Tune(api.Tool):
    """Tunes a GAN so that it makes one image exactly; everything else then works on it, too."""

    id = "gan.tune"
    title = "Tune to an image"
    output = "model"
    icon = "mdi6.bullseye-arrow"

    class Params(api.Params):
        model: api.ModelChoice = api.param(STARTER, model=MODEL_KIND)
        """The GAN with which the image was inverted."""
        inverted: api.ImageInput
        """The result of “Invert”."""
        image: api.ImageInput
        """The image that was inverted."""
        steps: int = api.param(150, ge=1, le=10_000)
        """More steps come closer to the image."""
        strength: api.Unit = 1.0
        """100 % makes the image as closely as possible; 0 % leaves the GAN as it is."""
        title: str = api.param("My tuned GAN", title="Name")
        """Name of the tuned GAN."""

    def run(self, params: Params, ctx: api.Context) -> Iterator[api.Event]:
        import torch

        yield api.Progress(0, params.steps, "Loading the model")
        model = load_gan(ctx, params.model)
        latent = read_latent(ctx, params.inverted, model)
        target = read_target(params.image, model)
        tuned: Any = None
        steps = inversion.tune_generator(
            model, load_extractor(ctx), target, latent.styles, steps=params.steps, seed=ctx.seed
        )
        for step, (tuned, image, loss) in enumerate(steps, 1):  # noqa: B007
            yield api.Progress(step, params.steps, f"loss {loss:.3f}")
            if step % PREVIEW_EVERY == 0:
                yield api.Preview(api.images.to_uint8(image))
        original: Any = model.generator
        before = original.state_dict()
        weights = {
            name: torch.lerp(before[name], value.detach(), params.strength) if value.is_floating_point() else value
            for name, value in tuned.state_dict().items()
        }
        tuned.load_state_dict(weights)
        with torch.no_grad():
            made = tuned.synthesize(latent.styles[None].to(model.device)).float().clamp(-1, 1).cpu()
        psnr = [inversion.measure_psnr(image, target) for image in (model.synthesize(latent.styles[None]), made)]
        folder = ctx.scratch / "gan"
        critic = model.discriminator.state_dict() if model.discriminator else None
        save_gan(folder, weights, model.config, critic)
        save_thumbnail(folder, ctx.seed)
        ModelCard(
            title=params.title,
            summary=f"{model.title}, tuned to one image.",
            rows_title="Tuning",
            rows={
                "GAN": model.title,
                "Steps": params.steps,
                "Strength": f"{params.strength:.0%}",
                "PSNR before and after": f"{psnr[0]:.1f} dB, {psnr[1]:.1f} dB",
            },
        ).write(folder)
        notes = {"psnr": [round(value, 2) for value in psnr]}
        yield api.Trained(folder, params.title, MODEL_KIND, notes, is_derived=True)
