"""Count the tokens of a prompt with the model's own tokenizer.

Only the package tokenizers is used, with the tables in the model's folder: importing transformers takes longer than
an estimate may.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from ..modifiers import lora
from . import prompt_weights

if TYPE_CHECKING:
    from tokenizers import Tokenizer

_TABLES = ("tokenizer.json", "vocab.json")
_NO_LIMIT = 1_000_000
"""Tokenizers without a limit have a larger number in their configuration."""
_END = "<|endoftext|>"
_CLIP_LENGTH = 77
_CLIP_WORDS = r"<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"
"""Pattern by which CLIP splits a text before byte-pair encoding."""


@dataclass(frozen=True)
class TokenCounter:
    """Counts tokens, without those that begin and end a text.

    `limit` is the number of tokens that the text encoder reads at once, None if there is no limit. `in_chunks` tells
    whether a longer prompt is read in several chunks; otherwise the rest is ignored.
    """

    tokenizer: Tokenizer
    limit: int | None
    in_chunks: bool

    def describe(self, prompt: str) -> str:
        """Return a note such as "34 of 75 tokens" or "83 tokens in 2 chunks"; empty for an empty prompt."""
        parsed = prompt_weights.parse_prompt(lora.strip_tags(prompt))
        chunks = [prompt_weights.strip_weights([spans]) for spans in parsed]
        if not any(chunk.strip() for chunk in chunks):
            return ""
        counts = [self._count(chunk) for chunk in chunks] if self.in_chunks else [self._count(" ".join(chunks))]
        total, limit = sum(counts), self.limit
        if limit is None:
            return f"{total} tokens"
        passes = sum(max(1, math.ceil(count / limit)) for count in counts)
        if passes == 1 or (total <= limit and not self.in_chunks):
            return f"{total} of {limit} tokens"
        if self.in_chunks:
            return f"{total} tokens in {passes} chunks"
        return f"{total} tokens; only the first {limit} are used"

    def _count(self, text: str) -> int:
        return len(self.tokenizer.encode(text, add_special_tokens=False))


def load_counter(folders: Sequence[Path], max_tokens: int | None, *, in_chunks: bool) -> TokenCounter | None:
    """Load the tokenizer with the highest limit of those in `folders`, or CLIP's own if there are none.

    `max_tokens` is the longest prompt that the pipeline takes. Returns None if the tokenizer has no table that can be
    read here.
    """
    if not folders:
        return TokenCounter(_load_clip_tokenizer(), _CLIP_LENGTH - 2, in_chunks)
    length, folder = max(((_read_max_length(folder), folder) for folder in folders), key=lambda item: item[0])
    table = next((folder / name for name in _TABLES if (folder / name).is_file()), None)
    if table is None:
        return None
    tokenizer, special_tokens = _load_tokenizer(table, table.stat().st_mtime_ns)
    limit = min(length, max_tokens or _NO_LIMIT)
    return TokenCounter(tokenizer, None if limit >= _NO_LIMIT else max(1, limit - special_tokens), in_chunks)


def _read_max_length(folder: Path) -> int:
    try:
        return int(json.loads((folder / "tokenizer_config.json").read_bytes())["model_max_length"])
    except (OSError, ValueError, KeyError, TypeError, OverflowError):
        return _NO_LIMIT


@lru_cache(maxsize=4)
def _load_tokenizer(table: Path, stamp: int) -> tuple[Tokenizer, int]:  # noqa: ARG001 - a changed file is read again
    """Return the tokenizer, and the number of special tokens that it puts around a text."""
    from tokenizers import Tokenizer

    if table.name == "tokenizer.json":
        tokenizer = Tokenizer.from_file(str(table))
        tokenizer.no_truncation()
        tokenizer.no_padding()
        return tokenizer, tokenizer.num_special_tokens_to_add(False)
    lines = (table.parent / "merges.txt").read_text("utf-8").splitlines()
    pairs = (line.split(" ") for line in lines if line and not line.startswith("#version"))
    merges = [(first, second) for first, second in pairs]
    return _build_clip_tokenizer(json.loads(table.read_bytes()), merges), 2


@lru_cache(maxsize=1)
def _load_clip_tokenizer() -> Tokenizer:
    from ..checkpoints import clip_tokenizer

    merges = clip_tokenizer.read_merges()
    return _build_clip_tokenizer(clip_tokenizer.build_vocabulary(merges), list(merges))


def _build_clip_tokenizer(vocabulary: dict[str, int], merges: list[tuple[str, str]]) -> Tokenizer:
    from tokenizers import Regex, Tokenizer, normalizers, pre_tokenizers
    from tokenizers.models import BPE

    tokenizer = Tokenizer(
        BPE(vocab=vocabulary, merges=merges, end_of_word_suffix="</w>", unk_token=_END, fuse_unk=False)
    )
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.NFC(), normalizers.Replace(Regex(r"\s+"), " "), normalizers.Lowercase()]
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(_CLIP_WORDS), behavior="removed", invert=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False),
        ]
    )
    return tokenizer
