"""Small language models in transformers' own classes: a causal one (Llama) and a masked one (ModernBERT)."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from studio import api

from . import gguf, transformers_loader

if TYPE_CHECKING:
    import torch
    from transformers import LlamaForCausalLM, ModernBertForMaskedLM, PreTrainedModel, PreTrainedTokenizerBase

MAX_POSITIONS = 1024
"""Context length of a new causal model in tokens. It works best within the length that it was trained with."""
TEMPERATURE, TOP_P = 0.8, 0.9
"""Default sampling of a new model."""


@dataclass(frozen=True)
class Shape:
    """Sizes of a transformer: hidden size, layers, attention heads, and the intermediate size of the MLPs."""

    hidden: int
    layers: int
    heads: int
    intermediate: int


CAUSAL_SHAPES: Mapping[str, Shape] = {
    "tiny": Shape(32, 2, 2, 64),
    "small": Shape(144, 5, 4, 384),
    "medium": Shape(256, 6, 8, 688),
    "large": Shape(512, 8, 8, 1376),
}
MASKED_SHAPES: Mapping[str, Shape] = {
    "tiny": Shape(32, 2, 2, 48),
    "small": Shape(144, 3, 4, 256),
    "medium": Shape(256, 5, 8, 448),
    "large": Shape(512, 8, 8, 896),
}
"""Hidden sizes equal those of `CAUSAL_SHAPES`, so that token embeddings can be copied."""


class Tokens(Protocol):
    """The part of a tokenizer that a model's configuration needs."""

    eos_token_id: Any
    pad_token_id: Any

    def __len__(self) -> int: ...


def build_causal_model(shape: Shape, tokenizer: Tokens) -> LlamaForCausalLM:
    """Build a `LlamaForCausalLM` (Touvron et al. 2023) with tied embeddings, initialised from torch's global seed."""
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=shape.hidden,
        intermediate_size=shape.intermediate,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        max_position_embeddings=MAX_POSITIONS,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    model = LlamaForCausalLM(config)
    model.generation_config.update(do_sample=True, temperature=TEMPERATURE, top_p=TOP_P, top_k=0, max_new_tokens=200)
    return model


def build_masked_model(shape: Shape, tokenizer: Tokens, context: int) -> ModernBertForMaskedLM:
    """Build a `ModernBertForMaskedLM` (Warner et al. 2024, arXiv 2412.13663) for up to `context` tokens.

    It is initialised from torch's global seed. All layers use global attention. With some thousand training steps, the
    older BERT learns little more than word frequencies.
    """
    from transformers import ModernBertConfig, ModernBertForMaskedLM

    end = tokenizer.eos_token_id
    config = ModernBertConfig(
        vocab_size=len(tokenizer),
        hidden_size=shape.hidden,
        intermediate_size=shape.intermediate,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        max_position_embeddings=context,
        global_attn_every_n_layers=1,
        tie_word_embeddings=True,
        bos_token_id=end,
        cls_token_id=end,
        eos_token_id=end,
        sep_token_id=end,
        pad_token_id=tokenizer.pad_token_id,
    )
    return ModernBertForMaskedLM(config)


def copy_token_embeddings(model: PreTrainedModel, source: Path) -> None:
    """Copy the token embeddings of the causal model in folder `source`. Raises BadInput if the sizes differ."""
    import torch

    theirs = load_model(source, torch.float32, "cpu").get_input_embeddings().weight
    ours = model.get_input_embeddings().weight
    if theirs.shape != ours.shape:
        raise api.BadInput(
            f"The token embeddings of {source.name} have another size than this model.",
            "Choose a base model that was trained here with the same model size.",
        )
    with torch.no_grad():
        ours.copy_(theirs)


@contextmanager
def round_to_float8(model: PreTrainedModel) -> Iterator[None]:
    """Round all matrices to values of float8 (E4M3, Micikevicius et al. 2022, arXiv 2209.05433) inside the context.

    The relative error is at most 6 %. An evaluation inside is of exactly the weights that `save_model` stores.
    """
    import torch

    matrices = [value for value in model.parameters() if value.ndim > 1]
    originals = [value.detach().clone() for value in matrices]
    with torch.no_grad():
        for value in matrices:
            value.copy_(value.to(torch.float8_e4m3fn))
        try:
            yield
        finally:
            for value, original in zip(matrices, originals, strict=True):
                value.copy_(original)


def save_model(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, folder: Path, *, as_float8: bool = False
) -> None:
    """Save float16 weights and the tokenizer in the transformers format.

    With `as_float8` matrices are stored as float8 (E4M3), which transformers converts when it loads them.
    """
    import torch

    matrix_dtype = torch.float8_e4m3fn if as_float8 else torch.float16
    converted: dict[int, torch.Tensor] = {}  # tied weights stay one tensor
    state = {
        name: converted.setdefault(
            value.data_ptr(), value.detach().cpu().to(matrix_dtype if value.ndim > 1 else torch.float16)
        )
        for name, value in model.state_dict().items()
    }
    model.config.dtype = torch.float16
    model.save_pretrained(folder, state_dict=state)
    tokenizer.save_pretrained(folder)


def load_model(path: Path, dtype: torch.dtype, device: str, *, is_masked: bool = False) -> PreTrainedModel:
    """Load the causal or the masked model in a folder, or the causal model in a GGUF file.

    Raises what `load_pretrained` raises, and BadInput for a model of the other type.
    """
    from transformers import AutoModelForCausalLM, AutoModelForMaskedLM

    if has_masked_config(path) != is_masked:
        is_now, needed = ("a causal", "a masked") if is_masked else ("a masked", "a causal")
        raise api.BadInput(f"{path.name} is {is_now} language model.", f"Choose {needed} language model.")
    auto_model = AutoModelForMaskedLM if is_masked else AutoModelForCausalLM
    model = transformers_loader.load_pretrained(auto_model, path, dtype, device)
    if quantisation := transformers_loader.read_quantisation(path):
        _check_forward(model, path.name, transformers_loader.method_of(quantisation), device)
    return model


def _check_forward(model: PreTrainedModel, name: str, method: str, device: str) -> None:
    """Run one token: some quantisers miss a dependency only when they compute. Raises BadInput."""
    import torch

    try:
        with torch.inference_mode():
            model(input_ids=torch.zeros((1, 1), dtype=torch.long, device=device))
    except Exception as error:  # each quantiser has errors of its own
        if api.is_out_of_memory(error):
            raise
        raise transformers_loader.build_quantiser_error(name, method, error) from error


def has_masked_config(path: Path) -> bool:
    """Check whether the configuration names a masked model class. Raises BadInput if there is no configuration.

    transformers would load each type as the other, with half of the weights at random.
    """
    if gguf.find_file(path):
        return False
    try:
        config = json.loads((path / "config.json").read_bytes())
        return any(str(name).endswith("ForMaskedLM") for name in config.get("architectures") or [])
    except api.model_files.UNREADABLE as error:
        raise api.BadInput(
            f"{path.name} cannot be loaded as a language model.", "Choose a folder with a config and safetensors."
        ) from error
