"""Contents of single files of each kind, and the published hyperparameters that their headers lack.

diffusers converts the tensor names of such a file (`from_single_file`), and asks for a folder of configurations, which
it would download. `write_configs` writes that folder: the numbers are those of the papers and model cards (LDM,
arXiv:2112.10752; SDXL, arXiv:2307.01952; SD3, arXiv:2403.03206). Anything left out is the default of the class.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .probe import UNET, Shapes

Config = Mapping[str, Any]
_LATENT_NOISE = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear", "steps_offset": 1}


@dataclass(frozen=True)
class Component:
    """A component of a pipeline: its class in diffusers or transformers, and its configuration."""

    library: str
    class_name: str
    config: Config

    @property
    def config_file(self) -> str:
        return "scheduler_config.json" if self.class_name.endswith("Scheduler") else "config.json"


@dataclass(frozen=True)
class Layout:
    """A kind of single file.

    `families` are those whose folders can provide what a file lacks, the best first. `pipeline` is the class for a
    complete file, with its `components`; empty where files hold no more than a denoiser. `settings` are further entries
    of the pipeline's index. `pad_tokens` are the padding tokens of CLIP's tokenizers, by component. The tensor names of
    a complete file begin with each of `complete_prefixes`. `read_denoiser_config` and `read_scheduler_config` read from
    the header what differs from the defaults.
    """

    families: tuple[str, ...]
    pipeline: str = ""
    components: Mapping[str, Component] = field(default_factory=dict)
    settings: Config = field(default_factory=dict)
    pad_tokens: Mapping[str, str] = field(default_factory=dict)
    complete_prefixes: tuple[str, ...] = ()
    read_denoiser_config: Callable[[Shapes], dict[str, Any]] = lambda _: {}
    read_scheduler_config: Callable[[Shapes], dict[str, Any]] = lambda _: {}
    tests_prediction: bool = False
    """True where the header does not tell the prediction type, so that one step of the denoiser must tell it."""


def write_configs(layout: Layout, shapes: Shapes, folder: Path) -> Path:
    """Write a diffusers folder of configurations without weights, and return it."""
    index: dict[str, Any] = {"_class_name": layout.pipeline, **layout.settings}
    for name, component in layout.components.items():
        index[name] = [component.library, component.class_name]
        from_header = layout.read_denoiser_config(shapes) if name in ("unet", "transformer") else {}
        (folder / name).mkdir(parents=True, exist_ok=True)
        (folder / name / component.config_file).write_text(json.dumps({**component.config, **from_header}), "utf-8")
    (folder / "model_index.json").write_text(json.dumps(index), "utf-8")
    return folder


def strip_prefix(shapes: Shapes) -> Shapes:
    """Remove from the tensor names of a denoiser the prefix that some programs write."""
    return {name.removeprefix(UNET): shape for name, shape in shapes.items()}


def _count_blocks(shapes: Shapes, blocks: str) -> int:
    return 1 + max((int(name.split(".")[1]) for name in shapes if name.startswith(f"{blocks}.")), default=-1)


def _read_flux_config(shapes: Shapes) -> dict[str, Any]:
    names = strip_prefix(shapes)
    if "img_in.weight" not in names:  # in diffusers' own layout
        return {}
    return {
        "in_channels": names["img_in.weight"][1],
        "num_layers": _count_blocks(names, "double_blocks"),
        "num_single_layers": _count_blocks(names, "single_blocks"),
        "guidance_embeds": "guidance_in.in_layer.weight" in names,
    }


def _read_flux_scheduler_config(shapes: Shapes) -> dict[str, Any]:
    config = _read_flux_config(shapes)
    if not config:
        return {}
    if config["guidance_embeds"]:  # FLUX.1 dev: more noise for larger images
        return {"shift": 3.0, "use_dynamic_shifting": True, "base_shift": 0.5, "max_shift": 1.15}
    return {"shift": 1.0, "use_dynamic_shifting": False}


def _read_sd3_config(shapes: Shapes) -> dict[str, Any]:
    names = strip_prefix(shapes)
    if "x_embedder.proj.weight" not in names:
        return {}
    width, channels, patch, _ = names["x_embedder.proj.weight"]
    norm = names.get("joint_blocks.0.x_block.attn.ln_q.weight")
    head = norm[0] if norm else 64
    depth = _count_blocks(names, "joint_blocks")
    dual_blocks = [number for number in range(depth) if f"joint_blocks.{number}.x_block.attn2.qkv.weight" in names]
    return {
        "in_channels": channels,
        "out_channels": channels,
        "patch_size": patch,
        "num_layers": depth,
        "attention_head_dim": head,
        "num_attention_heads": width // head,
        "caption_projection_dim": names["context_embedder.weight"][0],
        "joint_attention_dim": names["context_embedder.weight"][1],
        "pooled_projection_dim": names["y_embedder.mlp.0.weight"][1],
        "pos_embed_max_size": math.isqrt(names["pos_embed"][1]),
        "dual_attention_layers": dual_blocks,
        "qk_norm": "rms_norm" if norm else None,
    }


def _clip_encoder(
    width: int, layers: int, heads: int, *, act: str = "gelu", projection: int | None = None
) -> Component:
    config = {
        "model_type": "clip_text_model",
        "vocab_size": 49408,
        "hidden_size": width,
        "intermediate_size": 4 * width,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "hidden_act": act,
        "projection_dim": projection or width,
        "bos_token_id": 49406,
        "eos_token_id": 49407,
    }
    return Component("transformers", "CLIPTextModelWithProjection" if projection else "CLIPTextModel", config)


def _vae(**overrides: object) -> Component:
    config = {
        "block_out_channels": [128, 256, 512, 512],
        "down_block_types": ["DownEncoderBlock2D"] * 4,
        "up_block_types": ["UpDecoderBlock2D"] * 4,
        "layers_per_block": 2,
        "latent_channels": 4,
        "sample_size": 512,
        **overrides,
    }
    return Component("diffusers", "AutoencoderKL", config)


def _unet(**overrides: object) -> Component:
    """Describe a UNet; the class defaults are those of Stable Diffusion 1 but for `cross_attention_dim`.

    diffusers' conversion of tensor names reads `layers_per_block` without knowing the default, so it is written.
    """
    return Component("diffusers", "UNet2DConditionModel", {"sample_size": 64, "layers_per_block": 2, **overrides})


def _scheduler(name: str, **overrides: object) -> Component:
    return Component("diffusers", name, {**_LATENT_NOISE, **overrides})


_DDIM = _scheduler("DDIMScheduler", clip_sample=False, set_alpha_to_one=False)
_CLIP_L = _clip_encoder(768, 12, 12, act="quick_gelu")
_CLIP_L_PROJECTED = _clip_encoder(768, 12, 12, act="quick_gelu", projection=768)
_CLIP_H = _clip_encoder(1024, 23, 16)  # the last of its 24 layers is not used
_CLIP_G = _clip_encoder(1280, 32, 20, projection=1280)
_END_TOKEN, _ZERO_TOKEN = "<|endoftext|>", "!"
_NO_SAFETY_CHECKER = {"requires_safety_checker": False}
_SD2 = {
    "cross_attention_dim": 1024,
    "attention_head_dim": [5, 10, 20, 20],
    "use_linear_projection": True,
    "upcast_attention": True,
}
_XL = {
    "sample_size": 128,
    "use_linear_projection": True,
    "addition_embed_type": "text_time",
    "addition_time_embed_dim": 256,
}
_XL_BASE = {
    **_XL,
    "block_out_channels": [320, 640, 1280],
    "down_block_types": ["DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"],
    "up_block_types": ["CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"],
    "transformer_layers_per_block": [1, 2, 10],
    "attention_head_dim": [5, 10, 20],
    "cross_attention_dim": 2048,
    "projection_class_embeddings_input_dim": 2816,
}
_XL_VAE = _vae(sample_size=1024, scaling_factor=0.13025)
_EULER = _scheduler("EulerDiscreteScheduler", timestep_spacing="leading")


def _stable_diffusion(
    pipeline: str, unet: Component, text: Component, pad_token: str, scheduler: Component, **overrides: Any
) -> Layout:
    return Layout(
        (overrides.pop("family", "stable-diffusion"),),
        pipeline,
        {"unet": unet, "vae": _vae(), "text_encoder": text, "scheduler": scheduler},
        _NO_SAFETY_CHECKER,
        {"tokenizer": pad_token},
        **overrides,
    )


def _sd1(pipeline: str, scheduler: Component, *, family: str = "stable-diffusion", channels: int = 4) -> Layout:
    prefixes = ("first_stage_model.", "cond_stage_model.transformer.text_model.")
    unet = _unet(cross_attention_dim=768, in_channels=channels)
    return _stable_diffusion(pipeline, unet, _CLIP_L, _END_TOKEN, scheduler, family=family, complete_prefixes=prefixes)


def _sd2(pipeline: str, *, tests_prediction: bool, **unet: object) -> Layout:
    prefixes = ("first_stage_model.", "cond_stage_model.model.")
    return _stable_diffusion(
        pipeline,
        _unet(**_SD2, **unet),
        _CLIP_H,
        _ZERO_TOKEN,
        _DDIM,
        complete_prefixes=prefixes,
        tests_prediction=tests_prediction,
    )


def _xl(pipeline: str, **unet: object) -> Layout:
    return Layout(
        ("stable-diffusion-xl",),
        pipeline,
        {
            "unet": _unet(**_XL_BASE, **unet),
            "vae": _XL_VAE,
            "text_encoder": _CLIP_L,
            "text_encoder_2": _CLIP_G,
            "scheduler": _EULER,
        },
        {"force_zeros_for_empty_prompt": True},
        {"tokenizer": _END_TOKEN, "tokenizer_2": _ZERO_TOKEN},
        ("first_stage_model.", "conditioner.embedders.0.transformer.text_model.", "conditioner.embedders.1.model."),
    )


LAYOUTS: dict[str, Layout] = {
    "stable-diffusion-1": _sd1("StableDiffusionPipeline", _scheduler("PNDMScheduler", skip_prk_steps=True)),
    "stable-diffusion-1-inpainting": _sd1("StableDiffusionInpaintPipeline", _DDIM, channels=9),
    "stable-diffusion-2": _sd2("StableDiffusionPipeline", tests_prediction=True, sample_size=96),
    "stable-diffusion-2-inpainting": _sd2("StableDiffusionInpaintPipeline", tests_prediction=False, in_channels=9),
    "stable-diffusion-xl": _xl("StableDiffusionXLPipeline"),
    "stable-diffusion-xl-inpainting": _xl("StableDiffusionXLInpaintPipeline", in_channels=9),
    "stable-diffusion-xl-refiner": Layout(
        ("stable-diffusion-xl",),
        "StableDiffusionXLImg2ImgPipeline",
        {
            "unet": _unet(
                **_XL,
                block_out_channels=[384, 768, 1536, 1536],
                down_block_types=["DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"],
                up_block_types=["UpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"],
                transformer_layers_per_block=4,
                attention_head_dim=[6, 12, 24, 24],
                cross_attention_dim=1280,
                projection_class_embeddings_input_dim=2560,
            ),
            "vae": _XL_VAE,
            "text_encoder_2": _CLIP_G,
            "scheduler": _EULER,
        },
        {"force_zeros_for_empty_prompt": False, "requires_aesthetics_score": True},
        {"tokenizer_2": _ZERO_TOKEN},
        ("first_stage_model.", "conditioner.embedders.0.model."),
    ),
    "stable-diffusion-3": Layout(
        ("stable-diffusion-3",),
        "StableDiffusion3Pipeline",
        {
            "transformer": Component("diffusers", "SD3Transformer2DModel", {"sample_size": 128}),
            "vae": _vae(
                sample_size=1024,
                latent_channels=16,
                scaling_factor=1.5305,
                shift_factor=0.0609,
                use_quant_conv=False,
                use_post_quant_conv=False,
            ),
            "text_encoder": _CLIP_L_PROJECTED,
            "text_encoder_2": _CLIP_G,
            "scheduler": Component("diffusers", "FlowMatchEulerDiscreteScheduler", {"shift": 3.0}),
        },
        pad_tokens={"tokenizer": _END_TOKEN, "tokenizer_2": _ZERO_TOKEN},
        complete_prefixes=("first_stage_model.", "text_encoders.clip_l.", "text_encoders.clip_g."),
        read_denoiser_config=_read_sd3_config,
    ),
    "flux": Layout(
        ("flux", "flux-kontext"),
        read_denoiser_config=_read_flux_config,
        read_scheduler_config=_read_flux_scheduler_config,
    ),
    "flux-fill": Layout(
        ("flux-fill",), read_denoiser_config=_read_flux_config, read_scheduler_config=_read_flux_scheduler_config
    ),
    "flux2": Layout(("flux2", "flux2-klein")),
    "chroma": Layout(("chroma",)),
    "auraflow": Layout(("auraflow",)),
    "lumina2": Layout(("lumina2",)),
    "sana": Layout(("sana",)),
    "z-image": Layout(("z-image",)),
    "qwenimage": Layout(("qwenimage",)),
    "qwenimage21": Layout(("qwenimage21",)),
    "krea2": Layout(("krea2",)),
    "depth": Layout(("depth",)),
    "instruct-pix2pix": _sd1(
        "StableDiffusionInstructPix2PixPipeline",
        _scheduler("EulerAncestralDiscreteScheduler"),
        family="instruct-pix2pix",
        channels=8,
    ),
}
