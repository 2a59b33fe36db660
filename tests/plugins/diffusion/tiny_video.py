"""Tiny pipelines of video. Each builder gets the folder to save into."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from tests.plugins.diffusion.tiny import clip_text, clip_tokenizer, unet, vae
from tests.plugins.diffusion.tiny_transformers import byte_tokenizer, flow, t5


def motion_adapter(folder: Path | None = None) -> Any:
    """For `tiny.stable_diffusion`; saved where a folder is given."""
    from diffusers import MotionAdapter

    torch.manual_seed(1)
    adapter = MotionAdapter(
        block_out_channels=(8, 16), motion_layers_per_block=1, motion_num_attention_heads=2, motion_norm_num_groups=4
    )
    if folder is not None:
        adapter.save_pretrained(folder)
    return adapter


def animatediff(folder: Path) -> Path:
    from diffusers import AnimateDiffPipeline, DDIMScheduler

    torch.manual_seed(0)
    tokenizer = clip_tokenizer()
    AnimateDiffPipeline(
        vae=vae(),
        text_encoder=clip_text(tokenizer),
        tokenizer=tokenizer,
        unet=unet(32),
        motion_adapter=motion_adapter(),
        scheduler=DDIMScheduler(beta_start=0.00085, beta_end=0.012, beta_schedule="linear", clip_sample=False),
    ).save_pretrained(folder)
    return folder


def ltx(folder: Path) -> Path:
    from diffusers import AutoencoderKLLTXVideo, LTXPipeline, LTXVideoTransformer3DModel

    torch.manual_seed(0)
    tokenizer, encoder = t5()
    coder = AutoencoderKLLTXVideo(
        latent_channels=8,
        block_out_channels=(8, 8, 8, 8),
        decoder_block_out_channels=(8, 8, 8, 8),
        layers_per_block=(1, 1, 1, 1, 1),
        decoder_layers_per_block=(1, 1, 1, 1, 1),
        spatio_temporal_scaling=(True, True, False, False),
        decoder_spatio_temporal_scaling=(True, True, False, False),
        patch_size=2,
        encoder_causal=True,
        decoder_causal=False,
    )
    transformer = LTXVideoTransformer3DModel(
        in_channels=8,
        out_channels=8,
        num_attention_heads=2,
        attention_head_dim=8,
        cross_attention_dim=16,
        num_layers=1,
        caption_channels=32,
    )
    LTXPipeline(
        scheduler=flow(), vae=coder, text_encoder=encoder, tokenizer=tokenizer, transformer=transformer
    ).save_pretrained(folder)
    return folder


def _wan_parts(channels: int, **more: Any) -> dict[str, Any]:
    from diffusers import AutoencoderKLWan, UniPCMultistepScheduler, WanTransformer3DModel
    from transformers import UMT5Config, UMT5EncoderModel

    torch.manual_seed(0)
    tokenizer, _ = t5()
    config = UMT5Config(vocab_size=len(tokenizer), d_model=32, d_kv=8, d_ff=37, num_layers=2, num_heads=4)
    return {
        "tokenizer": tokenizer,
        "text_encoder": UMT5EncoderModel(config),
        "vae": AutoencoderKLWan(
            base_dim=3, z_dim=16, dim_mult=[1, 1, 1, 1], num_res_blocks=1, temperal_downsample=[False, True, True]
        ),
        "scheduler": UniPCMultistepScheduler(
            prediction_type="flow_prediction", use_flow_sigmas=True, num_train_timesteps=1000, flow_shift=3.0
        ),
        "transformer": WanTransformer3DModel(
            patch_size=(1, 2, 2),
            num_attention_heads=2,
            attention_head_dim=12,
            in_channels=channels,
            out_channels=16,
            text_dim=32,
            freq_dim=32,
            ffn_dim=32,
            num_layers=1,
            rope_max_seq_len=32,
            **more,
        ),
    }


def wan(folder: Path) -> Path:
    from diffusers import WanPipeline

    WanPipeline(**_wan_parts(16)).save_pretrained(folder)
    return folder


def clip_vision(width: int, side: int, *, projection: bool) -> Any:
    from transformers import CLIPVisionConfig, CLIPVisionModel, CLIPVisionModelWithProjection

    config = CLIPVisionConfig(
        hidden_size=width,
        projection_dim=width,
        image_size=side,
        patch_size=side // 2,
        intermediate_size=width,
        num_hidden_layers=2,
        num_attention_heads=2,
    )
    return CLIPVisionModelWithProjection(config) if projection else CLIPVisionModel(config)


def wan_from_pictures(folder: Path) -> Path:
    from diffusers import WanImageToVideoPipeline
    from transformers import CLIPImageProcessor

    parts = _wan_parts(36, image_dim=4, added_kv_proj_dim=24)
    WanImageToVideoPipeline(
        **parts,
        image_encoder=clip_vision(4, 32, projection=False),
        image_processor=CLIPImageProcessor(crop_size=32, size=32),
    ).save_pretrained(folder)
    return folder


def _cogvideo_parts(channels: int, **more: Any) -> dict[str, Any]:
    from diffusers import AutoencoderKLCogVideoX, CogVideoXDDIMScheduler, CogVideoXTransformer3DModel

    torch.manual_seed(0)
    tokenizer, encoder = t5()
    return {
        "tokenizer": tokenizer,
        "text_encoder": encoder,
        "vae": AutoencoderKLCogVideoX(
            down_block_types=("CogVideoXDownBlock3D",) * 4,
            up_block_types=("CogVideoXUpBlock3D",) * 4,
            block_out_channels=(8, 8, 8, 8),
            latent_channels=4,
            layers_per_block=1,
            norm_num_groups=2,
            temporal_compression_ratio=4,
        ),
        "transformer": CogVideoXTransformer3DModel(
            num_attention_heads=2,
            attention_head_dim=16,
            in_channels=channels,
            out_channels=4,
            time_embed_dim=2,
            text_embed_dim=32,
            num_layers=1,
            sample_width=4,
            sample_height=4,
            sample_frames=5,
            patch_size=2,
            temporal_compression_ratio=4,
            use_rotary_positional_embeddings=True,
            **more,
        ),
        "scheduler": CogVideoXDDIMScheduler(),
    }


def cogvideo(folder: Path) -> Path:
    from diffusers import CogVideoXPipeline

    CogVideoXPipeline(**_cogvideo_parts(4)).save_pretrained(folder)
    return folder


def cogvideo_from_pictures(folder: Path) -> Path:
    from diffusers import CogVideoXImageToVideoPipeline

    CogVideoXImageToVideoPipeline(**_cogvideo_parts(8, use_learned_positional_embeddings=True)).save_pretrained(folder)
    return folder


def hunyuan_video(folder: Path) -> Path:
    from diffusers import AutoencoderKLHunyuanVideo, HunyuanVideoPipeline, HunyuanVideoTransformer3DModel
    from transformers import LlamaConfig, LlamaModel

    torch.manual_seed(0)
    words, clip = byte_tokenizer(), clip_tokenizer()
    words.pad_token = "<|endoftext|>"
    llama = LlamaConfig(
        vocab_size=len(words),
        hidden_size=16,
        intermediate_size=16,
        num_hidden_layers=3,
        num_attention_heads=2,
        max_position_embeddings=512,
        pad_token_id=words.pad_token_id,
    )
    coder = AutoencoderKLHunyuanVideo(
        latent_channels=4,
        block_out_channels=(8, 8, 8, 8),
        layers_per_block=1,
        norm_num_groups=4,
        mid_block_add_attention=False,
    )
    transformer = HunyuanVideoTransformer3DModel(
        in_channels=4,
        out_channels=4,
        num_attention_heads=2,
        attention_head_dim=10,
        num_layers=1,
        num_single_layers=1,
        num_refiner_layers=1,
        text_embed_dim=16,
        pooled_projection_dim=32,
        rope_axes_dim=(2, 4, 4),
    )
    HunyuanVideoPipeline(
        text_encoder=LlamaModel(llama),
        tokenizer=words,
        text_encoder_2=clip_text(clip),
        tokenizer_2=clip,
        transformer=transformer,
        vae=coder,
        scheduler=flow(),
    ).save_pretrained(folder)
    return folder


def mochi(folder: Path) -> Path:
    from diffusers import AutoencoderKLMochi, FlowMatchEulerDiscreteScheduler, MochiPipeline, MochiTransformer3DModel

    torch.manual_seed(0)
    tokenizer, encoder = t5()
    coder = AutoencoderKLMochi(
        latent_channels=12,
        encoder_block_out_channels=(32, 32, 32, 32),
        decoder_block_out_channels=(32, 32, 32, 32),
        layers_per_block=(1, 1, 1, 1, 1),
        latents_mean=[0.0] * 12,
        latents_std=[1.0] * 12,
    )
    transformer = MochiTransformer3DModel(
        num_attention_heads=2, attention_head_dim=8, num_layers=2, pooled_projection_dim=16, text_embed_dim=32
    )
    MochiPipeline(
        tokenizer=tokenizer,
        text_encoder=encoder,
        vae=coder,
        transformer=transformer,
        scheduler=FlowMatchEulerDiscreteScheduler(invert_sigmas=True),
    ).save_pretrained(folder)
    return folder


def stable_video_diffusion(folder: Path) -> Path:
    from diffusers import (
        AutoencoderKLTemporalDecoder,
        EulerDiscreteScheduler,
        StableVideoDiffusionPipeline,
        UNetSpatioTemporalConditionModel,
    )
    from transformers import CLIPImageProcessor

    torch.manual_seed(0)
    denoiser = UNetSpatioTemporalConditionModel(
        block_out_channels=(32, 32),
        layers_per_block=1,
        sample_size=16,
        down_block_types=("CrossAttnDownBlockSpatioTemporal", "DownBlockSpatioTemporal"),
        up_block_types=("UpBlockSpatioTemporal", "CrossAttnUpBlockSpatioTemporal"),
        cross_attention_dim=16,
        num_attention_heads=2,
        projection_class_embeddings_input_dim=24,
        addition_time_embed_dim=8,
    )
    StableVideoDiffusionPipeline(
        unet=denoiser,
        image_encoder=clip_vision(16, 224, projection=True),
        vae=AutoencoderKLTemporalDecoder(
            block_out_channels=(32, 32), down_block_types=("DownEncoderBlock2D",) * 2, latent_channels=4
        ),
        scheduler=EulerDiscreteScheduler(
            prediction_type="v_prediction",
            timestep_type="continuous",
            timestep_spacing="leading",
            use_karras_sigmas=True,
            sigma_min=0.002,
            sigma_max=700.0,
            steps_offset=1,
        ),
        feature_extractor=CLIPImageProcessor(crop_size=224, size=224),
    ).save_pretrained(folder)
    return folder


BUILDERS: dict[str, Callable[[Path], Path]] = {
    "animatediff": animatediff,
    "ltx": ltx,
    "wan": wan,
    "wan-i2v": wan_from_pictures,
    "cogvideox": cogvideo,
    "cogvideox-i2v": cogvideo_from_pictures,
    "hunyuan-video": hunyuan_video,
    "mochi": mochi,
    "stable-video-diffusion": stable_video_diffusion,
}
