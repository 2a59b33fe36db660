"""What a single safetensors file is, told from the names and shapes in its header alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

Shapes = Mapping[str, tuple[int, ...]]
_UNET = "model.diffusion_model."
_FAMILY_OF_WIDTH = {
    768: "Stable Diffusion 1",
    1024: "Stable Diffusion 2",
    2048: "Stable Diffusion XL",
    1280: "the refiner of Stable Diffusion XL",
}
_USE_OF_CHANNELS = {9: ", made for inpainting", 8: ", made for instructions", 5: ", made for depth"}


@dataclass(frozen=True)
class Found:
    """`what` goes after "is"; `paints` says whether it is a whole model or at least its denoiser."""

    what: str
    paints: bool = False
    lora: bool = False
    control: bool = False
    adapter: bool = False


def probed(shapes: Shapes) -> Found:
    """Small things first, since a LoRA carries the names of the model that it was made for."""
    return _addition(shapes) or _denoiser(shapes) or Found("a safetensors file of an unknown kind")


def _addition(shapes: Shapes) -> Found | None:
    starts = ("lora_unet_", "lora_te", "lora_transformer_")
    ends = (".lora_A.weight", ".lora_B.weight", ".lora_down.weight", ".lora_up.weight", ".dora_scale")
    if any(name.startswith(starts) or name.endswith(ends) or ".lokr_" in name for name in shapes):
        return Found("a LoRA, which changes another model", lora=True)
    if any(name.startswith(("controlnet", "control_model.", "input_hint_block.")) for name in shapes):
        return Found("a ControlNet, which guides another model", control=True)
    if any(name.startswith(("image_proj.", "ip_adapter_proj_model.")) for name in shapes):
        return Found("an IP-Adapter, which guides another model", adapter=True)
    if "emb_params" in shapes or (len(shapes) <= 2 and {"clip_l", "clip_g"} & shapes.keys()):
        return Found("a textual inversion, which adds a word to another model")
    return None


def _denoiser(shapes: Shapes) -> Found | None:
    for block in ("input_blocks.2.1", "input_blocks.4.1"):
        width = shapes.get(f"{_UNET}{block}.transformer_blocks.0.attn2.to_k.weight", (0,))[-1]
        if family := _FAMILY_OF_WIDTH.get(width):
            channels = shapes.get(f"{_UNET}input_blocks.0.0.weight", (0, 0))[1]
            return Found(f"a model of {family}{_USE_OF_CHANNELS.get(channels, '')}", True)
    bare = {name.removeprefix(_UNET): shape for name, shape in shapes.items()}
    if "joint_blocks.0.context_block.adaLN_modulation.1.bias" in bare:
        return Found("a model of Stable Diffusion 3", True)
    if "double_blocks.0.img_attn.norm.key_norm.scale" in bare:
        return Found(f"a model of {_flux(bare)}", True)
    if any(name.startswith(("encoder.down", "decoder.up", "first_stage_model.")) for name in shapes):
        return Found("an autoencoder, which is only part of a model")
    return None


def _flux(bare: Shapes) -> str:
    channels = bare.get("img_in.weight", (0, 0))[1]
    if channels == 128:
        return "Flux.2"
    if channels == 384:
        return "Flux.1 Fill"
    return "Flux.1 dev" if any(name.startswith("guidance_in.") for name in bare) else "Flux.1 schnell"
