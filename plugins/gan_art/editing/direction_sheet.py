"""The sheet that shows what directions do, and the model folder of a set of directions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from studio import api
from studio.api.model_card import ModelCard

from ..models.image_features import composite
from . import direction_file
from .directions import Direction, apply_directions, sample_styles

if TYPE_CHECKING:
    from ..models.gan_model import GanModel

AMOUNTS = (-1.0, -0.5, 0.0, 0.5, 1.0)
SAMPLES = 2
MIN_SIDE = 64
THUMBNAIL = "preview.webp"


def build_sheet(model: GanModel, directions: Sequence[Direction], seed: int) -> NDArray[np.uint8]:
    """Return a sheet [h, w, 3]: a row for each direction, two images from one end of its range to the other."""
    import torch

    styles = sample_styles(model, SAMPLES, seed, truncation=0.7)
    rows = []
    for direction in directions:
        moved = [apply_directions(one, [(direction, amount)]) for one in styles for amount in AMOUNTS]
        images = composite(model.synthesize(torch.stack(moved)))
        rows.append(torch.cat([*images], dim=2))
    if not rows:
        return np.zeros((MIN_SIDE, MIN_SIDE, 3), np.uint8)
    sheet = api.images.to_uint8(torch.cat(rows, dim=1))
    scale = -(-MIN_SIDE // min(model.generator.image_size))
    return np.ascontiguousarray(sheet.repeat(scale, 0).repeat(scale, 1))


def save_set(
    ctx: api.Context,
    title: str,
    directions: Sequence[Direction],
    model: GanModel,
    sheet: NDArray[np.uint8],
    kind: str,
) -> api.Trained:
    """Write a set of directions with its card and sheet into a model folder."""
    from PIL import Image

    folder = ctx.scratch / "directions"
    folder.mkdir(exist_ok=True)
    direction_file.save_directions(folder / direction_file.FILE, directions, model)
    Image.fromarray(sheet).save(folder / THUMBNAIL, quality=90)
    rows = "\n".join(
        f"| {number} | {api.model_card.escape(one.name)} | {one.effect:.1f} × | {one.side_effects:.0%} |"
        for number, one in enumerate(directions, 1)
    )
    table = (
        "| | Direction | Effect | Side effects |\n|---|---|---|---|\n"
        f"{rows}\n\n"
        "Effect: change of the images, relative to a random direction of the same length. Side effects: the fraction "
        "of the change that differs from image to image."
    )
    ModelCard(
        title=title,
        summary=f"Directions in the latent space of {api.model_card.escape(model.title)}, for *Steer*.",
        rows_title="Set",
        rows={"GAN": model.title, "Directions": len(directions)},
        sections={"Directions": table},
    ).write(folder)
    facts = [{"name": one.name, "effect": one.effect, "side_effects": one.side_effects} for one in directions]
    return api.Trained(folder, title, kind, {"directions": facts}, is_derived=True)
