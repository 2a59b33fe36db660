"""Real pipelines at tiny random configurations, saved as folders. Each builder gets the folder to save into."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch

SIDE = 32
"""Pixels: what the tiny models paint by themselves."""


def as_published(folder: Path, **sources: str) -> Path:
    """With other sources of parts in the index: a library, or a library and a class with a dot between them."""
    index = json.loads((folder / "model_index.json").read_text("utf-8"))
    for name, source in sources.items():
        library, _, kind = source.partition(".")
        index[name] = [library, kind or index[name][1]]
    (folder / "model_index.json").write_text(json.dumps(index), "utf-8")
    return folder


def clip_tokenizer() -> Any:
    """Byte-level, without merges: every letter is a token."""
    from tokenizers.pre_tokenizers import ByteLevel
    from transformers import CLIPTokenizer

    letters = sorted(ByteLevel.alphabet())
    words = [*letters, *(f"{letter}</w>" for letter in letters), "<|startoftext|>", "<|endoftext|>"]
    return CLIPTokenizer(vocab={word: number for number, word in enumerate(words)}, merges=[], model_max_length=77)


def clip_text(tokenizer: Any, width: int = 32, *, projection: int | None = None) -> Any:
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

    config = CLIPTextConfig(
        vocab_size=len(tokenizer),
        hidden_size=width,
        intermediate_size=width,
        num_hidden_layers=3,
        num_attention_heads=4,
        projection_dim=projection or width,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
    )
    return CLIPTextModelWithProjection(config) if projection else CLIPTextModel(config)


def vae(channels: int = 4, *, levels: int = 2, **more: Any) -> Any:
    """Latents are as small as `levels` levels make them: by half for two, by eight for four."""
    from diffusers import AutoencoderKL

    return AutoencoderKL(
        block_out_channels=(*(8,) * (levels - 1), 16),
        down_block_types=("DownEncoderBlock2D",) * levels,
        up_block_types=("UpDecoderBlock2D",) * levels,
        latent_channels=channels,
        norm_num_groups=4,
        sample_size=SIDE,
        **more,
    )


def unet(cross: int, *, channels: int = 4, **more: Any) -> Any:
    from diffusers import UNet2DConditionModel

    return UNet2DConditionModel(
        block_out_channels=(8, 16),
        layers_per_block=1,
        sample_size=SIDE // 2,
        in_channels=channels,
        out_channels=4,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        cross_attention_dim=cross,
        norm_num_groups=4,
        attention_head_dim=4,
        **more,
    )


def stable_diffusion(folder: Path, *, channels: int = 4, width: int = 32, **scheduler: Any) -> Path:
    from diffusers import DDIMScheduler, StableDiffusionInpaintPipeline, StableDiffusionPipeline

    torch.manual_seed(0)
    tokenizer = clip_tokenizer()
    options: dict[str, Any] = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}
    options |= {"clip_sample": False, "set_alpha_to_one": False, "steps_offset": 1}
    kind = StableDiffusionInpaintPipeline if channels == 9 else StableDiffusionPipeline
    kind(
        vae=vae(),
        text_encoder=clip_text(tokenizer, width),
        tokenizer=tokenizer,
        unet=unet(width, channels=channels),
        scheduler=DDIMScheduler(
            **{**options, "clip_sample": False, "set_alpha_to_one": False, "steps_offset": 1, **scheduler}
        ),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    ).save_pretrained(folder)
    return folder


def stable_diffusion_xl(folder: Path) -> Path:
    from diffusers import EulerDiscreteScheduler, StableDiffusionXLPipeline

    torch.manual_seed(0)
    tokenizer = clip_tokenizer()
    StableDiffusionXLPipeline(
        vae=vae(),
        text_encoder=clip_text(tokenizer),
        text_encoder_2=clip_text(tokenizer, projection=32),
        tokenizer=tokenizer,
        tokenizer_2=tokenizer,
        unet=unet(
            64,
            addition_embed_type="text_time",
            addition_time_embed_dim=8,
            projection_class_embeddings_input_dim=8 * 6 + 32,
            transformer_layers_per_block=1,
            use_linear_projection=True,
        ),
        scheduler=EulerDiscreteScheduler(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear"),
    ).save_pretrained(folder)
    return folder


def refiner(folder: Path) -> Path:
    from diffusers import EulerDiscreteScheduler, StableDiffusionXLImg2ImgPipeline

    torch.manual_seed(0)
    tokenizer = clip_tokenizer()
    StableDiffusionXLImg2ImgPipeline(
        vae=vae(),
        text_encoder=None,
        text_encoder_2=clip_text(tokenizer, projection=32),
        tokenizer=None,
        tokenizer_2=tokenizer,
        unet=unet(
            32,
            addition_embed_type="text_time",
            addition_time_embed_dim=8,
            projection_class_embeddings_input_dim=8 * 5 + 32,
            use_linear_projection=True,
        ),
        scheduler=EulerDiscreteScheduler(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear"),
        requires_aesthetics_score=True,
        force_zeros_for_empty_prompt=False,
    ).save_pretrained(folder)
    return folder


def lcm(folder: Path) -> Path:
    from diffusers import LatentConsistencyModelPipeline, LCMScheduler

    torch.manual_seed(0)
    tokenizer = clip_tokenizer()
    LatentConsistencyModelPipeline(
        vae=vae(),
        text_encoder=clip_text(tokenizer),
        tokenizer=tokenizer,
        unet=unet(32, time_cond_proj_dim=8),
        scheduler=LCMScheduler(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear"),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    ).save_pretrained(folder)
    return folder
