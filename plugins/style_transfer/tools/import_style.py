"""The tool that makes a style of a third-party checkpoint."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from studio import api

from ..image_io import image16
from ..inference import streaming
from ..models import checkpoints, generators
from ..models.style import MODEL_KIND, Style, open_style
from .train import THUMBNAIL

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

THUMBNAIL_SIDE = 256
"""Long side of the thumbnail in px."""
_ARCHITECTURES = {
    "resnet": "a ResNet of CycleGAN or CUT",
    "unet": "a U-Net",
    "animegan2": "AnimeGAN2",
    "fast_neural_style": "fast neural style",
    "pattern": "an effect",
}


class StyleImport(api.Tool):
    """Makes a style tile of a network that another program trained."""

    id = "style.import"
    title = "Import style"
    output = "model"
    icon = "mdi6.import"

    class Params(api.Params):
        file: api.FileInput = api.param(accepts=checkpoints.SUFFIXES, title="Checkpoint")
        """A checkpoint of CycleGAN, CUT, AnimeGAN2 or fast neural style: .safetensors, .pth or .pt. Of the last two
        only weights are read. ONNX files need no import: put them into the models folder."""
        title: str = api.param("", title="Name")
        """Name of the style's tile. Empty: the name of the file."""
        licence: str = ""
        """Licence under which the authors published the style."""
        image: api.ImageInput | None = api.param(None, title="Thumbnail image")
        """Image that is restyled for the tile. Empty: a small landscape."""
        values: Literal["auto", "signed", "unit", "bytes"] = api.param(
            "auto", labels=("Automatic", "−1 to 1", "0 to 1", "0 to 255"), title="Value range", advanced=True
        )
        """Values of black and white in the network. With a wrong range, results are flat or too contrasty."""

    def run(self, params: Params, ctx: api.Context) -> Iterator[api.Event]:
        yield api.Progress(0, 2, "Reading the checkpoint")
        style = open_style(params.file)
        if not isinstance(style, Style):
            raise api.BadInput("ONNX files need no import.", "Put the file into the models folder.")
        if params.values != "auto":
            style.value_range = params.values
        title = params.title.strip() or params.file.stem
        yield api.Notice(f"{params.file.name} is {_describe(style)}, {style.megabytes:.1f} MB.")
        folder = ctx.scratch / "style"
        config = {**style.config, "values": style.value_range}
        generators.save_network(style.network, folder, config, int8=False)
        yield api.Progress(1, 2, "Making the thumbnail")
        rgb = draw_landscape() if params.image is None else _open_small(params.image)
        thumbnail = streaming.stylize(style, rgb, ctx.scratch, lambda _: ctx.check_cancelled())
        thumbnail8 = (thumbnail // 257).astype("uint8")
        yield api.Preview(thumbnail8, title)
        _save_thumbnail(thumbnail8, folder / THUMBNAIL)
        about: dict[str, str] = {"summary": f"Imported from {params.file.name}."}
        if params.licence.strip():
            about["licence"] = params.licence.strip()
        (folder / "studio.json").write_text(json.dumps(about), encoding="utf-8")
        _build_card(title, params, style).write(folder)
        yield api.Trained(folder, title, MODEL_KIND, {"layout": style.architecture, "values": style.value_range})


def draw_landscape(side: int = THUMBNAIL_SIDE) -> NDArray[np.uint8]:
    """Draw a sun over hills, [side, side, 3], as a test image for styles."""
    import numpy as np

    y, x = np.mgrid[0:side, 0:side] / side
    grain = np.random.default_rng(0).normal(0, 4, (side, side, 1))
    values = np.stack([150 + 90 * y, 180 + 30 * y, 235 - 60 * y], -1)
    sun = np.hypot(y - 0.28, x - 0.7) < 0.1
    values[sun] = (255, 225, 140)
    for height, swing, colour in ((0.5, 0.10, (110, 130, 150)), (0.62, 0.07, (80, 120, 70)), (0.8, 0.05, (50, 85, 40))):
        edge = height + swing * np.sin(x * 7 + height * 20) + swing * 0.4 * np.sin(x * 23)
        hill = y > edge
        shade = 1.0 - 0.4 * (y - edge)[..., None]
        values = np.where(hill[..., None], np.asarray(colour) * shade + 2 * grain, values)
    return np.clip(values + grain, 0, 255).astype(np.uint8)


def _open_small(path: Path) -> NDArray[Any]:
    image = image16.open_image(path)
    return image.resize(api.images.limit_size(image.size, THUMBNAIL_SIDE)).rgb


def _save_thumbnail(rgb: NDArray[np.uint8], path: Path) -> None:
    from PIL import Image

    Image.fromarray(rgb).save(path, quality=90)


def _describe(style: Style) -> str:
    return _ARCHITECTURES.get(style.architecture, style.architecture)


def _build_card(title: str, params: StyleImport.Params, style: Style) -> api.model_card.ModelCard:
    return api.model_card.ModelCard(
        title=title,
        summary=(
            f"Imported from `{params.file.name}`: {_describe(style)}, {style.megabytes:.1f} MB, for images with "
            f"sides in multiples of {style.stride} px.\n\n"
            f"Licence: {params.licence.strip() or 'unknown'}. The style was trained with another program; its authors "
            "decide what it may be used for."
        ),
    )
