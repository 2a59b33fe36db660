"""A picture turned into a guide, to be looked at and drawn over before it is used."""

from __future__ import annotations

from collections.abc import Iterator

from studio import api

from .. import images
from ..modifiers import control_maps


class ControlMap(api.Tool):
    """Turns a picture into a drawing that a ControlNet follows."""

    id = "diffusion.guide"
    title = "Make a guide"
    icon = "mdi6.vector-curve"
    live = True

    class Params(api.Params):
        image: api.ImageInput
        """The picture to draw from."""
        guide: control_maps.Preprocessor = api.param("canny", labels=control_maps.LABELS)
        """What kind of drawing. It should be the one that your ControlNet was made for."""
        detail: api.Unit = 0.5
        """How much of the picture is kept."""

    def run(self, params: Params, _: api.Context) -> Iterator[api.Event]:
        import numpy as np

        yield api.Progress(0, 1, "Drawing")
        yield api.Image(
            control_maps.make_control_map(params.guide, np.asarray(images.open_image(params.image)), params.detail)
        )
