"""Pictures spread over a grid."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from studio import api

from ..mixing import alignment
from ..mixing import images as pictures
from ..mixing.bilinear import corners
from ..models import codec as models

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class Grid(api.Tool):
    """Spreads two to four pictures over a sheet, with every mix between them."""

    id = "vae.grid"
    title = "Grid of mixes"
    icon = "mdi6.grid"

    class Params(api.Params):
        images: list[api.ImageInput] = api.param(min_items=2, max_items=4)
        """The corners: top left, top right, bottom left, bottom right. Of three, the last has the whole bottom."""
        columns: int = api.param(5, ge=2, le=16)
        rows: int = api.param(5, ge=1, le=16)
        """Two pictures stand left and right of a single row."""
        size: int = api.param(192, ge=64, le=1024, step=8, unit="px", title="Tile size")
        """Long side of each tile. The first picture gives the shape."""
        align: alignment.Align = api.param("auto", labels=("What ghosts less", "Always", "Never"), title="Align shapes")
        """Moves the shapes of the pictures onto each other before they are mixed, against double images."""
        strength: api.Unit = api.param(0.5, title="Reshape")
        """How freely shapes may be bent. More suits pictures that are alike, such as portraits."""
        handover: api.Unit = api.param(1.0, title="Take turns")
        """At full, pictures take turns place by place; at none, all shine through each other."""
        detail: api.Unit = api.param(1.0, title="Keep detail")
        """How much of the fine detail that the model loses is carried over from the pictures."""
        gap: int = api.param(8, ge=0, le=64, unit="px", advanced=True)
        """Space between the tiles, in the background's colour."""
        fit: pictures.Fit = api.param("crop", labels=("Fill and crop", "Show all"), advanced=True)
        """What happens to pictures of another shape than the first."""
        background: api.Colour = api.param("#ffffff", advanced=True)
        """Shown where pictures are transparent, around those that do not fill the tile, and between tiles."""
        tiles: bool = api.param(False, title="Save tiles as well", advanced=True)
        """Each tile also becomes a picture of its own."""
        model: api.ModelChoice = api.param(models.SPATIAL, model=models.KINDS)
        """The starter is small and soft; any AutoencoderKL or AutoencoderTiny will do."""

    def run(self, params: Params, ctx: api.Context) -> Iterator[api.Event]:
        columns, rows = params.columns, 1 if len(params.images) == 2 else max(params.rows, 2)
        total = columns * rows
        yield api.Progress(0, total, "Opening the pictures")
        codec = models.load(ctx, params.model)
        opened = pictures.read_all(params.images, params.size, codec, fit=params.fit, ground=params.background)
        prepared = corners(codec, opened, ctx, align=params.align, strength=params.strength, detail=params.detail)
        alignment.tell(prepared.pairs, ctx)
        tiles: list[NDArray[np.uint8]] = []
        for row in range(rows):
            for column in range(columns):
                down = row / (rows - 1) if rows > 1 else 0.0
                across = column / (columns - 1)
                tiles.append(prepared.at(across, down, handover=params.handover))
                yield api.Progress(len(tiles), total, "Mixing")
            yield api.Preview(pictures.sheet(tiles, columns, gap=params.gap, ground=params.background))
        sheet = pictures.sheet(tiles, columns, gap=params.gap, ground=params.background)
        yield api.Image(sheet, name="grid" if params.tiles else "")
        if params.tiles:
            for number, tile in enumerate(tiles):
                row, column = divmod(number, columns)
                yield api.Image(tile, name=f"row-{row + 1}-column-{column + 1}")
