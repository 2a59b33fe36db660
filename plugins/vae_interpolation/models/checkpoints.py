"""Checks of model files before they are loaded, and configurations inferred from tensor shapes."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from studio import api

if TYPE_CHECKING:
    from torch import Tensor

MAX_CONFIG = 2**20
LDM_PREFIX = "first_stage_model."


def read_config(folder: Path) -> dict[str, Any]:
    """Read `config.json` in a model folder. Raises BadInput if it is missing or not a JSON object."""
    path = folder / "config.json"
    try:
        if path.stat().st_size > MAX_CONFIG:
            raise ValueError
        config = json.loads(path.read_bytes())
        if not isinstance(config, dict):
            raise ValueError
    except FileNotFoundError as error:
        raise api.BadInput(
            f"{folder.name} is not a model folder: it has no config.json.", "Choose an autoencoder."
        ) from error
    except (OSError, ValueError) as error:
        raise api.BadInput(f"The config.json of {folder.name} is damaged.", "Download the model again.") from error
    return config


def check_folder(folder: Path) -> None:
    """Check the weights in a model folder. Raises BadInput if there are none, or only pickles."""
    weights = sorted(folder.glob("*.safetensors"))
    for path in weights:
        api.model_files.read_weight_shapes(path)
    if weights:
        api.model_files.refuse_whole_numbers(folder, folder.name)
        return
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() in api.model_files.PICKLE_SUFFIXES:
            sentence = f"{folder.name} has its weights as a pickle ({path.name}), which is not opened."
            try:
                api.model_files.read_weight_shapes(path)
            except api.BadInput as error:
                raise api.BadInput(sentence, error.hint) from error
    raise api.BadInput(f"{folder.name} contains no weights.", "Download the model again.")


def load_tensors(path: Path, prefix: str = "") -> dict[str, Tensor]:
    """Load the tensors whose name begins with `prefix`, and remove the prefix. Raises BadInput for a damaged file."""
    from safetensors import safe_open

    damaged = api.BadInput(f"{path.name} is damaged.", "Download the model again.")
    with api.model_files.quiet_load(damaged), safe_open(path, framework="pt") as file:
        return {name.removeprefix(prefix): file.get_tensor(name) for name in file.keys() if name.startswith(prefix)}  # noqa: SIM118


def infer_kl_config(shapes: Mapping[str, tuple[int, ...]]) -> dict[str, Any] | None:
    """Infer the config of an `AutoencoderKL` from the shapes of its tensors; None for another model.

    Knows the layout of diffusers (``encoder.down_blocks.0.…``) and the original layout of latent
    diffusion (``encoder.down.0.…``), without a prefix. The number of groups of the norms cannot be seen in
    the shapes: it is 32, or the largest power of two below that divides all widths.
    """
    is_diffusers = "encoder.down_blocks.0.resnets.0.conv1.weight" in shapes
    down, block, conv = ("down_blocks", "resnets", "conv1") if is_diffusers else ("down", "block", "conv1")
    levels = _count_matches(shapes, rf"encoder\.{down}\.(\d+)\.")
    layers = _count_matches(shapes, rf"encoder\.{down}\.0\.{block}\.(\d+)\.")
    try:
        widths = [shapes[f"encoder.{down}.{level}.{block}.0.{conv}.weight"][0] for level in range(levels)]
        channels_in, channels_out = shapes["encoder.conv_in.weight"][1], shapes["decoder.conv_out.weight"][0]
        latent = shapes["decoder.conv_in.weight"][1]
    except (KeyError, IndexError):
        return None
    if not widths or not layers:
        return None
    attention = "encoder.mid_block.attentions.0.to_q.weight" if is_diffusers else "encoder.mid.attn_1.q.weight"
    return {
        "_class_name": "AutoencoderKL",
        "in_channels": channels_in,
        "out_channels": channels_out,
        "latent_channels": latent,
        "block_out_channels": widths,
        "down_block_types": ["DownEncoderBlock2D"] * levels,
        "up_block_types": ["UpDecoderBlock2D"] * levels,
        "layers_per_block": layers,
        "norm_num_groups": next(groups for groups in (32, 16, 8, 4, 2, 1) if not any(w % groups for w in widths)),
        "use_quant_conv": "quant_conv.weight" in shapes,
        "use_post_quant_conv": "post_quant_conv.weight" in shapes,
        "mid_block_add_attention": attention in shapes,
        "sample_size": 512,
    }


def _count_matches(names: Iterable[str], pattern: str) -> int:
    return len({match[1] for name in names if (match := re.match(pattern, name))})
