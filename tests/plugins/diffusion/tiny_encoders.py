"""Tiny text encoders, each with its tokenizer or processor, for families whose words pass a language model."""

from __future__ import annotations

from typing import Any

from tests.plugins.diffusion.tiny_transformers import byte_tokenizer

WIDTH = 16
"""Of every language model here."""


def small(words: Any, **more: Any) -> dict[str, Any]:
    """What the configurations of language models have in common."""
    return {
        "vocab_size": len(words) + 8,
        "hidden_size": WIDTH,
        "intermediate_size": WIDTH,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "num_key_value_heads": 2,
        "head_dim": WIDTH // 2,
        "max_position_embeddings": 2048,
        "bos_token_id": None,
        "eos_token_id": words.eos_token_id,
        "pad_token_id": words.pad_token_id,
        **more,
    }


def qwen3(*, layers: int = 2, head: bool = False) -> tuple[Any, Any]:
    from transformers import Qwen3Config, Qwen3ForCausalLM, Qwen3Model

    words = byte_tokenizer()
    config = Qwen3Config(**small(words, num_hidden_layers=layers))
    return words, Qwen3ForCausalLM(config) if head else Qwen3Model(config)


def mistral3(*, layers: int = 31) -> tuple[Any, Any]:
    from transformers import Mistral3Config, Mistral3ForConditionalGeneration, MistralConfig, PixtralVisionConfig

    words = byte_tokenizer()
    config = Mistral3Config(
        text_config=MistralConfig(**small(words, num_hidden_layers=layers)),
        vision_config=PixtralVisionConfig(
            hidden_size=WIDTH,
            intermediate_size=WIDTH,
            num_hidden_layers=1,
            num_attention_heads=2,
            image_size=28,
            patch_size=14,
        ),
        image_token_index=0,
    )
    return words, Mistral3ForConditionalGeneration(config)


def qwen25_vl() -> tuple[Any, Any]:
    from transformers import Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration

    words = byte_tokenizer()
    text = small(words, rope_parameters={"rope_type": "default", "mrope_section": [1, 1, 2], "rope_theta": 1e6})
    text.pop("head_dim")
    config = Qwen2_5_VLConfig(
        text_config=text,
        vision_config={
            "depth": 1,
            "hidden_size": WIDTH,
            "intermediate_size": WIDTH,
            "num_heads": 2,
            "out_hidden_size": WIDTH,
            "fullatt_block_indexes": [0],
        },
        **{f"{name}_token_id": words.convert_tokens_to_ids(f"<|{name}|>") for name in ("vision_start", "vision_end")},
        image_token_id=words.convert_tokens_to_ids("<|image_pad|>"),
        video_token_id=words.convert_tokens_to_ids("<|video_pad|>"),
    )
    return words, Qwen2_5_VLForConditionalGeneration(config)
