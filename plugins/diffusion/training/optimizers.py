"""Optimizers of a training. Some are in packages that are installed when they are wanted."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

from studio import api

if TYPE_CHECKING:
    import torch

OptimizerName = Literal["adamw", "adamw8bit", "adafactor", "lion", "prodigy"]
OPTIMIZER_LABELS = ("AdamW", "AdamW 8-bit", "Adafactor", "Lion", "Prodigy")
RATE_FACTORS: dict[OptimizerName, float] = {"lion": 0.2}
"""Factors on the default learning rate."""
PRODIGY_RATE = 1.0
"""Default learning rate of Prodigy, which is a factor on the rate that it finds itself."""
_OPTIONAL: dict[OptimizerName, tuple[str, str, str]] = {
    "adamw8bit": ("bitsandbytes", "bitsandbytes.optim", "AdamW8bit"),
    "lion": ("lion-pytorch", "lion_pytorch", "Lion"),
    "prodigy": ("prodigyopt", "prodigyopt", "Prodigy"),
}
"""Packages, modules and classes."""


def build_optimizer(
    name: OptimizerName, groups: Sequence[dict[str, Any]], weight_decay: float
) -> torch.optim.Optimizer:
    """Build an optimizer for groups of parameters. Raises StudioError if its package is not installed."""
    import torch

    options: dict[str, Any] = {"weight_decay": weight_decay}
    kind: Any = torch.optim.Adafactor
    if name != "adafactor":
        options["betas"] = (0.9, 0.99)
        kind = _import_class(name) if name in _OPTIONAL else torch.optim.AdamW
    if name == "prodigy":
        options |= {"use_bias_correction": True, "safeguard_warmup": True}
    optimizer: torch.optim.Optimizer = kind([*groups], **options)
    return optimizer


def _import_class(name: OptimizerName) -> Any:
    package, module, kind = _OPTIONAL[name]
    try:
        return getattr(importlib.import_module(module), kind)
    except ImportError as error:
        raise api.StudioError(
            f"The optimizer {kind} needs the package {package}.", f"Install it with: pip install {package}"
        ) from error
