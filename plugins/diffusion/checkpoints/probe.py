"""What a single file is, of safetensors or GGUF, told from the names and shapes in its header alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from studio import api

Shapes = Mapping[str, tuple[int, ...]]
UNET = "model.diffusion_model."
"""What names of a denoiser begin with, in files that hold more than that, and in some that do not."""

_OF_WIDTH = {
    768: ("Stable Diffusion 1", "stable-diffusion-1"),
    1024: ("Stable Diffusion 2", "stable-diffusion-2"),
    2048: ("Stable Diffusion XL", "stable-diffusion-xl"),
    1280: ("the refiner of Stable Diffusion XL", "stable-diffusion-xl-refiner"),
}
_OF_CHANNELS = {
    9: ", made for inpainting",
    8: ", made for instructions",
    7: ", made for enlarging",
    5: ", made for depth",
}
_OF_OTHER_CHANNELS = {
    ("stable-diffusion-1", 9): "stable-diffusion-1-inpainting",
    ("stable-diffusion-2", 9): "stable-diffusion-2-inpainting",
    ("stable-diffusion-xl", 9): "stable-diffusion-xl-inpainting",
    ("stable-diffusion-1", 8): "instruct-pix2pix",
    ("stable-diffusion-2", 5): "depth",
}
_FLUX = "double_blocks.0.img_attn.norm.key_norm.scale"
_TRANSFORMERS: tuple[tuple[str, str, tuple[str, ...]], ...] = (
    ("Stable Diffusion 3", "stable-diffusion-3", ("joint_blocks.0.context_block.adaLN_modulation.1.bias",)),
    ("Flux.2", "flux2", ("single_stream_modulation.lin.weight",)),
    ("Chroma", "chroma", ("distilled_guidance_layer.in_proj.bias",)),
    ("AuraFlow", "auraflow", ("double_layers.0.attn.w2q.weight", "cond_seq_linear.weight")),
    ("Z-Image", "z-image", ("layers.0.adaLN_modulation.0.weight", "cap_embedder.0.weight")),
    ("Lumina 2", "lumina2", ("cap_embedder.0.weight",)),
    ("Sana", "sana", ("blocks.0.cross_attn.q_linear.weight", "attention_y_norm.weight")),
    ("Qwen-Image 2.1", "qwenimage21", ("txt_in.text_norm.weight",)),
    ("Qwen-Image", "qwenimage", ("txt_norm.weight", "transformer_blocks.0.img_mod.1.weight")),
    ("Krea 2", "krea2", ("txtfusion.projector.weight",)),
)
_PACKED = (".scale_weight", ".weight_scale", ".scale_input", "scaled_fp8", ".absmax", ".quant_map")


@dataclass(frozen=True)
class ProbeResult:
    """`what` goes after "is"; `layout` names the kind of single file that it is opened as, empty for none."""

    what: str
    layout: str = ""
    lora: bool = False
    control: bool = False
    adapter: bool = False

    unknown: bool = False


def read_shapes(path: Path) -> Shapes:
    """The shape of each tensor in a file. Raises BadInput for what is damaged, or of neither format."""
    if not is_gguf(path):
        return api.model_files.weight_shapes(path)
    return {name: tensor.shape for name, tensor in api.model_files.gguf_header(path).tensors.items()}


def is_gguf(path: Path) -> bool:
    return path.suffix.lower() == ".gguf"


def identify(shapes: Shapes) -> ProbeResult:
    """Small things first, since a LoRA carries the names of the model that it was made for."""
    found = _addition(shapes) or _unet(shapes) or _transformer(shapes) or _part(shapes)
    return found or ProbeResult("a file of an unknown kind", unknown=True)


def has_quantization_scales(shapes: Shapes) -> bool:
    """Whether the numbers are stored with scales of their own, which no reader here knows."""
    return any(name.endswith(_PACKED) for name in shapes)


def _addition(shapes: Shapes) -> ProbeResult | None:
    starts = ("lora_unet_", "lora_te", "lora_transformer_")
    pairs = ("lora_A", "lora_B", "lora_down", "lora_up", "lora.down", "lora.up")
    ends = (*(f".{name}.weight" for name in pairs), ".dora_scale")
    if any(name.startswith(starts) or name.endswith(ends) or ".lokr_" in name for name in shapes):
        return ProbeResult("a LoRA, which changes another model", lora=True)
    if any(name.startswith(("controlnet", "control_model.", "input_hint_block.")) for name in shapes):
        return ProbeResult("a ControlNet, which guides another model", control=True)
    if any(name.startswith(("image_proj.", "ip_adapter_proj_model.")) for name in shapes):
        return ProbeResult("an IP-Adapter, which guides another model", adapter=True)
    if "emb_params" in shapes or (len(shapes) <= 2 and {"clip_l", "clip_g"} & shapes.keys()):
        return ProbeResult("a textual inversion, which adds a word to another model")
    return None


def _unet(shapes: Shapes) -> ProbeResult | None:
    for block in ("input_blocks.2.1", "input_blocks.4.1"):
        width = shapes.get(f"{UNET}{block}.transformer_blocks.0.attn2.to_k.weight", (0,))[-1]
        if width not in _OF_WIDTH:
            continue
        title, layout = _OF_WIDTH[width]
        channels = shapes.get(f"{UNET}input_blocks.0.0.weight", (0, 4))[1]
        layout = layout if channels == 4 else _OF_OTHER_CHANNELS.get((layout, channels), "")
        if "edm_mean" in shapes or "edm_vpred.sigma_max" in shapes:  # Playground 2.5, CosXL
            return ProbeResult(f"a model of {title} with noise of another kind (EDM)")
        return ProbeResult(f"a model of {title}{_OF_CHANNELS.get(channels, '')}", layout)
    return None


def _transformer(shapes: Shapes) -> ProbeResult | None:
    bare = {name.removeprefix(UNET): shape for name, shape in shapes.items()}
    for title, layout, marks in _TRANSFORMERS:
        if all(mark in bare for mark in marks):
            return ProbeResult(f"a model of {title}", layout)
    if _FLUX not in bare:
        return None
    channels = bare.get("img_in.weight", (0, 0))[1]
    if channels == 384:
        return ProbeResult("a model of Flux.1 Fill", "flux-fill")
    if channels != 64:
        return ProbeResult("a model of Flux.1, made for guiding pictures")
    dev = any(name.startswith("guidance_in.") for name in bare)
    return ProbeResult(f"a model of Flux.1 {'dev' if dev else 'schnell'}", "flux")


def _part(shapes: Shapes) -> ProbeResult | None:
    if any(name.startswith(("encoder.down", "decoder.up", "first_stage_model.")) for name in shapes):
        return ProbeResult("an autoencoder, which is only part of a model")
    if any(
        name.startswith(("text_model.encoder.layers.", "encoder.block.0.layer.0.SelfAttention.")) for name in shapes
    ):
        return ProbeResult("a text encoder, which is only part of a model")
    return None
