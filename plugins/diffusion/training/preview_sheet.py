"""A sheet of images that shows the progress of a training."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from studio import api

from . import captions
from .caption_options import CaptionOptions
from .captions import Subject
from .trainable_model import TrainableModel

if TYPE_CHECKING:
    import numpy as np
    from diffusers import AutoencoderKL
    from numpy.typing import NDArray

MAX_PROMPTS = 12
DEFAULT_PROMPTS = (
    "a red apple, 3d",
    "a fox, 3d",
    "a house, flat",
    "a blue butterfly, flat",
    "an owl, 3d",
    "a yellow sun on a blue ground, flat",
    "a red apple and a fox on a blue ground, 3d",
    "a snowman, flat",
)
"""Preview prompts for training images in all styles of `captions.STYLES`."""
_COLUMNS = 4
_DEFAULT_COUNT = 8


@dataclass(frozen=True)
class PreviewSheet:
    """Generates images of some prompts. `side` is that of the latents."""

    vae: AutoencoderKL
    side: int

    def render(self, model: TrainableModel, prompts: Sequence[str], ctx: api.Context) -> NDArray[np.uint8]:
        """Return the images, from the same noise at each call, in a grid [h, w, 3] of 8 bits on white."""
        import torch

        images = model.render(prompts, self.vae, self.side, ctx)
        columns = min(_COLUMNS, len(prompts))
        rows = math.ceil(len(prompts) / columns)
        side = images.shape[-1]
        cells = torch.ones(rows * columns, 3, side, side)
        cells[: len(prompts)] = images
        grid = cells.view(rows, columns, 3, side, side).permute(2, 0, 3, 1, 4).reshape(3, rows * side, columns * side)
        return api.images.to_uint8(grid)


def choose_prompts(
    prompts: Sequence[str], subjects: Sequence[Subject], options: CaptionOptions | None = None
) -> list[str]:
    """Return the prompts that the artist asks for, or else some captions of the training images."""
    options = options or CaptionOptions()
    own = [prompt for prompt in prompts if prompt.strip()]
    if own:
        return own[:MAX_PROMPTS]
    if {subject.style for subject in subjects} >= {*captions.STYLES}:
        return [options.complete(prompt) for prompt in DEFAULT_PROMPTS]
    captioned = [subject for subject in subjects if subject.name] or subjects
    some = captioned[:: max(1, len(captioned) // _DEFAULT_COUNT)][:_DEFAULT_COUNT]
    told = [captions.complete_caption(subject.noun, style=subject.style) for subject in some]
    return [options.complete(text) for text in told]
