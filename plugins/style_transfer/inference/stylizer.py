"""From a picture and a style, or two, to a painting: the size it is painted at, and what is kept of the picture."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeAlias

from studio import api

from ..image_io import image16
from ..image_io.image16 import Picture
from ..models import style as models
from ..models.onnx import OnnxStyle
from ..models.style import Style
from . import checkerboard, color_blend, streaming

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Share: TypeAlias = tuple[Style | OnnxStyle, float]
"""A style, and how much of it is seen."""
Tick: TypeAlias = Callable[[float], None]
"""Is told the share of the work that is done (0..1), and may raise to end it."""
ROWS = 256
"""Rows that are mixed at once."""
REMEMBERED = 8_000_000
"""Pixels of the largest painting that a style remembers, so that other colours of it take no time."""


class Choice(api.Params):
    """Which style, and how much of it."""

    style: api.ModelChoice = api.param("", model=models.KIND, tiles=True)
    """A starter, a style that you trained, or a file of another program."""
    strength: float = api.param(1.0, ge=0.0, le=1.5, step=0.05)
    """How much of the style goes into the picture. Above 1 it is exaggerated."""
    keep_colours: api.Unit = 0.0
    """How much of the picture's own colours stay."""
    keep_luminance: api.Unit = api.param(0.0, title="Keep light and dark")
    """How much of the picture's own lightness stays, so that only colours change."""
    resolution: int = api.param(1024, ge=0, le=20_000, step=64, unit="px", title="Painted at")
    """Long side at which it is painted: at fewer pixels strokes are larger. 0 paints larger pictures at their own
    size. Preview and result are painted at the same size, so that they look the same."""
    original_size: bool = api.param(False, title="Back to the original size")
    """Enlarges the painting to the size that the picture had."""


class SecondStyle(api.Params):
    """Another style to mix in."""

    second_style: api.ModelChoice | None = api.param(None, model=models.KIND, advanced=True, group="Second style")
    """Painted as well, and mixed in."""
    blend: api.Unit = api.param(0.5, advanced=True, group="Second style", title="Share of the second style")
    """At none only the first style is seen, at full only the second."""


class Smoothing(api.Params):
    """What is taken out of the painting again."""

    even: bool = api.param(False, title="Remove checkerboard", advanced=True)
    """Takes out the fine grid of 2 and 4 px that some older styles leave."""


class Painter(Smoothing, SecondStyle, Choice):
    """All of it."""


def styles(ctx: api.Context, params: Painter) -> list[Share]:
    """The styles that are chosen, and the share of each. Raises BadInput as `models.load` does."""
    if params.second_style is None or not params.blend:
        return [(models.load(ctx, params.style), 1.0)]
    if params.blend == 1:
        return [(models.load(ctx, params.second_style), 1.0)]
    first, second = models.load(ctx, params.style), models.load(ctx, params.second_style)
    return [(first, 1.0 - params.blend), (second, params.blend)]


def painted(
    ctx: api.Context,
    chosen: list[Share],
    picture: Picture,
    params: Painter,
    tick: Tick,
    *,
    name: str = "",
) -> Picture:
    """The picture in the styles, with 8 or 16 bits as it has, and what was transparent.

    `tick` is told the share of the work that is done (0..1). With a `name` each style remembers its latest
    painting by it. Raises BadInput where the disk is too full.
    """
    size = image16.fitted(picture.size, params.resolution)
    small = picture.scaled(size)
    painting: NDArray[Any] | None = None
    for number, (style, share) in enumerate(chosen):
        told = _part(tick, number, len(chosen))
        one = _remembered(ctx, style, small, f"{name} {size} {params.even}" if name else "", told, even=params.even)
        painting = one if painting is None else _blended(painting, one, share)
    assert painting is not None
    if params.original_size and not ctx.draft:
        painting = image16.scaled(painting, picture.size)
        small = picture
    mixing = color_blend.Mixing(params.strength, params.keep_colours, params.keep_luminance)
    return replace(small, rgb=mixed(small.rgb, painting, mixing))


def mixed(rgb: NDArray[Any], painting: NDArray[np.uint16], mixing: color_blend.Mixing) -> NDArray[Any]:
    """[h, w, 3] of the picture's kind, uint8 or uint16."""
    import numpy as np

    made = np.empty_like(rgb)
    top = np.float32(np.iinfo(rgb.dtype).max)
    for start in range(0, len(rgb), ROWS):
        rows = slice(start, start + ROWS)
        own, theirs = rgb[rows] / top, painting[rows] / np.float32(65535)
        made[rows] = (mixing.mixed(own, theirs) * top + np.float32(0.5)).astype(rgb.dtype)
    return made


def _part(tick: Tick, number: int, count: int) -> Tick:
    return lambda share: tick((number + share) / count)


def _remembered(
    ctx: api.Context, style: Style | OnnxStyle, picture: Picture, name: str, tick: Tick, *, even: bool
) -> NDArray[np.uint16]:
    if name and style.latest is not None and style.latest[0] == name:
        return style.latest[1]
    painting = streaming.painted(style, picture.rgb, ctx.scratch, tick)
    if even:
        painting = checkerboard.evened(painting)
    width, height = picture.size
    style.latest = (name, painting) if name and width * height <= REMEMBERED else None
    return painting


def _blended(one: NDArray[np.uint16], other: NDArray[np.uint16], share: float) -> NDArray[np.uint16]:
    """With the `share` of the other, row by row."""
    import numpy as np

    made = np.empty_like(one)
    for start in range(0, len(one), ROWS):
        rows = slice(start, start + ROWS)
        part = one[rows] + (other[rows].astype(np.float32) - one[rows]) * np.float32(share)
        made[rows] = (part + np.float32(0.5)).astype(np.uint16)
    return made
