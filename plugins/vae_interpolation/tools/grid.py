"""A grid of all mixes between a few pictures."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from studio import api

from ..mixing import alignment, images
from ..mixing.bilinear import prepare_corners
from ..models.codec import load_codec
from .params import SHARED, MixParams

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class Grid(api.Tool):
    """Arranges two to four images in a grid, with every mix between them."""

    id = "vae.grid"
    title = "Interpolation grid"
    icon = "mdi6.grid"

    class Params(MixParams):
        field_order = (
            *("images", "columns", "rows", "size", *SHARED),
            *("gap", "fit", "background", "tiles", "model"),
        )
        images: list[api.ImageInput] = api.param(min_items=2, max_items=4)
        """The corners: top left, top right, bottom left, bottom right. Of three, the last is both bottom corners."""
        columns: int = api.param(5, ge=2, le=16)
        rows: int = api.param(5, ge=1, le=16)
        """Two images always make a single row."""
        size: int = api.param(192, ge=64, le=1024, step=8, unit="px", title="Tile size")
        """Long side of each tile. The first image gives the aspect ratio."""
        gap: int = api.param(8, ge=0, le=64, unit="px", advanced=True)
        """Space between the tiles, in the background colour."""
        background: api.Colour = api.param("#ffffff", advanced=True)
        """Background of transparent images, and colour of borders and gaps."""
        tiles: bool = api.param(False, title="Save tiles", advanced=True)
        """Saves each tile as an image as well."""

    def run(self, params: Params, ctx: api.Context) -> Iterator[api.Event]:
        columns, rows = params.columns, 1 if len(params.images) == 2 else max(params.rows, 2)
        total = columns * rows
        yield api.Progress(0, total, "Opening the images")
        codec = load_codec(ctx, params.model)
        pictures = images.read_pictures(params.images, params.size, codec, fit=params.fit, background=params.background)
        corners = prepare_corners(
            codec, pictures, ctx, align=params.align, strength=params.strength, detail=params.detail
        )
        alignment.report_ghosting(corners.pairs, ctx)
        tiles: list[NDArray[np.uint8]] = []
        for row in range(rows):
            for column in range(columns):
                down = row / (rows - 1) if rows > 1 else 0.0
                across = column / (columns - 1)
                tiles.append(corners.render(across, down, handover=params.handover))
                yield api.Progress(len(tiles), total, "Mixing")
            yield api.Preview(images.arrange_grid(tiles, columns, gap=params.gap, background=params.background))
        grid = images.arrange_grid(tiles, columns, gap=params.gap, background=params.background)
        yield api.Image(grid, name="grid" if params.tiles else "")
        if params.tiles:
            for number, tile in enumerate(tiles):
                row, column = divmod(number, columns)
                yield api.Image(tile, name=f"row-{row + 1}-column-{column + 1}")
