"""A byte-pair vocabulary of our own, and how a document is laid out in its tokens."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from studio import api

from ..documents import KINDS, Document
from . import gguf

END, PAD, MASK = "<|end|>", "<|pad|>", "<|mask|>"
TAGS = tuple(f"<|{kind}|>" for kind in KINDS)
MARKS = ("Ġ", "▁")
"""How tokens begin in front of which a space stands."""
BETWEEN = "\n\n"
"""What stands between a title and its text."""
_spelled: dict[Path, tuple[int, str]] = {}


def learn(documents: Iterable[Document], size: int) -> Any:
    """A `PreTrainedTokenizerFast` of bytes and what they are merged into: the same for the same documents."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=size,
        special_tokens=[END, PAD, MASK, *TAGS],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator((f"{one.title}\n\n{one.text}" for one in documents), trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, eos_token=END, pad_token=PAD, mask_token=MASK, clean_up_tokenization_spaces=False
    )


def opened(where: Path) -> Any:
    """The tokenizer in a folder or in a GGUF file. Raises BadInput when it is missing or damaged."""
    from transformers import AutoTokenizer

    file = gguf.of(where)
    if file:
        api.model_files.gguf_header(file)
    try:
        with gguf.source(file) if file else nullcontext((where, {})) as (folder, more):
            tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False, **more)
    except Exception as error:  # tokenizers raises a bare Exception for a damaged file
        raise api.BadInput(f"The vocabulary in {where.name} is missing or damaged.", "Choose another model.") from error
    if file:
        _spelled.clear()
        _spelled[file.resolve()] = file.stat().st_mtime_ns, tokenizer.backend_tokenizer.to_str()
    return tokenizer


def spelled(file: Path) -> str | None:
    """The vocabulary of a GGUF file as tokenizers' JSON, where it is the one that was opened last in this process:
    to take it out needs transformers. Else None."""
    changed, found = _spelled.get(file.resolve(), (0, None))
    return found if changed == file.stat().st_mtime_ns else None


def has_tags(tokenizer: Any) -> bool:
    """Whether it is one of ours, to which title and kind can be told."""
    return set(TAGS) <= set(tokenizer.get_vocab())


def words(tokenizer: Any, text: str) -> list[int]:
    """The tokens of someone's text. What looks like a control token in it is taken as the letters that it is."""
    found: list[int] = tokenizer(text, add_special_tokens=False, split_special_tokens=True)["input_ids"]
    return found


def going_on(tokenizer: Any, before: str, tokens: Iterable[int]) -> Iterator[int]:
    """Those of `tokens` that can be a word, or the beginning of one, behind a text. Right behind letters all can."""
    known = tokenizer.get_vocab()
    marked = any(mark in known for mark in MARKS)
    for token in tokens:
        spaced = str(tokenizer.convert_ids_to_tokens(token)).startswith(MARKS)
        fits = spaced == before.endswith(" ") or not marked
        # WordPiece's "##ing" goes on with a word.
        if before[-1:].isalnum() or (fits and str(tokenizer.decode([token])).lstrip(" ")[:1].isalnum()):
            yield token


def opening(tokenizer: Any, kind: str, title: str) -> list[int]:
    """The tokens before a text of a kind (one of `KINDS`), with or without a title."""
    return [tokenizer.convert_tokens_to_ids(f"<|{kind}|>"), *words(tokenizer, f"{title}{BETWEEN}" if title else "")]


def beginning(tokenizer: Any) -> list[int]:
    """What a model was always shown before a text, such as Gemma's and Llama's sign for a beginning; mostly nothing,
    and nothing for a vocabulary that only counts."""
    found: list[int] = tokenizer("")["input_ids"]
    return found if found == [getattr(tokenizer, "bos_token_id", None)] else []


def laid_out(tokenizer: Any, documents: Sequence[Document]) -> list[list[int]]:
    """The tokens of each document, from its kind over its title and text to its end."""
    ours = has_tags(tokenizer)
    texts = [f"{one.title}{BETWEEN if one.title else ''}{one.text}" for one in documents]
    if not texts:
        return []
    inside = tokenizer(texts, add_special_tokens=False, split_special_tokens=True)["input_ids"]
    first = [[tokenizer.convert_tokens_to_ids(f"<|{one.kind}|>")] if ours else [] for one in documents]
    last = [] if tokenizer.eos_token_id is None else [tokenizer.eos_token_id]
    return [[*before, *tokens, *last] for before, tokens in zip(first, inside, strict=True)]
