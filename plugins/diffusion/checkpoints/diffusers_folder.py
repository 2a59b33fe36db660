"""Diffusers folders, checked before they are loaded: unsafe and damaged ones raise one sentence."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeGuard

from studio import api

from .families import Family

INDEX = "model_index.json"
MODULAR_INDEX = "modular_model_index.json"
STUDIO_FILE = "studio.json"
MAX_CONFIG = 2**22
_WITHOUT_WEIGHTS = ("scheduler", "tokenizer", "feature_extractor", "processor")


@dataclass(frozen=True)
class DiffusersFolder:
    """A folder that may be loaded.

    `classes` has the class name of each component, and `borrowed` the starter that a component comes from. `absent` are
    components that the index sets to null, such as the largest text encoder of Stable Diffusion 3.
    """

    path: Path
    pipeline: str
    classes: Mapping[str, str]
    borrowed: Mapping[str, str]
    absent: tuple[str, ...] = ()


def inspect_folder(path: Path, *, optional: Collection[str] = ()) -> DiffusersFolder:
    """Read the index of a folder and check its components; those in `optional` may be missing.

    Raises BadInput for custom code, pickles, Git LFS pointers, and files that are truncated or missing.
    """
    if not (path / INDEX).is_file() and (path / MODULAR_INDEX).is_file():
        raise api.BadInput(f"{path.name} is a modular model, which is not supported.", "Choose another model.")
    api.model_files.refuse_pointers(path)
    index = read_json(path, INDEX)
    pipeline = pipeline_class_of(path)
    about = read_json(path, STUDIO_FILE) if (path / STUDIO_FILE).is_file() else {}
    borrowed = about.get("components", {})
    if not isinstance(borrowed, Mapping) or not all(isinstance(starter, str) for starter in borrowed.values()):
        raise _damage_error(path, STUDIO_FILE)
    classes: dict[str, str] = {}
    for name, source in index.items():
        if name.startswith("_") or not _names_a_class(source):
            continue
        library, classes[name] = source
        if name not in borrowed:
            _check_component(path, name, library, needed=name not in optional)
    absent = tuple(name for name, source in index.items() if source == [None, None])
    return DiffusersFolder(path, pipeline, classes, dict(borrowed), absent)


def with_own_defaults(path: Path, family: Family) -> Family:
    """Return the family with the steps and guidance that the model's `studio.json` gives, if any."""
    defaults = read_json(path, STUDIO_FILE).get("defaults", {}) if (path / STUDIO_FILE).is_file() else {}
    steps, guidance = (defaults.get(name) if isinstance(defaults, Mapping) else None for name in ("steps", "guidance"))
    if isinstance(steps, int) and 1 <= steps <= 1000:
        family = replace(family, steps=steps)
    if isinstance(guidance, int | float) and 0 <= guidance <= 50:
        family = replace(family, guidance=float(guidance))
    return family


def title_of(path: Path) -> str:
    """Return the title in the `studio.json` of a model's folder, or the name of the folder or file."""
    title = read_json(path, STUDIO_FILE).get("title") if (path / STUDIO_FILE).is_file() else None
    return title if isinstance(title, str) and title else path.name


def pipeline_class_of(path: Path) -> str:
    """Return the name of the pipeline class. Raises BadInput for none, and for one that is not diffusers' own."""
    pipeline = read_json(path, INDEX).get("_class_name")
    if not isinstance(pipeline, str):
        raise custom_code_error(path.name)
    return pipeline


def custom_code_error(model: str) -> api.BadInput:
    """Return the error for a model that comes with Python code of its own."""
    return api.BadInput(
        f"{model} needs Python code of its own, which the studio does not run.",
        "Choose a model that diffusers supports.",
    )


def read_json(path: Path, name: str, kind: str = "diffusion model") -> dict[str, Any]:
    """Read a JSON file of a folder that should be a `kind`. Raises BadInput where it is missing or damaged."""
    file = path / name
    try:
        if file.stat().st_size > MAX_CONFIG:
            raise ValueError
        value = json.loads(file.read_bytes())
    except FileNotFoundError as error:
        raise api.BadInput(f"{path.name} is no {kind}: it has no {name}.", "Choose a diffusers folder.") from error
    except (OSError, ValueError) as error:
        raise _damage_error(path, name) from error
    if not isinstance(value, dict):
        raise _damage_error(path, name)
    return value


def _check_component(path: Path, name: str, library: str, *, needed: bool) -> None:
    if not _is_trusted(library):
        raise custom_code_error(path.name)
    if not needed:
        return
    folder = path / name
    if not folder.is_dir():
        raise api.BadInput(f"{path.name} is incomplete: the folder {name} is missing.", "Download the model again.")
    if any(word in name for word in _WITHOUT_WEIGHTS):
        return
    weights = sorted(folder.glob("*.safetensors"))
    for file in weights:
        api.model_files.read_weight_shapes(file)
    api.model_files.refuse_whole_numbers(folder, f"The {name} of {path.name}")
    if not weights:
        for file in sorted(folder.iterdir()):
            if file.suffix.lower() in (".bin", ".ckpt", ".pt", ".pth", ".pkl"):
                api.model_files.read_weight_shapes(file)  # says why a pickle is refused
        raise api.BadInput(f"{path.name} has no weights for its {name}.", "Download the model again.")


def _names_a_class(source: object) -> TypeGuard[list[str]]:
    """Tell the components in an index, [library, class], from settings and from components that are absent."""
    return isinstance(source, list) and len(source) == 2 and all(isinstance(part, str) for part in source)


def _is_trusted(library: str) -> bool:
    """Accept the libraries themselves, and the names of diffusers' own pipeline folders, as ``stable_diffusion``."""
    from diffusers import pipelines
    from diffusers.pipelines import deprecated

    if library in ("diffusers", "transformers"):
        return True
    return library.isidentifier() and (hasattr(pipelines, library) or hasattr(deprecated, library))


def _damage_error(path: Path, name: str) -> api.BadInput:
    return api.BadInput(f"The {name} of {path.name} is damaged.", "Download the model again.")
