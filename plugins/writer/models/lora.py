"""LoRA (Hu et al. 2021) for causal language models, in the format of peft."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from studio import api

if TYPE_CHECKING:
    from peft import PeftModel
    from transformers import PreTrainedModel

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"


def add_lora(model: PreTrainedModel, base: str, rank: int) -> PeftModel:
    """Freeze `model` and add LoRA layers of `rank` to all linear layers. The outputs stay the same at first.

    The layers are initialised from torch's global seed. `base` is the model choice that finds the base model again.
    """
    from peft import LoraConfig, get_peft_model

    config = LoraConfig(task_type="CAUSAL_LM", r=rank, lora_alpha=2 * rank, target_modules="all-linear")
    adapted = get_peft_model(model, config)
    adapted.peft_config["default"].base_model_name_or_path = base
    return adapted


def save_lora(model: PeftModel, folder: Path) -> None:
    """Write the LoRA layers without the base model."""
    model.save_pretrained(str(folder), save_embedding_layers=False)


def read_base_model(folder: Path) -> str:
    """Return the model choice of a LoRA's base model; empty if the folder has no LoRA.

    Raises BadInput if the LoRA does not name its base model.
    """
    if not (folder / CONFIG).is_file():
        return ""
    try:
        base = json.loads((folder / CONFIG).read_bytes())["base_model_name_or_path"]
    except api.model_files.UNREADABLE:
        base = None
    if not isinstance(base, str) or not base:
        raise api.BadInput(f"The LoRA {folder.name} does not name its base model.", "Choose another model.")
    return base


def merge_lora(model: PreTrainedModel, folder: Path) -> PreTrainedModel:
    """Add the LoRA in a folder to the weights of `model`. Raises BadInput if the two do not fit."""
    return _load_lora(model, folder).merge_and_unload()


def continue_lora(model: PreTrainedModel, folder: Path) -> PeftModel:
    """Freeze `model` and add the layers of the LoRA in a folder, to train them further. Raises BadInput as above."""
    adapted = _load_lora(model, folder, is_trainable=True)
    adapted.peft_config["default"].base_model_name_or_path = read_base_model(folder)
    return adapted


def _load_lora(model: PreTrainedModel, folder: Path, *, is_trainable: bool = False) -> PeftModel:
    from peft import PeftModel

    if not (folder / WEIGHTS).is_file():
        raise api.BadInput(f"{folder.name} has no safetensors.", "Choose another model.")
    sentence = f"The LoRA {folder.name} does not fit its base model, or is damaged."
    with api.model_files.quiet_load(api.BadInput(sentence, "Choose another model.")):
        return PeftModel.from_pretrained(model, folder, is_trainable=is_trainable)
