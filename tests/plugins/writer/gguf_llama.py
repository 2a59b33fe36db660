"""A Llama as llama.cpp's converter would write it: names, order of rows and keys as there."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import gguf

from tests.fixtures import gguf as gguf_files


def written(model: Any, tokenizer: Any, path: Path, *, kind: Any = None, **more: Any) -> Path:
    """`kind` is how the matrices are packed; None leaves them in float32. `more` are keys, or tensors by their names
    where they are arrays, with ``__`` for a dot."""
    added = {name.replace("__", "."): value for name, value in more.items()}
    arrays = {name: value for name, value in added.items() if hasattr(value, "ndim")}
    keys = {**_of_config(model.config), **_of_words(tokenizer)}
    keys |= {name: value for name, value in added.items() if name not in arrays}
    return gguf_files.made(path, "llama", keys, {**_tensors(model, kind), **arrays})


def _of_config(config: Any) -> dict[str, Any]:
    return {
        "general.name": "Tiny",
        "llama.context_length": config.max_position_embeddings,
        "llama.embedding_length": config.hidden_size,
        "llama.block_count": config.num_hidden_layers,
        "llama.feed_forward_length": config.intermediate_size,
        "llama.attention.head_count": config.num_attention_heads,
        "llama.attention.head_count_kv": config.num_key_value_heads,
        "llama.attention.layer_norm_rms_epsilon": float(config.rms_norm_eps),
        "llama.rope.dimension_count": config.head_dim,
        "llama.rope.freq_base": float(config.rope_parameters["rope_theta"]),
        "llama.vocab_size": config.vocab_size,
    }


def _of_words(tokenizer: Any) -> dict[str, Any]:
    tokens = sorted(tokenizer.get_vocab(), key=tokenizer.get_vocab().__getitem__)
    merges = json.loads(tokenizer.backend_tokenizer.to_str())["model"]["merges"]
    signs = {str(token) for token in tokenizer.added_tokens_decoder.values()}
    kinds = [gguf.TokenType.CONTROL if token in signs else gguf.TokenType.NORMAL for token in tokens]
    return {
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": "gpt-2",
        "tokenizer.ggml.tokens": tokens,
        "tokenizer.ggml.token_type": [int(kind) for kind in kinds],
        "tokenizer.ggml.merges": [" ".join(pair) for pair in merges],
        "tokenizer.ggml.eos_token_id": tokenizer.eos_token_id,
        "tokenizer.ggml.padding_token_id": tokenizer.pad_token_id,
    }


def _tensors(model: Any, kind: Any) -> dict[str, Any]:
    config = model.config
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.LLAMA, config.num_hidden_layers)
    heads = {"q_proj": config.num_attention_heads, "k_proj": config.num_key_value_heads}
    found: dict[str, Any] = {}
    for name, tensor in model.state_dict().items():
        if name == "lm_head.weight" and config.tie_word_embeddings:
            continue
        values = tensor.float().numpy()
        for part, count in heads.items():
            if part in name:  # llama.cpp rotates pairs that stand beside each other
                values = values.reshape(count, 2, -1, values.shape[1]).swapaxes(1, 2).reshape(values.shape)
        found[names.get_name(name, (".weight",))] = (
            values if kind is None or values.ndim == 1 else gguf_files.packed(values, kind)
        )
    return found
