"""The tool that makes a video of a walk through latent space."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from studio import api

from ..models.gan_model import GanModel, load_gan
from ..sampling import images, latents, layers, paths, rhythm
from ..sampling.estimates import estimate_images
from ..sampling.latents import Latent
from ..sampling.params import SamplingParams, read_parents
from ..sampling.paths import PathKind

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

    from ..sampling.rhythm import Rhythm

MAX_FRAMES = 100_000
CUT_DRIFT = 0.25
"""Part of a segment that a walk goes on between two cuts."""


PULSE_SEED = 2**31
"""Distance from the job's seed to that of the movement of loud moments."""


class Walk(api.Tool):
    """Walks from image to image as a video, evenly or in time with a piece of music."""

    id = "gan.walk"
    title = "Walk"
    output = "animation"
    icon = "mdi6.walk"

    class Params(SamplingParams):
        field_order = ("images", "seeds", "stops", "sound", "seconds", "fps", "loop", "path", "model", "class_name")
        images: list[api.ImageInput] = api.param([], max_items=64)
        """Creations of GAN tools to walk through, in this order."""
        seeds: list[int] = api.param([], max_items=256)
        """Seeds to walk through, after the images."""
        stops: int = api.param(6, ge=2, le=256, title="Random stops")
        """Number of random images to walk through, if fewer than two are chosen. One that is chosen is the first."""
        sound: api.FileInput | None = api.param(None, accepts=api.sounds.SOUND_SUFFIXES)
        """Music that the walk follows. The video has its length, and its sound if it is an MP4."""
        seconds: float = api.param(2.0, ge=0.04, le=120.0, step=0.1, title="Seconds from image to image")
        fps: float = api.param(24.0, ge=1.0, le=120.0, unit="frames per second", title="Frame rate")
        loop: bool = True
        """Returns to the first image, so that the video repeats without a seam."""
        path: PathKind = api.param("spherical", labels=("Spherical", "Spline"))
        """A spline passes through the images without a stop. Spherical goes straight from one to the next."""
        space: Literal["w", "z"] = api.param("w", labels=("Styles (w)", "Latents (z)"), advanced=True)
        """Space of the walk. Latents take detours past other images; creations need styles."""
        beats: Literal["move", "cut"] = api.param(
            "move", labels=("Speed up", "Cut"), title="At beats", group="Sound", advanced=True
        )
        """Speed up: faster at beats and loud moments. Cut: jumps to the next image."""
        sync: api.Unit = api.param(0.8, title="Follow the sound", group="Sound", advanced=True)
        """How much of the movement comes from the sound, if it speeds up at beats."""
        pulse: api.Unit = api.param(0.2, group="Sound", advanced=True)
        """Bass moves the shapes, the middle the parts, treble the colours and the fine texture."""
        enlarge: Literal[1, 2, 4] = api.param(1, labels=("1×", "2×", "4×"), advanced=True)
        """Enlarges the frames (Lanczos). The network's own size is 1×."""

    def estimate(self, params: Params, ctx: api.EstimateContext) -> api.Estimate | None:
        """Estimate the frames; with a sound they are not known before it is read."""
        if params.sound is not None:
            return None
        chosen = len(params.images) + len(params.seeds)
        stops = chosen if chosen >= 2 else params.stops
        segments = paths.count_segments(stops, closed=params.loop)
        return estimate_images(ctx, params.model, _count_frames(params, segments), "frame")

    def run(self, params: Params, ctx: api.Context) -> Iterator[api.Event]:
        yield api.Progress(0, 0, "Loading the model")
        model = load_gan(ctx, params.model)
        route = _plan_route(ctx, model, params)
        heard = None
        if params.sound is not None:
            yield api.Progress(0, 0, "Listening to the sound")
            heard = rhythm.analyse_sound(api.sounds.read_sound(params.sound, rhythm.RATE), params.fps)
            ctx.note("beats", len(heard.beats))
        positions, closed = _choose_positions(params, len(route.stops), heard)
        if len(positions) > MAX_FRAMES:
            sentence = f"The walk would have {len(positions):,} frames; the most are {MAX_FRAMES:,}."
            raise api.BadInput(sentence, "Choose fewer seconds, images, or frames per second.")
        frames = _render_frames(ctx, model, params, route, positions, closed, heard)
        yield api.Animation(frames, fps=params.fps, loop=params.loop, sound=params.sound)


@dataclass(frozen=True)
class _Route:
    """The stops of a walk: styles [n, layers, style size], or latents [n, latent size] of one class."""

    stops: Tensor
    classes: list[int]
    """The class of latents; empty for styles."""
    is_latents: bool


def _plan_route(ctx: api.Context, model: GanModel, params: Walk.Params) -> _Route:
    import torch

    chosen = len(params.images) + len(params.seeds)
    missing = 0 if chosen >= 2 else params.stops - chosen
    seeds = [*params.seeds, *latents.list_seeds(ctx.seed, missing)]
    if params.space == "z":
        if params.images:
            raise api.BadInput("A walk through creations needs their styles.", "Choose the space Styles (w).")
        classes = latents.choose_classes(model, params.class_name, seeds[:1])
        return _Route(latents.draw_latents(model, seeds), classes, is_latents=True)
    stops = read_parents(ctx, model, params, params.images, seeds)
    return _Route(torch.stack([stop.styles for stop in stops]), [], is_latents=False)


def _count_frames(params: Walk.Params, segments: int) -> int:
    return max(2, round(segments * params.seconds * params.fps))


def _choose_positions(params: Walk.Params, stops: int, heard: Rhythm | None) -> tuple[NDArray[np.float64], bool]:
    """Return the position of each frame on the path, and whether the path is closed.

    On a closed path the frame after the last one would be the first again.
    """
    import numpy as np

    closed = params.loop
    segments = paths.count_segments(stops, closed=closed)
    if heard is None:
        return np.linspace(0, segments, _count_frames(params, segments), endpoint=not closed), closed
    if params.beats == "cut" and heard.beats:
        return heard.choose_cuts(CUT_DRIFT), True
    if closed:
        rounds = max(1, round(len(heard.energy) / params.fps / params.seconds / segments))
        segments *= rounds
    return heard.choose_positions(segments, params.sync), closed


def _render_frames(
    ctx: api.Context,
    model: GanModel,
    params: Walk.Params,
    route: _Route,
    positions: NDArray[np.float64],
    closed: bool,
    heard: Rhythm | None,
) -> Iterator[images.Pixels]:
    pulse = _draw_pulse(ctx, model, params) if heard is not None and params.pulse else None
    for start in range(0, len(positions), images.MAX_BATCH):
        batch = []
        for number in range(start, min(start + images.MAX_BATCH, len(positions))):
            point = paths.interpolate(params.path, route.stops, float(positions[number]), closed=closed)
            styles = _to_styles(model, params, route, point)
            if pulse is not None and heard is not None:
                styles = styles + _weigh_bands(heard.bands[:, number], len(styles)) * pulse
            batch.append(Latent(styles))
        for number, pixels in enumerate(images.render(model, batch, params.noise, [ctx.seed] * len(batch)), start + 1):
            ctx.emit(api.Progress(number, len(positions), "Rendering frames"))
            yield images.enlarge(pixels, params.enlarge)


def _to_styles(model: GanModel, params: Walk.Params, route: _Route, point: Tensor) -> Tensor:
    if not route.is_latents:
        return point
    styles = model.map_latents(point[None], route.classes, truncation=params.truncation, cutoff=params.cutoff)
    return styles[0].cpu()


def _draw_pulse(ctx: api.Context, model: GanModel, params: Walk.Params) -> Tensor:
    """Return the movement [layers, style size] of a loud moment."""
    (stranger,) = params.draw(model, [(ctx.seed + PULSE_SEED) % latents.SEEDS])
    return params.pulse * (stranger.styles - latents.average_style(model))


def _weigh_bands(bands: NDArray[np.float64], count: int) -> Tensor:
    """Return the weight [layers, 1] of each layer: bass for the coarse ones, treble for the fine ones."""
    import torch

    weights = torch.zeros(count, 1)
    for energy, numbers in zip(bands, layers.split_layers(count), strict=True):
        weights[numbers.start : numbers.stop] = float(energy)
    return weights
