"""Other people's style networks, told by the names and shapes of their weights, and brought to ours.

Nothing in a checkpoint is run. A safetensors file cannot hold programs; a pickle, which can, is read by torch's
reader of weights alone, which refuses all that is no plain tensor or container.
"""

from __future__ import annotations

import re
import warnings
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from pickle import UnpicklingError
from typing import TYPE_CHECKING, Any

from studio import api

if TYPE_CHECKING:
    from torch import Tensor

PICKLES = (".pth", ".pt", ".ckpt", ".bin", ".pkl")
SUFFIXES = (".safetensors", ".sft", *PICKLES)
MAX_BYTES = 2 * 2**30
ANCHORS = ("model.1.weight", "model.model.0.weight", "block_a.0.1.weight", "conv1.conv2d.weight")
"""A weight that each layout has, by whose name what stands before all names is told, such as ``module.``."""
KNOWN = "ResNet and U-Net of CycleGAN, CUT, AnimeGAN2 and fast neural style are."


def tensors(path: Path) -> dict[str, Tensor]:
    """The weights in a file, by name. Raises BadInput for one that is cut short, a pointer, or holds something else."""
    import torch
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    if path.suffix.lower() not in PICKLES:
        api.model_files.weight_shapes(path)
        try:
            return load_file(path)
        except (OSError, SafetensorError) as error:
            raise api.BadInput(f"{path.name} is damaged.", "Download it again.") from error
    _check_pickle(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # on pickles that are older or newer than torch's own
            held = torch.load(path, map_location="cpu", weights_only=True)
    except UnpicklingError as error:
        raise api.BadInput(
            f"{path.name} holds more than weights, and such a file could run programs: it is not opened.",
            "Look for the same style as safetensors.",
        ) from error
    except (OSError, RuntimeError, EOFError, ValueError, KeyError, AttributeError, TypeError) as error:
        raise api.BadInput(f"{path.name} is damaged or no file of weights.", "Download it again.") from error
    found = _inside(held)
    if not found:
        raise api.BadInput(f"{path.name} holds no weights.", "Choose another style.")
    return found


def recognised(weights: Mapping[str, Tensor], name: str) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """The config that `networks.build` takes, and the weights under its names.

    Raises BadInput, in which the file is called `name`, for a layout that is not known.
    """
    for anchor in ANCHORS:
        for key in weights:
            if key == anchor or key.endswith(f".{anchor}"):
                start = key.removesuffix(anchor)
                own = {one.removeprefix(start): value for one, value in weights.items() if one.startswith(start)}
                config = _config(anchor, {one: tuple(value.shape) for one, value in own.items()})
                if config is not None:
                    return config, _kept(own, config)
    raise api.BadInput(f"{name} is no style network that is known here.", f"Those known here: {KNOWN}")


def _config(anchor: str, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, Any] | None:
    try:
        if anchor == "model.1.weight":
            return _resnet(shapes)
        if anchor == "model.model.0.weight":
            return _unet(shapes)
        if anchor == "block_a.0.1.weight":
            return {"network": "animegan2", "width": shapes[anchor][0]}
        blocks = {found[1] for key in shapes if (found := re.match(r"res(\d+)\.", key))}
        return {"network": "fast_neural_style", "width": shapes[anchor][0], "blocks": len(blocks)}
    except (KeyError, IndexError, ValueError):
        return None


def _resnet(shapes: Mapping[str, tuple[int, ...]]) -> dict[str, Any]:
    """After junyanz's CycleGAN and CUT: `model.N`, with `conv_block` in the blocks."""
    blocks = {int(found[1]) for key in shapes if (found := re.match(r"model\.(\d+)\.conv_block\.", key))}
    first, after = min(blocks), max(blocks) + 1
    if f"model.{after}.filt" in shapes:
        upsampling = "antialiased"
    else:
        upsampling = "transposed" if f"model.{after}.weight" in shapes else "resize"
    convs = {
        int(found[1]) for key in shapes if (found := re.fullmatch(rf"model\.{first}\.conv_block\.(\d+)\.weight", key))
    }
    norms = {number for number in convs if len(shapes[f"model.{first}.conv_block.{number}.weight"]) == 1}
    separable = shapes[f"model.{first}.conv_block.1.weight"][1] == 1
    second = min(number for number in convs - norms if number > (3 if separable else 2))
    return {
        "network": "resnet",
        "blocks": len(blocks),
        "width": shapes["model.1.weight"][0],
        "upsampling": upsampling,
        "downsampling": "antialiased" if first == 12 else "strided",
        "norm": _norm(shapes, "model.2"),
        "dropout": second == (7 if separable else 6),
        "separable": separable,
        "bias": "model.1.bias" in shapes,
    }


def _unet(shapes: Mapping[str, tuple[int, ...]]) -> dict[str, Any]:
    """Each level stands in the one outside it: `model.model.1.model.3.model.…`."""
    deepest = max(key.split(".").count("model") for key in shapes)
    return {
        "network": "unet",
        "downs": deepest - 1,
        "width": shapes["model.model.0.weight"][0],
        "norm": _norm(shapes, "model.model.1.model.2"),
        "bias": "model.model.0.bias" in shapes,
    }


def _norm(shapes: Mapping[str, tuple[int, ...]], name: str) -> str:
    """Running statistics count only where there are weights: an instance normalisation without them ignores them."""
    if f"{name}.weight" not in shapes:
        return "instance"
    return "batch" if f"{name}.running_mean" in shapes else "instance-affine"


def _kept(weights: Mapping[str, Tensor], config: Mapping[str, Any]) -> dict[str, Tensor]:
    statistics = ("running_mean", "running_var", "num_batches_tracked")
    if config.get("norm") == "batch":
        return dict(weights)
    return {name: value for name, value in weights.items() if not name.endswith(statistics)}


def _check_pickle(path: Path) -> None:
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            start = file.read(8)
    except OSError as error:
        raise api.BadInput(f"{path.name} cannot be read: {error.strerror or error}.") from error
    if start == b"version ":
        raise api.BadInput(
            f"{path.name} is a Git LFS pointer and not the style itself.",
            "Fetch the real file with `git lfs pull`, or download it again.",
        )
    if not size or (start[:2] == b"PK" and not zipfile.is_zipfile(path)):
        raise api.BadInput(f"{path.name} is incomplete: the file ends too early.", "Download it again.")
    if size > MAX_BYTES:
        raise api.BadInput(f"{path.name} is far larger than a style network.", "Choose another style.")


def _inside(held: Any) -> dict[str, Tensor]:
    """The weights themselves, or those in a dictionary around them; the generator's where there are several."""
    from torch import Tensor

    if not isinstance(held, Mapping):
        return {}
    own = {str(name): value for name, value in held.items() if isinstance(value, Tensor)}
    if own:
        return own
    for _, inner in sorted(held.items(), key=lambda item: _likeliness(str(item[0]))):
        if found := _inside(inner):
            return found
    return {}


def _likeliness(name: str) -> int:
    wanted: Iterable[str] = ("g_ema", "ema", "netg", "generator", "g_a", "gen", "state_dict", "model", "params")
    return next((number for number, word in enumerate(wanted) if word in name.lower()), 99)
