"""Morph pictures into each other, as an animation."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from studio import api

from ..mixing import alignment, images, latent_paths
from ..mixing.alignment import PairAlignment
from ..mixing.flow import compose
from ..mixing.mixer import Contribution, Mixer
from ..models.codec import load_codec
from .params import SHARED, MixParams

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor


class Morph(api.Tool):
    """Morphs each image into the next, as an animation."""

    id = "vae.morph"
    title = "Morph"
    output = "animation"
    icon = "mdi6.transition"

    class Params(MixParams):
        field_order = (
            *("images", "frames", "fps", "size", "motion", "easing", *SHARED),
            *("path", "fit", "background", "stills", "model"),
        )
        images: list[api.ImageInput] = api.param(min_items=2, max_items=16)
        """2 to 16 images of any size and format, in the order of the morph."""
        frames: int = api.param(48, ge=2, le=5000)
        """Number of frames of the whole animation."""
        fps: float = api.param(24.0, ge=1.0, le=120.0, unit="frames per second", title="Frame rate")
        size: int = api.param(512, ge=64, le=2048, step=8, unit="px")
        """Long side of the frames. The first image gives the aspect ratio."""
        motion: latent_paths.Motion = api.param("once", labels=("Once", "Loop", "Ping-pong"))
        """Loop continues from the last image to the first; ping-pong returns the same way."""
        easing: latent_paths.Easing = api.param("smooth", labels=("Ease in and out", "Linear", "Ease in", "Ease out"))
        """Speed of the morph between two images."""
        path: latent_paths.LatentPath = api.param(
            "linear", labels=("Linear", "Spherical", "Catmull-Rom spline"), title="Interpolation", advanced=True
        )
        """Path through the model's latent space. Spherical keeps contrast; a spline avoids sharp turns."""
        stills: int = api.param(0, ge=0, le=64, advanced=True)
        """Number of frames that are also saved as images, evenly spread."""

    def run(self, params: Params, ctx: api.Context) -> Iterator[api.Event]:
        count = len(params.images)
        yield api.Progress(0, params.frames, "Opening the images")
        codec = load_codec(ctx, params.model)
        pictures = images.read_pictures(params.images, params.size, codec, fit=params.fit, background=params.background)
        if params.frames < 2 * count:
            yield api.Notice(f"{params.frames} frames are few for {count} images.", "warning")
        steps = count if params.motion == "loop" else count - 1
        pairs = [(start, (start + 1) % count) for start in range(steps)]
        alignments = alignment.align_pairs(codec, pictures, pairs, ctx, align=params.align, strength=params.strength)
        alignment.report_ghosting(alignments, ctx)
        mixer = Mixer(codec, images.report_encoding(pictures, ctx), detail=params.detail)
        stills: dict[int, NDArray[np.uint8]] = {}
        frames = _FrameRenderer(params, mixer, alignments).render(ctx, stills)
        yield api.Animation(frames, fps=params.fps, loop=params.motion != "once")
        for number, picture in sorted(stills.items()):
            yield api.Image(picture, name=f"frame-{number:04d}")

    def estimate(self, params: Params, ctx: api.EstimateContext) -> api.Estimate:  # noqa: ARG002
        megapixels = params.frames * params.size**2 / 1e6
        return api.Estimate(work=megapixels, rate=f"{self.id} {params.model} {params.align}")


class _FrameRenderer:
    def __init__(self, params: Morph.Params, mixer: Mixer, alignments: Sequence[PairAlignment]) -> None:
        self._params = params
        self._mixer = mixer
        self._alignments = alignments
        self._closed = params.motion == "loop"

    def render(self, ctx: api.Context, stills: dict[int, NDArray[np.uint8]]) -> Iterator[NDArray[np.uint8]]:
        """Yield the frames as they are rendered, and put those to be saved as pictures into `stills`."""
        params = self._params
        total = params.frames
        still_numbers = {round((total - 1) * still / max(params.stills - 1, 1)) for still in range(params.stills)}
        positions = latent_paths.compute_frame_positions(total, len(self._mixer.images), params.motion)
        for number, position in enumerate(positions):
            frame = self._mixer.render(self._contributions(position))
            if number in still_numbers:
                stills[number] = frame
            ctx.emit(api.Progress(number + 1, total, "Rendering frames"))
            yield frame

    def _contributions(self, position: float) -> list[Contribution]:
        start = min(int(position), len(self._alignments) - 1)
        end = (start + 1) % len(self._mixer.images)
        t = latent_paths.ease(position - start, self._params.easing)
        warps = self._compute_warps(start, end, t)
        local = self._mixer.to_local_weights({start: 1.0 - t, end: t}, warps, self._params.handover)
        progress = local.get(end, t) if self._mixer.codec.is_spatial else t
        weights = latent_paths.compute_weights(
            self._params.path, self._mixer.latents, start, progress, closed=self._closed
        )
        return [
            Contribution(
                picture,
                weight,
                local.get(picture),
                warps[picture] if picture in warps else self._compute_outer_warp(picture, start, t),
            )
            for picture, weight in sorted(weights.items())
        ]

    def _compute_warps(self, start: int, end: int, t: float) -> dict[int, Tensor | None]:
        flow = self._alignments[start].flow
        if flow is None:
            return {start: None, end: None}
        return {start: flow.warp_first(t), end: flow.warp_second(t)}

    def _compute_outer_warp(self, picture: int, start: int, t: float) -> Tensor | None:
        """Return the warp of the picture before or after the two, which a spline also uses, through the nearer one."""
        count = len(self._mixer.images)
        is_before = picture == (start - 1) % count
        near = self._alignments[start].flow
        far = self._alignments[(start - 1 if is_before else start + 1) % len(self._alignments)].flow
        inner = None if near is None else near.warp_first(t) if is_before else near.warp_second(t)
        outer = None if far is None else far.warp_first(1.0) if is_before else far.warp_second(0.0)
        if inner is None or outer is None:
            return outer if inner is None else inner
        return compose(outer, inner)
