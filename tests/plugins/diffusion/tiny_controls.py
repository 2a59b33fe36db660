"""Tiny ControlNets for the tiny models, saved beside them."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch


def stirred(net: Any, seed: int = 0) -> Any:
    """As if it had learnt something: a new ControlNet ends in zeros."""
    chance = torch.Generator().manual_seed(seed)
    for part in net.parameters():
        if not part.any():
            part.data = torch.randn(part.shape, generator=chance) * 0.3
    return net


def of_unet(folder: Path, *, learnt: bool = True, name: str = "") -> Path:
    from diffusers import ControlNetModel, UNet2DConditionModel

    unet = UNet2DConditionModel.from_pretrained(folder / "unet")
    net = ControlNetModel.from_unet(unet, conditioning_embedding_out_channels=(4, 8))
    return saved(stirred(net) if learnt else net, folder, name or ("learnt" if learnt else "new"))


def union(folder: Path) -> Path:
    """One that knows six kinds of guides."""
    import diffusers

    part, kind, own = (
        ("transformer", diffusers.FluxControlNetModel, {"num_mode": 6})
        if (folder / "transformer").is_dir()
        else ("unet", diffusers.ControlNetUnionModel, UNION)
    )
    config = json.loads((folder / part / "config.json").read_text())
    known = inspect.signature(kind.__init__).parameters
    torch.manual_seed(1)
    net = kind(**{name: value for name, value in config.items() if name in known}, **own)
    return saved(stirred(net), folder, "union")


def of_transformer(folder: Path, kind: str, **more: Any) -> Path:
    import diffusers

    denoiser = json.loads((folder / "transformer/config.json").read_text())
    transformer = getattr(diffusers, denoiser["_class_name"]).from_pretrained(folder / "transformer")
    torch.manual_seed(1)
    net = getattr(diffusers, kind).from_transformer(transformer, load_weights_from_transformer=False, **more)
    return saved(stirred(net), folder, kind)


def z_image(folder: Path) -> Path:
    from diffusers import ZImageControlNetModel, ZImageTransformer2DModel

    config = ZImageTransformer2DModel.load_config(folder / "transformer")
    same = {name: config[name] for name in ("all_patch_size", "all_f_patch_size", "dim", "n_heads", "n_kv_heads")}
    torch.manual_seed(1)
    net = ZImageControlNetModel(
        control_layers_places=[0], control_in_dim=16, n_refiner_layers=config["n_refiner_layers"], **same
    )
    return saved(stirred(net), folder, "z-image-control")


def saved(net: Any, folder: Path, name: str) -> Path:
    path = folder.parent / f"{folder.name}-{name}"
    net.save_pretrained(path)
    return path


FLUX = {"num_layers": 1, "num_single_layers": 1, "attention_head_dim": 16, "num_attention_heads": 2}
UNION = {
    "conditioning_embedding_out_channels": (4, 8),
    "num_control_type": 6,
    "num_trans_head": 2,
    "num_trans_channel": 8,
    "num_proj_channel": 8,
}
NETS: dict[str, Callable[[Path], Path]] = {
    "stable-diffusion": of_unet,
    "stable-diffusion-xl": of_unet,
    "stable-diffusion-3": lambda folder: of_transformer(
        folder, "SD3ControlNetModel", num_extra_conditioning_channels=0
    ),
    "flux": lambda folder: of_transformer(folder, "FluxControlNetModel", **FLUX),
    "qwenimage": lambda folder: of_transformer(
        folder, "QwenImageControlNetModel", num_layers=1, attention_head_dim=16, num_attention_heads=2
    ),
    "z-image": z_image,
}


def in_the_first_layout(weights: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The tensors of a ControlNet by the names that its authors gave them."""
    renamed = {}
    for name, value in weights.items():
        old = name
        for new, first in (
            ("controlnet_cond_embedding.conv_in", "input_hint_block.0"),
            ("controlnet_cond_embedding.conv_out", "input_hint_block.14"),
            *(
                (f"controlnet_cond_embedding.blocks.{number}", f"input_hint_block.{2 * number + 2}")
                for number in range(6)
            ),
            *((f"controlnet_down_blocks.{number}.", f"zero_convs.{number}.0.") for number in range(4)),
            ("controlnet_mid_block", "middle_block_out.0"),
            ("down_blocks.0.resnets.0", "input_blocks.1.0"),
            ("down_blocks.0.downsamplers.0.conv", "input_blocks.2.0.op"),
            ("down_blocks.1.resnets.0", "input_blocks.3.0"),
            ("down_blocks.1.attentions.0", "input_blocks.3.1"),
            ("mid_block.resnets.0", "middle_block.0"),
            ("mid_block.attentions.0", "middle_block.1"),
            ("mid_block.resnets.1", "middle_block.2"),
            ("time_embedding.linear_1", "time_embed.0"),
            ("time_embedding.linear_2", "time_embed.2"),
        ):
            old = first + old.removeprefix(new) if old.startswith(new) else old
        if ".resnets." in name:
            for new, first in (
                ("norm1", "in_layers.0"),
                ("conv1", "in_layers.2"),
                ("norm2", "out_layers.0"),
                ("conv2", "out_layers.3"),
                ("time_emb_proj", "emb_layers.1"),
                ("conv_shortcut", "skip_connection"),
            ):
                old = old.replace(new, first)
        renamed[f"control_model.{old.replace('conv_in.', 'input_blocks.0.0.')}"] = value
    return renamed
