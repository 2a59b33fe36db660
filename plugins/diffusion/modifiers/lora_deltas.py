"""Changes that the layers of a LoRA make to the output of a module: ΔW · x, computed without a copy of the weights."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .lora_layers import Layer

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

_EPSILON = 1e-7
_CONVOLUTION = re.compile(r"_conv[12]?$|_(in_layers_2|out_layers_3)$|_0_op$")
"""Ends of the names of 3 × 3 convolutions in a U-Net."""


class UnfitLayerError(Exception):
    """A layer that cannot be applied to its module; the text completes "its layer NAME"."""


@dataclass
class Delta:
    """Change of one module: ``y += weight · (ΔW · x + bias)``, and for DoRA a new length of each row or column of W.

    ΔW is the product of `factors`, the Kronecker product of `kronecker`, or `dense`. `rows` [out] and `columns` [in]
    are the factors by which DoRA scales W + ΔW.
    """

    factors: tuple[Tensor, Tensor] | None = None
    kronecker: tuple[Tensor, Tensor] | None = None
    dense: Tensor | None = None
    bias: Tensor | None = None
    rows: Tensor | None = None
    columns: Tensor | None = None

    def attach(self, module: nn.Module, weight: float, hooks: ExitStack) -> None:
        """Let the module compute with this change until `hooks` closes."""
        inputs: list[Tensor] = []

        def scale_input(_: nn.Module, args: tuple[Any, ...]) -> tuple[Any, ...]:
            inputs[:] = args[:1]
            if self.columns is None:
                return args
            return (args[0] * _blend(self.columns, weight, args[0].ndim, module).to(args[0]), *args[1:])

        def add_change(_: nn.Module, __: object, output: Tensor) -> Tensor:
            values = inputs.pop()
            change = self._change(module, values)
            if self.rows is not None:
                own_bias = getattr(module, "bias", None)
                shift = _to_channels(own_bias, output.ndim, module).to(output) if own_bias is not None else 0.0
                rows = _to_channels(self.rows, output.ndim, module).to(output)
                output = (output - shift) * (1 + weight * (rows - 1)) + shift
                change = change * rows if change is not None else None
            if change is not None:
                output = output + weight * change.to(output.dtype)
            if self.bias is not None:
                output = output + weight * _to_channels(self.bias, output.ndim, module).to(output)
            return output

        for handle in (module.register_forward_pre_hook(scale_input), module.register_forward_hook(add_change)):
            hooks.callback(handle.remove)

    def to(self, device: str, dtype: torch.dtype) -> Delta:
        """Return this change on a device."""

        def move(value: Tensor) -> Tensor:
            return value.to(device, dtype).contiguous()

        return Delta(
            tuple(map(move, self.factors)) if self.factors else None,  # type: ignore[arg-type]
            tuple(map(move, self.kronecker)) if self.kronecker else None,  # type: ignore[arg-type]
            *(move(value) if value is not None else None for value in (self.dense, self.bias, self.rows, self.columns)),
        )

    def materialise(self) -> Tensor:
        """Compute ΔW."""
        import torch

        if self.factors:
            down, up = self.factors
            return (up.flatten(1) @ down.flatten(1)).reshape(up.shape[0], *down.shape[1:])
        if self.kronecker:
            return torch.kron(*self.kronecker)
        assert self.dense is not None
        return self.dense

    def merge(self, weights: Tensor, strength: float, first: int = 0) -> Tensor:
        """Return weights with this change, as `attach` computes with them.

        `weights` are the rows from `first` on of those of the module, in float32.
        """
        last = first + weights.shape[0]
        has_values = bool(self.factors or self.kronecker or self.dense is not None)
        change = self.materialise()[first:last].reshape(weights.shape) if has_values else None
        shape = (-1, *[1] * (weights.ndim - 1))
        if self.rows is not None:
            rows = self.rows[first:last].reshape(shape)
            weights = weights * (1 + strength * (rows - 1))
            change = change * rows if change is not None else None
        if self.columns is not None:
            columns = self.columns.reshape(1, *shape[:-1])
            weights = weights * (1 + strength * (columns - 1))
            change = change * columns if change is not None else None
        return weights + strength * change if change is not None else weights

    def _change(self, module: nn.Module, values: Tensor) -> Tensor | None:
        """Compute ΔW · x."""
        from torch import nn
        from torch.nn import functional

        if self.columns is not None:
            values = values * _to_channels(self.columns, values.ndim, module).to(values)
        if self.factors:
            down, up = (factor.to(values.device) for factor in self.factors)
            values = values.to(down.dtype)
            if isinstance(module, nn.Conv2d):
                narrow: Tensor = module._conv_forward(values, down, None)
                return functional.conv2d(narrow, up)
            return functional.linear(functional.linear(values, down), up)
        if self.kronecker:
            outer, inner = (factor.to(values.device) for factor in self.kronecker)
            blocks = values.to(outer.dtype).reshape(*values.shape[:-1], outer.shape[1], inner.shape[1])
            product: Tensor = outer @ blocks @ inner.T
            return product.flatten(-2)
        if self.dense is None:
            return None
        dense = self.dense.to(values.device)
        values = values.to(dense.dtype)
        if isinstance(module, nn.Conv2d):
            convolved: Tensor = module._conv_forward(values, dense, None)
            return convolved
        if isinstance(module, nn.LayerNorm):
            return functional.layer_norm(values, module.normalized_shape, dense, None, module.eps)
        if isinstance(module, nn.GroupNorm):
            return functional.group_norm(values, module.num_groups, dense, None, module.eps)
        return functional.linear(values, dense)


def build_delta(layer: Layer, module: nn.Module) -> Delta:
    """Build the change that a layer makes to a module, in float32 on the CPU. Raises UnfitLayerError."""
    own_shape = _shape_of(module)
    if own_shape is None:
        raise UnfitLayerError(f"changes a {type(module).__name__}, which has no weights to change")
    delta = read_delta(layer, own_shape)
    if "magnitude" in layer.tensors:
        weight: Any = module.weight
        if weight.is_meta or not weight.is_floating_point() or tuple(weight.shape) != own_shape:
            raise UnfitLayerError("is a DoRA, which cannot be applied to weights that are quantised or offloaded")
        add_magnitude(delta, layer.tensors["magnitude"].float(), weight.detach().float().cpu())
    return delta


def read_delta(layer: Layer, own_shape: tuple[int, ...]) -> Delta:
    """Read the change of weights of a shape, without the lengths of a DoRA, in float32. Raises UnfitLayerError."""
    tensors = {role: value.float() for role, value in layer.tensors.items()}
    delta = _read_change(layer, tensors, own_shape)
    shape = _shape_of_change(delta)
    if shape is not None and shape != own_shape:
        raise UnfitLayerError(f"is {_join(shape)}, and that of the model {_join(own_shape)}")
    bias = tensors.get("diff_b")
    if bias is not None:
        if bias.numel() != own_shape[0]:
            raise UnfitLayerError(f"has {bias.numel()} numbers, and that of the model {own_shape[0]}")
        delta.bias = bias.reshape(-1)
    return delta


def add_magnitude(delta: Delta, magnitude: Tensor, weights: Tensor) -> None:
    """Compute the factors of DoRA: the learnt length of each row (or column) of W + ΔW by its own length.

    Raises UnfitLayerError.
    """
    changed = weights + delta.materialise()
    rows = changed.flatten(1).norm(dim=1)
    columns = changed.transpose(0, 1).flatten(1).norm(dim=1)
    is_by_column = magnitude.ndim > 1 and magnitude.shape[0] == 1 and magnitude.numel() == len(columns)
    if not is_by_column and magnitude.numel() != len(rows):
        raise UnfitLayerError(f"has {magnitude.numel()} lengths, and the model {len(rows)} rows")
    if is_by_column:
        delta.columns = magnitude.reshape(-1) / (columns + _EPSILON)
    else:
        delta.rows = magnitude.reshape(-1) / (rows + _EPSILON)


def find_shape(layer: Layer) -> tuple[int, ...]:
    """Find the shape of the weights that a layer changes, from its tensors alone. Raises UnfitLayerError."""
    tensors = layer.tensors
    try:
        if "down" in tensors or "up" in tensors:
            down, up = tensors["down"], tensors["up"]
            core = tensors.get("mid", down)
            return (up.shape[0], down.shape[1], *core.shape[2:])
        if "hada_t1" in tensors:
            return tensors["hada_w1_a"].shape[1], tensors["hada_w1_b"].shape[1], *tensors["hada_t1"].shape[2:]
        if "hada_w1_a" in tensors:
            return _split_kernel(layer.module, tensors["hada_w1_a"].shape[0], tensors["hada_w1_b"].shape[1])
        if any(role.startswith("lokr_") for role in tensors):
            (outer_rows, outer_columns), (rows, columns, *kernel) = (_find_lokr_shape(tensors, part) for part in "12")
            shape = outer_rows * rows, outer_columns * columns
            return (*shape, *kernel) if kernel else _split_kernel(layer.module, *shape)
        if "diff" in tensors:
            return tuple(tensors["diff"].shape)
    except (KeyError, IndexError, ValueError) as error:
        raise UnfitLayerError("lacks a part, or has parts that do not fit each other") from error
    raise UnfitLayerError("has no weights that could be applied")


def _find_lokr_shape(tensors: Mapping[str, Tensor], part: str) -> tuple[int, ...]:
    name = f"lokr_w{part}"
    if name in tensors:
        return tuple(tensors[name].shape)
    up, down = tensors[f"{name}_a"], tensors[f"{name}_b"]
    core = tensors.get(f"lokr_t{part}")
    return (up.shape[1], down.shape[1], *core.shape[2:]) if core is not None else (up.shape[0], down.shape[1])


def _split_kernel(module: str, rows: int, columns: int) -> tuple[int, ...]:
    """Split the columns of a 3 × 3 convolution, which LoHa and LoKr write as a matrix; its name alone tells it."""
    is_convolution = bool(_CONVOLUTION.search(module.replace(".", "_"))) and columns % 9 == 0
    return (rows, columns // 9, 3, 3) if is_convolution else (rows, columns)


def _read_change(layer: Layer, tensors: Mapping[str, Tensor], own_shape: tuple[int, ...]) -> Delta:
    if "down" in tensors or "up" in tensors:
        return _read_lora(layer, tensors, own_shape)
    if any(role.startswith("hada_") for role in tensors):
        return _read_loha(tensors, own_shape)
    if any(role.startswith("lokr_") for role in tensors):
        return _read_lokr(tensors, own_shape)
    if "diff" in tensors:
        return Delta(dense=_fit(tensors["diff"], own_shape))
    if "diff_b" in tensors:
        return Delta()
    raise UnfitLayerError("has no weights that could be applied")


def _read_lora(layer: Layer, tensors: Mapping[str, Tensor], own_shape: tuple[int, ...]) -> Delta:
    import torch

    down, up, mid = (tensors.get(role) for role in ("down", "up", "mid"))
    if down is None or up is None:
        raise UnfitLayerError(f"lacks its {'first' if down is None else 'second'} half")
    rank = down.shape[0]
    if mid is not None:  # LoCon with a core: out ← rank (1×1), rank ← rank (k×k), rank ← in (1×1)
        if mid.ndim < 2 or mid.shape[1] != rank or mid.shape[0] != up.shape[1]:
            raise UnfitLayerError("has a middle that does not fit its two halves")
        down = torch.einsum("rm...,mi->ri...", mid, down.flatten(1))
    if up.ndim < 2 or down.ndim < 2 or up.shape[1] != down.shape[0]:
        raise UnfitLayerError(f"has halves of rank {up.shape[1] if up.ndim > 1 else 0} and {down.shape[0]}")
    scale = layer.scale if layer.scale is not None else _alpha_scale(tensors, rank)
    if len(own_shape) == 2:
        return Delta(factors=(down.flatten(1), up.flatten(1) * scale))
    if down.ndim == 2:
        down = down[:, :, None, None]
    return Delta(factors=(down, up.flatten(1)[:, :, None, None] * scale))


def _read_loha(tensors: Mapping[str, Tensor], own_shape: tuple[int, ...]) -> Delta:
    import torch

    try:
        first_up, first_down, second_up, second_down = (
            tensors[f"hada_{role}"] for role in ("w1_a", "w1_b", "w2_a", "w2_b")
        )
    except KeyError as error:
        raise UnfitLayerError(f"lacks its {error.args[0]!s}") from error
    scale = _alpha_scale(tensors, first_down.shape[0])
    try:
        if "hada_t1" in tensors:
            cores = [
                torch.einsum("ij...,jr,ip->pr...", tensors[f"hada_t{number}"], down, up)
                for number, down, up in ((1, first_down, first_up), (2, second_down, second_up))
            ]
            return Delta(dense=_fit(cores[0] * cores[1] * scale, own_shape))
        rank = first_down.shape[0] * second_down.shape[0]
        if len(own_shape) == 2 and rank <= min(own_shape) // 2:
            # (A₁B₁) ∘ (A₂B₂) is itself of low rank: the products of each column of A₁ and A₂, and row of B₁ and B₂.
            down = (first_down[:, None] * second_down[None]).flatten(0, 1)
            up = (first_up[:, :, None] * second_up[:, None]).flatten(1)
            return Delta(factors=(down, up * scale))
        return Delta(dense=_fit((first_up @ first_down) * (second_up @ second_down) * scale, own_shape))
    except RuntimeError as error:
        raise UnfitLayerError("has parts of a LoHa that do not fit each other") from error


def _read_lokr(tensors: Mapping[str, Tensor], own_shape: tuple[int, ...]) -> Delta:
    import torch

    rank = 0
    parts = []
    try:
        for name in ("lokr_w1", "lokr_w2"):
            if name in tensors:
                parts.append(tensors[name])
                continue
            up, down = tensors[f"{name}_a"], tensors[f"{name}_b"]
            rank = down.shape[0]
            if name == "lokr_w2" and "lokr_t2" in tensors:
                parts.append(torch.einsum("ij...,jr,ip->pr...", tensors["lokr_t2"], down, up))
            else:
                parts.append(up @ down)
        outer, inner = parts
        # Where both parts are written whole, LyCORIS does not scale by alpha.
        outer = outer * (_alpha_scale(tensors, rank) if rank else 1.0)
        if len(own_shape) == 2 and outer.ndim == inner.ndim == 2:
            return Delta(kronecker=(outer, inner))
        return Delta(dense=_fit(torch.kron(outer.reshape(*outer.shape[:2], *[1] * (inner.ndim - 2)), inner), own_shape))
    except KeyError as error:
        raise UnfitLayerError(f"lacks its {error.args[0]!s}") from error
    except RuntimeError as error:
        raise UnfitLayerError("has parts of a LoKr that do not fit each other") from error


def _blend(factors: Tensor, weight: float, dimensions: int, module: nn.Module) -> Tensor:
    return 1 + weight * (_to_channels(factors, dimensions, module) - 1)


def _alpha_scale(tensors: Mapping[str, Tensor], rank: int) -> float:
    alpha = tensors.get("alpha")
    return float(alpha.reshape(-1)[0]) / rank if alpha is not None and alpha.numel() and rank else 1.0


def _fit(value: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Give a change the shape of the weights where it has as many numbers, as a matrix for a convolution has."""
    return value.reshape(shape) if value.numel() == math.prod(shape) and value.shape[0] == shape[0] else value


def _shape_of(module: nn.Module) -> tuple[int, ...] | None:
    """Return the shape of a module's weights as they are computed with, also where they are stored in another."""
    from torch import nn

    if isinstance(module, nn.Linear):
        return module.out_features, module.in_features
    if isinstance(module, nn.Conv2d):
        return module.out_channels, module.in_channels // module.groups, *module.kernel_size
    if isinstance(module, nn.LayerNorm | nn.GroupNorm) and module.weight is not None:
        return tuple(module.weight.shape)
    return None


def _shape_of_change(delta: Delta) -> tuple[int, ...] | None:
    if delta.factors:
        down, up = delta.factors
        return up.shape[0], *down.shape[1:]
    if delta.kronecker:
        outer, inner = delta.kronecker
        return outer.shape[0] * inner.shape[0], outer.shape[1] * inner.shape[1]
    return tuple(delta.dense.shape) if delta.dense is not None else None


def _to_channels(values: Tensor, dimensions: int, module: nn.Module) -> Tensor:
    """Shape numbers so that they multiply the channels: the second dimension of images, the last of other tensors."""
    from torch import nn

    if isinstance(module, nn.Conv2d | nn.GroupNorm):
        return values.reshape(1, -1, *[1] * (dimensions - 2))
    return values


def _join(shape: tuple[int, ...]) -> str:
    return " × ".join(map(str, shape))
