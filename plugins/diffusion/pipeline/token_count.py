"""How many tokens a prompt has, by the model's own tokenizer.

Made with the package tokenizers alone, from the tables in a model's folder: transformers would take longer to
import than anybody waits for a number.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from ..modifiers import lora
from . import prompt_weights

_TABLES = ("tokenizer.json", "vocab.json")
_ENDLESS = 1_000_000
"""Tokenizers without a limit say a number beyond all sense."""
_END = "<|endoftext|>"
_CLIP_LENGTH = 77
_WORDS = r"<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"
"""What CLIP takes for a word."""


@dataclass(frozen=True)
class TokenCounter:
    """`limit` is how many tokens of a prompt count at once, None where there is no limit; `parted` says whether a
    longer one is read in parts."""

    tokenizer: Any
    limit: int | None
    parted: bool

    def note(self, prompt: str) -> str:
        """As in "34 of 75 tokens" and "83 tokens, in 2 parts"; empty for no words."""
        thoughts = [
            prompt_weights.strip_weights([parts]) for parts in prompt_weights.parse_prompt(lora.strip_tags(prompt))
        ]
        if not any(thought.strip() for thought in thoughts):
            return ""
        counts = [self._count(thought) for thought in thoughts] if self.parted else [self._count(" ".join(thoughts))]
        total, limit = sum(counts), self.limit
        if limit is None:
            return f"{total} tokens"
        parts = sum(max(1, math.ceil(count / limit)) for count in counts)
        if parts == 1 or (total <= limit and not self.parted):
            return f"{total} of {limit} tokens"
        return f"{total} tokens, in {parts} parts" if self.parted else f"{total} tokens; the first {limit} count"

    def _count(self, text: str) -> int:
        return len(self.tokenizer.encode(text, add_special_tokens=False))


def load_counter(folders: Sequence[Path], most: int | None, *, parted: bool) -> TokenCounter | None:
    """For the tokenizer that reads most of a prompt, of those in `folders`; CLIP's own where there are none.

    `most` is the longest prompt that the pipeline takes. None where it cannot be read here.
    """
    if not folders:
        return TokenCounter(_clip(), _CLIP_LENGTH - 2, parted)
    length, folder = max(((_length(folder), folder) for folder in folders), key=lambda one: one[0])
    table = next((folder / name for name in _TABLES if (folder / name).is_file()), None)
    if table is None:
        return None
    tokenizer, frame = _read(table, table.stat().st_mtime_ns)
    limit = min(length, most or _ENDLESS)
    return TokenCounter(tokenizer, None if limit >= _ENDLESS else max(1, limit - frame), parted)


def _length(folder: Path) -> int:
    try:
        return int(json.loads((folder / "tokenizer_config.json").read_text("utf-8"))["model_max_length"])
    except (OSError, ValueError, KeyError, TypeError, OverflowError):
        return _ENDLESS


@lru_cache(maxsize=4)
def _read(table: Path, stamp: int) -> tuple[Any, int]:  # noqa: ARG001 - a changed file is read again
    """The tokenizer, and how many tokens it puts around a text."""
    from tokenizers import Tokenizer

    if table.name == "tokenizer.json":
        tokenizer = Tokenizer.from_file(str(table))
        tokenizer.no_truncation()
        tokenizer.no_padding()
        return tokenizer, tokenizer.num_special_tokens_to_add(False)
    lines = (table.parent / "merges.txt").read_text("utf-8").splitlines()
    pairs = (line.split(" ") for line in lines if line and not line.startswith("#version"))
    return _of_pairs(json.loads(table.read_text("utf-8")), [(first, second) for first, second in pairs]), 2


@lru_cache(maxsize=1)
def _clip() -> Any:
    from ..checkpoints import clip_tokenizer

    pairs = clip_tokenizer.read_merges()
    return _of_pairs(clip_tokenizer.build_vocabulary(pairs), list(pairs))


def _of_pairs(vocabulary: dict[str, int], pairs: list[tuple[str, str]]) -> Any:
    from tokenizers import Regex, Tokenizer, normalizers, pre_tokenizers
    from tokenizers.models import BPE

    tokenizer = Tokenizer(
        BPE(vocab=vocabulary, merges=pairs, end_of_word_suffix="</w>", unk_token=_END, fuse_unk=False)
    )
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.NFC(), normalizers.Replace(Regex(r"\s+"), " "), normalizers.Lowercase()]
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(_WORDS), behavior="removed", invert=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False),
        ]
    )
    return tokenizer
