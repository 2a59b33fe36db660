"""Weights on disk, looked at before they are loaded: what is damaged or unsafe gets one sentence."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from studio import api

if TYPE_CHECKING:
    from torch import Tensor

PICKLES = (".bin", ".ckpt", ".pkl", ".pt", ".pth")
MAX_CONFIG = 2**20
LDM_PREFIX = "first_stage_model."


def read_config(folder: Path) -> dict[str, Any]:
    """`config.json` of a model folder. Raises BadInput when it is missing or is no JSON object."""
    path = folder / "config.json"
    try:
        if path.stat().st_size > MAX_CONFIG:
            raise ValueError
        config = json.loads(path.read_text("utf-8"))
        if not isinstance(config, dict):
            raise ValueError
    except FileNotFoundError as error:
        raise api.BadInput(
            f"{folder.name} is no model folder: it has no config.json.", "Choose an autoencoder."
        ) from error
    except (OSError, ValueError) as error:
        raise api.BadInput(f"The config.json of {folder.name} is damaged.", "Download the model again.") from error
    return config


def check_folder(folder: Path) -> None:
    """Whether its weights can be loaded. Raises BadInput when there are none, or only pickles."""
    weights = sorted(folder.glob("*.safetensors"))
    for path in weights:
        api.model_files.weight_shapes(path)
    if weights:
        return
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() in PICKLES:
            sentence = f"{folder.name} holds its weights as a pickle ({path.name}), which is not opened."
            try:
                api.model_files.weight_shapes(path)
            except api.BadInput as error:
                raise api.BadInput(sentence, error.hint) from error
    raise api.BadInput(f"{folder.name} holds no weights.", "Download the model again.")


def tensors(path: Path, prefix: str = "") -> dict[str, Tensor]:
    """The tensors whose name begins with `prefix`, without it; the others are not read."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            return {name.removeprefix(prefix): file.get_tensor(name) for name in file.keys() if name.startswith(prefix)}  # noqa: SIM118
    except (OSError, SafetensorError) as error:
        raise api.BadInput(f"{path.name} is damaged.", "Download the model again.") from error


def kl_config(shapes: Mapping[str, tuple[int, ...]]) -> dict[str, Any] | None:
    """The config of an `AutoencoderKL`, read off the shapes of its tensors; None when it is none.

    Knows the layout of diffusers (``encoder.down_blocks.0.…``) and that of the latent
    diffusion authors (``encoder.down.0.…``), without a prefix. The number of groups of the
    norms leaves no trace in the shapes: 32 is taken, or what divides all widths.
    """
    own = "encoder.down_blocks.0.resnets.0.conv1.weight" in shapes
    down, block, conv = ("down_blocks", "resnets", "conv1") if own else ("down", "block", "conv1")
    levels = _count(shapes, rf"encoder\.{down}\.(\d+)\.")
    layers = _count(shapes, rf"encoder\.{down}\.0\.{block}\.(\d+)\.")
    try:
        widths = [shapes[f"encoder.{down}.{level}.{block}.0.{conv}.weight"][0] for level in range(levels)]
        channels_in, channels_out = shapes["encoder.conv_in.weight"][1], shapes["decoder.conv_out.weight"][0]
        latent = shapes["decoder.conv_in.weight"][1]
    except (KeyError, IndexError):
        return None
    if not widths or not layers:
        return None
    attention = "encoder.mid_block.attentions.0.to_q.weight" if own else "encoder.mid.attn_1.q.weight"
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


def tiny_config(shapes: Mapping[str, tuple[int, ...]]) -> dict[str, Any] | None:
    """The config of an `AutoencoderTiny` in the layout of diffusers; None when it is none."""
    encoder = _layers(shapes, "encoder.layers.")
    decoder = _layers(shapes, "decoder.layers.")
    if not encoder or not decoder:
        return None
    widths_in, blocks_in = _stages(encoder)
    widths_out, blocks_out = _stages(decoder)
    return {
        "_class_name": "AutoencoderTiny",
        "in_channels": shapes[f"encoder.layers.{min(encoder)}.weight"][1],
        "out_channels": shapes[f"decoder.layers.{max(decoder)}.weight"][0],
        "latent_channels": shapes[f"encoder.layers.{max(encoder)}.weight"][0],
        "encoder_block_out_channels": widths_in[:-1],
        "decoder_block_out_channels": widths_out[:-1],
        "num_encoder_blocks": blocks_in[:-1],
        "num_decoder_blocks": blocks_out[:-1],
    }


def taesd(encoder: Mapping[str, Any], decoder: Mapping[str, Any]) -> dict[str, Any]:
    """Renames a TAESD pair to the layout of diffusers.

    Each half is a bare `Sequential`. The decoder's first entry is a clamp without weights,
    which diffusers keeps outside, so its numbers fall by one.
    """
    renamed = {f"encoder.layers.{name}": value for name, value in encoder.items()}
    for name, value in decoder.items():
        number, rest = name.split(".", 1)
        renamed[f"decoder.layers.{int(number) - 1}.{rest}"] = value
    return renamed


def is_taesd_half(names: Iterable[str]) -> Literal["encoder", "decoder"] | None:
    """Which half of a TAESD pair these tensors are, by the number of the first convolution."""
    names = set(names)
    if any(not name.split(".", 1)[0].isdigit() for name in names):
        return None
    return "encoder" if "0.weight" in names else "decoder" if "1.weight" in names else None


def _count(names: Iterable[str], pattern: str) -> int:
    return len({match[1] for name in names if (match := re.match(pattern, name))})


def _layers(shapes: Mapping[str, tuple[int, ...]], prefix: str) -> dict[int, int | None]:
    """Each numbered layer with weights: the width of a plain convolution, None for a block."""
    found: dict[int, int | None] = {}
    for name, shape in shapes.items():
        if name.startswith(prefix):
            number, rest = name.removeprefix(prefix).split(".", 1)
            if rest == "weight" and len(shape) == 4:
                found[int(number)] = shape[0]
            elif not rest.startswith("bias"):
                found[int(number)] = None
    return found


def _stages(layers: Mapping[int, int | None]) -> tuple[list[int], list[int]]:
    """Widths of the convolutions, and how many blocks follow each."""
    widths: list[int] = []
    blocks: list[int] = []
    for _, width in sorted(layers.items()):
        if width is not None:
            widths.append(width)
            blocks.append(0)
        elif blocks:
            blocks[-1] += 1
    return widths, blocks
