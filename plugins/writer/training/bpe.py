"""Train a byte-level BPE tokenizer, and encode documents with the token of their kind."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from ..models.tokenizer import END_TOKEN, KIND_TOKENS, MASK_TOKEN, PAD_TOKEN, TITLE_SEPARATOR, has_kind_tokens
from .documents import Document

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase, PreTrainedTokenizerFast


def train_tokenizer(documents: Iterable[Document], size: int) -> PreTrainedTokenizerFast:
    """Train a byte-level BPE tokenizer with `size` tokens. The same documents give the same tokenizer."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=size,
        special_tokens=[END_TOKEN, PAD_TOKEN, MASK_TOKEN, *KIND_TOKENS],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    texts = (f"{document.title}{TITLE_SEPARATOR}{document.text}" for document in documents)
    tokenizer.train_from_iterator(texts, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        eos_token=END_TOKEN,
        pad_token=PAD_TOKEN,
        mask_token=MASK_TOKEN,
        clean_up_tokenization_spaces=False,
    )


def encode_documents(tokenizer: PreTrainedTokenizerBase, documents: Sequence[Document]) -> list[list[int]]:
    """Return the tokens of each document: its kind (for tokenizers trained here), title, text and the end token."""
    if not documents:
        return []
    texts = [f"{document.title}{TITLE_SEPARATOR if document.title else ''}{document.text}" for document in documents]
    encoded = tokenizer(texts, add_special_tokens=False, split_special_tokens=True)["input_ids"]
    has_kinds = has_kind_tokens(tokenizer)
    kinds = [[tokenizer.convert_tokens_to_ids(f"<|{document.kind}|>")] if has_kinds else [] for document in documents]
    end = [] if tokenizer.eos_token_id is None else [tokenizer.eos_token_id]
    return [[*kind, *tokens, *end] for kind, tokens in zip(kinds, encoded, strict=True)]
