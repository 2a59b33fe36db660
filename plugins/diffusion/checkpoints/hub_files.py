"""Choice of the files of a model on the Hugging Face hub that a pipeline needs."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any

from studio import api

from . import diffusers_folder, weight_variants

INDEX = "model_index.json"
CONFIG = "config.json"
FORMAT = "diffusers"
WEIGHTS = (".safetensors", ".bin", ".ckpt", ".pt", ".pth", ".msgpack", ".h5", ".onnx", ".onnx_data", ".pb")
_CONFIGURATIONS = (".json", ".txt", ".model", ".jinja", ".tiktoken")


def fetch_pipeline(name: str, ctx: api.Context) -> Path:
    """Return the folder of a diffusers pipeline, downloaded if needed, by its name on the hub.

    Raises BadInput as `api.hub.download_model` does.
    """
    return api.hub.download_model(
        name, ctx, index_file=INDEX, choose_files=pipeline_files, format_name=FORMAT, find_cached=_find_cached_pipeline
    )


def fetch_component(name: str, ctx: api.Context) -> Path:
    """Return the folder of a single model with a `config.json`, such as a ControlNet. Raises as `fetch_pipeline`."""
    return api.hub.download_model(
        name,
        ctx,
        index_file=CONFIG,
        choose_files=component_files,
        format_name=FORMAT,
        find_cached=_find_cached_component,
    )


def pipeline_files(name: str, files: api.hub.HubFiles, index: dict[str, Any]) -> list[str]:
    """List the files that diffusers needs: the components in the index, with weights as safetensors.

    Weights of half precision are listed where there are no others. Raises BadInput where a component has only weights
    in other formats, or the index asks for Python code of its own.
    """
    if not isinstance(index.get("_class_name"), str):
        raise diffusers_folder.custom_code_error(name)
    listed = [INDEX]
    for component, source in index.items():
        if component.startswith("_") or not isinstance(source, list) or not source or source[0] is None:
            continue
        inside = {path.removeprefix(f"{component}/") for path in files if path.startswith(f"{component}/")}
        direct = {file for file in inside if "/" not in file}
        listed += [f"{component}/{file}" for file in _files_of_component(name, component, direct)]
    return listed


def component_files(name: str, files: api.hub.HubFiles, _config: dict[str, Any]) -> list[str]:
    """List configuration and weights in the root of a repository. Raises BadInput as `pipeline_files` does."""
    root = {path for path in files if "/" not in path}
    return sorted({CONFIG, *_files_of_component(name, "model", root)} & files.keys())


def _files_of_component(name: str, component: str, files: Collection[str]) -> list[str]:
    if not any(file.endswith(WEIGHTS) for file in files):
        return sorted(file for file in files if file.endswith(_CONFIGURATIONS))
    _, weights = weight_variants.choose_variant(files)
    if not weights:
        raise api.BadInput(f"{name} has no safetensors for its {component}.", "Choose another model.")
    return sorted([*weights, *({CONFIG, "generation_config.json"} & set(files))])


def _find_cached_pipeline(name: str) -> Path | None:
    from diffusers import DiffusionPipeline

    with api.model_files.quiet_load():
        try:
            return Path(
                DiffusionPipeline.download(
                    name, use_safetensors=True, local_files_only=True, load_connected_pipeline=True
                )
            )
        except (OSError, ValueError):
            return None


def _find_cached_component(name: str) -> Path | None:
    from huggingface_hub import snapshot_download

    patterns = [CONFIG, "diffusion_pytorch_model*.safetensors", "*.safetensors.index.json"]
    try:
        path = Path(snapshot_download(name, allow_patterns=patterns, ignore_patterns="*/*", local_files_only=True))
    except (OSError, ValueError):
        return None
    return path if (path / CONFIG).is_file() and any(path.glob("*.safetensors")) else None
