"""Detects the kind of a model file or folder without loading it."""

from __future__ import annotations

import json
from collections.abc import Collection
from functools import lru_cache
from pathlib import Path
from typing import Any

from studio.core.model_files import gguf_header
from studio.core.model_files.safetensors_header import read_safetensors_header
from studio.core.model_files.tensor_names import (
    AUTOENCODER,
    CONTROLNET,
    DIFFUSION,
    EMBEDDING,
    IP_ADAPTER,
    LANGUAGE,
    LORA,
    STYLE,
    TEXT_ENCODER,
    UPSCALER,
    kind_of_names,
)
from studio.core.untrusted_files import read_file, read_or_else

__all__ = [
    "AUTOENCODER",
    "CONTROLNET",
    "DIFFUSION",
    "EMBEDDING",
    "IP_ADAPTER",
    "LANGUAGE",
    "LORA",
    "STYLE",
    "TEXT_ENCODER",
    "UPSCALER",
    "kind_of_names",
]

MASKED_LANGUAGE = "masked-language"
VISION_LANGUAGE = "vision-language"
MOTION_ADAPTER = "motion-adapter"
PART = "part"
"""A file that only accompanies a model: an adapter, a projector, or a further part of a split GGUF file."""

INDEX = "model_index.json"
CONFIG = "config.json"
ADAPTER = "adapter_config.json"
MAX_CONFIG = 2**22
WEIGHTS = (".safetensors", ".sft", ".gguf", ".onnx", ".dfm")
PICKLES = (".ckpt", ".pt", ".pth", ".bin", ".pkl")

_KIND_BY_CLASS = (
    ("ControlNet", CONTROLNET),
    ("T2IAdapter", CONTROLNET),
    ("Autoencoder", AUTOENCODER),
    ("AsymmetricAutoencoder", AUTOENCODER),
    ("VQModel", AUTOENCODER),
    ("MotionAdapter", MOTION_ADAPTER),
)
"""Prefixes of the diffusers class that a `config.json` names, with their kinds."""

_KIND_BY_ARCHITECTURE = {
    **dict.fromkeys(
        ("flux", "sd1", "sd3", "sdxl", "aura", "cosmos", "hidream", "hyvid", "ltxv", "lumina2", "qwen_image", "wan"),
        DIFFUSION,
    ),
    **dict.fromkeys(("clip", "t5", "t5encoder", "bert", "modern-bert", "neo-bert"), TEXT_ENCODER),
    **dict.fromkeys(("nomic-bert", "nomic-bert-moe", "jina-bert-v2", "jina-bert-v3", "gemma-embedding"), TEXT_ENCODER),
}
"""GGUF architectures that are no language models. Any other one with a context length is a language model."""


def kind_of(path: Path) -> str:
    """Return the kind of a model, as `api.param(model=…)` names it; also `language`, `text-encoder` or `upscaler`.

    Empty if neither name, index, configuration nor header show it, as for a pickle or a damaged file.
    """
    return _kind_of_folder(path) if path.is_dir() else _kind_of_file(path)


def is_model_folder(names: Collection[str]) -> bool:
    """Check whether a folder with these file names is one model, and not a collection of several."""
    return INDEX in names or (bool({CONFIG, ADAPTER} & set(names)) and any(name.endswith(WEIGHTS) for name in names))


def _kind_of_folder(path: Path) -> str:
    if (path / INDEX).is_file():
        return DIFFUSION
    if (path / ADAPTER).is_file():
        return LANGUAGE if read_json(path / ADAPTER).get("task_type") == "CAUSAL_LM" else LORA
    if kind := _kind_of_config(read_json(path / CONFIG)):
        return kind
    try:
        inside = [file for file in path.iterdir() if file.suffix.lower() in (".safetensors", ".sft", ".gguf")]
    except OSError:
        return ""
    return _kind_of_file(inside[0]) if len(inside) == 1 else ""


def _kind_of_config(config: dict[str, Any]) -> str:
    name = config.get("_class_name")
    if isinstance(name, str):
        return next((kind for start, kind in _KIND_BY_CLASS if name.startswith(start)), DIFFUSION)
    architectures = config.get("architectures")
    if not isinstance(architectures, list) or not architectures:
        return ""
    name = str(architectures[0])
    if name.endswith("ForMaskedLM"):
        return MASKED_LANGUAGE
    if "vision_config" in config and name.endswith(("ForConditionalGeneration", "ForCausalLM")):
        return VISION_LANGUAGE
    return LANGUAGE if name.endswith(("ForCausalLM", "LMHeadModel")) else TEXT_ENCODER


def _kind_of_file(path: Path) -> str:
    try:
        state = path.stat()
    except OSError:
        return ""
    return _kind_of_header(path, state.st_size, state.st_mtime_ns)


@lru_cache(maxsize=10_000)
def _kind_of_header(path: Path, _size: int, _changed: int) -> str:
    if path.suffix.lower() == gguf_header.SUFFIX:
        return _kind_of_gguf(path)
    if path.suffix.lower() not in (".safetensors", ".sft"):
        return ""
    return read_or_else("", lambda: kind_of_names(read_safetensors_header(path)))


def _kind_of_gguf(path: Path) -> str:
    keys = gguf_header.read_gguf_keys(path)
    architecture = gguf_header.architecture_of(keys)
    if keys.get("general.type", "model") != "model" or keys.get("split.no", 0):
        return PART
    usual = LANGUAGE if f"{architecture}.context_length" in keys else ""
    return _KIND_BY_ARCHITECTURE.get(architecture, usual)


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object from a small file. Return an empty dict if there is none."""
    value = read_or_else(None, lambda: json.loads(read_file(path, MAX_CONFIG)))
    return value if isinstance(value, dict) else {}
