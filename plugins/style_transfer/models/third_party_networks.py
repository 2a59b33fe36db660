"""Third-party generators, with the weight names of their checkpoints."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor, nn


def build_animegan2(width: int = 32) -> nn.Module:
    """Build the generator of AnimeGAN2 with the names of its torch port: RGB in -1..1, sides in multiples of 4.

    It has layer normalisation over channels and pixels, inverted residual blocks (MobileNetV2), and bilinear upsampling
    with aligned corners.
    """
    from torch import nn

    def make_conv(into: int, out: int, side: int = 3, *, stride: int = 1, groups: int | None = None) -> nn.Module:
        padding = side // 2
        pad = (0, 1, 0, 1) if stride == 2 else (padding,) * 4
        return nn.Sequential(
            nn.ReflectionPad2d(pad),
            nn.Conv2d(into, out, side, stride=stride, groups=groups or 1, bias=groups is not None),
            nn.GroupNorm(1, out),
            nn.LeakyReLU(0.2),
        )

    def build_upsampling() -> nn.Module:
        return nn.Upsample(scale_factor=2, mode="bilinear", align_corners=True)

    class InvertedResidual(nn.Module):
        def __init__(self, into: int, out: int) -> None:
            super().__init__()
            wide = 2 * into
            self.layers = nn.Sequential(
                make_conv(into, wide, 1),
                make_conv(wide, wide, groups=wide),
                nn.Conv2d(wide, out, 1, bias=False),
                nn.GroupNorm(1, out),
            )
            self.same = into == out

        def forward(self, x: Tensor) -> Tensor:
            residual: Tensor = self.layers(x)
            return x + residual if self.same else residual

    class AnimeGan2(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            one, two, four, eight = width, 2 * width, 4 * width, 8 * width
            self.block_a = nn.Sequential(make_conv(3, one, 7), make_conv(one, two, stride=2), make_conv(two, two))
            self.block_b = nn.Sequential(make_conv(two, four, stride=2), make_conv(four, four))
            inverted = [InvertedResidual(four, eight), *(InvertedResidual(eight, eight) for _ in range(3))]
            self.block_c = nn.Sequential(make_conv(four, four), *inverted, make_conv(eight, four))
            self.double_c = build_upsampling()
            self.block_d = nn.Sequential(make_conv(four, four), make_conv(four, four))
            self.double_d = build_upsampling()
            self.block_e = nn.Sequential(make_conv(four, two), make_conv(two, two), make_conv(two, one, 7))
            self.out_layer = nn.Sequential(nn.Conv2d(one, 3, 1, bias=False), nn.Tanh())

        def forward(self, x: Tensor) -> Tensor:
            x = self.double_c(self.block_c(self.block_b(self.block_a(x))))
            output: Tensor = self.out_layer(self.block_e(self.double_d(self.block_d(x))))
            return output

    return AnimeGan2()


def build_fast_neural_style(width: int = 32, blocks: int = 5) -> nn.Module:
    """Build the network of PyTorch's fast neural style example (Johnson et al. 2016): RGB in 0..255, not clipped."""
    from torch import nn

    padded_convolution = _get_padded_convolution()

    class ResidualBlock(nn.Module):
        def __init__(self, wide: int) -> None:
            super().__init__()
            self.conv1 = padded_convolution(wide, wide, 3)
            self.in1 = nn.InstanceNorm2d(wide, affine=True)
            self.conv2 = padded_convolution(wide, wide, 3)
            self.in2 = nn.InstanceNorm2d(wide, affine=True)
            self.relu = nn.ReLU()

        def forward(self, x: Tensor) -> Tensor:
            residual: Tensor = self.in2(self.conv2(self.relu(self.in1(self.conv1(x)))))
            return x + residual

    class FastNeuralStyle(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            sizes = ((3, width, 9, 1), (width, 2 * width, 3, 2), (2 * width, 4 * width, 3, 2))
            for number, (into, out, side, step) in enumerate(sizes, 1):
                setattr(self, f"conv{number}", padded_convolution(into, out, side, step))
                setattr(self, f"in{number}", nn.InstanceNorm2d(out, affine=True))
            for number in range(1, blocks + 1):
                setattr(self, f"res{number}", ResidualBlock(4 * width))
            for number, (into, out) in enumerate(((4 * width, 2 * width), (2 * width, width)), 1):
                setattr(self, f"deconv{number}", padded_convolution(into, out, 3, double=True))
                setattr(self, f"in{number + 3}", nn.InstanceNorm2d(out, affine=True))
            self.deconv3 = padded_convolution(width, 3, 9)
            self.relu = nn.ReLU()

        def forward(self, x: Tensor) -> Tensor:
            for number in (1, 2, 3):
                x = self.relu(getattr(self, f"in{number}")(getattr(self, f"conv{number}")(x)))
            for number in range(1, blocks + 1):
                x = getattr(self, f"res{number}")(x)
            for number in (1, 2):
                x = self.relu(getattr(self, f"in{number + 3}")(getattr(self, f"deconv{number}")(x)))
            output: Tensor = self.deconv3(x)
            return output

    return FastNeuralStyle()


@cache
def _get_padded_convolution() -> type[nn.Module]:
    from torch import nn

    class PaddedConvolution(nn.Module):
        def __init__(self, into: int, out: int, side: int, step: int = 1, double: bool = False) -> None:
            super().__init__()
            self.enlarge = nn.Upsample(scale_factor=2) if double else nn.Identity()
            self.pad = nn.ReflectionPad2d(side // 2)
            self.conv2d = nn.Conv2d(into, out, side, stride=step)

        def forward(self, x: Tensor) -> Tensor:
            output: Tensor = self.conv2d(self.pad(self.enlarge(x)))
            return output

    return PaddedConvolution
