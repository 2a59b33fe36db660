"""Tokens of all documents in rows by kind, and windows of them that depend only on seed and step."""

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
class Streams:
    """`rows` are the tokens of one kind each, one document behind the other. Windows come from the rows by the root of
    their lengths, so that what there is little of is not forgotten."""

    rows: Mapping[str, Tokens]

    def windows(self, count: int, length: int, seed: int, step: int) -> NDArray[np.int64]:
        """[count, length] tokens from random places; from the start again where a row is shorter."""
        chance = np.random.default_rng((seed, step))
        rows = [*self.rows.values()]
        shares = np.sqrt([len(row) for row in rows])
        found = np.empty((count, length), np.int64)
        for number, which in enumerate(chance.choice(len(rows), count, p=shares / shares.sum())):
            row = rows[which]
            start = int(chance.integers(max(1, len(row) - length + 1)))
            found[number] = np.resize(row[start : start + length], length)
        return found

    def in_order(self, length: int, most: int) -> NDArray[np.int64]:
        """[n, length] windows that follow each other, at most `most`, spread over all rows."""
        parts = [row[: len(row) // length * length].reshape(-1, length) for row in self.rows.values()]
        whole = np.concatenate(parts).astype(np.int64)
        if not len(whole):
            longest = max(self.rows.values(), key=len)
            whole = np.resize(longest, (1, length)).astype(np.int64)
        return whole[:: -(-len(whole) // most)]

    def count(self) -> int:
        return sum(map(len, self.rows.values()))


def joined(kinds: Iterable[str], documents: Iterable[Sequence[int]]) -> Streams:
    """The rows of documents, each of a kind."""
    rows: dict[str, list[Tokens]] = {}
    for kind, tokens in zip(kinds, documents, strict=True):
        rows.setdefault(kind, []).append(np.asarray(tokens, np.uint32))
    return Streams({kind: np.concatenate(some) for kind, some in sorted(rows.items())})


def kept(folder: Path, key: str) -> tuple[Streams, Streams] | None:
    """(to learn from, held out) as `keep` left them for the same `key`; None where there are none."""
    import torch

    try:
        tensors, notes = api.model_files.read_tensors(folder / CACHE)
    except (OSError, ValueError):
        return None
    if notes.get("key") != key:
        return None
    found: dict[str, dict[str, Tokens]] = {"learn": {}, "held": {}}
    for name, value in tensors.items():
        part, _, kind = name.partition(".")
        found[part][kind] = value.to(torch.int64).numpy().astype(np.uint32)
    return Streams(found["learn"]), Streams(found["held"])


def keep(folder: Path, key: str, learn: Streams, held: Streams) -> None:
    import torch

    named = {f"learn.{kind}": row for kind, row in learn.rows.items()}
    named |= {f"held.{kind}": row for kind, row in held.rows.items()}
    api.model_files.write_tensors(
        folder / CACHE, {name: torch.from_numpy(row.astype(np.int32)) for name, row in named.items()}, {"key": key}
    )
