"""From picture to picture, as an animation."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from studio import api

from . import models, paths, pictures
from .mixing import Mixer, Share

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class Morph(api.Tool):
    """Turns each picture into the next, as an animation."""

    id = "vae.morph"
    title = "Morph"
    output = "animation"
    icon = "mdi6.transition"

    class Params(api.Params):
        images: list[api.ImageInput] = api.param(least=2, most=16)
        """2 to 16 pictures of any size and format, in the order of the morph."""
        frames: int = api.param(48, ge=2, le=2000)
        """Frames of the whole animation."""
        fps: float = api.param(24.0, ge=1.0, le=120.0, unit="frames a second", title="Frame rate")
        size: int = api.param(512, ge=64, le=2048, step=8, unit="px")
        """Long side of the frames. The first picture gives the shape."""
        motion: paths.Motion = api.param("once", labels=("Once", "Loop", "There and back"))
        """A loop goes on from the last picture to the first; there and back returns the way it came."""
        path: paths.Path = api.param("linear", labels=("Straight", "Spherical", "Smooth curve (Catmull-Rom)"))
        """How to go through the model's latent space. Spherical keeps contrast; the curve takes no sharp turns."""
        easing: paths.Easing = api.param("smooth", labels=("Smooth", "Even", "Start slowly", "End slowly"))
        """How the time between two pictures is spent."""
        fit: pictures.Fit = api.param("crop", labels=("Fill and crop", "Show all"), group="Pictures")
        """What happens to pictures of another shape than the first."""
        background: api.Colour = api.param("#ffffff", group="Pictures")
        """Shown where pictures are transparent, and around those that do not fill the frame."""
        detail: api.Unit = api.param(1.0, group="Look", title="Keep detail")
        """How much of the detail that the model loses is carried over from the pictures."""
        stills: int = api.param(0, ge=0, le=64)
        """How many frames to save as pictures as well, evenly spread."""
        model: api.ModelChoice = api.param(models.SPATIAL, model="autoencoder")
        """The starter is small and soft; any AutoencoderKL or AutoencoderTiny will do."""

    def run(self, params: Params, ctx: api.Context) -> Iterator[api.Event]:
        yield api.Progress(0, params.frames, "Opening the pictures")
        codec = models.load(ctx, params.model)
        opened = pictures.read_all(params.images, params.size, params.fit, params.background, square=not codec.spatial)
        ctx.check_cancelled()
        mixer = Mixer(codec, opened, detail=params.detail)
        kept: dict[int, NDArray[np.uint8]] = {}
        yield api.Animation(_frames(params, ctx, mixer, kept), fps=params.fps, loop=params.motion != "once")
        for number, picture in sorted(kept.items()):
            yield api.Image(picture, name=f"frame-{number:04d}")


def _frames(
    params: Morph.Params, ctx: api.Context, mixer: Mixer, kept: dict[int, NDArray[np.uint8]]
) -> Iterator[NDArray[np.uint8]]:
    wanted = _stills(params.frames, params.stills)
    for number, at in enumerate(paths.positions(params.frames, len(mixer.latents), params.motion)):
        frame = mixer.render(_shares(params, mixer, at))
        if number in wanted:
            kept[number] = frame
        ctx.emit(api.Preview(frame))
        ctx.emit(api.Progress(number + 1, params.frames, "Drawing frames"))
        yield frame


def _stills(frames: int, stills: int) -> set[int]:
    return {round((frames - 1) * number / max(stills - 1, 1)) for number in range(min(stills, frames))}


def _shares(params: Morph.Params, mixer: Mixer, at: float) -> list[Share]:
    count, closed = len(mixer.latents), params.motion == "loop"
    here = min(int(at), (count if closed else count - 1) - 1)
    t = paths.eased(at - here, params.easing)
    detail = {here: 1.0 - t, (here + 1) % count: t}
    weights = paths.weights(params.path, mixer.latents, here + t, closed=closed)
    return [Share(picture, weight, detail.get(picture, 0.0)) for picture, weight in sorted(weights.items())]
