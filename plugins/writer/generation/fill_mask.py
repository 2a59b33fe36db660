"""Predict the words for a gap with a masked language model."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING

from ..models.tokenizer import KIND_TOKENS, encode_text, filter_next_words

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


def predict_words(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, before: str, after: str, *, count: int, device: str
) -> list[tuple[str, float]]:
    """Return up to `count` words for the gap between two texts, most likely first, with their probabilities (0..1).

    Directly after a letter or a digit, any token may be returned.
    """
    import torch

    left, right = encode_text(tokenizer, before.rstrip(" ")), encode_text(tokenizer, after)
    # RoBERTa has two positions more than it can use; only its tokenizer knows.
    limit = min(model.config.max_position_embeddings, tokenizer.model_max_length) - 1
    left = left[-(limit // 2) :] if left else left
    right = right[: limit - len(left)]
    ids = torch.tensor([[*left, tokenizer.mask_token_id, *right]], device=device)
    with torch.inference_mode():
        probabilities = model(input_ids=ids).logits[0, len(left)].float().softmax(-1)
    special = {*tokenizer.all_special_ids, *tokenizer.convert_tokens_to_ids([*KIND_TOKENS])}
    ranked = (token for token in probabilities.argsort(descending=True).tolist() if token not in special)
    words = filter_next_words(tokenizer, before, ranked)
    return [(tokenizer.decode([token]), float(probabilities[token])) for token in islice(words, count)]
