"""From picture to picture, as an animation."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from studio import api

from ..mixing import alignment, latent_paths
from ..mixing import images as pictures
from ..mixing.alignment import Pair
from ..mixing.flow import composed
from ..mixing.mixer import Mixer, Share
from ..models import codec as models

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor


class Morph(api.Tool):
    """Turns each picture into the next, as an animation."""

    id = "vae.morph"
    title = "Morph"
    output = "animation"
    icon = "mdi6.transition"

    class Params(api.Params):
        images: list[api.ImageInput] = api.param(min_items=2, max_items=16)
        """2 to 16 pictures of any size and format, in the order of the morph."""
        frames: int = api.param(48, ge=2, le=5000)
        """Frames of the whole animation."""
        fps: float = api.param(24.0, ge=1.0, le=120.0, unit="frames a second", title="Frame rate")
        size: int = api.param(512, ge=64, le=2048, step=8, unit="px")
        """Long side of the frames. The first picture gives the shape."""
        motion: latent_paths.Motion = api.param("once", labels=("Once", "Loop", "There and back"))
        """A loop goes on from the last picture to the first; there and back returns the way it came."""
        easing: latent_paths.Easing = api.param("smooth", labels=("Smooth", "Even", "Start slowly", "End slowly"))
        """How the time between two pictures is spent."""
        align: alignment.Align = api.param("auto", labels=("What ghosts less", "Always", "Never"), title="Align shapes")
        """Moves the shapes of both pictures onto each other before they are blended, against double images."""
        strength: api.Unit = api.param(0.5, title="Reshape")
        """How freely shapes may be bent. More suits pictures that are alike, such as two portraits."""
        handover: api.Unit = api.param(1.0, title="Take turns")
        """At full, pictures take turns place by place; at none, one shines through the other everywhere."""
        detail: api.Unit = api.param(1.0, title="Keep detail")
        """How much of the fine detail that the model loses is carried over from the pictures."""
        path: latent_paths.Path = api.param(
            "linear", labels=("Straight", "Spherical", "Smooth curve (Catmull-Rom)"), advanced=True
        )
        """The way through the model's latent space. Spherical keeps contrast; the curve takes no sharp turns."""
        fit: pictures.Fit = api.param("crop", labels=("Fill and crop", "Show all"), advanced=True)
        """What happens to pictures of another shape than the first."""
        background: api.Colour = api.param("#ffffff", advanced=True)
        """Shown where pictures are transparent, and around those that do not fill the frame."""
        stills: int = api.param(0, ge=0, le=64, advanced=True)
        """How many frames to save as pictures as well, evenly spread."""
        model: api.ModelChoice = api.param(models.SPATIAL, model=models.KINDS)
        """The starter is small and soft; any AutoencoderKL or AutoencoderTiny will do."""

    def run(self, params: Params, ctx: api.Context) -> Iterator[api.Event]:
        count = len(params.images)
        yield api.Progress(0, params.frames, "Opening the pictures")
        codec = models.load(ctx, params.model)
        opened = pictures.read_all(params.images, params.size, codec, fit=params.fit, ground=params.background)
        if params.frames < 2 * count:
            yield api.Notice(f"{params.frames} frames are few for {count} pictures.", "warning")
        which = [(here, (here + 1) % count) for here in range(count if params.motion == "loop" else count - 1)]
        pairs = alignment.compare(codec, opened, which, ctx, align=params.align, strength=params.strength)
        alignment.tell(pairs, ctx)
        kept: dict[int, NDArray[np.uint8]] = {}
        film = _Film(params, Mixer(codec, pictures.one_by_one(opened, ctx), detail=params.detail), pairs)
        yield api.Animation(film.frames(ctx, kept), fps=params.fps, loop=params.motion != "once")
        for number, picture in sorted(kept.items()):
            yield api.Image(picture, name=f"frame-{number:04d}")

    def estimate(self, params: Params, ctx: api.EstimateContext) -> api.Estimate:  # noqa: ARG002
        drawn = params.frames * params.size**2 / 1e6
        return api.Estimate(work=drawn, rate=f"{self.id} {params.model} {params.align}")


class _Film:
    def __init__(self, params: Morph.Params, mixer: Mixer, pairs: Sequence[Pair]) -> None:
        self._params = params
        self._mixer = mixer
        self._pairs = pairs
        self._closed = params.motion == "loop"

    def frames(self, ctx: api.Context, kept: dict[int, NDArray[np.uint8]]) -> Iterator[NDArray[np.uint8]]:
        """The frames as they are drawn; stills are put into `kept`."""
        params = self._params
        total = params.frames
        stills = {round((total - 1) * still / max(params.stills - 1, 1)) for still in range(params.stills)}
        for number, at in enumerate(latent_paths.positions(total, len(self._mixer.images), params.motion)):
            frame = self._mixer.render(self._shares(at))
            if number in stills:
                kept[number] = frame
            ctx.emit(api.Progress(number + 1, total, "Drawing frames"))
            yield frame

    def _shares(self, at: float) -> list[Share]:
        here = min(int(at), len(self._pairs) - 1)
        there = (here + 1) % len(self._mixer.images)
        t = latent_paths.eased(at - here, self._params.easing)
        warps = self._warps(here, there, t)
        local = self._mixer.local({here: 1.0 - t, there: t}, warps, self._params.handover)
        progress = local.get(there, t) if self._mixer.codec.spatial else t
        weights = latent_paths.weights(self._params.path, self._mixer.latents, here, progress, closed=self._closed)
        return [
            Share(
                picture, weight, local.get(picture), warps[picture] if picture in warps else self._far(picture, here, t)
            )
            for picture, weight in sorted(weights.items())
        ]

    def _warps(self, here: int, there: int, t: float) -> dict[int, Tensor | None]:
        flow = self._pairs[here].flow
        if flow is None:
            return {here: None, there: None}
        return {here: flow.of_first(t), there: flow.of_second(t)}

    def _far(self, picture: int, here: int, t: float) -> Tensor | None:
        """A curve also looks at the pictures before and after; they come by way of the near ones."""
        count = len(self._mixer.images)
        before = picture == (here - 1) % count
        near, far = self._pairs[here].flow, self._pairs[(here - 1 if before else here + 1) % len(self._pairs)].flow
        inner = None if near is None else near.of_first(t) if before else near.of_second(t)
        outer = None if far is None else far.of_first(1.0) if before else far.of_second(0.0)
        if inner is None or outer is None:
            return outer if inner is None else inner
        return composed(outer, inner)
