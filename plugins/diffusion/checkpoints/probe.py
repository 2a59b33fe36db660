"""Identification of single files, safetensors or GGUF, by the tensor names and shapes in their header."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from studio import api

Shapes: TypeAlias = Mapping[str, tuple[int, ...]]
UNET = "model.diffusion_model."
"""Prefix of the denoiser's tensors in files that hold more than a denoiser, and in some that do not."""

_ADDITIONS = {
    "lora": "a LoRA, which changes another model",
    "controlnet": "a ControlNet, which guides another model",
    "ip-adapter": "an IP-Adapter, which guides another model",
    "embedding": "a textual inversion, which adds a word to another model",
}
"""Descriptions by the names of `api.model_files.kind_of_names`."""
_UNET_BY_WIDTH = {
    768: ("Stable Diffusion 1", "stable-diffusion-1"),
    1024: ("Stable Diffusion 2", "stable-diffusion-2"),
    2048: ("Stable Diffusion XL", "stable-diffusion-xl"),
    1280: ("the refiner of Stable Diffusion XL", "stable-diffusion-xl-refiner"),
}
_PURPOSE_BY_CHANNELS = {
    9: ", made for inpainting",
    8: ", made for instructions",
    7: ", made for enlarging",
    5: ", made for depth",
}
_LAYOUT_BY_CHANNELS = {
    ("stable-diffusion-1", 9): "stable-diffusion-1-inpainting",
    ("stable-diffusion-2", 9): "stable-diffusion-2-inpainting",
    ("stable-diffusion-xl", 9): "stable-diffusion-xl-inpainting",
    ("stable-diffusion-1", 8): "instruct-pix2pix",
    ("stable-diffusion-2", 5): "depth",
}
_FLUX_TENSOR = "double_blocks.0.img_attn.norm.key_norm.scale"
_TRANSFORMERS: tuple[tuple[str, str, tuple[str, ...]], ...] = (
    ("Stable Diffusion 3", "stable-diffusion-3", ("joint_blocks.0.context_block.adaLN_modulation.1.bias",)),
    ("FLUX.2", "flux2", ("single_stream_modulation.lin.weight",)),
    ("Chroma", "chroma", ("distilled_guidance_layer.in_proj.bias",)),
    ("AuraFlow", "auraflow", ("double_layers.0.attn.w2q.weight", "cond_seq_linear.weight")),
    ("Z-Image", "z-image", ("layers.0.adaLN_modulation.0.weight", "cap_embedder.0.weight")),
    ("Lumina 2", "lumina2", ("cap_embedder.0.weight",)),
    ("Sana", "sana", ("blocks.0.cross_attn.q_linear.weight", "attention_y_norm.weight")),
    ("Qwen-Image 2.1", "qwenimage21", ("txt_in.text_norm.weight",)),
    ("Qwen-Image", "qwenimage", ("txt_norm.weight", "transformer_blocks.0.img_mod.1.weight")),
    ("Krea 2", "krea2", ("txtfusion.projector.weight",)),
)
_SCALE_SUFFIXES = (".scale_weight", ".weight_scale", ".scale_input", "scaled_fp8", ".absmax", ".quant_map")


@dataclass(frozen=True)
class ProbeResult:
    """Identity of a file: a `description` that completes "is", and the name of its `Layout`, empty for none.

    `model_kind` is that of `api.model_files.kind_of_names` for an addition to a model: a LoRA, a ControlNet, an
    IP-Adapter, a textual inversion.
    """

    description: str
    layout: str = ""
    model_kind: str = ""
    is_unknown: bool = False


def read_shapes(path: Path) -> Shapes:
    """Read the shape of each tensor in a file. Raises BadInput for a damaged one, or one of another format."""
    if not is_gguf(path):
        return api.model_files.read_weight_shapes(path)
    return {name: tensor.shape for name, tensor in api.model_files.read_gguf_header(path).tensors.items()}


def is_gguf(path: Path) -> bool:
    return path.suffix.lower() == ".gguf"


def identify(shapes: Shapes) -> ProbeResult:
    """Identify a file: additions first, since a LoRA repeats the tensor names of the model that it was made for."""
    result = _identify_addition(shapes) or _identify_unet(shapes)
    result = result or _identify_transformer(shapes) or _identify_component(shapes)
    return result or ProbeResult("a file of an unknown kind", is_unknown=True)


def has_quantization_scales(shapes: Shapes) -> bool:
    """Check whether the numbers are quantised with separate scales, which cannot be loaded."""
    return any(name.endswith(_SCALE_SUFFIXES) for name in shapes)


def _identify_addition(shapes: Shapes) -> ProbeResult | None:
    model_kind = api.model_files.kind_of_names(shapes.keys())
    description = _ADDITIONS.get(model_kind)
    return ProbeResult(description, model_kind=model_kind) if description else None


def _identify_unet(shapes: Shapes) -> ProbeResult | None:
    for block in ("input_blocks.2.1", "input_blocks.4.1"):
        width = shapes.get(f"{UNET}{block}.transformer_blocks.0.attn2.to_k.weight", (0,))[-1]
        if width not in _UNET_BY_WIDTH:
            continue
        title, layout = _UNET_BY_WIDTH[width]
        channels = shapes.get(f"{UNET}input_blocks.0.0.weight", (0, 4))[1]
        layout = layout if channels == 4 else _LAYOUT_BY_CHANNELS.get((layout, channels), "")
        if "edm_mean" in shapes or "edm_vpred.sigma_max" in shapes:  # Playground 2.5, CosXL
            return ProbeResult(f"a model of {title} with noise of another kind (EDM)")
        return ProbeResult(f"a model of {title}{_PURPOSE_BY_CHANNELS.get(channels, '')}", layout)
    return None


def _identify_transformer(shapes: Shapes) -> ProbeResult | None:
    bare = {name.removeprefix(UNET): shape for name, shape in shapes.items()}
    for title, layout, tensors in _TRANSFORMERS:
        if all(tensor in bare for tensor in tensors):
            return ProbeResult(f"a model of {title}", layout)
    if _FLUX_TENSOR not in bare:
        return None
    channels = bare.get("img_in.weight", (0, 0))[1]
    if channels == 384:
        return ProbeResult("a model of FLUX.1 Fill", "flux-fill")
    if channels != 64:
        return ProbeResult("a model of FLUX.1, made for control images")
    is_dev = any(name.startswith("guidance_in.") for name in bare)
    return ProbeResult(f"a model of FLUX.1 {'dev' if is_dev else 'schnell'}", "flux")


def _identify_component(shapes: Shapes) -> ProbeResult | None:
    if any(name.startswith(("encoder.down", "decoder.up", "first_stage_model.")) for name in shapes):
        return ProbeResult("an autoencoder, which is only a component of a model")
    if any(
        name.startswith(("text_model.encoder.layers.", "encoder.block.0.layer.0.SelfAttention.")) for name in shapes
    ):
        return ProbeResult("a text encoder, which is only a component of a model")
    return None
