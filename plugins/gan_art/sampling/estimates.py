"""How long images of a GAN will take, and which classes it has."""

from __future__ import annotations

from pathlib import Path

from studio import api

from ..models.gan_model import GENERATOR, read_config

MAX_NOTE = 36
"""Characters of the names of classes that fit above their field."""


def estimate_images(ctx: api.EstimateContext, choice: str, count: int, kind: str) -> api.Estimate | None:
    """Return the work of so many images, with the names of the classes; None without the model.

    `kind` tells apart what else is done for each image, such as encoding it into a video.
    """
    try:
        folder = Path(ctx.model(choice))
        size = (folder / GENERATOR).stat().st_size
        names = read_config(folder).class_names
    except (api.BadInput, OSError):
        return None
    return api.Estimate(work=count, rate=f"gan.{kind}.{size}", notes={"class_name": describe_classes(names)})


def describe_classes(names: tuple[str, ...]) -> str:
    """Return the first names of classes, and how many there are; an empty text if they have no names."""
    text = ", ".join(names)
    if len(text) <= MAX_NOTE:
        return text
    rest = f" … ({len(names)})"
    return text[: MAX_NOTE - len(rest)].rpartition(", ")[0] + rest
