"""The tokens of all documents in one row for each kind, and windows of them that depend on seed and step only."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from studio import api

Tokens = NDArray[np.uint32]
CACHE = "tokens.safetensors"


@dataclass(frozen=True)
class TokenStreams:
    """`rows` has the tokens of each kind, document after document.

    Training windows are drawn from the rows in proportion to the square roots of their lengths, so that a kind with
    little text is not forgotten.
    """

    rows: Mapping[str, Tokens]

    def sample_windows(self, count: int, length: int, seed: int, step: int) -> NDArray[np.int64]:
        """Return [count, length] tokens from random places; a row that is shorter is repeated."""
        generator = np.random.default_rng((seed, step))
        rows = [*self.rows.values()]
        weights = np.sqrt([len(row) for row in rows])
        windows = np.empty((count, length), np.int64)
        for number, index in enumerate(generator.choice(len(rows), count, p=weights / weights.sum())):
            row = rows[index]
            start = int(generator.integers(max(1, len(row) - length + 1)))
            windows[number] = np.resize(row[start : start + length], length)
        return windows

    def split_windows(self, length: int, limit: int) -> NDArray[np.int64]:
        """Return [n, length] consecutive windows, at most `limit`, spread evenly over all rows."""
        parts = [row[: len(row) // length * length].reshape(-1, length) for row in self.rows.values()]
        windows = np.concatenate(parts).astype(np.int64)
        if not len(windows):
            longest = max(self.rows.values(), key=len)
            windows = np.resize(longest, (1, length)).astype(np.int64)
        return windows[:: -(-len(windows) // limit)]

    def count_tokens(self) -> int:
        return sum(map(len, self.rows.values()))


def build_streams(kinds: Iterable[str], documents: Iterable[Sequence[int]]) -> TokenStreams:
    """Build the streams of encoded documents, each with its kind."""
    rows: dict[str, list[Tokens]] = {}
    for kind, tokens in zip(kinds, documents, strict=True):
        rows.setdefault(kind, []).append(np.asarray(tokens, np.uint32))
    return TokenStreams({kind: np.concatenate(parts) for kind, parts in sorted(rows.items())})


def load_streams(folder: Path, key: str) -> tuple[TokenStreams, TokenStreams] | None:
    """Return (training, held-out) streams as `save_streams` stored them under the same `key`; else None."""
    import torch

    try:
        tensors, notes = api.model_files.read_tensors(folder / CACHE)
    except (OSError, ValueError):
        return None
    if notes.get("key") != key:
        return None
    rows: dict[str, dict[str, Tokens]] = {"learn": {}, "held": {}}
    for name, value in tensors.items():
        part, _, kind = name.partition(".")
        rows[part][kind] = value.to(torch.int64).numpy().astype(np.uint32)
    return TokenStreams(rows["learn"]), TokenStreams(rows["held"])


def save_streams(folder: Path, key: str, training: TokenStreams, held_out: TokenStreams) -> None:
    """Store both streams, so that a training that is resumed does not encode its documents again."""
    import torch

    rows = {f"learn.{kind}": row for kind, row in training.rows.items()}
    rows |= {f"held.{kind}": row for kind, row in held_out.rows.items()}
    tensors = {name: torch.from_numpy(row.astype(np.int32)) for name, row in rows.items()}
    api.model_files.write_tensors(folder / CACHE, tensors, {"key": key})
