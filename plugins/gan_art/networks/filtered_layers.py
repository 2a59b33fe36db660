"""The layers of StyleGAN3: Fourier features, and leaky ReLUs between two low-pass filters.

Written from the paper (Karras et al. 2021, arXiv:2106.12423). A nonlinearity makes frequencies beyond what the pixels
can hold; computed at a higher sampling rate and filtered again, none of them folds back.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from .layers import DEMODULATION_EPS, LEAKY_GAIN, LEAKY_SLOPE, EqualizedLinear

FILTER_TAPS = 6
"""Taps of a filter for each step of its factor."""


@dataclass(frozen=True)
class LayerShape:
    """The sizes of a layer. `up_taps` and `down_taps` are shapes of its filters: (n,), (n, n) if radial, or ()."""

    inputs: int
    outputs: int
    kernel: int
    input_size: int
    size: int
    up_taps: tuple[int, ...] = ()
    down_taps: tuple[int, ...] = ()
    to_rgb: bool = False

    def __post_init__(self) -> None:
        for taps in (self.up_taps, self.down_taps):
            if any(count % FILTER_TAPS or not count for count in taps) or len(set(taps)) > 1 or len(taps) > 2:
                raise ValueError("filters of an unknown length")

    @property
    def up(self) -> int:
        return self.up_taps[0] // FILTER_TAPS if self.up_taps else 1

    @property
    def down(self) -> int:
        return self.down_taps[0] // FILTER_TAPS if self.down_taps else 1

    @property
    def padding(self) -> tuple[int, int]:
        """Zeros before and after the image at the higher rate, so that filtering and decimation give `size` px.

        Where their number is odd, the pixels' centres decide that one more stands before.
        """
        needed = (self.size - 1) * self.down + 1
        given = (self.input_size + self.kernel - 1) * self.up
        taps = (self.up_taps or (1,))[0] + (self.down_taps or (1,))[0] - 2
        total = needed - given + taps
        before = (total + self.up) // 2
        return before, total - before


class FourierInput(nn.Module):
    """Makes an image of sinusoids, which the style rotates and moves, and mixes its channels."""

    freqs: Tensor
    phases: Tensor
    transform: Tensor

    def __init__(self, channels: int, style: int, size: int, rate: float, bandwidth: float) -> None:
        """Create the input of `size` px. `rate` and `bandwidth` are in pixels and cycles for the visible image."""
        super().__init__()
        self.size, self.rate, self.bandwidth = size, rate, bandwidth
        self.weight = nn.Parameter(torch.randn(channels, channels))
        self.affine = EqualizedLinear(style, 4)
        with torch.no_grad():
            self.affine.weight.zero_()
            self.affine.bias.copy_(torch.tensor([1.0, 0.0, 0.0, 0.0]))
        angles = torch.rand(channels) * 2 * math.pi
        lengths = torch.rand(channels).sqrt() * bandwidth
        self.register_buffer("freqs", torch.stack([angles.cos(), angles.sin()], 1) * lengths[:, None])
        self.register_buffer("phases", torch.rand(channels) - 0.5)
        self.register_buffer("transform", torch.eye(3))

    def forward(self, style: Tensor) -> Tensor:
        """Return features [n, channels, size, size] for styles [n, style size]."""
        cosine, sine, right, down = self._normalize(self.affine(style)).unbind(1)
        zero, one = torch.zeros_like(cosine), torch.ones_like(cosine)
        rotation = torch.stack([cosine, -sine, zero, sine, cosine, zero, zero, zero, one], 1).view(-1, 3, 3)
        shift = torch.stack([one, zero, -right, zero, one, -down, zero, zero, one], 1).view(-1, 3, 3)
        transform = rotation @ shift @ self.transform
        phases = self.phases + (self.freqs @ transform[:, :2, 2:]).squeeze(2)
        freqs = self.freqs @ transform[:, :2, :2]
        fading = (freqs.norm(dim=2) - self.bandwidth) / (self.rate / 2 - self.bandwidth)
        amplitudes = (1 - fading).clamp(0, 1)
        centres = (torch.arange(self.size, device=style.device) + 0.5 - self.size / 2) / self.rate
        x = freqs[:, :, 0, None, None] * centres + freqs[:, :, 1, None, None] * centres[:, None]
        waves = torch.sin(2 * math.pi * (x + phases[:, :, None, None])) * amplitudes[:, :, None, None]
        weight = self.weight / math.sqrt(len(self.weight))
        return torch.einsum("oc,nchw->nohw", weight, waves)

    @staticmethod
    def _normalize(affine: Tensor) -> Tensor:
        lengths: Tensor = affine[:, :2].norm(dim=1, keepdim=True)
        return affine / lengths


class FilteredConv(nn.Module):
    """A modulated convolution with a leaky ReLU between a filter that raises and one that lowers the sampling rate."""

    up_filter: Tensor | None
    down_filter: Tensor | None
    magnitude_ema: Tensor

    def __init__(self, shape: LayerShape, style: int, clamp: float | None = None, margin: int = 0) -> None:
        """Create the layer; its filters are filled in by the state dict. `margin` are pixels beyond each edge."""
        super().__init__()
        self.shape, self.clamp, self.margin = shape, clamp, margin
        self.weight = nn.Parameter(torch.randn(shape.outputs, shape.inputs, shape.kernel, shape.kernel))
        self.bias = nn.Parameter(torch.zeros(shape.outputs))
        self.affine = EqualizedLinear(style, shape.inputs, bias=1.0)
        self.register_buffer("magnitude_ema", torch.ones([]))
        self.register_buffer("up_filter", torch.zeros(shape.up_taps) if shape.up_taps else None)
        self.register_buffer("down_filter", torch.zeros(shape.down_taps) if shape.down_taps else None)

    def forward(self, images: Tensor, style: Tensor) -> Tensor:
        """Map [n, inputs, input size, input size] to [n, outputs, size, size]."""
        scales: Tensor = self.affine(style)
        weight: Tensor = self.weight
        if self.shape.to_rgb:
            scales = scales / math.sqrt(weight[0].numel())
        else:  # constant factors, which the division by the norms removes up to its epsilon
            weight = weight * weight.square().mean(dim=(1, 2, 3), keepdim=True).rsqrt()
            scales = scales * scales.square().mean(dim=1, keepdim=True).rsqrt()
        inputs = images * (scales * self.magnitude_ema.rsqrt())[:, :, None, None]
        result = functional.conv2d(inputs, weight, padding=self.shape.kernel - 1)
        if not self.shape.to_rgb:
            norms = (scales.square() @ weight.square().sum(dim=(2, 3)).T + DEMODULATION_EPS).rsqrt()
            result = result * norms[:, :, None, None]
        return self._filter(result + self.bias[:, None, None])

    def _filter(self, images: Tensor) -> Tensor:
        before, after = self.shape.padding
        raised = raise_rate(images, self.up_filter, self.shape.up, before, after)
        if not self.shape.to_rgb:
            raised = functional.leaky_relu(raised, LEAKY_SLOPE) * LEAKY_GAIN
        if self.clamp is not None:
            raised = raised.clamp(-self.clamp, self.clamp)
        return lower_rate(raised, self.down_filter, self.shape.down)


def raise_rate(images: Tensor, taps: Tensor | None, factor: int, before: int, after: int) -> Tensor:
    """Insert zeros, pad, and filter [n, c, h, w] with a separable filter, so that the brightness stays.

    `before` and `after` are the zeros around the image at the higher rate.
    """
    if taps is None:
        return functional.pad(images, (before, after, before, after))
    flat = images.flatten(0, 1)[:, None]
    for kernel, stride in zip(*_split(taps * factor, factor), strict=True):
        flat = functional.conv_transpose2d(flat, kernel, stride=stride)
    # The transposed convolution begins with its first tap; padding begins with the last one over the first pixel.
    margin = len(taps) - 1
    before, after = before - margin, after + factor - 1 - margin
    flat = functional.pad(flat, (before, after, before, after))
    return flat.view(*images.shape[:2], *flat.shape[2:])


def lower_rate(images: Tensor, taps: Tensor | None, factor: int) -> Tensor:
    """Filter [n, c, h, w] with a separable or radial filter, without padding, and take every `factor`-th pixel."""
    if taps is None:
        return images
    flat = images.flatten(0, 1)[:, None]
    if taps.ndim == 2:
        flat = functional.conv2d(flat, taps.flip(0, 1)[None, None], stride=factor)
    else:
        for kernel, stride in zip(*_split(taps.flip(0), factor), strict=True):
            flat = functional.conv2d(flat, kernel, stride=stride)
    return flat.view(*images.shape[:2], *flat.shape[2:])


def _split(taps: Tensor, factor: int) -> tuple[list[Tensor], list[tuple[int, int]]]:
    """Return a separable filter as two kernels with their strides, down the columns and along the rows."""
    return [taps[None, None, :, None], taps[None, None, None]], [(factor, 1), (1, factor)]
