"""One mix of a few pictures, seen while the sliders move."""

from __future__ import annotations

from collections.abc import Iterator

from studio import api

from ..mixing import alignment
from ..mixing import images as pictures
from ..mixing.bilinear import Corners, corners
from ..models import codec as models

DRAFT = 256
"""Long side in pixels while a slider moves."""
KEPT = "vae.blend"


class Blend(api.Tool):
    """Mixes two to four pictures into one, and shows it while you move the sliders."""

    id = "vae.blend"
    title = "Blend"
    live = True
    icon = "mdi6.set-center"

    class Params(api.Params):
        images: list[api.ImageInput] = api.param(min_items=2, max_items=4)
        """The corners: top left, top right, bottom left, bottom right. Of three, the last has the whole bottom."""
        across: api.Unit = 0.5
        """From the left picture to the right one."""
        down: api.Unit = 0.0
        """From the upper pictures to the lower ones, where there are three or four."""
        size: int = api.param(512, ge=64, le=2048, step=8, unit="px")
        """Long side of the result. The first picture gives the shape."""
        align: alignment.Align = api.param("auto", labels=("What ghosts less", "Always", "Never"), title="Align shapes")
        """Moves the shapes of the pictures onto each other before they are mixed, against double images."""
        strength: api.Unit = api.param(0.5, title="Reshape")
        """How freely shapes may be bent. More suits pictures that are alike, such as portraits."""
        handover: api.Unit = api.param(1.0, title="Take turns")
        """At full, pictures take turns place by place; at none, all shine through each other."""
        detail: api.Unit = api.param(1.0, title="Keep detail")
        """How much of the fine detail that the model loses is carried over from the pictures."""
        fit: pictures.Fit = api.param("crop", labels=("Fill and crop", "Show all"), advanced=True)
        """What happens to pictures of another shape than the first."""
        background: api.Colour = api.param("#ffffff", advanced=True)
        """Shown where pictures are transparent, and around those that do not fill the frame."""
        model: api.ModelChoice = api.param(models.SPATIAL, model=models.KINDS)
        """The starter is small and soft; any AutoencoderKL or AutoencoderTiny will do."""

    def run(self, params: Params, ctx: api.Context) -> Iterator[api.Event]:
        yield api.Progress(0, 1, "Opening the pictures")
        prepared = _prepared(params, ctx)
        alignment.tell(prepared.pairs, ctx)
        picture = prepared.at(params.across, params.down, handover=params.handover)
        yield api.Preview(picture)
        yield api.Image(picture)


def _prepared(params: Blend.Params, ctx: api.Context) -> Corners:
    """All but the mixing itself, kept while only the sliders change, and only for the latest pictures."""
    size = min(params.size, DRAFT) if ctx.draft else params.size
    codec = models.load(ctx, params.model)
    files = [(str(path), path.stat().st_mtime_ns if path.exists() else 0) for path in params.images]
    wanted = repr((files, size, id(codec), params.align, params.strength, params.detail, params.fit, params.background))

    def loader() -> tuple[str, Corners]:
        opened = pictures.read_all(params.images, size, codec, fit=params.fit, ground=params.background)
        return wanted, corners(codec, opened, ctx, align=params.align, strength=params.strength, detail=params.detail)

    key = f"{KEPT}:draft" if ctx.draft else KEPT
    kept, prepared = ctx.models.load(key, loader)
    if kept != wanted:
        ctx.models.drop(key)
        _, prepared = ctx.models.load(key, loader)
    return prepared
