"""Parameters that the tools which mix pictures share."""

from __future__ import annotations

from studio import api
from studio.api.images import FitMode

from ..mixing.alignment import AlignMode
from ..models.codec import MODEL_KINDS, SPATIAL_STARTER

SHARED = ("align", "strength", "handover", "detail")
"""Names of the shared fields that are not folded away, in the order of the form."""


class MixParams(api.Params):
    """Alignment, blending and model of a mix of images."""

    align: AlignMode = api.param("auto", labels=("Automatic", "Always", "Never"), title="Align shapes")
    """Warps the shapes of the images onto each other before blending, to avoid double images. Automatic: only where
    it reduces them."""
    strength: api.Unit = api.param(0.5, title="Warp strength")
    """Higher values bend shapes further, which suits similar images such as portraits."""
    handover: api.Unit = api.param(1.0, title="Local blending")
    """At 100 % the images replace each other region by region; at 0 % they are cross-faded evenly."""
    detail: api.Unit = api.param(1.0, title="Preserve detail")
    """Fraction of the fine detail, lost by the model, that is added back from the images."""
    fit: FitMode = api.param("crop", labels=("Crop to fill", "Fit with borders"), advanced=True)
    """Treatment of images whose aspect ratio differs from the first one's."""
    background: api.Colour = api.param("#ffffff", advanced=True)
    """Background of transparent images, and colour of the borders."""
    model: api.ModelChoice = api.param(SPATIAL_STARTER, model=MODEL_KINDS)
    """The starter is small and soft. Any AutoencoderKL or AutoencoderTiny can be used."""
