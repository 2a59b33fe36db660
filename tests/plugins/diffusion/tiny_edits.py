"""Tiny pipelines of the kin of Stable Diffusion that start from a picture alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from tests.plugins.diffusion.tiny import SIDE, clip_text, clip_tokenizer, unet, vae


def pix2pix(folder: Path) -> Path:
    from diffusers import StableDiffusionInstructPix2PixPipeline

    torch.manual_seed(0)
    words = clip_tokenizer()
    StableDiffusionInstructPix2PixPipeline(
        vae=vae(),
        text_encoder=clip_text(words),
        tokenizer=words,
        unet=unet(32, channels=8),
        scheduler=_euler(),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    ).save_pretrained(folder)
    return folder


def pix2pix_xl(folder: Path) -> Path:
    from diffusers import StableDiffusionXLInstructPix2PixPipeline

    torch.manual_seed(0)
    words = clip_tokenizer()
    denoiser = unet(
        64,
        channels=8,
        addition_embed_type="text_time",
        addition_time_embed_dim=8,
        projection_class_embeddings_input_dim=8 * 6 + 32,
        use_linear_projection=True,
    )
    StableDiffusionXLInstructPix2PixPipeline(
        vae=vae(),
        text_encoder=clip_text(words),
        text_encoder_2=clip_text(words, projection=32),
        tokenizer=words,
        tokenizer_2=words,
        unet=denoiser,
        scheduler=_euler(),
    ).save_pretrained(folder)
    return folder


def depth(folder: Path) -> Path:
    from diffusers import StableDiffusionDepth2ImgPipeline
    from transformers import DPTConfig, DPTForDepthEstimation, DPTImageProcessorPil

    torch.manual_seed(0)
    words = clip_tokenizer()
    seeing = DPTConfig(
        hidden_size=16,
        intermediate_size=16,
        num_hidden_layers=4,
        num_attention_heads=2,
        image_size=SIDE,
        patch_size=16,
        backbone_out_indices=[0, 1, 2, 3],
        neck_hidden_sizes=[8, 8, 8, 8],
        fusion_hidden_size=8,
        is_hybrid=False,
    )
    StableDiffusionDepth2ImgPipeline(
        vae=vae(),
        text_encoder=clip_text(words),
        tokenizer=words,
        unet=unet(32, channels=5),
        scheduler=_euler(),
        depth_estimator=DPTForDepthEstimation(seeing),
        feature_extractor=DPTImageProcessorPil(size={"height": SIDE, "width": SIDE}),
    ).save_pretrained(folder)
    return folder


def _euler() -> Any:
    from diffusers import EulerDiscreteScheduler

    return EulerDiscreteScheduler(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear")
