"""Tiny pipelines of the families that paint from an embedding, each as two folders: a prior and a decoder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from tests.plugins.diffusion.tiny import as_published, clip_text, clip_tokenizer
from tests.plugins.diffusion.tiny_encoders import begun_tokenizer
from tests.plugins.diffusion.tiny_transformers import t5

WIDTH = 32


def kandinsky22(folder: Path, *, channels: int = 4) -> Path:
    """The decoder's folder; the prior is next to it."""
    from diffusers import KandinskyV22InpaintPipeline, KandinskyV22Pipeline, KandinskyV22PriorPipeline

    torch.manual_seed(0)
    KandinskyV22PriorPipeline(**_prior()).save_pretrained(folder.with_name(f"{folder.name}-prior"))
    denoiser = _unet(channels, cross_attention_dim=16, addition_embed_type="image", encoder_hid_dim_type="image_proj")
    kind = KandinskyV22Pipeline if channels == 4 else KandinskyV22InpaintPipeline
    kind(unet=denoiser, scheduler=_ddim(), movq=_movq()).save_pretrained(folder)
    return folder


def kandinsky22_inpainting(folder: Path) -> Path:
    return kandinsky22(folder, channels=9)


def kandinsky21(folder: Path, *, channels: int = 4) -> Path:
    from diffusers import KandinskyInpaintPipeline, KandinskyPipeline, KandinskyPriorPipeline
    from diffusers.pipelines.kandinsky.text_encoder import MCLIPConfig, MultilingualCLIP

    torch.manual_seed(0)
    KandinskyPriorPipeline(**_prior()).save_pretrained(folder.with_name(f"{folder.name}-prior"))
    words = begun_tokenizer()
    config = MCLIPConfig(
        transformerDimSize=WIDTH,
        imageDimSize=WIDTH,
        hidden_size=WIDTH,
        intermediate_size=WIDTH,
        num_attention_heads=4,
        num_hidden_layers=1,
        vocab_size=len(words),
        max_position_embeddings=80,
        pad_token_id=words.pad_token_id,
    )
    kind = KandinskyPipeline if channels == 4 else KandinskyInpaintPipeline
    kind(
        text_encoder=MultilingualCLIP(config),
        tokenizer=words,
        unet=_unet(
            channels,
            cross_attention_dim=WIDTH,
            addition_embed_type="text_image",
            encoder_hid_dim_type="text_image_proj",
        ),
        scheduler=_ddim(),
        movq=_movq(),
    ).save_pretrained(folder)
    return folder


def kandinsky21_inpainting(folder: Path) -> Path:
    return kandinsky21(folder, channels=9)


def kandinsky3(folder: Path) -> Path:
    from diffusers import DDPMScheduler, Kandinsky3Pipeline, Kandinsky3UNet

    torch.manual_seed(0)
    words, encoder = t5()
    Kandinsky3Pipeline(
        tokenizer=words,
        text_encoder=encoder,
        unet=Kandinsky3UNet(
            in_channels=4,
            time_embedding_dim=16,
            groups=2,
            attention_head_dim=4,
            layers_per_block=2,
            block_out_channels=(8, 8, 8, 16),
            cross_attention_dim=8,
            encoder_hid_dim=32,
        ),
        scheduler=DDPMScheduler(beta_start=0.00085, beta_end=0.02, beta_schedule="squaredcos_cap_v2"),
        movq=_movq(),
    ).save_pretrained(folder)
    return folder


def wuerstchen(folder: Path) -> Path:
    from diffusers import DDPMWuerstchenScheduler, WuerstchenDecoderPipeline, WuerstchenPriorPipeline
    from diffusers.pipelines.deprecated.wuerstchen import WuerstchenDiffNeXt, WuerstchenPrior

    torch.manual_seed(0)
    words = clip_tokenizer()
    WuerstchenPriorPipeline(
        tokenizer=words,
        text_encoder=clip_text(words),
        prior=WuerstchenPrior(c_in=16, c=8, c_cond=WIDTH, c_r=8, depth=1, nhead=2),
        scheduler=DDPMWuerstchenScheduler(),
    ).save_pretrained(folder.with_name(f"{folder.name}-prior"))
    as_published(folder.with_name(f"{folder.name}-prior"), prior="wuerstchen")
    WuerstchenDecoderPipeline(
        tokenizer=words,
        text_encoder=clip_text(words),
        decoder=WuerstchenDiffNeXt(
            c_cond=WIDTH,
            c_hidden=[16],
            nhead=[-1],
            blocks=[1],
            level_config=["CT"],
            inject_effnet=[True],
            clip_embd=WIDTH,
        ),
        scheduler=DDPMWuerstchenScheduler(),
        vqgan=_vqgan(),
    ).save_pretrained(folder)
    return as_published(folder, decoder="wuerstchen", vqgan="wuerstchen")


def cascade(folder: Path) -> Path:
    from diffusers import DDPMWuerstchenScheduler, StableCascadeDecoderPipeline, StableCascadePriorPipeline
    from diffusers.models import StableCascadeUNet

    torch.manual_seed(0)
    words = clip_tokenizer()
    common = {
        "conditioning_dim": WIDTH,
        "timestep_ratio_embedding_dim": 8,
        "block_out_channels": (16, 16),
        "num_attention_heads": (2, 2),
        "down_num_layers_per_block": (1, 1),
        "up_num_layers_per_block": (1, 1),
        "clip_text_pooled_in_channels": WIDTH,
        "switch_level": (False,),
    }
    StableCascadePriorPipeline(
        tokenizer=words,
        text_encoder=clip_text(words, projection=WIDTH),
        prior=StableCascadeUNet(**common, clip_text_in_channels=WIDTH, clip_image_in_channels=WIDTH),
        scheduler=DDPMWuerstchenScheduler(),
    ).save_pretrained(folder.with_name(f"{folder.name}-prior"))
    StableCascadeDecoderPipeline(
        tokenizer=words,
        text_encoder=clip_text(words, projection=WIDTH),
        decoder=StableCascadeUNet(
            **{**common, "switch_level": None}, in_channels=4, out_channels=4, patch_size=2, effnet_in_channels=16
        ),
        scheduler=DDPMWuerstchenScheduler(),
        vqgan=_vqgan(),
    ).save_pretrained(folder)
    return as_published(folder, vqgan="wuerstchen")


def _vqgan() -> Any:
    from diffusers.pipelines.deprecated.wuerstchen import PaellaVQModel

    return PaellaVQModel(bottleneck_blocks=1, embed_dim=16, num_vq_embeddings=8)


def _prior() -> dict[str, Any]:
    """The parts that make an embedding of the words."""
    from diffusers import PriorTransformer, UnCLIPScheduler
    from transformers import CLIPImageProcessorPil, CLIPVisionConfig, CLIPVisionModelWithProjection

    words = clip_tokenizer()
    prior = PriorTransformer(num_attention_heads=2, attention_head_dim=8, num_layers=1, embedding_dim=WIDTH)
    prior.clip_std.data.fill_(1.0)
    seeing = CLIPVisionConfig(
        hidden_size=WIDTH,
        intermediate_size=WIDTH,
        projection_dim=WIDTH,
        num_hidden_layers=1,
        num_attention_heads=4,
        image_size=32,
        patch_size=16,
    )
    return {
        "prior": prior,
        "text_encoder": clip_text(words, projection=WIDTH),
        "tokenizer": words,
        "image_encoder": CLIPVisionModelWithProjection(seeing),
        "image_processor": CLIPImageProcessorPil(crop_size=32, size=32),
        "scheduler": UnCLIPScheduler(
            variance_type="fixed_small_log", prediction_type="sample", clip_sample_range=10.0, clip_sample=True
        ),
    }


def _unet(channels: int, **more: Any) -> Any:
    from diffusers import UNet2DConditionModel

    return UNet2DConditionModel(
        in_channels=channels,
        out_channels=8,
        sample_size=8,
        block_out_channels=(8, 16),
        layers_per_block=1,
        down_block_types=("ResnetDownsampleBlock2D", "SimpleCrossAttnDownBlock2D"),
        mid_block_type="UNetMidBlock2DSimpleCrossAttn",
        up_block_types=("SimpleCrossAttnUpBlock2D", "ResnetUpsampleBlock2D"),
        encoder_hid_dim=WIDTH,
        norm_num_groups=4,
        attention_head_dim=4,
        resnet_time_scale_shift="scale_shift",
        **more,
    )


def _movq() -> Any:
    from diffusers import VQModel

    return VQModel(
        block_out_channels=(32,) * 4,
        down_block_types=("DownEncoderBlock2D",) * 3 + ("AttnDownEncoderBlock2D",),
        up_block_types=("AttnUpDecoderBlock2D",) + ("UpDecoderBlock2D",) * 3,
        latent_channels=4,
        norm_num_groups=32,
        norm_type="spatial",
        num_vq_embeddings=8,
        vq_embed_dim=4,
    )


def _ddim() -> Any:
    from diffusers import DDIMScheduler

    return DDIMScheduler(
        beta_schedule="linear",
        beta_start=0.00085,
        beta_end=0.012,
        clip_sample=False,
        set_alpha_to_one=False,
        steps_offset=1,
    )
