"""Weights of half the precision, as in ``model.fp16.safetensors``, where a part of a model has no others."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

HALF_PRECISION = ("fp16", "bf16")
_NAMES = ("model", "diffusion_pytorch_model")
_WEIGHTS = ".safetensors"


def choose_variant(files: Iterable[str]) -> tuple[str | None, list[str]]:
    """The variant to load, None for the usual weights, and the names of its safetensors and their index.

    Of the names in a part's folder. The list is empty where there are neither usual ones nor such of half precision.
    """
    files = sorted(file for file in files if file.startswith(_NAMES))
    for variant in (None, *HALF_PRECISION):
        if weights := [file for file in files if file.endswith(_WEIGHTS) and _variant(file) == variant]:
            end = (f".index.{variant}.json", f".{variant}.index.json") if variant else (f"{_WEIGHTS}.index.json",)
            return variant, [*weights, *(file for file in files if file.endswith(end))]
    return None, []


def variant_of(folder: Path) -> str | None:
    """The `variant` that the libraries are to load from a folder with weights."""
    return choose_variant(file.name for file in folder.iterdir())[0] if folder.is_dir() else None


def load_half_precision(path: Path, classes: Mapping[str, str], **how: Any) -> dict[str, Any]:
    """The parts of a diffusers folder whose weights are of half the precision, loaded; `classes` names each part's."""
    import diffusers
    import transformers

    found = {}
    for name, part in classes.items():
        kind = getattr(diffusers, part, None) or getattr(transformers, part, None)
        if kind is not None and (variant := variant_of(path / name)):
            found[name] = kind.from_pretrained(str(path / name), variant=variant, **how)
    return found


def _variant(file: str) -> str | None:
    """It stands behind a dot, with the number of a part behind it or, as of old, before it."""
    _, _, said = file.removesuffix(_WEIGHTS).partition(".")
    return said.partition("-")[0] or None
