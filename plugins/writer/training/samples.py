"""What a model that is being trained writes: a few words for each prompt, to watch it learn."""

from __future__ import annotations

from itertools import islice
from typing import Any

from ..models import architectures
from ..models import tokenizer as vocabulary


def sample(model: Any, tokenizer: Any, kind: str, title: str, text: str, *, tokens: int, seed: int, device: str) -> str:
    """`text`, and what the model makes of it, up to `tokens` more, drawn at temperature 0.8 from the top 0.9."""
    import torch

    begun = vocabulary.opening(tokenizer, kind, title) if vocabulary.has_tags(tokenizer) else []
    begun = begun + vocabulary.words(tokenizer, text) or [tokenizer.eos_token_id]
    devices = [] if device == "cpu" else [device]
    with torch.random.fork_rng(devices), torch.inference_mode():
        torch.manual_seed(seed)
        ids = torch.tensor([begun], device=device)
        made = model.generate(
            ids,
            attention_mask=torch.ones_like(ids),
            do_sample=True,
            temperature=architectures.TEMPERATURE,
            top_p=architectures.TOP_P,
            top_k=0,
            max_new_tokens=tokens,
            pad_token_id=tokenizer.pad_token_id,
        )
    return str(text + tokenizer.decode(made[0, len(begun) :], skip_special_tokens=True))


def guesses(model: Any, tokenizer: Any, before: str, after: str, *, count: int, device: str) -> list[tuple[str, float]]:
    """The words that a masked model would put between two texts, likeliest first, with their probabilities.
    Right behind letters it may be any token."""
    import torch

    left, right = vocabulary.words(tokenizer, before.rstrip(" ")), vocabulary.words(tokenizer, after)
    room = min(model.config.max_position_embeddings, tokenizer.model_max_length) - 1  # RoBERTa keeps two for itself
    left = left[-(room // 2) :] if left else left
    right = right[: room - len(left)]
    ids = torch.tensor([[*left, tokenizer.mask_token_id, *right]], device=device)
    with torch.inference_mode():
        shares = model(input_ids=ids).logits[0, len(left)].float().softmax(-1)
    special = {*tokenizer.all_special_ids, *tokenizer.convert_tokens_to_ids([*vocabulary.TAGS])}
    ranked = (number for number in shares.argsort(descending=True).tolist() if number not in special)
    fitting = vocabulary.going_on(tokenizer, before, ranked)
    return [(tokenizer.decode([number]), float(shares[number])) for number in islice(fitting, count)]
