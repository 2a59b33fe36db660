"""Directions in a safetensors file: named, shared, and imported from other programs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from studio import api

from .directions import Direction

if TYPE_CHECKING:
    from torch import Tensor

    from ..models.gan_model import GanModel

MODEL_KIND = "gan-directions"
FILE = "directions.safetensors"
MAX_DIRECTIONS = 512
MAX_NAME = 100
NOTE = "studio_directions"
GANSPACE_SUFFIX, BOUNDARY_SUFFIX = ".npz", ".npy"


def save_directions(path: Path, directions: Sequence[Direction], model: GanModel) -> None:
    """Write directions into a safetensors file, with names and measurements in its metadata."""
    from safetensors.torch import save_file

    facts = [
        {"name": one.name, "effect": round(one.effect, 4), "side_effects": round(one.side_effects, 4)}
        for one in directions
    ]
    content = {"model": model.title, "space": model.style_space, "directions": facts}
    tensors = {str(number): one.values.half().contiguous() for number, one in enumerate(directions)}
    with api.atomic_write(path) as part:
        save_file(tensors, part, metadata={NOTE: json.dumps(content)})


def load_directions(ctx: api.Context, choice: str, model: GanModel) -> list[Direction]:
    """Return the directions of a `ModelChoice`; without one, those in the folder of the model, if there are any.

    Raises BadInput for a file that is damaged or made for a model with other styles. Directions of another model whose
    styles have the same size are used, with a notice.
    """
    if not choice:
        own = model.folder / FILE if model.folder else None
        return read_directions(own, model)[0] if own and own.is_file() else []
    path = Path(ctx.model(choice))
    file = path / FILE if path.is_dir() else path
    if path.is_dir() and not file.is_file():
        raise api.BadInput(f"{path.name} holds no directions.", "Choose another set, or use “Find directions”.")
    directions, fits = read_directions(file, model)
    if not fits:
        ctx.emit(api.Notice(f"{path.name} was made for another GAN; here its directions may mean other things."))
    return directions


def read_directions(file: Path, model: GanModel) -> tuple[list[Direction], bool]:
    """Read a file of directions: the studio's, GANSpace's (.npz) or InterfaceGAN's (.npy).

    Returns (directions, whether they were made for this model). Raises BadInput as `load_directions` does.
    """
    with api.model_files.damage_as_bad_input(file):
        if file.suffix.lower() in (GANSPACE_SUFFIX, BOUNDARY_SUFFIX):
            return _read_foreign(file, model), False
        return _read_own(file, model)


def read_names(file: Path) -> list[str]:
    """Return the names in a file of directions without loading it; empty for any other file."""
    from safetensors import safe_open

    if file.suffix != Path(FILE).suffix:
        return []
    try:
        with api.model_files.quiet_load(), safe_open(file, "np") as stored:
            facts = json.loads((stored.metadata() or {}).get(NOTE, "null"))["directions"]
            return [str(fact["name"])[:MAX_NAME] for fact in facts[:MAX_DIRECTIONS]]
    except api.model_files.UNREADABLE:
        return []


def _read_own(file: Path, model: GanModel) -> tuple[list[Direction], bool]:
    from safetensors import safe_open

    damaged = api.BadInput(f"{file.name} is not a file of directions.", "Choose another, or find directions.")
    with api.model_files.quiet_load(damaged), safe_open(file, "pt") as stored:
        content = json.loads((stored.metadata() or {}).get(NOTE, "null"))
        facts = content["directions"][:MAX_DIRECTIONS]
        tensors = [stored.get_tensor(str(number)).float() for number in range(len(facts))]
    directions = []
    for number, (fact, values) in enumerate(zip(facts, tensors, strict=True)):
        _check_values(file, values, model)
        name = str(fact.get("name", ""))[:MAX_NAME] or f"Direction {number + 1}"
        directions.append(Direction(name, values, float(fact.get("effect", 0)), float(fact.get("side_effects", 0))))
    return directions, content.get("space") == model.style_space


def _read_foreign(file: Path, model: GanModel) -> list[Direction]:
    import numpy as np
    import torch

    with api.model_files.open_file(file) as stream:
        loaded: Any = np.load(stream, allow_pickle=False)
        if file.suffix.lower() == BOUNDARY_SUFFIX:
            components, scales = loaded.reshape(-1, loaded.shape[-1]), None
        else:
            components = loaded["lat_comp"]
            components = components.reshape(-1, components.shape[-1])
            scales = loaded["lat_stdev"].reshape(-1)
    layers = model.generator.layer_count
    directions = []
    for number, component in enumerate(components[:MAX_DIRECTIONS]):
        scale = 2 * float(scales[number]) if scales is not None and number < len(scales) else 3.0
        values = torch.from_numpy(np.asarray(component, np.float32)) * scale
        expanded = values[None].expand(layers, -1).clone()
        _check_values(file, expanded, model)
        directions.append(Direction(f"{file.stem[:MAX_NAME]} {number + 1}", expanded))
    return directions


def _check_values(file: Path, values: Tensor, model: GanModel) -> None:
    generator = model.generator
    if tuple(values.shape) != (generator.layer_count, generator.style_size):
        raise api.BadInput(
            f"{file.name} was made for a GAN with other styles than {model.title}.", "Choose other directions."
        )
    if not bool(values.isfinite().all()):
        raise api.BadInput(f"{file.name} contains NaN or infinite numbers.", "Choose other directions.")
