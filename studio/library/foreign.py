"""Placeholder while the readers are written."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from msgspec import Struct


class Foreign(Struct, frozen=True, kw_only=True):
    """What another tool wrote into a file."""

    source: str
    prompt: str = ""
    negative_prompt: str = ""
    seed: int | None = None
    steps: int | None = None
    guidance: float | None = None
    width: int | None = None
    height: int | None = None
    sampler: str = ""
    model: str = ""
    strength: float | None = None
    raw: dict[str, Any] = {}


def read_foreign(path: Path) -> Foreign | None:
    return None
