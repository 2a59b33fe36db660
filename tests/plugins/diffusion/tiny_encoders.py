"""Tiny text encoders, each with its tokenizer or processor, for families whose words pass a language model."""

from __future__ import annotations

from typing import Any

from tests.plugins.diffusion.tiny_transformers import byte_tokenizer, t5

WIDTH = 16
"""Of every language model here."""


def begun_tokenizer() -> Any:
    """One token for a byte, after a token that begins every text, also an empty one."""
    from tokenizers import Tokenizer
    from tokenizers.models import BPE
    from tokenizers.pre_tokenizers import ByteLevel
    from tokenizers.processors import TemplateProcessing
    from transformers import PreTrainedTokenizerFast

    words = ["<pad>", "<bos>", "<eos>", *sorted(ByteLevel.alphabet())]
    tokenizer = Tokenizer(BPE({word: number for number, word in enumerate(words)}, []))
    tokenizer.pre_tokenizer = ByteLevel(add_prefix_space=False)
    tokenizer.post_processor = TemplateProcessing(single="<bos> $A", special_tokens=[("<bos>", 1)])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", bos_token="<bos>", eos_token="<eos>", model_max_length=256
    )


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


def qwen3_vl() -> tuple[Any, Any]:
    from transformers import Qwen3VLConfig, Qwen3VLModel

    words = byte_tokenizer()
    rope = {"rope_type": "default", "mrope_section": [2, 1, 1], "mrope_interleaved": True, "rope_theta": 1e6}
    config = Qwen3VLConfig(
        text_config=small(words, rope_parameters=rope),
        vision_config={
            "depth": 1,
            "hidden_size": WIDTH,
            "intermediate_size": WIDTH,
            "num_heads": 2,
            "out_hidden_size": WIDTH,
            "num_position_embeddings": 16,
            "deepstack_visual_indexes": [0],
        },
    )
    return words, Qwen3VLModel(config)


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


def bert() -> tuple[Any, Any]:
    from transformers import BertConfig, BertModel, BertTokenizer

    letters = [chr(code) for code in range(97, 123)]
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *letters, *(f"##{letter}" for letter in letters)]
    tokenizer = BertTokenizer(vocab={word: number for number, word in enumerate(words)}, model_max_length=77)
    config = BertConfig(
        vocab_size=len(words),
        hidden_size=WIDTH,
        intermediate_size=WIDTH,
        num_hidden_layers=1,
        num_attention_heads=2,
        max_position_embeddings=256,
    )
    return tokenizer, BertModel(config)


def umt5() -> tuple[Any, Any]:
    from transformers import UMT5Config, UMT5EncoderModel

    words = t5()[0]
    config = UMT5Config(vocab_size=len(words), d_model=WIDTH, d_kv=8, d_ff=WIDTH, num_layers=1, num_heads=2)
    return words, UMT5EncoderModel(config)


def gemma() -> tuple[Any, Any]:
    from transformers import GemmaConfig, GemmaModel

    words = begun_tokenizer()
    return words, GemmaModel(GemmaConfig(**small(words)))


def gemma2() -> tuple[Any, Any]:
    from transformers import Gemma2Config, Gemma2Model

    words = begun_tokenizer()
    return words, Gemma2Model(Gemma2Config(**small(words)))


def glm() -> tuple[Any, Any]:
    from transformers import GlmConfig, GlmModel

    words = begun_tokenizer()
    return words, GlmModel(GlmConfig(**small(words)))


def t5_gemma() -> tuple[Any, Any]:
    from transformers import T5GemmaConfig, T5GemmaModuleConfig
    from transformers.models.t5gemma.modeling_t5gemma import T5GemmaEncoder

    words = begun_tokenizer()
    half = T5GemmaModuleConfig(**small(words))
    return words, T5GemmaEncoder(T5GemmaConfig(encoder=half, decoder=half, **half.to_dict()))
