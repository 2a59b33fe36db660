"""Seeds of the random generators: the same seed gives the same pixels."""

from __future__ import annotations

import random
import sys


def seed_all(seed: int) -> None:
    """Seed the global generators of Python and of what is loaded of numpy and torch, 0 ≤ seed < 2³²."""
    random.seed(seed)
    if "numpy" in sys.modules:
        import numpy as np

        np.random.seed(seed % 2**32)
    if "torch" in sys.modules:
        import torch

        torch.manual_seed(seed)


def prefer_deterministic() -> None:
    """Choose algorithms that give bit-equal results on a CPU; torch warns where there is none."""
    import torch

    torch.use_deterministic_algorithms(True, warn_only=True)
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined,unused-ignore]
