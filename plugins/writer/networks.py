"""Small language models in transformers' own classes: one that writes on, and one that fills gaps."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from studio import api

from . import gguf_file, opening

if TYPE_CHECKING:
    import torch

LONGEST = 1024
"""Tokens that a new model can look back on; learnt from fewer at a time, it is best within those."""
TEMPERATURE, TOP_P = 0.8, 0.9
"""How a new model's words are drawn unless one says otherwise."""


@dataclass(frozen=True)
class Shape:
    """Sizes of a transformer: `width` of a token, `inner` of the layers between."""

    width: int
    layers: int
    heads: int
    inner: int


WRITERS: Mapping[str, Shape] = {
    "tiny": Shape(32, 2, 2, 64),
    "small": Shape(144, 5, 4, 384),
    "medium": Shape(256, 6, 8, 688),
    "large": Shape(512, 8, 8, 1376),
}
GUESSERS: Mapping[str, Shape] = {
    "tiny": Shape(32, 2, 2, 64),
    "small": Shape(128, 4, 4, 384),
    "medium": Shape(192, 5, 6, 512),
    "large": Shape(384, 8, 8, 1024),
}


def writer(shape: Shape, tokenizer: Any) -> Any:
    """A `LlamaForCausalLM` (Touvron and others 2023), random by torch's seed. The first and the last layer share the
    table of tokens."""
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=shape.width,
        intermediate_size=shape.inner,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        max_position_embeddings=LONGEST,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    model = LlamaForCausalLM(config)
    model.generation_config.update(do_sample=True, temperature=TEMPERATURE, top_p=TOP_P, top_k=0, max_new_tokens=200)
    return model


def guesser(shape: Shape, tokenizer: Any, longest: int) -> Any:
    """A `BertForMaskedLM` (Devlin and others 2018) for up to `longest` tokens, random by torch's seed."""
    from transformers import BertConfig, BertForMaskedLM

    config = BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=shape.width,
        intermediate_size=shape.inner,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        max_position_embeddings=longest,
        type_vocab_size=1,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
        tie_word_embeddings=True,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    return BertForMaskedLM(config)


def save(model: Any, tokenizer: Any, folder: Path) -> None:
    """Writes float16 weights and the vocabulary in transformers' format."""
    import copy

    copy.deepcopy(model).cpu().half().save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def opened(where: Path, dtype: torch.dtype, device: str, *, masked: bool = False) -> Any:
    """The causal or the masked model in a folder, or the causal one in a GGUF file. Raises what `opening.opened`
    does, and BadInput for a model of the other kind."""
    from transformers import AutoModelForCausalLM, AutoModelForMaskedLM

    if _is_masked(where) != masked:
        what = "writes on, and fills no gaps" if masked else "fills gaps, and does not write on"
        raise api.BadInput(f"{where.name} {what}.", "Choose another model.")
    model = opening.opened(AutoModelForMaskedLM if masked else AutoModelForCausalLM, where, dtype, device)
    if packed := opening.quantisation(where):
        _try(model, where.name, opening.method_of(packed), device)
    return model


def _try(model: Any, name: str, method: str, device: str) -> None:
    """Some quantisers miss what they need only when there is something to compute. Raises BadInput."""
    import torch

    try:
        with torch.inference_mode():
            model(input_ids=torch.zeros((1, 1), dtype=torch.long, device=device))
    except Exception as error:  # each quantiser has errors of its own
        if api.is_out_of_memory(error):
            raise
        raise opening.useless(name, method, error) from error


def _is_masked(where: Path) -> bool:
    """Told by the class that the configuration names; transformers would load either as the other, with half of its
    weights at random. Raises BadInput where there is none."""
    if gguf_file.of(where):
        return False
    try:
        config = json.loads((where / "config.json").read_bytes())
        return any(str(name).endswith("ForMaskedLM") for name in config.get("architectures") or [])
    except (OSError, ValueError, AttributeError, TypeError, RecursionError) as error:
        raise api.BadInput(
            f"{where.name} cannot be loaded as a language model.", "Choose a folder with a config and safetensors."
        ) from error
