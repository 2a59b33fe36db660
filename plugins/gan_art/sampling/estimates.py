"""How long images of a GAN will take."""

from __future__ import annotations

from pathlib import Path

from studio import api

from ..models.gan_model import GENERATOR


def estimate_images(ctx: api.EstimateContext, choice: str, count: int, kind: str) -> api.Estimate | None:
    """Return the work of so many images; None where the model is not on this computer.

    `kind` tells apart what else is done for each image, such as encoding it into a video.
    """
    try:
        size = (Path(ctx.model(choice)) / GENERATOR).stat().st_size
    except (api.BadInput, OSError):
        return None
    return api.Estimate(work=count, rate=f"gan.{kind}.{size}")
