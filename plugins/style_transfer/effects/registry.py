"""Effects that are computed from any photo, for networks to learn: they need no paintings and no licence."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from . import drawing, printing, stained_glass
from .drawing import Floats

Effect: TypeAlias = Literal["ink", "pencil", "halftone", "risograph", "pixels", "glass"]
LABELS = ("Ink wash", "Pencil", "Halftone", "Risograph", "Pixel art", "Stained glass")

EFFECTS: Mapping[str, Callable[[Floats, np.random.Generator], Floats]] = {
    "ink": drawing.ink_wash,
    "pencil": drawing.pencil,
    "halftone": printing.halftone,
    "risograph": printing.risograph,
    "pixels": printing.pixel_art,
    "glass": stained_glass.stained_glass,
}


def paint(effect: str, picture: NDArray[np.uint8], seed: int) -> NDArray[np.uint8]:
    """The effect over a picture [h, w, 3]. The same for the same picture and seed.

    Patterns begin at the upper left corner and repeat every 8 px, except the cells of stained glass.
    """
    made = EFFECTS[effect](picture.astype(np.float32) / 255, np.random.default_rng(seed))
    return (np.clip(made, 0, 1) * 255 + 0.5).astype(np.uint8)
