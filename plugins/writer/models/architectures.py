"""Small language models in transformers' own classes: one that writes on, and one that fills gaps."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from studio import api

from . import gguf, transformers_loader

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
    "tiny": Shape(32, 2, 2, 48),
    "small": Shape(144, 3, 4, 256),
    "medium": Shape(256, 5, 8, 448),
    "large": Shape(512, 8, 8, 896),
}
"""As wide as the writers of their names, so that one can begin with the words of the other."""


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
    """A `ModernBertForMaskedLM` (Warner and others 2024, arXiv 2412.13663) for up to `longest` tokens, random by
    torch's seed. All layers look at all tokens. In some thousand steps the older BERT learns hardly more than how
    frequent words are."""
    from transformers import ModernBertConfig, ModernBertForMaskedLM

    end = tokenizer.eos_token_id
    config = ModernBertConfig(
        vocab_size=len(tokenizer),
        hidden_size=shape.width,
        intermediate_size=shape.inner,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        max_position_embeddings=longest,
        global_attn_every_n_layers=1,
        tie_word_embeddings=True,
        bos_token_id=end,
        cls_token_id=end,
        eos_token_id=end,
        sep_token_id=end,
        pad_token_id=tokenizer.pad_token_id,
    )
    return ModernBertForMaskedLM(config)


def begin_with_words(guesser: Any, writer: Path) -> None:
    """Takes over what a writer, in its folder, knows of single tokens. Raises BadInput where it has others."""
    import torch

    theirs, ours = (
        opened(writer, torch.float32, "cpu").get_input_embeddings().weight,
        guesser.get_input_embeddings().weight,
    )
    if theirs.shape != ours.shape:
        raise api.BadInput(
            f"The words of {writer.name} do not fit into this network.",
            "Choose a writer that was trained here with a network of the same name.",
        )
    with torch.no_grad():
        ours.copy_(theirs)


def round_to_eight_bits(model: Any) -> None:
    """Makes the weights of matrices ones that `save` can keep in eight bits, so that what is measured is what is kept.
    Each is off by 6 % of itself at most (E4M3 of Micikevicius and others 2022, arXiv 2209.05433)."""
    import torch

    with torch.no_grad():
        for value in model.parameters():
            if value.ndim > 1:
                value.copy_(value.to(torch.float8_e4m3fn))


def save(model: Any, tokenizer: Any, folder: Path, *, eight_bits: bool = False) -> None:
    """Writes float16 weights and the vocabulary in transformers' format; with `eight_bits` matrices as float8 (E4M3),
    which transformers widens when it loads them."""
    import torch

    small = torch.float8_e4m3fn if eight_bits else torch.float16
    made: dict[int, torch.Tensor] = {}  # What is tied stays one tensor.
    state = {
        name: made.setdefault(value.data_ptr(), value.detach().cpu().to(small if value.ndim > 1 else torch.float16))
        for name, value in model.state_dict().items()
    }
    model.config.dtype = torch.float16
    model.save_pretrained(folder, state_dict=state)
    tokenizer.save_pretrained(folder)


def opened(where: Path, dtype: torch.dtype, device: str, *, masked: bool = False) -> Any:
    """The causal or the masked model in a folder, or the causal one in a GGUF file. Raises what `opening.opened`
    does, and BadInput for a model of the other kind."""
    from transformers import AutoModelForCausalLM, AutoModelForMaskedLM

    if _is_masked(where) != masked:
        what = "writes on, and fills no gaps" if masked else "fills gaps, and does not write on"
        raise api.BadInput(f"{where.name} {what}.", "Choose another model.")
    model = transformers_loader.opened(AutoModelForMaskedLM if masked else AutoModelForCausalLM, where, dtype, device)
    if packed := transformers_loader.quantisation(where):
        _try(model, where.name, transformers_loader.method_of(packed), device)
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
        raise transformers_loader.useless(name, method, error) from error


def _is_masked(where: Path) -> bool:
    """Told by the class that the configuration names; transformers would load either as the other, with half of its
    weights at random. Raises BadInput where there is none."""
    if gguf.of(where):
        return False
    try:
        config = json.loads((where / "config.json").read_bytes())
        return any(str(name).endswith("ForMaskedLM") for name in config.get("architectures") or [])
    except (OSError, ValueError, AttributeError, TypeError, RecursionError) as error:
        raise api.BadInput(
            f"{where.name} cannot be loaded as a language model.", "Choose a folder with a config and safetensors."
        ) from error
