"""The kind of a model, by the names of its tensors."""

from __future__ import annotations

import re
from collections.abc import Collection

DIFFUSION = "diffusion"
LORA = "lora"
AUTOENCODER = "autoencoder"
CONTROLNET = "controlnet"
IP_ADAPTER = "ip-adapter"
EMBEDDING = "embedding"
LANGUAGE = "language"
TEXT_ENCODER = "text-encoder"
UPSCALER = "upscaler"
STYLE = "style"

_TINY_AUTOENCODER = re.compile(r"(?:(?:taesd_)?(?:encoder|decoder)\.)?\d+\.conv\.0\.weight")
"""A block of TAESD and its relatives, whose halves are plain sequences of layers."""
_LORA_PREFIXES = ("lora_unet_", "lora_te", "lora_transformer_", "lycoris_")
_WITH_LORA_LAYERS = ("image_proj.", "ip_adapter.", "lora_controlnet")
"""Prefixes in IP-Adapters for faces and in control LoRAs, which hold LoRA layers and more."""
_LORA_ROLES = re.compile(
    r"[._](?:lora_(?:A|B|down|up|mid|linear_layer\.(?:down|up)|magnitude_vector)|lora\.(?:down|up))(?:\.|$)"
    r"|\.(?:hada_[wt][12]|lokr_[wt][12]|oft_(?:blocks|diag)|dora_scale$|diff(?:_b)?$)"
)
"""Roles of the tensors of LoRAs and their relatives, by diffusers, kohya's scripts, peft and LyCORIS."""
_PREFIXES = (
    (STYLE, ("model.10.conv_block.", "model.12.conv_block.", "model.model.1.model.", "block_a.0.1.", "conv1.conv2d.")),
    (CONTROLNET, ("lora_controlnet", "controlnet", "control_model.", "input_hint_block.")),
    (IP_ADAPTER, ("image_proj.", "ip_adapter.", "ip_adapter_proj_model.")),
    (DIFFUSION, ("model.diffusion_model.", "double_blocks.", "joint_blocks.", "time_embedding.", "time_text_embed.")),
    (AUTOENCODER, ("encoder.down", "decoder.up", "first_stage_model.", "decoder.layers.")),
    (LANGUAGE, ("model.layers.", "transformer.h.", "blk.", "gpt_neox.")),
    (TEXT_ENCODER, ("text_model.", "transformer.resblocks.", "encoder.block.", "shared.weight", "vision_model.")),
    (UPSCALER, ("model.1.sub.", "body.", "RRDB_trunk.", "conv_first.")),
)
"""Prefixes of tensor names by kind, in the order in which they are tried: a full checkpoint also holds the parts."""


def kind_of_names(names: Collection[str]) -> str:
    """Return the kind of model that has tensors of these names: ``lora``, ``controlnet`` …; empty if unknown.

    Small models are tried first, since a LoRA repeats the names of the model that it was made for.
    """
    if not any(name.startswith(_WITH_LORA_LAYERS) for name in names) and any(
        name.startswith(_LORA_PREFIXES) or _LORA_ROLES.search(name) for name in names
    ):
        return LORA
    if "emb_params" in names or (len(names) <= 2 and {"clip_l", "clip_g"} & set(names)):
        return EMBEDDING
    if any(_TINY_AUTOENCODER.fullmatch(name) for name in names):
        return AUTOENCODER
    for kind, prefixes in _PREFIXES:
        if any(name.startswith(prefixes) for name in names):
            return kind
    return ""
