"""Sample text from a model in training, to show what it has learnt."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..models.architectures import TEMPERATURE, TOP_P
from ..models.tokenizer import encode_header, encode_text, has_kind_tokens

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


def sample_text(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    kind: str,
    prompt: str,
    *,
    tokens: int,
    seed: int,
    device: str,
) -> str:
    """Return `prompt` and up to `tokens` new tokens, with the default sampling. The global random state is kept."""
    import torch

    ids = encode_header(tokenizer, kind, "") if has_kind_tokens(tokenizer) else []
    ids = ids + encode_text(tokenizer, prompt) or [tokenizer.eos_token_id]
    devices = [] if device == "cpu" else [device]
    with torch.random.fork_rng(devices), torch.inference_mode():
        torch.manual_seed(seed)
        inputs = torch.tensor([ids], device=device)
        output = model.generate(
            inputs,
            attention_mask=torch.ones_like(inputs),
            do_sample=True,
            temperature=TEMPERATURE,
            top_p=TOP_P,
            top_k=0,
            max_new_tokens=tokens,
            pad_token_id=tokenizer.pad_token_id,
        )
    return str(prompt + tokenizer.decode(output[0, len(ids) :], skip_special_tokens=True))
