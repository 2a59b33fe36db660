"""State dicts in the layouts of the programs that models were first published with: the way back from diffusers'."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import torch

State = dict[str, torch.Tensor]
UNET = "model.diffusion_model."
_RESNET = {
    "norm1": "in_layers.0",
    "conv1": "in_layers.2",
    "norm2": "out_layers.0",
    "conv2": "out_layers.3",
    "time_emb_proj": "emb_layers.1",
    "conv_shortcut": "skip_connection",
}
_ENDS = {
    "time_embedding.linear_1": "time_embed.0",
    "time_embedding.linear_2": "time_embed.2",
    "add_embedding.linear_1": "label_emb.0.0",
    "add_embedding.linear_2": "label_emb.0.2",
    "conv_in": "input_blocks.0.0",
    "conv_norm_out": "out.0",
    "conv_out": "out.2",
}
_OPEN_CLIP = {
    "embeddings.position_embedding.weight": "positional_embedding",
    "embeddings.token_embedding": "token_embedding",
    "final_layer_norm": "ln_final",
    "encoder.layers.": "transformer.resblocks.",
    "layer_norm1": "ln_1",
    "layer_norm2": "ln_2",
    "mlp.fc1": "mlp.c_fc",
    "mlp.fc2": "mlp.c_proj",
    "self_attn.out_proj": "attn.out_proj",
}


def unet(model: Any) -> State:
    """Of latent diffusion (Stable Diffusion 1, 2, XL)."""
    per_level, state = model.config.layers_per_block + 1, model.state_dict()
    return {UNET + _of_unet(name, per_level, state): value for name, value in state.items()}


def _of_unet(name: str, per_level: int, state: Mapping[str, Any]) -> str:
    if found := re.fullmatch(r"(down|up)_blocks\.(\d+)\.(\w+)\.(\d+)\.(.+)", name):
        way, level, kind, number, rest = found[1], int(found[2]), found[3], int(found[4]), found[5]
        block = level * per_level + number
        if kind == "downsamplers":
            return f"input_blocks.{(level + 1) * per_level}.0.op.{rest.removeprefix('conv.')}"
        if kind == "upsamplers":
            after = 2 if f"up_blocks.{level}.attentions.0.norm.weight" in state else 1
            return f"output_blocks.{(level + 1) * per_level - 1}.{after}.{rest}"
        start = f"input_blocks.{block + 1}" if way == "down" else f"output_blocks.{block}"
        return f"{start}.1.{rest}" if kind == "attentions" else f"{start}.0.{_replaced(rest, _RESNET)}"
    if found := re.fullmatch(r"mid_block\.(\w+)\.(\d+)\.(.+)", name):
        if found[1] == "attentions":
            return f"middle_block.1.{found[3]}"
        return f"middle_block.{2 * int(found[2])}.{_replaced(found[3], _RESNET)}"
    return _replaced(name, _ENDS)


def vae(model: Any, start: str = "first_stage_model.") -> State:
    """Of latent diffusion; its attention is made of convolutions of one pixel."""
    levels = len(model.config.block_out_channels)
    state: State = {}
    for name, value in model.state_dict().items():
        new = re.sub(r"down_blocks\.(\d+)\.resnets\.", r"down.\1.block.", name)
        new = re.sub(r"down_blocks\.(\d+)\.downsamplers\.0", r"down.\1.downsample", new)
        new = re.sub(r"up_blocks\.(\d+)\.resnets\.", lambda found: f"up.{levels - 1 - int(found[1])}.block.", new)
        new = re.sub(r"up_blocks\.(\d+)\.upsamplers\.0", lambda found: f"up.{levels - 1 - int(found[1])}.upsample", new)
        new = re.sub(r"mid_block\.resnets\.(\d)", lambda found: f"mid.block_{int(found[1]) + 1}", new)
        new = new.replace("conv_shortcut", "nin_shortcut").replace("conv_norm_out", "norm_out")
        if "mid_block.attentions.0" in new:
            names = {"group_norm": "norm", "to_q": "q", "to_k": "k", "to_v": "v", "to_out.0": "proj_out"}
            new = _replaced(new.replace("mid_block.attentions.0", "mid.attn_1"), names)
            value = value[:, :, None, None] if value.ndim == 2 else value
        state[start + new] = value
    return state


def clip(model: Any, start: str) -> State:
    """Of transformers, before the text model was its own wrapper."""
    return {start + "text_model." + _plain(name): value for name, value in model.state_dict().items()}


def clip_with_projection(model: Any, start: str) -> State:
    return {start + name: value for name, value in model.state_dict().items()}


def open_clip(model: Any, start: str) -> State:
    """Of OpenCLIP, which keeps queries, keys and values in one matrix."""
    state: State = {}
    theirs = model.state_dict()
    for name, value in theirs.items():
        plain = _plain(name)
        if plain == "text_projection.weight":
            state[start + "text_projection"] = value.T
        elif found := re.fullmatch(r"encoder\.layers\.(\d+)\.self_attn\.q_proj\.(\w+)", plain):
            parts = [theirs[name.replace("q_proj", f"{part}_proj")] for part in "qkv"]
            state[f"{start}transformer.resblocks.{found[1]}.attn.in_proj_{found[2]}"] = torch.cat(parts)
        elif "k_proj" not in plain and "v_proj" not in plain:
            state[start + _replaced(plain, _OPEN_CLIP)] = value
    return state


def sd3(model: Any) -> State:
    """Of Stable Diffusion 3, whose last layer has shift before scale."""
    ends = {
        "pos_embed.pos_embed": "pos_embed",
        "pos_embed.proj": "x_embedder.proj",
        "time_text_embed.timestep_embedder.linear_1": "t_embedder.mlp.0",
        "time_text_embed.timestep_embedder.linear_2": "t_embedder.mlp.2",
        "time_text_embed.text_embedder.linear_1": "y_embedder.mlp.0",
        "time_text_embed.text_embedder.linear_2": "y_embedder.mlp.2",
        "norm_out.linear": "final_layer.adaLN_modulation.1",
        "proj_out": "final_layer.linear",
    }
    block = {
        "norm1.linear": "x_block.adaLN_modulation.1",
        "norm1_context.linear": "context_block.adaLN_modulation.1",
        "attn.to_out.0": "x_block.attn.proj",
        "attn2.to_out.0": "x_block.attn2.proj",
        "attn2.norm_q": "x_block.attn2.ln_q",
        "attn2.norm_k": "x_block.attn2.ln_k",
        "attn.to_add_out": "context_block.attn.proj",
        "attn.norm_q": "x_block.attn.ln_q",
        "attn.norm_k": "x_block.attn.ln_k",
        "attn.norm_added_q": "context_block.attn.ln_q",
        "attn.norm_added_k": "context_block.attn.ln_k",
        "ff.net.0.proj": "x_block.mlp.fc1",
        "ff.net.2": "x_block.mlp.fc2",
        "ff_context.net.0.proj": "context_block.mlp.fc1",
        "ff_context.net.2": "context_block.mlp.fc2",
    }
    last = f"transformer_blocks.{model.config.num_layers - 1}.norm1_context.linear"
    state: State = {}
    theirs = model.state_dict()
    for name, value in theirs.items():
        if name.startswith(("norm_out.linear", last)):
            value = torch.cat(list(reversed(value.chunk(2))))
        found = re.fullmatch(r"transformer_blocks\.(\d+)\.(.+)", name)
        if not found:
            state[UNET + _replaced(name, ends)] = value
        elif asked := re.fullmatch(r"(attn2?)\.(to_q|add_q_proj)\.(\w+)", found[2]):
            side = "x_block" if asked[2] == "to_q" else "context_block"
            parts = [theirs[name.replace(asked[2], asked[2].replace("q", part))] for part in "qkv"]
            state[f"{UNET}joint_blocks.{found[1]}.{side}.{asked[1]}.qkv.{asked[3]}"] = torch.cat(parts)
        elif not re.match(r"attn2?\.(to_[kv]|add_[kv]_proj)\.", found[2]):
            state[f"{UNET}joint_blocks.{found[1]}.{_replaced(found[2], block)}"] = value
    return state


def flux(model: Any) -> State:
    """Of Flux.1."""
    ends = {
        "time_text_embed.timestep_embedder.linear_1": "time_in.in_layer",
        "time_text_embed.timestep_embedder.linear_2": "time_in.out_layer",
        "time_text_embed.guidance_embedder.linear_1": "guidance_in.in_layer",
        "time_text_embed.guidance_embedder.linear_2": "guidance_in.out_layer",
        "time_text_embed.text_embedder.linear_1": "vector_in.in_layer",
        "time_text_embed.text_embedder.linear_2": "vector_in.out_layer",
        "context_embedder": "txt_in",
        "x_embedder": "img_in",
        "norm_out.linear": "final_layer.adaLN_modulation.1",
        "proj_out": "final_layer.linear",
    }
    double = {
        "norm1.linear": "img_mod.lin",
        "norm1_context.linear": "txt_mod.lin",
        "attn.to_out.0": "img_attn.proj",
        "attn.to_add_out": "txt_attn.proj",
        "attn.norm_q.weight": "img_attn.norm.query_norm.scale",
        "attn.norm_k.weight": "img_attn.norm.key_norm.scale",
        "attn.norm_added_q.weight": "txt_attn.norm.query_norm.scale",
        "attn.norm_added_k.weight": "txt_attn.norm.key_norm.scale",
        "ff.net.0.proj": "img_mlp.0",
        "ff.net.2": "img_mlp.2",
        "ff_context.net.0.proj": "txt_mlp.0",
        "ff_context.net.2": "txt_mlp.2",
    }
    single = {
        "norm.linear": "modulation.lin",
        "attn.norm_q.weight": "norm.query_norm.scale",
        "attn.norm_k.weight": "norm.key_norm.scale",
        "proj_out": "linear2",
    }
    state: State = {}
    theirs = model.state_dict()
    for name, value in theirs.items():
        found = re.fullmatch(r"(single_)?transformer_blocks\.(\d+)\.(.+)", name)
        if not found:
            value = torch.cat(list(reversed(value.chunk(2)))) if name.startswith("norm_out") else value
            state[_replaced(name, ends)] = value
            continue
        start, rest = f"{'single' if found[1] else 'double'}_blocks.{found[2]}.", found[3]
        if asked := re.fullmatch(r"attn\.(to_q|add_q_proj)\.(\w+)", rest):
            named = [name.replace(asked[1], asked[1].replace("q", part)) for part in "qkv"]
            side = "img_attn.qkv" if asked[1] == "to_q" else "txt_attn.qkv"
            if found[1]:
                side, named = "linear1", [*named, name.replace("attn.to_q", "proj_mlp")]
            state[f"{start}{side}.{asked[2]}"] = torch.cat([theirs[part] for part in named])
        elif not re.match(r"attn\.(to_[kv]|add_[kv]_proj)\.|proj_mlp", rest):
            state[start + _replaced(rest, single if found[1] else double)] = value
    return state


def z_image(model: Any) -> State:
    """Of Z-Image."""
    names = {"all_final_layer.2-1.": "final_layer.", "all_x_embedder.2-1.": "x_embedder."}
    names |= {"to_out.0.": "out.", "norm_q": "q_norm", "norm_k": "k_norm"}
    state: State = {}
    theirs = model.state_dict()
    for name, value in theirs.items():
        if "attention.to_q" in name:
            parts = [theirs[name.replace("to_q", f"to_{part}")] for part in "qkv"]
            state[name.replace("to_q", "qkv")] = torch.cat(parts)
        elif "attention.to_k" not in name and "attention.to_v" not in name:
            state[_replaced(name, names)] = value
    return state


def _plain(name: str) -> str:
    return name.removeprefix("text_model.")


def _replaced(name: str, names: Mapping[str, str]) -> str:
    """The first part that is listed becomes the other; a name that none is in stays."""
    for old, new in names.items():
        if re.search(rf"(^|\.){re.escape(old)}", name) or old.endswith("."):
            name = name.replace(old, new)
    return name
