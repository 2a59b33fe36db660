"""Tiny pipelines of the families whose denoiser is a transformer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from tests.plugins.diffusion.tiny import SIDE, clip_text, clip_tokenizer, vae

SPECIAL = [f"<|{name}|>" for name in ("im_start", "im_end", "vision_start", "vision_end", "image_pad", "video_pad")]
CHAT = (
    "{% for message in messages %}{% if message['content'] is string %}{{ message['content'] }}"
    "{% else %}{% for part in message['content'] %}{{ part.get('text', '') }}{% endfor %}{% endif %}{% endfor %}"
)


def t5() -> tuple[Any, Any]:
    """Tokenizer and encoder."""
    from transformers import T5Config, T5EncoderModel, T5Tokenizer

    pieces = [
        ("<pad>", 0.0),
        ("</s>", 0.0),
        ("<unk>", 0.0),
        *((chr(code), -2.0) for code in range(97, 123)),
        ("▁", -3.0),
    ]
    tokenizer = T5Tokenizer(vocab=pieces, extra_ids=0, model_max_length=77)
    config = T5Config(vocab_size=len(tokenizer), d_model=32, d_kv=8, d_ff=37, num_layers=2, num_heads=4)
    return tokenizer, T5EncoderModel(config)


def byte_tokenizer() -> Any:
    from tokenizers.pre_tokenizers import ByteLevel
    from transformers import Qwen2Tokenizer

    words = [*sorted(ByteLevel.alphabet()), "<|endoftext|>", *SPECIAL]
    tokenizer = Qwen2Tokenizer(vocab={word: number for number, word in enumerate(words)}, merges=[])
    tokenizer.add_special_tokens({"additional_special_tokens": SPECIAL})
    tokenizer.chat_template = CHAT
    return tokenizer


def flow() -> Any:
    from diffusers import FlowMatchEulerDiscreteScheduler

    return FlowMatchEulerDiscreteScheduler(shift=3.0)


def stable_diffusion_3(folder: Path) -> Path:
    from diffusers import SD3Transformer2DModel, StableDiffusion3Pipeline

    torch.manual_seed(0)
    clip, (words, encoder) = clip_tokenizer(), t5()
    transformer = SD3Transformer2DModel(
        sample_size=SIDE // 2,
        patch_size=2,
        in_channels=16,
        num_layers=2,
        attention_head_dim=8,
        num_attention_heads=4,
        caption_projection_dim=32,
        joint_attention_dim=32,
        pooled_projection_dim=64,
        out_channels=16,
        pos_embed_max_size=64,
    )
    StableDiffusion3Pipeline(
        transformer=transformer,
        scheduler=flow(),
        vae=vae(16, shift_factor=0.06),
        text_encoder=clip_text(clip, 16, projection=32),
        tokenizer=clip,
        text_encoder_2=clip_text(clip, 16, projection=32),
        tokenizer_2=clip,
        text_encoder_3=encoder,
        tokenizer_3=words,
    ).save_pretrained(folder)
    return folder


def flux(folder: Path) -> Path:
    from diffusers import FluxPipeline, FluxTransformer2DModel

    torch.manual_seed(0)
    clip, (words, encoder) = clip_tokenizer(), t5()
    transformer = FluxTransformer2DModel(
        in_channels=16,
        num_layers=1,
        num_single_layers=1,
        attention_head_dim=16,
        num_attention_heads=2,
        joint_attention_dim=32,
        pooled_projection_dim=32,
        guidance_embeds=True,
        axes_dims_rope=(4, 4, 8),
    )
    FluxPipeline(
        transformer=transformer,
        scheduler=flow(),
        vae=vae(shift_factor=0.06, scaling_factor=0.6),
        text_encoder=clip_text(clip),
        tokenizer=clip,
        text_encoder_2=encoder,
        tokenizer_2=words,
    ).save_pretrained(folder)
    return folder


def pixart(folder: Path) -> Path:
    from diffusers import DPMSolverMultistepScheduler, PixArtSigmaPipeline, PixArtTransformer2DModel

    torch.manual_seed(0)
    words, encoder = t5()
    transformer = PixArtTransformer2DModel(
        sample_size=SIDE // 2,
        num_layers=1,
        patch_size=2,
        attention_head_dim=8,
        num_attention_heads=2,
        caption_channels=32,
        in_channels=4,
        cross_attention_dim=16,
        out_channels=8,
        use_additional_conditions=False,
    )
    PixArtSigmaPipeline(
        tokenizer=words,
        text_encoder=encoder,
        vae=vae(),
        transformer=transformer,
        scheduler=DPMSolverMultistepScheduler(),
    ).save_pretrained(folder)
    return folder


def sana(folder: Path) -> Path:
    from diffusers import AutoencoderDC, SanaPipeline, SanaTransformer2DModel
    from transformers import Gemma2Config, Gemma2Model

    torch.manual_seed(0)
    words = byte_tokenizer()
    encoder = Gemma2Model(
        Gemma2Config(
            vocab_size=len(words) + 8,
            hidden_size=16,
            intermediate_size=16,
            num_hidden_layers=1,
            num_attention_heads=2,
            num_key_value_heads=2,
            head_dim=8,
        )
    )
    transformer = SanaTransformer2DModel(
        sample_size=SIDE // 4,
        patch_size=1,
        in_channels=4,
        out_channels=4,
        num_layers=1,
        num_attention_heads=2,
        attention_head_dim=4,
        num_cross_attention_heads=2,
        cross_attention_head_dim=4,
        cross_attention_dim=8,
        caption_channels=16,
    )
    coder = AutoencoderDC(
        latent_channels=4,
        attention_head_dim=2,
        encoder_block_types=("ResBlock", "EfficientViTBlock"),
        decoder_block_types=("ResBlock", "EfficientViTBlock"),
        encoder_block_out_channels=(8, 8),
        decoder_block_out_channels=(8, 8),
        encoder_qkv_multiscales=((), (5,)),
        decoder_qkv_multiscales=((), (5,)),
        encoder_layers_per_block=(1, 1),
        decoder_layers_per_block=(1, 1),
        downsample_block_type="conv",
        upsample_block_type="interpolate",
        decoder_norm_types="rms_norm",
        decoder_act_fns="silu",
    )
    SanaPipeline(
        tokenizer=words, text_encoder=encoder, vae=coder, transformer=transformer, scheduler=flow()
    ).save_pretrained(folder)
    return folder


def z_image(folder: Path) -> Path:
    from diffusers import ZImagePipeline, ZImageTransformer2DModel
    from transformers import Qwen3Config, Qwen3Model

    torch.manual_seed(0)
    words = byte_tokenizer()
    encoder = Qwen3Model(
        Qwen3Config(
            vocab_size=len(words) + 8,
            hidden_size=16,
            intermediate_size=16,
            num_hidden_layers=2,
            num_attention_heads=2,
            num_key_value_heads=2,
            head_dim=8,
            max_position_embeddings=512,
        )
    )
    transformer = ZImageTransformer2DModel(
        all_patch_size=(2,),
        all_f_patch_size=(1,),
        in_channels=16,
        dim=32,
        n_layers=2,
        n_refiner_layers=1,
        n_heads=2,
        n_kv_heads=2,
        cap_feat_dim=16,
        axes_dims=[8, 4, 4],
        axes_lens=[256, 32, 32],
    )
    ZImagePipeline(
        tokenizer=words, text_encoder=encoder, vae=vae(16, shift_factor=0.1), transformer=transformer, scheduler=flow()
    ).save_pretrained(folder)
    return folder
