"""Effects computed from any photo, on which networks are trained. They need no paintings and no licence."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from . import drawing, printing, stained_glass
from .drawing import Floats

Effect: TypeAlias = Literal["ink", "pencil", "halftone", "risograph", "pixels", "glass"]
LABELS = ("Ink wash", "Pencil", "Halftone", "Risograph", "Pixel art", "Stained glass")

EFFECTS: Mapping[Effect, Callable[[Floats, np.random.Generator], Floats]] = {
    "ink": drawing.draw_ink_wash,
    "pencil": drawing.draw_pencil,
    "halftone": printing.print_halftone,
    "risograph": printing.print_risograph,
    "pixels": printing.make_pixel_art,
    "glass": stained_glass.make_stained_glass,
}


def apply_effect(effect: Effect, image: NDArray[np.uint8], seed: int) -> NDArray[np.uint8]:
    """Apply an effect to an image [h, w, 3] of 0..255. The result depends on image and seed alone.

    Patterns begin at the upper left corner and repeat every 8 px, except the cells of stained glass.
    """
    result = EFFECTS[effect](image.astype(np.float32) / np.float32(255), np.random.default_rng(seed))
    return (np.clip(result, 0, 1) * 255 + 0.5).astype(np.uint8)
