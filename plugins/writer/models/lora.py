"""A LoRA (Hu and others 2021) for a writer: small layers beside its frozen ones, in peft's format."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from studio import api

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"


def begun(model: Any, base: str, rank: int) -> Any:
    """`model` frozen, with layers of `rank` beside all that are linear, which change nothing yet; random by torch's
    seed. `base` is the choice by which the model is found again."""
    from peft import LoraConfig, get_peft_model

    config = LoraConfig(task_type="CAUSAL_LM", r=rank, lora_alpha=2 * rank, target_modules="all-linear")
    taught = get_peft_model(model, config)
    taught.peft_config["default"].base_model_name_or_path = base
    return taught


def save(taught: Any, folder: Path) -> None:
    """Writes the layers alone."""
    taught.save_pretrained(folder, save_embedding_layers=False)


def base_of(folder: Path) -> str:
    """The choice that a LoRA is for; empty where the folder holds none. Raises BadInput for one that does not tell."""
    if not (folder / CONFIG).is_file():
        return ""
    try:
        base = json.loads((folder / CONFIG).read_bytes())["base_model_name_or_path"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        base = None
    if not isinstance(base, str) or not base:
        raise api.BadInput(f"{folder.name} does not tell which writer it is for.", "Choose another model.")
    return base


def merged(model: Any, folder: Path) -> Any:
    """`model` with the LoRA in a folder added to its weights. Raises BadInput when the two do not fit."""
    from peft import PeftModel
    from safetensors import SafetensorError

    if not (folder / WEIGHTS).is_file():
        raise api.BadInput(f"{folder.name} has no safetensors.", "Choose another model.")
    try:
        return PeftModel.from_pretrained(model, folder).merge_and_unload()
    except (OSError, ValueError, RuntimeError, KeyError, TypeError, AttributeError, SafetensorError) as error:
        raise api.BadInput(f"{folder.name} does not fit its writer, or is damaged.", "Choose another model.") from error
