"""Sums and differences of pictures, in latents."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from studio import api

from ..mixing import images
from ..mixing.mixer import Mixer
from ..models import codec as models

if TYPE_CHECKING:
    from torch import Tensor


class Arithmetic(api.Tool):
    """Adds to a picture what one set of pictures has and another has not."""

    id = "vae.arithmetic"
    title = "Add and take away"
    icon = "mdi6.plus-minus-variant"

    class Params(api.Params):
        image: api.ImageInput
        """The picture that is changed."""
        plus: list[api.ImageInput] = api.param(min_items=1, max_items=64, title="More like these")
        minus: list[api.ImageInput] = api.param(min_items=1, max_items=64, title="Less like these")
        strength: float = api.param(1.0, ge=-4.0, le=4.0, step=0.05)
        """How much of the difference of the two sets is added; below zero it is taken away."""
        spread: Literal["place", "overall"] = api.param(
            "place", labels=("Place by place", "The same everywhere"), title="Where"
        )
        """Place by place suits sets of one framing, such as portraits. The same everywhere changes tone and mood."""
        size: int = api.param(512, ge=64, le=2048, step=8, unit="px")
        """Long side of the result, which keeps the picture's shape."""
        detail: api.Unit = api.param(1.0, title="Keep detail")
        """How much of the fine detail that the model loses is carried over from the picture."""
        background: api.Colour = api.param("#ffffff", advanced=True)
        """Shown where pictures are transparent."""
        model: api.ModelChoice = api.param(models.SPATIAL, model=models.KINDS)
        """A detailed model adds light, colour and coarse shapes. One with a global latent changes what is shown."""

    def run(self, params: Params, ctx: api.Context) -> Iterator[api.Event]:
        total = 1 + len(params.plus) + len(params.minus)
        yield api.Progress(0, total, "Opening the pictures")
        codec = models.load(ctx, params.model)
        opened = images.read_all([params.image], params.size, codec, ground=params.background)
        mixer = Mixer(codec, opened, detail=params.detail)
        more = yield from _mean(mixer, params.plus, params, 1, total)
        less = yield from _mean(mixer, params.minus, params, 1 + len(params.plus), total)
        difference = more - less
        if params.spread == "overall" and codec.spatial:
            difference = difference.mean((2, 3), keepdim=True)
        ctx.note("difference", round(float(difference.square().mean().sqrt()), 4))
        latent = mixer.latents[0] + params.strength * difference
        yield api.Image(images.to_picture(mixer.finished(latent, mixer.reconstructions[0], mixer.images[0])))


def _mean(
    mixer: Mixer, paths: Sequence[Path], params: Arithmetic.Params, done: int, total: int
) -> Generator[api.Event, None, Tensor]:
    """The mean latent of a set, in the picture's frame."""
    import torch

    latent = torch.zeros_like(mixer.latents[0])
    for number, path in enumerate(paths):
        picture = images.read_one(path, (mixer.width, mixer.height), ground=params.background)
        latent = latent + mixer.encoded(images.to_tensor(picture).to(latent.device)) / len(paths)
        yield api.Progress(done + number + 1, total, "Encoding the pictures")
    return latent
