"""A diffusers folder, looked at before it is loaded: what is unsafe or damaged gets one sentence."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from studio import api

INDEX = "model_index.json"
ABOUT = "studio.json"
MAX_CONFIG = 2**22
_WEIGHTLESS = ("scheduler", "tokenizer", "feature_extractor", "processor")


@dataclass(frozen=True)
class Folder:
    """A folder that may be loaded. `borrowed` names starters by the component that comes from them."""

    path: Path
    pipeline: str
    borrowed: Mapping[str, str]


def inspected(path: Path) -> Folder:
    """Raises BadInput for remote code, pickles, Git LFS pointers, and what is cut short or missing."""
    index = read(path, INDEX)
    pipeline = index.get("_class_name")
    if not isinstance(pipeline, str):
        raise _remote(path)
    about = read(path, ABOUT) if (path / ABOUT).is_file() else {}
    borrowed = about.get("components", {})
    if not isinstance(borrowed, Mapping) or not all(isinstance(name, str) for name in borrowed.values()):
        raise api.BadInput(f"The {ABOUT} of {path.name} is damaged.", "Download the model again.")
    for name, source in index.items():
        if name.startswith("_") or not isinstance(source, list) or source[:1] == [None] or name in borrowed:
            continue
        _check_component(path, name, source)
    return Folder(path, pipeline, dict(borrowed))


def _check_component(path: Path, name: str, source: list[Any]) -> None:
    library = source[0]
    if not isinstance(library, str) or not _is_trusted(library):
        raise _remote(path)
    part = path / name
    if not part.is_dir():
        raise api.BadInput(f"{path.name} is incomplete: the folder {name} is missing.", "Download the model again.")
    if any(word in name for word in _WEIGHTLESS):
        return
    weights = sorted(part.glob("*.safetensors"))
    for file in weights:
        api.weight_shapes(file)
    if not weights:
        for file in sorted(part.iterdir()):
            if file.suffix.lower() in (".bin", ".ckpt", ".pt", ".pth", ".pkl"):
                api.weight_shapes(file)  # says why a pickle is refused
        raise api.BadInput(f"{path.name} holds no weights for its {name}.", "Download the model again.")


def _is_trusted(library: str) -> bool:
    """The libraries themselves, and what diffusers calls its own pipelines' folders, such as ``stable_diffusion``."""
    from diffusers import pipelines

    return library in ("diffusers", "transformers") or (library.isidentifier() and hasattr(pipelines, library))


def _remote(path: Path) -> api.BadInput:
    return api.BadInput(
        f"{path.name} asks for program code of its own, which is not run.",
        "Choose a model that diffusers knows by itself.",
    )


def read(path: Path, name: str, what: str = "diffusion model") -> dict[str, Any]:
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
