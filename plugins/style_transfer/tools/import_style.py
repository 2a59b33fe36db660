"""Another program's style, brought in: told what it is, tried on a picture, and kept as a style of one's own."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from studio import api

from ..image_io import image16
from ..inference import streaming
from ..models import checkpoints, generators
from ..models import style as models
from ..models.style import Style
from .train import THUMBNAIL

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

SIDE = 256
"""Pixels along the long side of the thumbnail."""
_NAMES = {
    "resnet": "a ResNet of CycleGAN or CUT",
    "unet": "a U-Net",
    "animegan2": "AnimeGAN2",
    "fast_neural_style": "fast neural style",
    "pattern": "an effect",
}


class StyleImport(api.Tool):
    """Makes a style tile of a network that another program trained."""

    id = "style.import"
    title = "Bring in a style"
    output = "model"
    icon = "mdi6.import"

    class Params(api.Params):
        file: api.FileInput = api.param(accepts=checkpoints.SUFFIXES)
        """A checkpoint of CycleGAN, CUT, AnimeGAN2 or fast neural style: .safetensors, .pth or .pt. Of the last two
        only weights are read. ONNX files need not be brought in: they work from the models folder."""
        title: str = api.param("", title="Name")
        """What the style is called on its tile. Empty: as the file is called."""
        licence: str = ""
        """What its authors allow, as they say it."""
        image: api.ImageInput | None = None
        """Painted for the tile. Empty: a small landscape."""
        values: Literal["auto", "signed", "unit", "bytes"] = api.param(
            "auto", labels=("As it seems", "−1 to 1", "0 to 1", "0 to 255"), title="Pixel values", advanced=True
        )
        """What the network takes for black to white. Wrong values make paintings flat or glaring."""

    def run(self, params: Params, ctx: api.Context) -> Iterator[api.Event]:
        yield api.Progress(0, 2, "Looking at the file")
        style = models.opened(params.file)
        if not isinstance(style, Style):
            raise api.BadInput("ONNX files need not be brought in.", "Put the file into the models folder.")
        if params.values != "auto":
            style.values = params.values
        title = params.title.strip() or params.file.stem
        yield api.Notice(f"{params.file.name} is {_NAMES.get(style.kind, style.kind)}, {style.megabytes:.1f} MB.")
        folder = ctx.scratch / "style"
        generators.save(style.network, folder, {**style.config, "values": style.values}, small=False)
        yield api.Progress(1, 2, "Painting the thumbnail")
        rgb = landscape() if params.image is None else _small(params.image)
        painting = (streaming.painted(style, rgb, ctx.scratch, lambda _share: ctx.check_cancelled()) // 257).astype(
            "uint8"
        )
        yield api.Preview(painting, title)
        _thumbnail(painting, folder / THUMBNAIL)
        about: dict[str, Any] = {"summary": f"Brought in from {params.file.name}."}
        if params.licence.strip():
            about["licence"] = params.licence.strip()
        (folder / "studio.json").write_text(json.dumps(about), encoding="utf-8")
        (folder / "README.md").write_text(_card(title, params, style), encoding="utf-8")
        yield api.Trained(folder, title, models.KIND, {"layout": style.kind, "values": style.values})


def landscape(side: int = SIDE) -> NDArray[np.uint8]:
    """A sun over hills, [side, side, 3], to try a style on."""
    import numpy as np

    down, across = np.mgrid[0:side, 0:side] / side
    grain = np.random.default_rng(0).normal(0, 4, (side, side, 1))
    values = np.stack([150 + 90 * down, 180 + 30 * down, 235 - 60 * down], -1)
    sun = np.hypot(down - 0.28, across - 0.7) < 0.1
    values[sun] = (255, 225, 140)
    for height, swing, colour in ((0.5, 0.10, (110, 130, 150)), (0.62, 0.07, (80, 120, 70)), (0.8, 0.05, (50, 85, 40))):
        edge = height + swing * np.sin(across * 7 + height * 20) + swing * 0.4 * np.sin(across * 23)
        hill = down > edge
        shade = 1.0 - 0.4 * (down - edge)[..., None]
        values = np.where(hill[..., None], np.asarray(colour) * shade + 2 * grain, values)
    return np.clip(values + grain, 0, 255).astype(np.uint8)


def _small(path: Path) -> NDArray[Any]:
    picture = image16.opened(path)
    return picture.scaled(image16.fitted(picture.size, SIDE)).rgb


def _thumbnail(painting: NDArray[np.uint8], path: Path) -> None:
    from PIL import Image

    Image.fromarray(painting).save(path, quality=90)


def _card(title: str, params: StyleImport.Params, style: Style) -> str:
    licence = params.licence.strip() or "not said"
    return (
        f"# {title}\n\n"
        f"Brought in from `{params.file.name}`: {_NAMES.get(style.kind, style.kind)}, {style.megabytes:.1f} MB, "
        f"sides in multiples of {style.stride} px.\n\n"
        f"Licence: {licence}. It was trained elsewhere; what it may be used for, its authors say.\n"
    )
