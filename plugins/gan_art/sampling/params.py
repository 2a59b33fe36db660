"""Parameters that tools for sampling share, and the latents that they describe."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from studio import api

from ..models.gan_model import MODEL_KIND, STARTER, GanModel
from . import latents
from .latents import Latent

NoiseChoice = Literal["fixed", "random", "none"]


class SamplingParams(api.Params):
    """How images are made from latents."""

    model: api.ModelChoice = api.param(STARTER, model=MODEL_KIND)
    """The GAN that makes the images."""
    class_name: str = api.param("", title="Class")
    """Name or number of a class, for a model that has some. Empty: each seed draws one."""
    truncation: float = api.param(0.8, ge=0.0, le=1.5, step=0.01)
    """Truncation psi. Lower values are closer to the average and cleaner, higher ones more unusual."""
    cutoff: int | None = api.param(None, ge=0, le=64, title="Truncated layers", advanced=True)
    """Truncates only so many of the first layers, which decide the shape. Automatic: all."""
    noise: NoiseChoice = api.param("fixed", labels=("Fixed", "Random", "Off"), advanced=True)
    """The fine texture: the same for all images, drawn by the seed, or none."""

    def draw(self, model: GanModel, seeds: Sequence[int], x: float = 0.0, y: float = 0.0) -> list[Latent]:
        """Return the latents of seeds, moved on the map to (x, y).

        Raises BadInput for a class that does not exist.
        """
        classes = latents.choose_classes(model, self.class_name, seeds)
        drawn = latents.move_on_map(latents.draw_latents(model, seeds), seeds, x, y)
        styles = model.map_latents(drawn, classes, truncation=self.truncation, cutoff=self.cutoff)
        rounded = latents.round_styles(styles.cpu())
        return [Latent(one, classes[number] if classes else latents.NO_CLASS) for number, one in enumerate(rounded)]


class SheetParams(SamplingParams):
    """One image or a sheet of several."""

    rows: int = api.param(1, ge=1, le=16)
    """Rows of a sheet of several images. 1 row and 1 column: a single image."""
    columns: int = api.param(1, ge=1, le=16)
    """Columns of a sheet."""
    singles: bool = api.param(False, title="Save each image", advanced=True)
    """Saves each image of the sheet by itself as well, so that other tools can start from it."""
    enlarge: Literal[1, 2, 4] = api.param(1, labels=("1×", "2×", "4×"), advanced=True)
    """Enlarges the images (Lanczos). The network's own size is 1×."""

    @property
    def tiles(self) -> int:
        """Number of images."""
        return self.rows * self.columns


def read_parents(
    ctx: api.Context, model: GanModel, params: SamplingParams, images: Sequence[Path], seeds: Sequence[int]
) -> list[Latent]:
    """Return the latents of creations, and after them those of seeds.

    Raises BadInput for an image without a latent, or one of a model whose styles do not fit.
    """
    if any(not 0 <= seed < latents.SEEDS for seed in seeds):
        raise api.BadInput(f"A seed must be between 0 and {latents.SEEDS - 1}.", "Change it.")
    read = [latents.read_latent(ctx, path, model) for path in images]
    return [*read, *(params.draw(model, seeds) if seeds else [])]
