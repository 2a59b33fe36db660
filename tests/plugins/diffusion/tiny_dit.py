"""Tiny pipelines of the families with a plain diffusion transformer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from tests.plugins.diffusion.tiny import SIDE, vae
from tests.plugins.diffusion.tiny_encoders import WIDTH, bert, gemma, gemma2, glm, qwen3, t5_gemma, umt5
from tests.plugins.diffusion.tiny_flux import SHIFTED
from tests.plugins.diffusion.tiny_transformers import flow, t5


def pixart_alpha(folder: Path) -> Path:
    from diffusers import DPMSolverMultistepScheduler, PixArtAlphaPipeline, PixArtTransformer2DModel

    torch.manual_seed(0)
    transformer = PixArtTransformer2DModel(
        sample_size=SIDE // 2,
        num_layers=1,
        attention_head_dim=8,
        num_attention_heads=2,
        caption_channels=32,
        cross_attention_dim=16,
        use_additional_conditions=False,
    )
    return _saved(PixArtAlphaPipeline, folder, transformer, t5(), scheduler=DPMSolverMultistepScheduler())


def hunyuan(folder: Path) -> Path:
    from diffusers import DDPMScheduler, HunyuanDiT2DModel, HunyuanDiTPipeline

    torch.manual_seed(0)
    words, encoder = t5()
    transformer = HunyuanDiT2DModel(
        sample_size=SIDE // 8,
        patch_size=2,
        in_channels=4,
        num_layers=1,
        attention_head_dim=8,
        num_attention_heads=2,
        hidden_size=16,
        cross_attention_dim=WIDTH,
        cross_attention_dim_t5=32,
        pooled_projection_dim=8,
    )
    return _saved(
        HunyuanDiTPipeline,
        folder,
        transformer,
        bert(),
        text_encoder_2=encoder,
        tokenizer_2=words,
        vae=vae(levels=4),
        scheduler=DDPMScheduler(),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )


def auraflow(folder: Path) -> Path:
    from diffusers import AuraFlowPipeline, AuraFlowTransformer2DModel

    torch.manual_seed(0)
    transformer = AuraFlowTransformer2DModel(
        sample_size=SIDE // 2,
        num_mmdit_layers=1,
        num_single_dit_layers=1,
        attention_head_dim=8,
        num_attention_heads=2,
        joint_attention_dim=WIDTH,
        caption_projection_dim=16,
        pos_embed_max_size=256,
    )
    return _saved(AuraFlowPipeline, folder, transformer, umt5())


def lumina(folder: Path) -> Path:
    from diffusers import LuminaNextDiT2DModel, LuminaPipeline

    torch.manual_seed(0)
    transformer = LuminaNextDiT2DModel(
        sample_size=SIDE // 8,
        hidden_size=16,
        num_layers=1,
        num_attention_heads=2,
        num_kv_heads=1,
        multiple_of=16,
        cross_attention_dim=WIDTH,
    )
    torch.nn.init.normal_(transformer.pad_token)  # which the library leaves as memory was
    return _saved(LuminaPipeline, folder, transformer, gemma(), vae=vae(levels=4))


def lumina2(folder: Path) -> Path:
    from diffusers import Lumina2Pipeline, Lumina2Transformer2DModel

    torch.manual_seed(0)
    transformer = Lumina2Transformer2DModel(
        sample_size=SIDE // 8,
        in_channels=4,
        hidden_size=16,
        num_layers=1,
        num_refiner_layers=1,
        num_attention_heads=1,
        num_kv_heads=1,
        multiple_of=16,
        axes_dim_rope=(8, 4, 4),
        cap_feat_dim=WIDTH,
    )
    return _saved(Lumina2Pipeline, folder, transformer, gemma2(), vae=vae(levels=4, **SHIFTED))


def cogview3(folder: Path) -> Path:
    from diffusers import CogVideoXDDIMScheduler, CogView3PlusPipeline, CogView3PlusTransformer2DModel

    torch.manual_seed(0)
    transformer = CogView3PlusTransformer2DModel(
        **_cogview(), text_embed_dim=32, pos_embed_max_size=16, sample_size=SIDE // 2
    )
    return _saved(CogView3PlusPipeline, folder, transformer, t5(), scheduler=CogVideoXDDIMScheduler())


def cogview4(folder: Path) -> Path:
    from diffusers import CogView4Pipeline, CogView4Transformer2DModel

    torch.manual_seed(0)
    transformer = CogView4Transformer2DModel(**_cogview(), text_embed_dim=WIDTH, sample_size=SIDE // 2)
    return _saved(CogView4Pipeline, folder, transformer, glm())


def ovis(folder: Path) -> Path:
    from diffusers import OvisImagePipeline, OvisImageTransformer2DModel

    torch.manual_seed(0)
    transformer = OvisImageTransformer2DModel(
        in_channels=16,
        out_channels=16,
        num_layers=1,
        num_single_layers=1,
        attention_head_dim=16,
        num_attention_heads=2,
        joint_attention_dim=WIDTH,
        axes_dims_rope=(4, 4, 8),
    )
    return _saved(OvisImagePipeline, folder, transformer, qwen3(), vae=vae(**SHIFTED))


def prx(folder: Path) -> Path:
    from diffusers import PRXPipeline, PRXTransformer2DModel

    torch.manual_seed(0)
    transformer = PRXTransformer2DModel(
        in_channels=4, context_in_dim=WIDTH, hidden_size=16, mlp_ratio=2.0, num_heads=2, depth=1, axes_dim=[4, 4]
    )
    return _saved(PRXPipeline, folder, transformer, t5_gemma(), vae=vae(**SHIFTED))


def _cogview() -> dict[str, int]:
    return {
        "patch_size": 2,
        "in_channels": 4,
        "out_channels": 4,
        "num_layers": 1,
        "attention_head_dim": 8,
        "num_attention_heads": 2,
        "time_embed_dim": 8,
        "condition_dim": 4,
    }


def _saved(kind: Any, folder: Path, transformer: Any, words: tuple[Any, Any], **parts: Any) -> Path:
    """With what most of them share, where `parts` has nothing of its own."""
    tokenizer, encoder = words
    shared = {"vae": vae(), "scheduler": flow()}
    kind(tokenizer=tokenizer, text_encoder=encoder, transformer=transformer, **{**shared, **parts}).save_pretrained(
        folder
    )
    return folder
