"""The layers of StyleGAN2 in plain torch: equalised learning rates, modulated convolutions, filtered resampling.

Written from the papers of Karras et al. (arXiv:1912.04958, arXiv:2006.06676). Parameter names and their meaning follow
the published weights, so that these load without a change.
"""

from __future__ import annotations

import math
from typing import Literal, TypeAlias

import torch
from torch import Tensor, nn
from torch.nn import functional

Noise: TypeAlias = Literal["const", "none"] | torch.Generator
"""The noise of a synthesis: the constant images of the network, none, or new ones from a generator on the CPU."""

FILTER = (1.0, 3.0, 3.0, 1.0)
"""The low-pass filter of all resampling, separable and not normalised."""
LEAKY_SLOPE = 0.2
LEAKY_GAIN = math.sqrt(2)
DEMODULATION_EPS = 1e-8


def leaky_relu(values: Tensor) -> Tensor:
    """Apply a leaky ReLU that keeps the variance of its input."""
    return functional.leaky_relu(values, LEAKY_SLOPE) * LEAKY_GAIN


def build_filter() -> Tensor:
    """Return the low-pass filter as a matrix [4, 4] with the sum 1."""
    row = torch.tensor(FILTER)
    return torch.outer(row, row) / row.sum() ** 2


def filter_image(
    images: Tensor, kernel: Tensor, *, up: int = 1, down: int = 1, pad: tuple[int, int] = (0, 0)
) -> Tensor:
    """Insert zeros, pad, filter and take every `down`-th pixel of [n, c, h, w].

    `pad` are the pixels before and after, in both directions, counted after zeros were inserted; zeros that follow the
    last pixel count. Where `up` is 2 the result is not scaled: multiply the kernel by 4 to keep the brightness.
    """
    channels = images.shape[1]
    kernels = kernel.to(images.dtype)[None, None].expand(channels, 1, *kernel.shape)
    if up > 1:
        # A transposed convolution with stride `up` inserts the zeros; cut or pad its edges as asked.
        full = functional.conv_transpose2d(images, kernels, stride=up, groups=channels)
        # Its output begins len(kernel) - 1 pixels before the first one, and lacks the zeros after the last.
        before = pad[0] - (kernel.shape[0] - 1)
        after = pad[1] + up - 1 - (kernel.shape[0] - 1)
        full = functional.pad(full, (before, after, before, after))
        return full[:, :, ::down, ::down]
    padded = functional.pad(images, (pad[0], pad[1], pad[0], pad[1]))
    return functional.conv2d(padded, kernels.flip(2, 3), stride=down, groups=channels)


def blur(images: Tensor, pad: int, *, down: int = 1) -> Tensor:
    """Filter [n, c, h, w] with the low-pass filter and take every `down`-th pixel."""
    return filter_image(images, build_filter().to(images.device), down=down, pad=(pad, pad))


def upsample(images: Tensor) -> Tensor:
    """Double the size of [n, c, h, w] with the low-pass filter; outside the image is zero.

    The filter [1, 3, 3, 1] after zeros were inserted is nearest-neighbour interpolation and two means of 2 px.
    """
    images = functional.pad(functional.interpolate(images, scale_factor=2, mode="nearest"), (1, 1, 1, 1))
    return functional.avg_pool2d(functional.avg_pool2d(images, 2, 1), 2, 1)


class EqualizedLinear(nn.Module):
    """A linear layer whose weights are scaled when they are used, so that all learn at one rate."""

    def __init__(
        self, inputs: int, outputs: int, *, bias: float = 0.0, rate: float = 1.0, activate: bool = False
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs) / rate)
        self.bias = nn.Parameter(torch.full((outputs,), float(bias)) / rate)
        self.rate, self.activate = rate, activate

    def forward(self, values: Tensor) -> Tensor:
        """Map [n, inputs] to [n, outputs]."""
        weight = self.weight * (self.rate / math.sqrt(self.weight.shape[1]))
        result = functional.linear(values, weight, self.bias * self.rate)
        return leaky_relu(result) if self.activate else result


class EqualizedConv(nn.Module):
    """A convolution with an equalised learning rate, optionally to half the size."""

    def __init__(
        self, inputs: int, outputs: int, kernel: int, *, bias: bool = True, activate: bool = True, down: bool = False
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs, kernel, kernel))
        self.bias = nn.Parameter(torch.zeros(outputs)) if bias else None
        self.activate, self.down = activate, down

    def forward(self, images: Tensor, gain: float = 1.0) -> Tensor:
        """Convolve [n, inputs, h, w]. `gain` scales the result after the activation."""
        size = self.weight.shape[2]
        weight = self.weight * (1 / math.sqrt(self.weight[0].numel()))
        bias = None if self.bias is None else self.bias.to(images.dtype)
        pad = size // 2
        if self.down and size == 1:
            images = blur(images, 1, down=2)
            images = functional.conv2d(images, weight, bias)
        elif self.down:
            images = blur(images, 1 + pad)
            images = functional.conv2d(images, weight, bias, stride=2)
        else:
            images = functional.conv2d(images, weight, bias, padding=pad)
        images = leaky_relu(images) if self.activate else images
        return images * gain if gain != 1 else images


class ModulatedConv(nn.Module):
    """A convolution whose input channels are scaled by a style, with noise and activation, perhaps to twice the size.

    The input is scaled instead of the weights, so that one convolution serves the whole batch; with the division by
    the norm of the weights afterwards the result is the same.
    """

    noise_const: Tensor | None
    noise_strength: nn.Parameter | None

    def __init__(
        self,
        inputs: int,
        outputs: int,
        style: int,
        kernel: int = 3,
        *,
        up: bool = False,
        noise: tuple[int, int] | None = None,
        to_rgb: bool = False,
    ) -> None:
        """Create the layer. `noise` is the size of its noise image (height, width), if it has one.

        A layer `to_rgb` has neither division by the norm nor activation.
        """
        super().__init__()
        self.affine = EqualizedLinear(style, inputs, bias=1.0)
        self.weight = nn.Parameter(torch.randn(outputs, inputs, kernel, kernel))
        self.bias = nn.Parameter(torch.zeros(outputs))
        self.up, self.to_rgb = up, to_rgb
        self.clamp: float | None = None
        """Largest absolute value of the activations; None for no limit."""
        self.register_buffer("noise_const", None if noise is None else torch.randn(noise))
        self.noise_strength = None if noise is None else nn.Parameter(torch.zeros([]))

    def forward(self, images: Tensor, styles: Tensor, noise: Noise = "const") -> Tensor:
        """Convolve [n, inputs, h, w] with the styles [n, style size]."""
        scales = self.affine(styles)
        if self.to_rgb:
            scales = scales * (1 / math.sqrt(self.weight.shape[1] * self.weight.shape[2] ** 2))
        scales, weight = scales.float(), self.weight.float()
        norms = None
        if not self.to_rgb:
            squares = weight.square().sum(dim=(2, 3))
            norms = (scales.square() @ squares.T + DEMODULATION_EPS).rsqrt()
        images = self._convolve(images * scales.to(images.dtype)[:, :, None, None])
        if norms is not None:
            images = images * norms.to(images.dtype)[:, :, None, None]
        if (added := self._draw_noise(images, noise)) is not None:
            images = images + added
        images = images + self.bias.to(images.dtype)[:, None, None]
        images = images if self.to_rgb else leaky_relu(images)
        return images if self.clamp is None else images.clamp(-self.clamp, self.clamp)

    def _convolve(self, images: Tensor) -> Tensor:
        if not self.up:
            return functional.conv2d(images, self.weight, padding=self.weight.shape[2] // 2)
        images = functional.conv_transpose2d(images, self.weight.transpose(0, 1), stride=2)
        return blur(images, 1) * 4

    def _draw_noise(self, images: Tensor, noise: Noise) -> Tensor | None:
        if self.noise_const is None or self.noise_strength is None or noise == "none":
            return None
        if isinstance(noise, torch.Generator):
            shape = (images.shape[0], 1, *images.shape[2:])
            drawn = torch.randn(shape, generator=noise).to(images.device)
        else:
            drawn = self.noise_const
        return (drawn * self.noise_strength).to(images.dtype)


class MinibatchDeviation(nn.Module):
    """Appends a channel with the standard deviation over groups of a batch, so that a collapse is seen."""

    def __init__(self, group: int = 4) -> None:
        super().__init__()
        self.group = group

    def forward(self, images: Tensor) -> Tensor:
        """Map [n, c, h, w] to [n, c + 1, h, w]."""
        count, channels, height, width = images.shape
        group = min(self.group, count)
        while count % group:
            group -= 1
        values = images.float().reshape(group, -1, channels, height, width)
        deviation = (values.var(dim=0, unbiased=False) + 1e-8).sqrt().mean(dim=(1, 2, 3))
        plane = deviation.reshape(-1, 1, 1, 1).repeat(group, 1, height, width)
        return torch.cat([images, plane.to(images.dtype)], dim=1)
