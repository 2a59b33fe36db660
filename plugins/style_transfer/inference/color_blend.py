"""Blends a stylized image with its original, by strength, colour and luminance. Images are [h, w, 3] in 0..1."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

LUMA = (0.2126, 0.7152, 0.0722)
"""Weights of red, green and blue in the luminance (ITU-R BT.709)."""


@dataclass(frozen=True)
class ColorBlend:
    """`strength` 0 gives the original, 1 the stylized image, more exaggerates the change; the others are 0..1."""

    strength: float = 1.0
    keep_colours: float = 0.0
    keep_luminance: float = 0.0

    def blend(self, original: NDArray[np.float32], stylized: NDArray[np.float32]) -> NDArray[np.float32]:
        """Blend two images of one size, pixel by pixel."""
        import numpy as np

        result = stylized
        if self.keep_colours or self.keep_luminance:
            result = _transfer_colours(original, stylized, self.keep_colours, self.keep_luminance)
        if self.strength != 1.0:
            result = original + (result - original) * np.float32(self.strength)
        return np.clip(result, 0.0, 1.0)


def _transfer_colours(
    original: NDArray[np.float32], stylized: NDArray[np.float32], keep_colours: float, keep_luminance: float
) -> NDArray[np.float32]:
    """Interpolate luminance and chroma separately between the two images.

    A chroma that does not exist at a luminance is reduced until it does, so that the luminance is exact.
    """
    import numpy as np

    weights = np.asarray(LUMA, np.float32)
    original_luma, stylized_luma = (image @ weights for image in (original, stylized))
    luma = stylized_luma + (original_luma - stylized_luma) * np.float32(keep_luminance)
    stylized_chroma, original_chroma = stylized - stylized_luma[..., None], original - original_luma[..., None]
    chroma = stylized_chroma + (original_chroma - stylized_chroma) * np.float32(keep_colours)
    luma = np.clip(luma, 0.0, 1.0)[..., None]
    scale = np.where(chroma > 0, 1.0 - luma, luma) / np.maximum(np.abs(chroma), np.float32(1e-6))
    result: NDArray[np.float32] = luma + chroma * np.minimum(scale.min(-1, keepdims=True), 1.0)
    return result
