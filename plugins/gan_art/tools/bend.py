"""The tool that bends the features of a layer."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Literal

from studio import api

from ..editing import features
from ..models.gan_model import load_gan
from ..sampling import images
from ..sampling.latents import read_latent
from ..sampling.params import SamplingParams
from ..sampling.regions import read_region

if TYPE_CHECKING:
    from torch import Tensor


class Bend(api.Tool):
    """Rotates, scales, erodes or inverts the features inside a GAN, for images that it was never trained to make."""

    id = "gan.bend"
    title = "Bend"
    live = True
    icon = "mdi6.vector-curve"

    class Params(SamplingParams):
        field_order = ("model", "image", "mask", "operation", "amount", "layer")
        image: api.ImageInput | None = api.param(None)
        """An image of this GAN. Empty: the image of the seed."""
        mask: api.MaskInput | None = api.param(None)
        """Region that is bent. Empty: all of the image."""
        operation: features.Operation = api.param("rotate", labels=features.LABELS)
        """What is done to the features."""
        amount: float = api.param(0.5, ge=-2.0, le=2.0, step=0.01)
        """How strongly. 0 changes nothing."""
        layer: Literal[4, 8, 16, 32, 64, 128, 256, 512] = api.param(16, unit="px")
        """Size of the layer. Small ones hold the composition, large ones the texture."""

    def run(self, params: Params, ctx: api.Context) -> Iterator[api.Event]:
        model = load_gan(ctx, params.model)
        latent = read_latent(ctx, params.image, model) if params.image else params.draw(model, [ctx.seed])[0]
        region = read_region(params.mask, model.generator.image_size) if params.mask else None

        def change(values: Tensor) -> Tensor:
            bent = features.bend(values, params.operation, params.amount)
            return bent if region is None else _blend(values, bent, region)

        with features.change_features(model, params.layer, change):
            for pixels in images.render(model, [latent], params.noise, [ctx.seed]):
                yield api.Image(pixels)


def _blend(values: Tensor, bent: Tensor, region: Tensor) -> Tensor:
    from torch.nn import functional

    weight = functional.interpolate(region, values.shape[2:], mode="area").to(values.device, values.dtype)
    return values + weight * (bent - values)
