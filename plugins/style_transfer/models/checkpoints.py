"""Reads third-party checkpoints and detects their architecture from the names and shapes of the weights.

Nothing in a checkpoint is executed: safetensors files hold tensors alone, and pickles are read with torch's
``weights_only``, which refuses everything but tensors and plain containers.
"""

from __future__ import annotations

import re
import zipfile
from collections.abc import Mapping
from pathlib import Path
from pickle import UnpicklingError
from typing import TYPE_CHECKING, Any

from studio import api

from .weight_files import check_weight_file

if TYPE_CHECKING:
    from torch import Tensor

SUFFIXES = (".safetensors", ".sft", *api.model_files.PICKLE_SUFFIXES)
MAX_BYTES = 2 * 2**30
ANCHORS = ("model.1.weight", "model.model.0.weight", "block_a.0.1.weight", "conv1.conv2d.weight")
"""A weight of each architecture. What stands before it in a key, such as ``module.``, is the prefix of all keys."""
SUPPORTED = "ResNet and U-Net of CycleGAN, CUT, AnimeGAN2 and fast neural style"
_GENERATOR_KEYS = ("g_ema", "ema", "netg", "generator", "g_a", "gen", "state_dict", "model", "params")
"""Parts of the keys under which checkpoints hold their generator, the likeliest first."""


def read_weights(path: Path) -> dict[str, Tensor]:
    """Read the weights in a file, by name.

    Raises BadInput for a file that is truncated, a Git LFS pointer, or holds more than weights or none.
    """
    import torch
    from safetensors.torch import load_file

    if path.suffix.lower() not in api.model_files.PICKLE_SUFFIXES:
        api.model_files.refuse_whole_numbers_in_file(path, path.name)
        with api.model_files.quiet_load(api.BadInput(f"{path.name} is damaged.", "Download it again.")):
            weights: dict[str, Tensor] = load_file(path)
        return weights
    _check_pickle(path)
    damaged = api.BadInput(f"{path.name} is damaged or no file of weights.", "Download it again.")
    try:
        with api.model_files.quiet_load(damaged):
            content = torch.load(path, map_location="cpu", weights_only=True)
    except UnpicklingError as error:
        raise api.BadInput(
            f"{path.name} was not opened: it holds more than weights, and such files can run programs.",
            "Look for the same style as safetensors.",
        ) from error
    if not (found := _find_weights(content)):
        raise api.BadInput(f"{path.name} holds no weights.", "Choose another style.")
    for name, value in found.items():
        if value.ndim > 1 and not value.is_floating_point():
            raise api.BadInput(f"{path.name} has whole numbers as weights, such as {name}.", "Choose another style.")
    return found


def detect_architecture(weights: Mapping[str, Tensor], name: str) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Return the config for `generators.build_network`, and the weights without prefix.

    Raises BadInput, in which the file is called `name`, for an architecture that is not supported.
    """
    for anchor in ANCHORS:
        for key in weights:
            if key == anchor or key.endswith(f".{anchor}"):
                prefix = key.removesuffix(anchor)
                own = {key.removeprefix(prefix): value for key, value in weights.items() if key.startswith(prefix)}
                config = _detect_config(anchor, {key: tuple(value.shape) for key, value in own.items()})
                if config is not None:
                    return config, _remove_unused_statistics(own, config)
    raise api.BadInput(f"{name} is not a supported style network.", f"Supported are {SUPPORTED}.")


def _detect_config(anchor: str, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, Any] | None:
    try:
        if anchor == "model.1.weight":
            return _detect_resnet(shapes)
        if anchor == "model.model.0.weight":
            return _detect_unet(shapes)
        if anchor == "block_a.0.1.weight":
            return {"network": "animegan2", "width": shapes[anchor][0]}
        blocks = {match[1] for key in shapes if (match := re.match(r"res(\d+)\.", key))}
        return {"network": "fast_neural_style", "width": shapes[anchor][0], "blocks": len(blocks)}
    except (KeyError, IndexError, ValueError):
        return None


def _detect_resnet(shapes: Mapping[str, tuple[int, ...]]) -> dict[str, Any]:
    """Detect the config of junyanz's CycleGAN and CUT: `model.N`, with `conv_block` in the residual blocks."""
    blocks = {int(match[1]) for key in shapes if (match := re.match(r"model\.(\d+)\.conv_block\.", key))}
    first, after = min(blocks), max(blocks) + 1
    if f"model.{after}.filt" in shapes:
        upsampling = "antialiased"
    else:
        upsampling = "transposed" if f"model.{after}.weight" in shapes else "resize"
    pattern = rf"model\.{first}\.conv_block\.(\d+)\.weight"
    layers = {int(match[1]) for key in shapes if (match := re.fullmatch(pattern, key))}
    norms = {number for number in layers if len(shapes[f"model.{first}.conv_block.{number}.weight"]) == 1}
    separable = shapes[f"model.{first}.conv_block.1.weight"][1] == 1
    second = min(number for number in layers - norms if number > (3 if separable else 2))
    return {
        "network": "resnet",
        "blocks": len(blocks),
        "width": shapes["model.1.weight"][0],
        "upsampling": upsampling,
        "downsampling": "antialiased" if first == 12 else "strided",
        "norm": _detect_norm(shapes, "model.2"),
        "dropout": second == (7 if separable else 6),
        "separable": separable,
        "bias": "model.1.bias" in shapes,
    }


def _detect_unet(shapes: Mapping[str, tuple[int, ...]]) -> dict[str, Any]:
    """Detect the config of a U-Net, whose levels are nested: `model.model.1.model.3.model.…`."""
    deepest = max(key.split(".").count("model") for key in shapes)
    return {
        "network": "unet",
        "downs": deepest - 1,
        "width": shapes["model.model.0.weight"][0],
        "norm": _detect_norm(shapes, "model.model.1.model.2"),
        "bias": "model.model.0.bias" in shapes,
    }


def _detect_norm(shapes: Mapping[str, tuple[int, ...]], name: str) -> str:
    """Detect the normalisation. Without weights it is instance norm, which ignores running statistics."""
    if f"{name}.weight" not in shapes:
        return "instance"
    return "batch" if f"{name}.running_mean" in shapes else "instance-affine"


def _remove_unused_statistics(weights: Mapping[str, Tensor], config: Mapping[str, Any]) -> dict[str, Tensor]:
    statistics = ("running_mean", "running_var", "num_batches_tracked")
    if config.get("norm") == "batch":
        return dict(weights)
    return {name: value for name, value in weights.items() if not name.endswith(statistics)}


def _check_pickle(path: Path) -> None:
    start = check_weight_file(path, MAX_BYTES)
    if not start or (start[:2] == b"PK" and not zipfile.is_zipfile(path)):
        raise api.BadInput(f"{path.name} is incomplete: the file ends too early.", "Download it again.")


def _find_weights(content: object) -> dict[str, Tensor]:
    """Return the tensors of a dictionary or of one nested in it; where there are several, the generator's."""
    from torch import Tensor

    if not isinstance(content, Mapping):
        return {}
    weights = {str(name): value for name, value in content.items() if isinstance(value, Tensor)}
    if weights:
        return weights
    for _, nested in sorted(content.items(), key=lambda item: _rank_key(str(item[0]))):
        if weights := _find_weights(nested):
            return weights
    return {}


def _rank_key(name: str) -> int:
    return next((number for number, part in enumerate(_GENERATOR_KEYS) if part in name.lower()), 99)
