"""Tiny pipelines of Flux.1 Kontext, Flux.2 and what descends from Flux."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from tests.plugins.diffusion.tiny import SIDE, as_published, clip_text, clip_tokenizer, vae
from tests.plugins.diffusion.tiny_encoders import WIDTH, mistral3, qwen3
from tests.plugins.diffusion.tiny_transformers import flow, t5

SMALL = {
    "in_channels": 16,
    "num_layers": 1,
    "num_single_layers": 1,
    "attention_head_dim": 16,
    "num_attention_heads": 2,
    "axes_dims_rope": (4, 4, 8),
}
SHIFTED = {"shift_factor": 0.06, "scaling_factor": 0.6}


def kontext(folder: Path) -> Path:
    from diffusers import FluxKontextPipeline, FluxTransformer2DModel

    torch.manual_seed(0)
    clip, (words, encoder) = clip_tokenizer(), t5()
    FluxKontextPipeline(
        transformer=FluxTransformer2DModel(
            **SMALL, joint_attention_dim=32, pooled_projection_dim=32, guidance_embeds=True
        ),
        scheduler=flow(),
        vae=vae(**SHIFTED),
        text_encoder=clip_text(clip),
        tokenizer=clip,
        text_encoder_2=encoder,
        tokenizer_2=words,
    ).save_pretrained(folder)
    return folder


def fill(folder: Path) -> Path:
    """Sees a masked picture and every pixel of the mask next to the latents."""
    from diffusers import FluxFillPipeline, FluxTransformer2DModel

    torch.manual_seed(0)
    clip, (words, encoder) = clip_tokenizer(), t5()
    FluxFillPipeline(
        transformer=FluxTransformer2DModel(
            **{**SMALL, "in_channels": 48}, out_channels=16, joint_attention_dim=32, pooled_projection_dim=32
        ),
        scheduler=flow(),
        vae=vae(**SHIFTED),
        text_encoder=clip_text(clip),
        tokenizer=clip,
        text_encoder_2=encoder,
        tokenizer_2=words,
    ).save_pretrained(folder)
    return folder


def chroma(folder: Path) -> Path:
    from diffusers import ChromaPipeline, ChromaTransformer2DModel

    torch.manual_seed(0)
    words, encoder = t5()
    ChromaPipeline(
        transformer=ChromaTransformer2DModel(
            **SMALL,
            joint_attention_dim=32,
            approximator_num_channels=8,
            approximator_hidden_dim=16,
            approximator_layers=1,
        ),
        scheduler=flow(),
        vae=vae(**SHIFTED),
        text_encoder=encoder,
        tokenizer=words,
    ).save_pretrained(folder)
    return folder


def flux2(folder: Path) -> Path:
    from diffusers import Flux2Pipeline

    torch.manual_seed(0)
    words, encoder = mistral3()
    Flux2Pipeline(
        transformer=_second(), scheduler=flow(), vae=_second_vae(), text_encoder=encoder, tokenizer=words
    ).save_pretrained(folder)
    return as_published(folder, tokenizer="transformers.PixtralProcessor")


def flux2_klein(folder: Path) -> Path:
    from diffusers import Flux2KleinPipeline

    torch.manual_seed(0)
    words, encoder = qwen3(layers=28, head=True)
    Flux2KleinPipeline(
        transformer=_second(),
        scheduler=flow(),
        vae=_second_vae(),
        text_encoder=encoder,
        tokenizer=words,
        is_distilled=True,
    ).save_pretrained(folder)
    return folder


def _second() -> Any:
    """Of the second generation, which sees three layers of the text encoder at once."""
    from diffusers import Flux2Transformer2DModel

    return Flux2Transformer2DModel(
        **{**SMALL, "axes_dims_rope": (4, 4, 4, 4)}, joint_attention_dim=3 * WIDTH, timestep_guidance_channels=16
    )


def _second_vae() -> Any:
    from diffusers import AutoencoderKLFlux2

    return AutoencoderKLFlux2(
        block_out_channels=(8, 16),
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        latent_channels=4,
        norm_num_groups=4,
        sample_size=SIDE,
    )
