"""Load tokenizers, and encode text, titles and kinds. Tokenizers trained here have a token for each kind of text."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from studio import api

from . import gguf

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

KINDS = ("story", "tale", "poem", "book", "text")
"""Kinds of text that a model trained here can be asked for."""
END_TOKEN, PAD_TOKEN, MASK_TOKEN = "<|end|>", "<|pad|>", "<|mask|>"
KIND_TOKENS = tuple(f"<|{kind}|>" for kind in KINDS)
SPACE_MARKERS = ("Ġ", "▁")
"""First characters of tokens that begin with a space (byte-level BPE and SentencePiece)."""
TITLE_SEPARATOR = "\n\n"
_gguf_vocabularies: dict[Path, tuple[int, str]] = {}
"""By path: modification time in nanoseconds, and the vocabulary as JSON of the tokenizers library."""


class TokenEncoder(Protocol):
    """The part of a transformers tokenizer that encodes text."""

    def __call__(
        self, text: str, *, add_special_tokens: bool = ..., split_special_tokens: bool = ...
    ) -> Mapping[str, list[int]]:
        """Return the token ids under ``input_ids``."""

    def get_vocab(self) -> Mapping[str, int]: ...

    def convert_tokens_to_ids(self, tokens: str) -> int: ...


def load_tokenizer(path: Path) -> PreTrainedTokenizerBase:
    """Load the tokenizer in a folder or a GGUF file. Raises BadInput if it is missing or damaged."""
    from transformers import AutoTokenizer

    file = gguf.find_file(path)
    if file:
        api.model_files.read_gguf_header(file)
    try:
        with ExitStack() as stack:
            source, options = stack.enter_context(gguf.prepare_source(file)) if file else (path, {})
            tokenizer = AutoTokenizer.from_pretrained(source, local_files_only=True, trust_remote_code=False, **options)
    except Exception as error:  # tokenizers raises a bare Exception for a damaged file
        raise api.BadInput(f"The tokenizer of {path.name} is missing or damaged.", "Choose another model.") from error
    api.model_files.check_vocabulary(tokenizer, path.name)
    if file:
        _gguf_vocabularies.clear()
        _gguf_vocabularies[file.resolve()] = file.stat().st_mtime_ns, tokenizer.backend_tokenizer.to_str()
    return tokenizer


def find_gguf_vocabulary(file: Path) -> str | None:
    """Return the vocabulary of a GGUF file as JSON of the tokenizers library.

    None if this file is not the last one that this process loaded: reading it from the file needs transformers.
    """
    modified, vocabulary = _gguf_vocabularies.get(file.resolve(), (0, None))
    return vocabulary if modified == file.stat().st_mtime_ns else None


def has_kind_tokens(tokenizer: TokenEncoder) -> bool:
    """Check whether a tokenizer was trained here, so that its model takes a title and a kind."""
    return set(KIND_TOKENS) <= set(tokenizer.get_vocab())


def encode_text(tokenizer: TokenEncoder, text: str) -> list[int]:
    """Return the tokens of a user's text. Control tokens in the text are encoded as plain characters."""
    return tokenizer(text, add_special_tokens=False, split_special_tokens=True)["input_ids"]


def encode_header(tokenizer: TokenEncoder, kind: str, title: str) -> list[int]:
    """Return the tokens before a text: its kind (one of `KINDS`), and its title if there is one."""
    title_tokens = encode_text(tokenizer, f"{title}{TITLE_SEPARATOR}" if title else "")
    return [tokenizer.convert_tokens_to_ids(f"<|{kind}|>"), *title_tokens]


def encode_bos(tokenizer: TokenEncoder) -> list[int]:
    """Return the token that a tokenizer puts before every text, as those of Gemma and Llama do; else an empty list."""
    tokens = tokenizer("")["input_ids"]
    return tokens if tokens == [getattr(tokenizer, "bos_token_id", None)] else []


def filter_next_words(tokenizer: PreTrainedTokenizerBase, before: str, tokens: Iterable[int]) -> Iterator[int]:
    """Yield the tokens that can start a word after the text `before`; after a letter or a digit, all of them."""
    vocabulary = tokenizer.get_vocab()
    has_markers = any(marker in vocabulary for marker in SPACE_MARKERS)
    for token in tokens:
        has_space = str(tokenizer.convert_ids_to_tokens(token)).startswith(SPACE_MARKERS)
        fits_space = has_space == before.endswith(" ") or not has_markers
        # A WordPiece token such as "##ing" continues a word, and "#" is not alphanumeric.
        starts_word = str(tokenizer.decode([token])).lstrip(" ")[:1].isalnum()
        if before[-1:].isalnum() or (fits_space and starts_word):
            yield token
