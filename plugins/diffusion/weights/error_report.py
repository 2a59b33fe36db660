"""The part of a change of weights that is lost, as relative Frobenius norms by layer and of all layers together."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

FILE = "layer_errors.json"
_SHOWN = 10


@dataclass
class ErrorReport:
    """Sums of squares by layer: of the change, and of what is lost of it."""

    layers: dict[str, tuple[float, float]] = field(default_factory=dict)

    def add(self, layer: str, change: float, lost: float) -> None:
        """Add squared norms to those of a layer."""
        before = self.layers.get(layer, (0.0, 0.0))
        self.layers[layer] = before[0] + change, before[1] + max(0.0, lost)

    @property
    def overall(self) -> float:
        """Norm of what is lost over the norm of the change, of all layers together."""
        changes, losses = (math.fsum(pair[part] for pair in self.layers.values()) for part in (0, 1))
        return math.sqrt(losses / changes) if changes else 0.0

    def by_layer(self) -> dict[str, float]:
        """Return the relative error of each layer that changes."""
        return {name: math.sqrt(lost / change) for name, (change, lost) in self.layers.items() if change}

    def describe_worst(self) -> str:
        """Return a Markdown list of the layers with the largest errors."""
        worst = sorted(self.by_layer().items(), key=lambda pair: -pair[1])[:_SHOWN]
        lines = [f"- `{name}`: {format_error(error)}\n" for name, error in worst]
        return "".join(lines) + f"\nThose of all layers are in `{FILE}`."

    def write(self, folder: Path) -> None:
        """Write the errors of all layers into a model's folder."""
        errors = {name: float(f"{error:.4g}") for name, error in self.by_layer().items()}
        (folder / FILE).write_text(json.dumps(errors, indent=1), "utf-8")


def measure_square(values: Tensor) -> float:
    """Return the squared Frobenius norm."""
    import torch

    return float(torch.linalg.vector_norm(values.float())) ** 2


def format_error(error: float) -> str:
    """Format a relative error in per cent."""
    return f"{100 * error:.3g} %"
