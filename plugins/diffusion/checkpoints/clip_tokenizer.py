"""The tokenizer of the CLIP text encoders, made from its table of byte pairs.

A checkpoint in a single file brings the weights of its text encoders and no words. Those of CLIP are the same for
all models of the Stable Diffusion kind; where they come from stands in ``clip/README.md``.
"""

from __future__ import annotations

import lzma
from functools import cache
from pathlib import Path
from typing import Any

TABLE = Path(__file__).with_name("clip") / "merges.txt.xz"
START, END = "<|startoftext|>", "<|endoftext|>"
LENGTH = 77


def build_tokenizer(pad: str = END) -> Any:
    """A CLIPTokenizer of 49,408 tokens; prompts are filled up to 77 of them with `pad`."""
    from transformers import CLIPTokenizer

    pairs = read_merges()
    return CLIPTokenizer(
        vocab=build_vocabulary(pairs),
        merges=list(pairs),
        bos_token=START,
        eos_token=END,
        unk_token=END,
        pad_token=pad,
        model_max_length=LENGTH,
    )


@cache
def read_merges() -> tuple[tuple[str, str], ...]:
    """Pairs of symbols that become one, the most frequent first."""
    lines = lzma.decompress(TABLE.read_bytes()).decode("utf-8").splitlines()
    return tuple((first, second) for first, _, second in (line.partition(" ") for line in lines))


def build_vocabulary(pairs: tuple[tuple[str, str], ...]) -> dict[str, int]:
    """Token to number, in CLIP's order: bytes, bytes that end a word, pairs, and the two that frame a prompt."""
    letters = _bytes()
    tokens = [*letters, *(f"{letter}</w>" for letter in letters), *map("".join, pairs), START, END]
    return {token: number for number, token in enumerate(tokens)}


def _bytes() -> list[str]:
    """A visible letter for each byte: those of Latin-1 that print stand for themselves and come first."""
    shown = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    return [*map(chr, shown), *(chr(256 + number) for number in range(256 - len(shown)))]
