"""The names of layers in LoRA files of kohya's scripts."""

from __future__ import annotations

import re

_PREFIXES = {"unet": "lora_unet", "text_encoder": "lora_te", "text_encoder_2": "lora_te2"}
_SGM_RESNET = {
    "norm1": "in_layers_0",
    "conv1": "in_layers_2",
    "time_emb_proj": "emb_layers_1",
    "norm2": "out_layers_0",
    "conv2": "out_layers_3",
    "conv_shortcut": "skip_connection",
}
_BLOCK = re.compile(r"(down|up)_blocks_(\d+)_(resnets|attentions|downsamplers|upsamplers)_(\d+)_(\w+)")
_MIDDLE = re.compile(r"mid_block_(resnets|attentions)_(\d+)_(\w+)")


def format_layer(component: str, name: str, *, is_xl: bool, layers_per_block: int) -> str:
    """Return the name of a layer in a file, without its role: `lora_unet_down_blocks_0_attentions_0_…`.

    For Stable Diffusion XL, the scripts use the names of the sgm UNet, and `lora_te1` for the first text encoder.
    """
    flat = name.replace(".", "_")
    prefix = _PREFIXES[component]
    if component != "unet":
        prefix = "lora_te1" if is_xl and component == "text_encoder" else prefix
        return f"{prefix}_text_model_{flat.removeprefix('text_model_')}"
    return f"{prefix}_{convert_to_sgm(flat, layers_per_block + 1) if is_xl else flat}"


def convert_to_sgm(name: str, per_block: int) -> str:
    """Convert the name of a module of a UNet from diffusers to sgm, with `per_block` places in each of its blocks."""
    if match := _MIDDLE.fullmatch(name):
        part, number, rest = match[1], int(match[2]), match[3]
        if part == "attentions":
            return f"middle_block_1_{rest}"
        return f"middle_block_{2 * number}_{_SGM_RESNET.get(rest, rest)}"
    match = _BLOCK.fullmatch(name)
    if match is None:
        return name
    side, block, part, number, rest = match[1], int(match[2]), match[3], int(match[4]), match[5]
    if part == "downsamplers":
        return f"input_blocks_{per_block * (block + 1)}_0_op"
    if part == "upsamplers":
        return f"output_blocks_{per_block * (block + 1) - 1}_2_{rest}"
    place = per_block * block + number + (side == "down")
    stem = f"{'input' if side == 'down' else 'output'}_blocks_{place}"
    return f"{stem}_1_{rest}" if part == "attentions" else f"{stem}_0_{_SGM_RESNET.get(rest, rest)}"
