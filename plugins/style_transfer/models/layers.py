"""Building blocks of style networks that torch does not have.

Each class is defined on first use, since torch must not be imported with the plugin.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Literal, TypeAlias

if TYPE_CHECKING:
    from torch import Tensor, nn

Norm: TypeAlias = Literal["instance", "instance-affine", "batch"]


def build_norm(norm: Norm, width: int) -> nn.Module:
    """Build a normalisation layer of `width` channels; ``instance`` has no weights."""
    from torch import nn

    if norm == "batch":
        return nn.BatchNorm2d(width)
    return nn.InstanceNorm2d(width, affine=norm == "instance-affine")


@cache
def get_residual_block() -> type[nn.Module]:
    """Return the class `ResidualBlock(width, norm, dropout, separable, bias)`: x + two 3 × 3 convolutions of x.

    Padding is by reflection. With `separable` each convolution is depthwise and then pointwise (MobileNet), with an
    eighth of the weights.
    """
    from torch import nn

    def build_convolution(width: int, separable: bool, bias: bool) -> list[nn.Module]:
        if not separable:
            return [nn.Conv2d(width, width, 3, bias=bias)]
        return [nn.Conv2d(width, width, 3, groups=width, bias=False), nn.Conv2d(width, width, 1, bias=bias)]

    class ResidualBlock(nn.Module):
        def __init__(self, width: int, norm: Norm, dropout: bool, separable: bool, bias: bool) -> None:
            super().__init__()
            convolution = build_convolution(width, separable, bias)
            layers = [nn.ReflectionPad2d(1), *convolution, build_norm(norm, width), nn.ReLU()]
            layers += [nn.Dropout(0.5)] if dropout else []
            convolution = build_convolution(width, separable, bias)
            layers += [nn.ReflectionPad2d(1), *convolution, build_norm(norm, width)]
            self.conv_block = nn.Sequential(*layers)

        def forward(self, x: Tensor) -> Tensor:
            residual: Tensor = self.conv_block(x)
            return x + residual

    return ResidualBlock


@cache
def get_blur_downsample() -> type[nn.Module]:
    """Return the class `BlurDownsample(width)`: half the size, by a 1-2-1 filter (Zhang 2019, as in CUT)."""
    import torch
    from torch import nn
    from torch.nn import functional

    class BlurDownsample(nn.Module):
        def __init__(self, width: int) -> None:
            super().__init__()
            self.filt: Tensor
            row = torch.tensor([1.0, 2.0, 1.0]) / 4
            self.register_buffer("filt", torch.outer(row, row).expand(width, 1, 3, 3).clone())

        def forward(self, x: Tensor) -> Tensor:
            x = functional.pad(x, (1, 1, 1, 1), mode="reflect")
            return functional.conv2d(x, self.filt, stride=2, groups=x.shape[1])

    return BlurDownsample


@cache
def get_blur_upsample() -> type[nn.Module]:
    """Return the class `BlurUpsample(width)`: twice the size, by a 1-3-3-1 filter (Zhang 2019, as in CUT)."""
    import torch
    from torch import nn
    from torch.nn import functional

    class BlurUpsample(nn.Module):
        def __init__(self, width: int) -> None:
            super().__init__()
            self.filt: Tensor
            row = torch.tensor([1.0, 3.0, 3.0, 1.0]) / 4
            self.register_buffer("filt", torch.outer(row, row).expand(width, 1, 4, 4).clone())

        def forward(self, x: Tensor) -> Tensor:
            x = functional.pad(x, (1, 1, 1, 1), mode="replicate")
            return functional.conv_transpose2d(x, self.filt, stride=2, padding=3, groups=x.shape[1])

    return BlurUpsample


@cache
def get_skip_block() -> type[nn.Module]:
    """Return the class `SkipBlock(first, *others)`, one level of a U-Net: cat(first(x), others(first(x))).

    `first` is the activation before a level's convolution, which junyanz's networks apply in place, so that it also
    acts on the skip connection.
    """
    import torch
    from torch import nn

    class SkipBlock(nn.Module):
        def __init__(self, *layers: nn.Module) -> None:
            super().__init__()
            self.model = nn.Sequential(*layers)

        def forward(self, x: Tensor) -> Tensor:
            first, *others = self.model
            x = inner = first(x)
            for layer in others:
                inner = layer(inner)
            return torch.cat([x, inner], 1)

    return SkipBlock


@cache
def get_model_wrapper() -> type[nn.Module]:
    """Return the class `ModelWrapper(inner)`, which holds `inner` as `model`, so that weights get junyanz's names."""
    from torch import nn

    class ModelWrapper(nn.Module):
        def __init__(self, inner: nn.Module) -> None:
            super().__init__()
            self.model = inner

        def forward(self, x: Tensor) -> Tensor:
            output: Tensor = self.model(x)
            return output

    return ModelWrapper
