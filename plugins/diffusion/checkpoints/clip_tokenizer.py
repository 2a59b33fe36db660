"""The tokenizer of the CLIP text encoders, built from its table of byte pairs.

A single-file checkpoint holds the weights of its text encoders, and no vocabulary. CLIP's is the same for all models
of the Stable Diffusion kind; ``clip/README.md`` names its source.
"""

from __future__ import annotations

import lzma
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from transformers import CLIPTokenizer

TABLE = Path(__file__).with_name("clip") / "merges.txt.xz"
START, END = "<|startoftext|>", "<|endoftext|>"
LENGTH = 77


def build_tokenizer(pad: str = END) -> CLIPTokenizer:
    """Return a tokenizer of 49,408 tokens that pads prompts to 77 of them with the token `pad`."""
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
    """Read the pairs of symbols that merge into one token, the most frequent first."""
    lines = lzma.decompress(TABLE.read_bytes()).decode("utf-8").splitlines()
    return tuple((first, second) for first, _, second in (line.partition(" ") for line in lines))


def build_vocabulary(pairs: tuple[tuple[str, str], ...]) -> dict[str, int]:
    """Map tokens to ids in CLIP's order: bytes, bytes that end a word, pairs, start and end of a prompt."""
    letters = _byte_letters()
    tokens = [*letters, *(f"{letter}</w>" for letter in letters), *map("".join, pairs), START, END]
    return {token: number for number, token in enumerate(tokens)}


def _byte_letters() -> list[str]:
    """Return a printable letter for each byte: the printable ones of Latin-1 stand for themselves and come first."""
    printable = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    return [*map(chr, printable), *(chr(256 + number) for number in range(256 - len(printable)))]
