"""Images from latents: one by one, as a sheet, and as quick previews."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from studio import api

from . import latents
from .latents import Latent
from .params import NoiseChoice, SheetParams

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

    from ..models.gan_model import GanModel
    from ..networks.layers import Noise

    Pixels = NDArray[np.uint8]

MAX_BATCH = 16
BATCH_PIXELS = 2**18
"""Pixels of a batch, which bound its memory and the time until the job can be cancelled."""
GAP = 2
"""Pixels between the tiles of a sheet."""
DRAFT_SIDE = 256
"""Long side in px up to which a draft computes the whole image at once."""
FIRST_PREVIEW = 64
"""Long side in px of the first preview of a draft of a larger image."""


def render(model: GanModel, chosen: Sequence[Latent], noise: NoiseChoice, seeds: Sequence[int]) -> Iterator[Pixels]:
    """Yield the pixels [h, w, channels] of latents, batch by batch. `seeds` draw random noise."""
    import torch

    height, width = model.generator.image_size
    batch = 1 if noise == "random" else max(1, min(MAX_BATCH, BATCH_PIXELS // (height * width)))
    for start in range(0, len(chosen), batch):
        styles = torch.stack([latent.styles for latent in chosen[start : start + batch]])
        yield from api.images.to_uint8(model.synthesize(styles, build_noise(noise, seeds[start])))


def render_one(
    ctx: api.Context, model: GanModel, latent: Latent, noise: NoiseChoice, seed: int, *, factor: int = 1
) -> Iterator[api.Event]:
    """Yield the image of a latent with its note; of a draft, quick previews first."""
    if ctx.draft:
        yield from render_draft(model, latent, noise, seed)
        return
    for pixels in render(model, [latent], noise, [seed]):
        yield api.Image(enlarge(pixels, factor), notes=latents.build_note(model, latent))


def render_sheet(
    ctx: api.Context, model: GanModel, chosen: Sequence[Latent], params: SheetParams, seeds: Sequence[int]
) -> Iterator[api.Event]:
    """Yield previews and the results: a sheet with the seed of each tile in the notes, or one image."""
    if len(chosen) == 1:
        yield from render_one(ctx, model, chosen[0], params.noise, seeds[0], factor=params.enlarge)
        return
    tiles: list[Pixels] = []
    for pixels in render(model, chosen, params.noise, seeds):
        tiles.append(enlarge(pixels, params.enlarge))
        if len(tiles) % MAX_BATCH == 0 and len(tiles) < len(chosen):
            yield api.Progress(len(tiles), len(chosen), "Generating")
            yield api.Preview(arrange_sheet(tiles, params.columns, len(chosen)))
    has_singles = params.singles and not ctx.draft
    rows = [[*seeds[start : start + params.columns]] for start in range(0, len(seeds), params.columns)]
    sheet = arrange_sheet(tiles, params.columns, len(chosen))
    yield api.Image(sheet, name="sheet" if has_singles else "", notes={latents.SEEDS_NOTE: rows})
    if has_singles:
        for number, (tile, latent, seed) in enumerate(zip(tiles, chosen, seeds, strict=True), 1):
            notes = latents.build_note(model, latent) | {latents.SEED_NOTE: seed}
            yield api.Image(tile, name=f"image-{number:03d}", notes=notes)


def render_draft(model: GanModel, latent: Latent, noise: NoiseChoice, seed: int) -> Iterator[api.Event]:
    """Yield an image that is not kept; of a large one first its low blocks, so that something is seen at once."""
    synthesis: Any = getattr(model.generator, "synthesis", None)
    whole = max(model.generator.image_size)
    if whole <= DRAFT_SIDE or not hasattr(synthesis, "iterate_blocks"):
        yield from (api.Image(pixels) for pixels in render(model, [latent], noise, [seed]))
        return
    images = synthesis.iterate_blocks(latent.styles[None].to(model.device), build_noise(noise, seed))
    while (image := _compute_next(images)) is not None:
        side = max(image.shape[2:])
        pixels = api.images.to_uint8(image[0])
        if side == whole:
            yield api.Image(pixels)
        elif side >= FIRST_PREVIEW:
            yield api.Preview(pixels, f"Preview at {side} px")


def build_noise(noise: NoiseChoice, seed: int) -> Noise:
    """Return the noise of a choice, as networks take it."""
    import torch

    match noise:
        case "random":
            return torch.Generator().manual_seed(seed)
        case "none":
            return "none"
        case _:
            return "const"


def _compute_next(images: Iterator[Tensor]) -> Tensor | None:
    import torch

    with torch.inference_mode():
        return next(images, None)


def enlarge(pixels: Pixels, factor: int) -> Pixels:
    """Enlarge pixels [h, w, 3 or 4] with Lanczos, without fringes around transparent parts."""
    import numpy as np
    from PIL import Image

    if factor == 1:
        return pixels
    image = Image.fromarray(pixels)
    size = image.width * factor, image.height * factor
    if image.mode == "RGBA":
        return np.asarray(image.convert("RGBa").resize(size, Image.Resampling.LANCZOS).convert("RGBA"))
    return np.asarray(image.resize(size, Image.Resampling.LANCZOS))


def arrange_sheet(tiles: Sequence[Pixels], columns: int, count: int) -> Pixels:
    """Arrange tiles of one size in rows, with room for `count`.

    The gaps are white, or transparent if the tiles are.
    """
    import numpy as np

    height, width, channels = tiles[0].shape
    rows = -(-count // columns)
    size = rows * (height + GAP) - GAP, columns * (width + GAP) - GAP, channels
    sheet = np.full(size, 0 if channels == 4 else 255, np.uint8)
    for number, tile in enumerate(tiles):
        top, left = number // columns * (height + GAP), number % columns * (width + GAP)
        sheet[top : top + height, left : left + width] = tile
    return sheet
