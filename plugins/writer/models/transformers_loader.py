"""Load models of transformers from folders, quantised or not, and from GGUF files.

Weights are read in the wanted dtype and onto the device directly, so that they are never in memory twice.
"""

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
    from transformers import PreTrainedModel
    from transformers.models.auto.auto_factory import _BaseAutoModelClass

LOCAL: Mapping[str, bool] = {"local_files_only": True, "trust_remote_code": False}


def load_pretrained(
    auto_model: type[_BaseAutoModelClass],
    path: Path,
    dtype: torch.dtype,
    device: str,
    *,
    description: str = "a language model",
) -> PreTrainedModel:
    """Load the model in a folder or a GGUF file with one of transformers' auto classes.

    A quantised model keeps its dtypes and its placement. All others have `dtype`, and so has a quantised model that had
    to be dequantised because its quantiser does not work on this device.

    Raises BadInput if the model cannot be loaded as `description`, lacks weights, is pickled, or is quantised in a way
    that does not work here. Errors about too little memory are raised unchanged.
    """
    if quantisation := read_quantisation(path):
        _check_quantiser(path.name, quantisation, device)
    file = gguf.find_file(path)
    if not file:
        api.model_files.refuse_pointers(path)
        api.model_files.refuse_whole_numbers(path, path.name)
    # Beside quantised weights, transformers leaves the others as they were saved, and only those fit together.
    options = {
        **LOCAL,
        "dtype": "auto" if quantisation else dtype,
        "device_map": {"": device},
        "output_loading_info": True,
    }
    try:
        if file:
            model, info = gguf.load_gguf_model(auto_model, file, options)
        else:
            model, info = auto_model.from_pretrained(path, use_safetensors=True, **options)
    except api.BadInput:
        raise
    except Exception as error:  # each format, and each quantiser, has errors of its own
        if api.is_out_of_memory(error):
            raise
        hint = "Choose the same model as a folder." if file else "Choose a folder with a config and safetensors."
        raise api.BadInput(f"{path.name} cannot be loaded as {description}.", hint) from error
    api.model_files.check_loaded(path.name, info["missing_keys"])  # transformers would leave them at random
    api.model_files.check_weights(model, path.name)
    return model.to(dtype) if quantisation and not getattr(model, "is_quantized", False) else model


def read_quantisation(path: Path) -> Mapping[str, Any]:
    """Return the quantisation config in a folder's `config.json`; empty if the weights are not quantised."""
    try:
        config = json.loads((path / "config.json").read_bytes())
        text_config = config.get("text_config") or {}
        quantisation = config.get("quantization_config") or text_config.get("quantization_config") or {}
    except api.model_files.UNREADABLE:
        return {}
    return quantisation if isinstance(quantisation, dict) else {}


def method_of(quantisation: Mapping[str, Any]) -> str:
    """Return the name of the quantisation method, such as ``gptq``. Older bitsandbytes configs do not name theirs."""
    is_bitsandbytes = quantisation.get("load_in_4bit") or quantisation.get("load_in_8bit")
    unnamed = "bitsandbytes" if is_bitsandbytes else "an unnamed method"
    return str(quantisation.get("quant_method") or unnamed)[:40]


def build_quantiser_error(name: str, method: str, error: Exception) -> api.BadInput:
    """Return the error for a model whose quantiser raised `error`, with the quantiser's own reason."""
    reason = str(error).strip().partition("\n")[0][:200].rstrip(". ") or type(error).__name__
    if isinstance(error, ModuleNotFoundError) and error.name:
        reason = f"the package {error.name} is missing"
    install = "Install it into the studio's environment, or choose another model."
    hint = install if isinstance(error, ImportError) else "Choose another model."
    return api.BadInput(f"{name} is quantised with {method}, which does not work here: {reason}.", hint)


def _check_quantiser(name: str, quantisation: Mapping[str, Any], device: str) -> None:
    """Raise BadInput if the quantiser is unknown, not installed, or does not support the device."""
    from transformers.quantizers.auto import AutoHfQuantizer

    method = method_of(quantisation)
    try:
        config = copy.deepcopy(dict(quantisation))
        if AutoHfQuantizer.supports_quant_method(config):
            quantiser = AutoHfQuantizer.from_config(config, pre_quantized=True)
            quantiser.validate_environment(device_map={"": device}, weights_only=True)
            return
    except Exception as error:  # each quantiser has errors of its own
        raise build_quantiser_error(name, method, error) from error
    raise api.BadInput(
        f"{name} is quantised with {method}, which transformers does not support.", "Choose another model."
    )
