"""Add the difference of two sets of pictures to a picture, in latent space."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from studio import api

from ..mixing import images
from ..mixing.mixer import Mixer
from ..models.codec import MODEL_KINDS, SPATIAL_STARTER, load_codec

if TYPE_CHECKING:
    from torch import Tensor


class LatentArithmetic(api.Tool):
    """Adds to an image what one set of images has and another set lacks."""

    id = "vae.arithmetic"
    title = "Latent arithmetic"
    icon = "mdi6.plus-minus-variant"

    class Params(api.Params):
        image: api.ImageInput
        """The image to change."""
        plus: list[api.ImageInput] = api.param(min_items=1, max_items=64, title="More like these")
        minus: list[api.ImageInput] = api.param(min_items=1, max_items=64, title="Less like these")
        strength: float = api.param(1.0, ge=-4.0, le=4.0, step=0.05)
        """Weight of the difference between the two sets. A negative weight subtracts it."""
        spread: Literal["place", "overall"] = api.param(
            "place", labels=("Per position", "Whole image"), title="Difference"
        )
        """Per position suits sets with the same framing, such as portraits. Whole image changes tone and mood."""
        size: int = api.param(512, ge=64, le=2048, step=8, unit="px")
        """Long side of the result, which keeps the image's aspect ratio."""
        detail: api.Unit = api.param(1.0, title="Preserve detail")
        """Fraction of the fine detail, lost by the model, that is added back from the image."""
        background: api.Colour = api.param("#ffffff", advanced=True)
        """Background of transparent images."""
        model: api.ModelChoice = api.param(SPATIAL_STARTER, model=MODEL_KINDS)
        """A spatial model changes light, colour and coarse shapes. A global model changes the subject."""

    def run(self, params: Params, ctx: api.Context) -> Iterator[api.Event]:
        total = 1 + len(params.plus) + len(params.minus)
        yield api.Progress(0, total, "Opening the images")
        codec = load_codec(ctx, params.model)
        pictures = images.read_pictures([params.image], params.size, codec, background=params.background)
        mixer = Mixer(codec, pictures, detail=params.detail)
        plus = yield from _mean_latent(mixer, params.plus, params, 1, total)
        minus = yield from _mean_latent(mixer, params.minus, params, 1 + len(params.plus), total)
        difference = plus - minus
        if params.spread == "overall" and codec.is_spatial:
            difference = difference.mean((2, 3), keepdim=True)
        ctx.note("difference", round(float(difference.square().mean().sqrt()), 4))
        latent = mixer.latents[0] + params.strength * difference
        yield api.Image(images.to_picture(mixer.decode(latent, mixer.reconstructions[0], mixer.images[0])))


def _mean_latent(
    mixer: Mixer, paths: Sequence[Path], params: LatentArithmetic.Params, done: int, total: int
) -> Generator[api.Event, None, Tensor]:
    """Encode a set of pictures in the mixer's frame and return the mean latent."""
    import torch

    latent = torch.zeros_like(mixer.latents[0])
    for number, path in enumerate(paths):
        picture = images.read_picture(path, (mixer.width, mixer.height), background=params.background)
        latent = latent + mixer.encode(images.to_tensor(picture).to(latent.device)) / len(paths)
        yield api.Progress(done + number + 1, total, "Encoding the images")
    return latent
