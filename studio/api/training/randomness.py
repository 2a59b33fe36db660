"""Random numbers that follow from the seed and the step alone, so that a resumed training equals an unpaused one."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


def step_generator(seed: int, step: int, stream: int | None = None) -> torch.Generator:
    """Return a torch generator on the CPU for one step of a training, the same however often it was resumed.

    With `stream` (0..15) a step has several independent generators.
    """
    import torch

    number = seed * 1_000_003 + step
    if stream is not None:
        number = (number * 16 + stream) % 2**63
    return torch.Generator("cpu").manual_seed(number)
