"""How much of a painting goes into a picture, and whose colours it has. Pictures are [h, w, 3] in 0..1."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

LUMA = (0.2126, 0.7152, 0.0722)
"""The weights of red, green and blue in what looks light (ITU-R BT.709)."""


@dataclass(frozen=True)
class Mixing:
    """`strength` 0 is the picture, 1 the painting, more exaggerates what it changed; the others are shares (0..1)."""

    strength: float = 1.0
    keep_colours: float = 0.0
    keep_luminance: float = 0.0

    def mixed(self, picture: NDArray[np.float32], painting: NDArray[np.float32]) -> NDArray[np.float32]:
        """Of a picture and its painting, place by place."""
        import numpy as np

        kept = self.keep_colours or self.keep_luminance
        result = _recoloured(picture, painting, self.keep_colours, self.keep_luminance) if kept else painting
        if self.strength != 1.0:
            result = picture + (result - picture) * np.float32(self.strength)
        return np.clip(result, 0.0, 1.0)


def _recoloured(
    picture: NDArray[np.float32], painting: NDArray[np.float32], colours: float, luminance: float
) -> NDArray[np.float32]:
    """Lightness and colour taken apart, as sums of both, and put together again.

    A colour that cannot be so light or dark is made paler until it can, so that the lightness stays what it is.
    """
    import numpy as np

    weights = np.asarray(LUMA, np.float32)
    light_of_picture, light_of_painting = (one @ weights for one in (picture, painting))
    light = light_of_painting + (light_of_picture - light_of_painting) * np.float32(luminance)
    own, theirs = painting - light_of_painting[..., None], picture - light_of_picture[..., None]
    colour = own + (theirs - own) * np.float32(colours)
    light = np.clip(light, 0.0, 1.0)[..., None]
    room = np.where(colour > 0, 1.0 - light, light) / np.maximum(np.abs(colour), np.float32(1e-6))
    recoloured: NDArray[np.float32] = light + colour * np.minimum(room.min(-1, keepdims=True), 1.0)
    return recoloured
