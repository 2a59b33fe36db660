"""Tiny pipelines of Qwen-Image and of what shares its autoencoder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from tests.plugins.diffusion.tiny_encoders import WIDTH, qwen3_vl, qwen25_vl
from tests.plugins.diffusion.tiny_transformers import flow


def qwen_image(folder: Path) -> Path:
    from diffusers import QwenImagePipeline

    torch.manual_seed(0)
    words, encoder = qwen25_vl()
    QwenImagePipeline(
        transformer=transformer(), scheduler=flow(), vae=vae(), text_encoder=encoder, tokenizer=words
    ).save_pretrained(folder)
    return folder


def krea2(folder: Path) -> Path:
    from diffusers import Krea2Pipeline, Krea2Transformer2DModel

    torch.manual_seed(0)
    words, encoder = qwen3_vl()
    Krea2Pipeline(
        transformer=Krea2Transformer2DModel(
            in_channels=16,
            num_layers=1,
            attention_head_dim=16,
            num_attention_heads=2,
            num_key_value_heads=1,
            intermediate_size=16,
            timestep_embed_dim=16,
            text_hidden_dim=WIDTH,
            num_text_layers=2,
            text_num_attention_heads=2,
            text_num_key_value_heads=2,
            text_intermediate_size=16,
            num_layerwise_text_blocks=1,
            num_refiner_text_blocks=1,
            axes_dims_rope=(4, 6, 6),
        ),
        scheduler=flow(),
        vae=vae(),
        text_encoder=encoder,
        tokenizer=words,
        text_encoder_select_layers=(1, 2),
    ).save_pretrained(folder)
    return folder


def transformer(**more: Any) -> Any:
    from diffusers import QwenImageTransformer2DModel

    return QwenImageTransformer2DModel(
        in_channels=16,
        out_channels=4,
        num_layers=1,
        attention_head_dim=16,
        num_attention_heads=2,
        joint_attention_dim=WIDTH,
        axes_dims_rope=(4, 6, 6),
        **more,
    )


def vae() -> Any:
    from diffusers import AutoencoderKLQwenImage

    return AutoencoderKLQwenImage(
        base_dim=8,
        z_dim=4,
        dim_mult=[1, 2],
        num_res_blocks=1,
        temperal_downsample=[True],
        latents_mean=[0.1, 0.0, -0.1, 0.0],
        latents_std=[1.0, 1.5, 1.0, 0.5],
    )
