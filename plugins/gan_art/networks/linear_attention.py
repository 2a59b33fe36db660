"""Attention in linear time (Shen et al. 2018, arXiv:1812.01243), as the networks of lucidrains have it."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from .building import Shapes
from .latent_styles import build_convolution

HEAD_WIDTH = 64
LOCAL = 3
"""Side of the neighbourhood to which each pixel attends."""
NORM_EPS = 1e-5


class ChannelNorm(nn.Module):
    """Normalises over the channels of each pixel."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.g = nn.Parameter(torch.ones(1, width, 1, 1))
        self.b = nn.Parameter(torch.zeros(1, width, 1, 1))

    def forward(self, images: Tensor) -> Tensor:
        """Map [n, width, h, w] to the same."""
        variance, mean = torch.var_mean(images, dim=1, unbiased=False, keepdim=True)
        return (images - mean) * (variance + NORM_EPS).rsqrt() * self.g + self.b


class Normalized(nn.Module):
    """Applies a layer to normalised features."""

    def __init__(self, layer: nn.Module, width: int) -> None:
        super().__init__()
        self.fn = layer
        self.norm = ChannelNorm(width)

    def forward(self, images: Tensor) -> Tensor:
        """Map [n, width, h, w] to what the layer gives."""
        result: Tensor = self.fn(self.norm(images))
        return result


class SeparableConv(nn.Module):
    """A convolution of each channel, and a pointwise one."""

    def __init__(self, shapes: Shapes, prefix: str) -> None:
        super().__init__()
        width = shapes[f"{prefix}.net.0.weight"][0]
        depthwise = build_convolution(shapes, f"{prefix}.net.0", groups=width)
        self.net = nn.Sequential(depthwise, build_convolution(shapes, f"{prefix}.net.1"))

    def forward(self, images: Tensor) -> Tensor:
        """Map [n, inputs, h, w] to [n, outputs, h, w]."""
        result: Tensor = self.net(images)
        return result


class LinearAttention(nn.Module):
    """Attention of all pixels to a summary of all, and with `to_lin_q` also of each pixel to its neighbours."""

    def __init__(self, shapes: Shapes, prefix: str) -> None:
        super().__init__()
        self.to_q = build_convolution(shapes, f"{prefix}.to_q")
        self.is_mixed = f"{prefix}.to_lin_q.weight" in shapes
        if self.is_mixed:
            self.to_lin_q = build_convolution(shapes, f"{prefix}.to_lin_q")
            self.to_lin_kv = SeparableConv(shapes, f"{prefix}.to_lin_kv")
            self.to_kv: nn.Module = build_convolution(shapes, f"{prefix}.to_kv")
        else:
            self.to_kv = SeparableConv(shapes, f"{prefix}.to_kv")
        self.to_out = build_convolution(shapes, f"{prefix}.to_out")

    def forward(self, images: Tensor) -> Tensor:
        """Map [n, width, h, w] to the same."""
        if not self.is_mixed:
            return self._project(self._attend_to_all(self.to_q(images), self.to_kv(images)))
        whole = self._attend_to_all(self.to_lin_q(images), self.to_lin_kv(images))
        return self._project(torch.cat([whole, self._attend_to_neighbours(self.to_q(images), self.to_kv(images))], 1))

    def _project(self, values: Tensor) -> Tensor:
        result: Tensor = self.to_out(values)
        return result

    @staticmethod
    def _attend_to_all(queries: Tensor, keys_values: Tensor) -> Tensor:
        size = queries.shape[2:]
        keys, values = (_split_heads(part).flatten(3) for part in keys_values.chunk(2, dim=1))
        queries = _split_heads(queries).flatten(3).softmax(dim=2) / math.sqrt(HEAD_WIDTH)
        context = torch.einsum("nhdp,nhep->nhde", keys.softmax(dim=3), values)
        attended = torch.einsum("nhdp,nhde->nhep", queries, context)
        return functional.gelu(torch.unflatten(attended.flatten(1, 2), 2, size))

    @staticmethod
    def _attend_to_neighbours(queries: Tensor, keys_values: Tensor) -> Tensor:
        size = queries.shape[2:]
        keys, values = (_gather_neighbours(part) for part in keys_values.chunk(2, dim=1))
        scores = torch.einsum("nhdp,nhdjp->nhjp", _split_heads(queries).flatten(3), keys) / math.sqrt(HEAD_WIDTH)
        attended = torch.einsum("nhjp,nhdjp->nhdp", scores.softmax(dim=2), values)
        return torch.unflatten(attended.flatten(1, 2), 2, size)


def _split_heads(images: Tensor) -> Tensor:
    """Map [n, heads * d, h, w] to [n, heads, d, h, w]."""
    return torch.unflatten(images, 1, (-1, HEAD_WIDTH))


def _gather_neighbours(images: Tensor) -> Tensor:
    """Map [n, heads * d, h, w] to the neighbours of each pixel, [n, heads, d, LOCAL², h * w]; zeros outside."""
    columns = functional.unfold(images, LOCAL, padding=LOCAL // 2)
    return torch.unflatten(columns, 1, (-1, HEAD_WIDTH, LOCAL**2))
