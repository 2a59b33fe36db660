"""Models of transformers from folders, also quantised ones, and from GGUF files: in the wanted numbers and on the
device at once, so that none lies in memory twice."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from studio import api

from . import gguf

if TYPE_CHECKING:
    import torch

LOCAL: Mapping[str, bool] = {"local_files_only": True, "trust_remote_code": False}


def opened(kind: Any, where: Path, dtype: torch.dtype, device: str, *, what: str = "a language model") -> Any:
    """The model in a folder, or in a GGUF file, by `kind`, one of transformers' auto classes.

    A model that a quantiser has packed stays as it was saved and where it was put; all others are of `dtype`, also
    what a quantiser had to unpack, since it does not compute on this device.

    Raises BadInput for what cannot be loaded as `what`, lacks weights, is pickled, or is packed in a way that does not
    work here. What tells that memory is short is raised as it is.
    """
    if packed := quantisation(where):
        _must_work(where.name, packed, device)
    file = gguf.of(where)
    # Beside packed weights transformers leaves plain ones as they were saved, and only they fit each other.
    how = {**LOCAL, "dtype": "auto" if packed else dtype, "device_map": {"": device}, "output_loading_info": True}
    try:
        if file:
            model, info = gguf.loaded(kind, file, how)
        else:
            model, info = kind.from_pretrained(where, use_safetensors=True, **how)
    except api.BadInput:
        raise
    except Exception as error:  # each format, and each quantiser, has errors of its own
        if api.is_out_of_memory(error):
            raise
        advice = "Choose the same model as a folder." if file else "Choose a folder with a config and safetensors."
        raise api.BadInput(f"{where.name} cannot be loaded as {what}.", advice) from error
    if missing := sorted(info["missing_keys"]):  # transformers would leave them at random
        count = "a weight" if len(missing) == 1 else f"{len(missing)} weights"
        raise api.BadInput(f"{where.name} lacks {count}, such as {missing[0]}.", "Choose another model.")
    return model.to(dtype) if packed and not getattr(model, "is_quantized", False) else model


def quantisation(where: Path) -> Mapping[str, Any]:
    """What the configuration in a folder says about how its weights are packed; empty where they are plain."""
    try:
        config = json.loads((where / "config.json").read_bytes())
        text = config.get("text_config") or {}
        found = config.get("quantization_config") or text.get("quantization_config") or {}
    except (OSError, ValueError, AttributeError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _must_work(name: str, packed: Mapping[str, Any], device: str) -> None:
    """Raises BadInput with the quantiser's own reason where it is not known, not installed, or not for this device."""
    from transformers.quantizers.auto import AutoHfQuantizer

    method = method_of(packed)
    try:
        told = copy.deepcopy(dict(packed))
        if AutoHfQuantizer.supports_quant_method(told):
            quantiser = AutoHfQuantizer.from_config(told, pre_quantized=True)
            quantiser.validate_environment(device_map={"": device}, weights_only=True)
            return
    except Exception as error:  # each quantiser has errors of its own
        raise useless(name, method, error) from error
    raise api.BadInput(f"{name} is quantised with {method}, which transformers does not know.", "Choose another model.")


def method_of(packed: Mapping[str, Any]) -> str:
    """Its name, such as ``gptq``. bitsandbytes' older files do not say theirs."""
    unnamed = "bitsandbytes" if packed.get("load_in_4bit") or packed.get("load_in_8bit") else "an unnamed method"
    return str(packed.get("quant_method") or unnamed)[:40]


def useless(name: str, method: str, error: Exception) -> api.BadInput:
    """What is said of a model whose quantiser raised `error`."""
    missing = isinstance(error, ImportError)
    reason = str(error).strip().partition("\n")[0][:200].rstrip(". ") or type(error).__name__
    if isinstance(error, ModuleNotFoundError) and error.name:
        reason = f"the package {error.name} is missing"
    advice = (
        "Install it into the studio's environment, or choose another model." if missing else "Choose another model."
    )
    return api.BadInput(f"{name} is quantised with {method}, which does not work here: {reason}.", advice)
