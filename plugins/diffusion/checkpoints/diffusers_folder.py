"""A diffusers folder, looked at before it is loaded: what is unsafe or damaged gets one sentence."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from studio import api

from .families import Family

INDEX = "model_index.json"
MODULAR_INDEX = "modular_model_index.json"
STUDIO_FILE = "studio.json"
MAX_CONFIG = 2**22
_WEIGHTLESS = ("scheduler", "tokenizer", "feature_extractor", "processor")


@dataclass(frozen=True)
class Folder:
    """A folder that may be loaded. `classes` has the class of each component, and `borrowed` the starter that
    a component comes from. `left_out` are components that the index says are not there, as the largest text encoder of
    Stable Diffusion 3 may not be."""

    path: Path
    pipeline: str
    classes: Mapping[str, str]
    borrowed: Mapping[str, str]
    left_out: tuple[str, ...] = ()


def inspect_folder(path: Path, *, without: Collection[str] = ()) -> Folder:
    """Raises BadInput for remote code, pickles, Git LFS pointers, and what is cut short or missing.

    The components `without` may be missing: they come from elsewhere.
    """
    if not (path / INDEX).is_file() and (path / MODULAR_INDEX).is_file():
        raise api.BadInput(
            f"{path.name} is a modular model, which has no ordinary pipeline to run it with.", "Choose another model."
        )
    index = read_json(path, INDEX)
    pipeline = pipeline_class_of(path)
    about = read_json(path, STUDIO_FILE) if (path / STUDIO_FILE).is_file() else {}
    borrowed = about.get("components", {})
    if not isinstance(borrowed, Mapping) or not all(isinstance(name, str) for name in borrowed.values()):
        raise api.BadInput(f"The {STUDIO_FILE} of {path.name} is damaged.", "Download the model again.")
    classes: dict[str, str] = {}
    for name, source in index.items():
        if name.startswith("_") or not _names_a_class(source):
            continue
        classes[name] = str(source[-1])
        if name not in borrowed:
            _check_component(path, name, source, needed=name not in without)
    left_out = tuple(name for name, source in index.items() if source == [None, None])
    return Folder(path, pipeline, classes, dict(borrowed), left_out)


def with_own_defaults(path: Path, family: Family) -> Family:
    """The family with the `steps` and `guidance` that suit this model, where its `studio.json` says them."""
    told = read_json(path, STUDIO_FILE).get("defaults", {}) if (path / STUDIO_FILE).is_file() else {}
    steps, guidance = (told.get(name) if isinstance(told, Mapping) else None for name in ("steps", "guidance"))
    if isinstance(steps, int) and 1 <= steps <= 1000:
        family = replace(family, steps=steps)
    if isinstance(guidance, int | float) and 0 <= guidance <= 50:
        family = replace(family, guidance=float(guidance))
    return family


def pipeline_class_of(path: Path) -> str:
    """The name of the pipeline's class. Raises BadInput for none, and for one that is not diffusers' own."""
    pipeline = read_json(path, INDEX).get("_class_name")
    if not isinstance(pipeline, str):
        raise _remote(path)
    return pipeline


def stamp(path: Path) -> int:
    """The time of the latest change, in ns: another one when a file or a folder is saved again under its name."""
    files = [path] if path.is_file() else [*path.glob("*.json"), *path.glob("*/*.safetensors")]
    return max((file.stat().st_mtime_ns for file in files), default=0)


def _check_component(path: Path, name: str, source: list[Any], *, needed: bool) -> None:
    library = source[0]
    if not _is_trusted(library):
        raise _remote(path)
    if not needed:
        return
    part = path / name
    if not part.is_dir():
        raise api.BadInput(f"{path.name} is incomplete: the folder {name} is missing.", "Download the model again.")
    if any(word in name for word in _WEIGHTLESS):
        return
    weights = sorted(part.glob("*.safetensors"))
    for file in weights:
        api.model_files.weight_shapes(file)
    if not weights:
        for file in sorted(part.iterdir()):
            if file.suffix.lower() in (".bin", ".ckpt", ".pt", ".pth", ".pkl"):
                api.model_files.weight_shapes(file)  # says why a pickle is refused
        raise api.BadInput(f"{path.name} holds no weights for its {name}.", "Download the model again.")


def _names_a_class(source: Any) -> bool:
    """Whether a value of the index is a component that is there, and not a setting or one that was left out."""
    return isinstance(source, list) and len(source) == 2 and all(isinstance(part, str) for part in source)


def _is_trusted(library: str) -> bool:
    """The libraries themselves, and what diffusers calls its own pipelines' folders, such as ``stable_diffusion``."""
    from diffusers import pipelines
    from diffusers.pipelines import deprecated

    if library in ("diffusers", "transformers"):
        return True
    return library.isidentifier() and (hasattr(pipelines, library) or hasattr(deprecated, library))


def _remote(path: Path) -> api.BadInput:
    return api.BadInput(
        f"{path.name} asks for program code of its own, which is not run.",
        "Choose a model that diffusers knows by itself.",
    )


def read_json(path: Path, name: str, what: str = "diffusion model") -> dict[str, Any]:
    """A JSON file of a folder that should be a `what`. Raises BadInput where it is missing or damaged."""
    file = path / name
    try:
        if file.stat().st_size > MAX_CONFIG:
            raise ValueError
        value = json.loads(file.read_text("utf-8"))
    except FileNotFoundError as error:
        raise api.BadInput(f"{path.name} is no {what}: it has no {name}.", "Choose a diffusers folder.") from error
    except (OSError, ValueError) as error:
        raise api.BadInput(f"The {name} of {path.name} is damaged.", "Download the model again.") from error
    if not isinstance(value, dict):
        raise api.BadInput(f"The {name} of {path.name} is damaged.", "Download the model again.")
    return value
