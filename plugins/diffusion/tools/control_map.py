"""Make a control map from an image, to look at it and retouch it before it is used."""

from __future__ import annotations

from collections.abc import Iterator

from studio import api

from .. import images
from ..modifiers import control_maps


class ControlMap(api.Tool):
    """Turns an image into a control map for a ControlNet, such as its edges."""

    id = "diffusion.guide"
    title = "Control map"
    icon = "mdi6.vector-curve"
    live = True

    class Params(api.Params):
        image: api.ImageInput
        """The image to process."""
        guide: control_maps.Preprocessor = api.param("canny", title="Preprocessor", labels=control_maps.LABELS)
        """Choose the kind of control map that your ControlNet was trained on."""
        detail: api.Unit = 0.5
        """A higher value keeps more detail of the image."""

    def run(self, params: Params, _: api.Context) -> Iterator[api.Event]:
        import numpy as np

        yield api.Progress(0, 1, "Making the control map")
        pixels = np.asarray(images.open_image(params.image))
        yield api.Image(control_maps.make_control_map(params.guide, pixels, params.detail))
