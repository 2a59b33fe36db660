"""Folds spectral normalisation (Miyato et al. 2018, arXiv:1802.05957) into the weights that it divides."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

_PARAMETRIZED = "parametrizations.weight"


def fold(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return weights without ``weight_orig``, ``weight_u`` and ``weight_v``, or what newer versions of torch call them.

    A weight is divided by its largest singular value, uᵀ W v, as it was when the file was saved. Where v is missing it
    follows from u. Raises ValueError where neither is there.
    """
    named = {_rename(name): value for name, value in weights.items()}
    folded = {}
    for name, value in named.items():
        if name.endswith("_orig"):
            stem = name.removesuffix("_orig")
            folded[stem] = value / _estimate_norm(value, named.get(f"{stem}_u"), named.get(f"{stem}_v"))
        elif not name.endswith(("_u", "_v")) or f"{name[:-2]}_orig" not in named:
            folded[name] = value
    return folded


def _rename(name: str) -> str:
    """Return the older name: ``conv.parametrizations.weight.original`` is ``conv.weight_orig``."""
    for ending, older in ((".original", "_orig"), (".0._u", "_u"), (".0._v", "_v")):
        if f".{name}".endswith(f".{_PARAMETRIZED}{ending}"):
            return f"{name.removesuffix(_PARAMETRIZED + ending)}weight{older}"
    return name


def _estimate_norm(weight: Tensor, u: Tensor | None, v: Tensor | None) -> Tensor:
    from torch.nn import functional

    if u is None:
        raise ValueError("a normalised weight without its vectors")
    estimates = []
    for axis in (0, 1):  # transposed convolutions have their outputs on the second axis
        matrix = weight.movedim(axis, 0).flatten(1)
        if len(u) != matrix.shape[0] or (v is not None and len(v) != matrix.shape[1]):
            continue
        right = functional.normalize(matrix.T @ u, dim=0) if v is None else v
        projected = matrix @ right
        norm = u @ projected
        estimates.append((float((projected - norm * u).norm() / norm.abs()), norm))
    if not estimates:
        raise ValueError("a normalised weight whose vectors do not fit")
    return min(estimates, key=lambda pair: pair[0])[1]
