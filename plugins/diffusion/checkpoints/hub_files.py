"""Which files of a model on the Hugging Face hub are needed for painting."""

from __future__ import annotations

import warnings
from collections.abc import Collection
from pathlib import Path
from typing import Any

from studio import api

from . import weight_variants

INDEX = "model_index.json"
CONFIG = "config.json"
FORMAT = "diffusers"
_WEIGHTS = (".safetensors", ".bin", ".ckpt", ".pt", ".pth", ".msgpack", ".h5", ".onnx", ".onnx_data", ".pb")
_PLAIN = (".json", ".txt", ".model", ".jinja", ".tiktoken")


def fetch_pipeline(name: str, ctx: api.Context) -> Path:
    """The folder of a diffusers pipeline, by its name on the hub.

    Raises BadInput as `api.hub.download_model` does.
    """
    return api.hub.download_model(
        name, ctx, index_file=INDEX, choose_files=pipeline_files, format_name=FORMAT, find_cached=_cached
    )


def fetch_component(name: str, ctx: api.Context) -> Path:
    """The folder of a single model with a `config.json`, such as a ControlNet. Raises as `fetch_pipeline` does."""
    return api.hub.download_model(
        name, ctx, index_file=CONFIG, choose_files=component_files, format_name=FORMAT, find_cached=_cached_component
    )


def pipeline_files(name: str, files: api.hub.HubFiles, index: dict[str, Any]) -> list[str]:
    """What diffusers needs of a repository: the parts that its index names, their weights as safetensors only, of half
    the precision where there are no others.

    Raises BadInput where a part has other weights alone, or the index asks for program code of its own.
    """
    if not isinstance(index.get("_class_name"), str):
        raise api.BadInput(
            f"{name} asks for program code of its own, which is not run.",
            "Choose a model that diffusers knows by itself.",
        )
    found = [INDEX]
    for part, source in index.items():
        if part.startswith("_") or not isinstance(source, list) or not source or source[0] is None:
            continue
        inside = {path.removeprefix(f"{part}/") for path in files if path.startswith(f"{part}/")}
        found += [f"{part}/{file}" for file in _of_folder(name, part, {file for file in inside if "/" not in file})]
    return found


def component_files(name: str, files: api.hub.HubFiles, _config: dict[str, Any]) -> list[str]:
    """Configuration and weights that lie in the root of a repository. Raises BadInput as `pipeline_files` does."""
    return sorted({CONFIG, *_of_folder(name, "model", {path for path in files if "/" not in path})} & files.keys())


def _of_folder(name: str, part: str, files: Collection[str]) -> list[str]:
    if not any(file.endswith(_WEIGHTS) for file in files):
        return sorted(file for file in files if file.endswith(_PLAIN))
    _, weights = weight_variants.choose_variant(files)
    if not weights:
        raise api.BadInput(f"{name} has no safetensors for its {part}.", "Choose another model.")
    return sorted([*weights, *({CONFIG, "generation_config.json"} & set(files))])


def _cached(name: str) -> Path | None:
    from diffusers import DiffusionPipeline

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return Path(
                DiffusionPipeline.download(
                    name, use_safetensors=True, local_files_only=True, load_connected_pipeline=True
                )
            )
        except (OSError, ValueError):
            return None


def _cached_component(name: str) -> Path | None:
    from huggingface_hub import snapshot_download

    wanted = [CONFIG, "diffusion_pytorch_model*.safetensors", "*.safetensors.index.json"]
    try:
        path = Path(snapshot_download(name, allow_patterns=wanted, ignore_patterns="*/*", local_files_only=True))
    except (OSError, ValueError):
        return None
    return path if (path / CONFIG).is_file() and any(path.glob("*.safetensors")) else None
