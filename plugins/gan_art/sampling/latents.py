"""Styles from seeds, and styles in the notes of a creation, from which other tools start."""

from __future__ import annotations

import base64
import binascii
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from studio import api

if TYPE_CHECKING:
    from torch import Tensor

    from ..models.gan_model import GanModel

NOTE = "latent"
"""Key of a recipe's notes with the styles of an image."""
SEEDS_NOTE = "seeds"
"""Key of a recipe's notes with the seeds of the tiles of a sheet."""
SEED_NOTE = "seed"
"""Key of a recipe's notes with the seed that makes an image of a sheet by itself."""
SEEDS = 2**32
NO_CLASS = -1
"""Number of the class of an image that has none."""
MAX_VALUES = 2**20
"""Largest number of values of a stored latent."""
MAP_ANGLE = math.pi / 2
"""Angle in radians between the middle of the map and its edges."""


@dataclass(frozen=True)
class Latent:
    """The styles [layers, style size] of one image as float32 on the CPU, and its class."""

    styles: Tensor
    class_number: int = NO_CLASS


def list_seeds(seed: int, count: int) -> list[int]:
    """Return the seeds of images that are made together: the first is the job's, the others follow."""
    return [(seed + number) % SEEDS for number in range(count)]


def draw_latents(model: GanModel, seeds: Sequence[int]) -> Tensor:
    """Return the latents [n, latent size] of seeds, from a standard normal distribution."""
    import torch

    size = model.generator.latent_size
    return torch.cat([torch.randn(1, size, generator=torch.Generator().manual_seed(seed)) for seed in seeds])


def choose_classes(model: GanModel, name: str, seeds: Sequence[int]) -> list[int]:
    """Return the class of each image: that of a name, or drawn by its seed; none for an unconditional model.

    Raises BadInput for a class that does not exist.
    """
    import torch

    if name:
        return [model.find_class(name)] * len(seeds)
    if not (classes := model.generator.classes):
        return []
    generators = [torch.Generator().manual_seed((seed + 1) % SEEDS) for seed in seeds]
    return [int(torch.randint(classes, (1,), generator=generator)) for generator in generators]


def move_on_map(latents: Tensor, seeds: Sequence[int], x: float, y: float) -> Tensor:
    """Return latents [n, size] moved along two directions of their seeds.

    The directions are orthogonal to each other and to the latent. The movement follows a great circle, so that the
    length stays; at a distance of 1 from the middle, nothing of the latent is left.
    """
    import torch

    distance = math.hypot(x, y)
    if not distance or latents.shape[1] < 3:
        return latents
    moved = []
    for latent, seed in zip(latents, seeds, strict=True):
        drawn = torch.randn(2, len(latent), generator=torch.Generator().manual_seed((seed + 2) % SEEDS))
        basis = torch.linalg.qr(torch.stack([latent, *drawn]).T).Q
        direction = (x * basis[:, 1] + y * basis[:, 2]) / distance
        angle = MAP_ANGLE * distance
        moved.append(math.cos(angle) * latent + math.sin(angle) * latent.norm() * direction)
    return torch.stack(moved)


def average_style(model: GanModel) -> Tensor:
    """Return the mean style [style size] of all images, over all classes."""
    return model.generator.mean_style.cpu().float().mean(dim=0)


def round_styles(styles: Tensor) -> Tensor:
    """Round styles to what a note holds, so that an image can be made again from its note."""
    return styles.half().float()


def build_note(model: GanModel, latent: Latent) -> dict[str, Any]:
    """Return the notes of an image with its latent, as `read_latent` reads them."""
    styles = latent.styles
    if bool((styles == styles[:1]).all()):
        styles = styles[:1]
    # without slashes, which would be taken for the path of a file
    packed = base64.urlsafe_b64encode(styles.half().cpu().contiguous().numpy().astype("<f2").tobytes()).decode()
    note: dict[str, Any] = {
        "styles": packed,
        "shape": [*styles.shape],
        "layers": model.generator.layer_count,
        "model": model.title,
        "space": model.style_space,
    }
    if latent.class_number != NO_CLASS:
        note["class"] = model.class_names[latent.class_number]
    return {NOTE: note}


def read_latent(ctx: api.Context, path: Path, model: GanModel) -> Latent:
    """Return the latent of a creation.

    Raises BadInput for an image without one, or one of a model with styles of another size. One of another model of
    the same size is used as it is, with a notice.
    """
    notes = ctx.notes_of(path)
    note = notes.get(NOTE)
    if not isinstance(note, dict):
        if SEEDS_NOTE in notes:
            raise api.BadInput(f"{path.name} is a sheet of several images.", "Use one that was saved by itself.")
        raise api.BadInput(f"{path.name} has no latent.", "Use “Invert” first, which finds the latent of any image.")
    styles = _unpack(path, note)
    generator = model.generator
    other = str(note.get("model", ""))[:100] or "another model"
    if styles.shape[1] != generator.style_size or note.get("layers") != generator.layer_count:
        raise api.BadInput(
            f"{path.name} was made with {other}, whose styles do not fit to {model.title}.", "Choose it."
        )
    if note.get("space") != model.style_space:
        ctx.emit(api.Notice(f"{path.name} was made with {other}; in {model.title} its styles mean other things."))
    name = note.get("class")
    known = model.class_names
    number = known.index(name) if isinstance(name, str) and name in known else NO_CLASS
    return Latent(styles.expand(generator.layer_count, -1).clone(), number)


def _unpack(path: Path, note: dict[str, Any]) -> Tensor:
    """Return the styles [1 or layers, style size] in a note. Raises BadInput for a damaged one."""
    import numpy as np
    import torch

    damaged = api.BadInput(f"The latent of {path.name} is damaged.", "Use “Invert”, which finds it again.")
    shape, layers, packed = note.get("shape"), note.get("layers"), note.get("styles")
    if not (isinstance(shape, list) and len(shape) == 2 and all(type(size) is int and size > 0 for size in shape)):
        raise damaged
    if not isinstance(packed, str) or shape[0] * shape[1] > MAX_VALUES or shape[0] not in (1, layers):
        raise damaged
    try:
        content = base64.b64decode(packed, altchars=b"-_", validate=True)
    except (binascii.Error, ValueError) as error:
        raise damaged from error
    if len(content) != 2 * shape[0] * shape[1]:
        raise damaged
    styles = torch.from_numpy(np.frombuffer(content, "<f2").astype(np.float32).reshape(shape))
    if not bool(styles.isfinite().all()):
        raise damaged
    return styles
