"""Weight variants of half precision, as in ``model.fp16.safetensors``, of components that have no others."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

HALF_PRECISION = ("fp16", "bf16")
_STEMS = ("model", "diffusion_pytorch_model")
_SUFFIX = ".safetensors"


def choose_variant(files: Iterable[str]) -> tuple[str | None, list[str]]:
    """Choose the variant to load from the file names in a component's folder.

    Returns the variant, None for the weights without one, and the names of its safetensors and their index: an empty
    list where there are neither weights without a variant nor of half precision.
    """
    files = sorted(file for file in files if file.startswith(_STEMS))
    for variant in (None, *HALF_PRECISION):
        if weights := [file for file in files if file.endswith(_SUFFIX) and _variant_in(file) == variant]:
            end = (f".index.{variant}.json", f".{variant}.index.json") if variant else (f"{_SUFFIX}.index.json",)
            return variant, [*weights, *(file for file in files if file.endswith(end))]
    return None, []


def variant_of(folder: Path) -> str | None:
    """Return the `variant` argument for loading a folder with weights."""
    return choose_variant(file.name for file in folder.iterdir())[0] if folder.is_dir() else None


def load_half_precision(path: Path, classes: Mapping[str, str], **options: object) -> dict[str, Any]:
    """Load the components of a diffusers folder that have only weights of half precision.

    `classes` has the class name of each component; `options` go to `from_pretrained`.
    """
    import diffusers
    import transformers

    components = {}
    for name, class_name in classes.items():
        component = getattr(diffusers, class_name, None) or getattr(transformers, class_name, None)
        if component is not None and (variant := variant_of(path / name)):
            components[name] = component.from_pretrained(str(path / name), variant=variant, **options)
    return components


def _variant_in(file: str) -> str | None:
    """Return the word behind the first dot, without the shard's number that may follow it, or in old files precede."""
    _, _, variant = file.removesuffix(_SUFFIX).partition(".")
    return variant.partition("-")[0] or None
