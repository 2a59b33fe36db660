"""The pieces that style networks are made of, beyond those that torch brings.

Classes are made on first use, because a class that derives from torch's needs torch to exist.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Literal, TypeAlias

if TYPE_CHECKING:
    from torch import Tensor, nn

Norm: TypeAlias = Literal["instance", "instance-affine", "batch"]


def norm(kind: Norm, width: int) -> nn.Module:
    """A normalisation of `width` channels; ``instance`` has no weights."""
    from torch import nn

    if kind == "batch":
        return nn.BatchNorm2d(width)
    return nn.InstanceNorm2d(width, affine=kind == "instance-affine")


@cache
def residual() -> type[nn.Module]:
    """`Residual(width, norm, dropout, separable, bias)`: x + two 3 × 3 convolutions of it, padded by reflection.

    With `separable` each is a convolution per channel and a mixing of channels (MobileNet),
    an eighth of the weights.
    """
    from torch import nn

    def conv(width: int, separable: bool, bias: bool) -> list[nn.Module]:
        if not separable:
            return [nn.Conv2d(width, width, 3, bias=bias)]
        return [nn.Conv2d(width, width, 3, groups=width, bias=False), nn.Conv2d(width, width, 1, bias=bias)]

    class Residual(nn.Module):
        def __init__(self, width: int, kind: Norm, dropout: bool, separable: bool, bias: bool) -> None:
            super().__init__()
            layers = [nn.ReflectionPad2d(1), *conv(width, separable, bias), norm(kind, width), nn.ReLU()]
            layers += [nn.Dropout(0.5)] if dropout else []
            layers += [nn.ReflectionPad2d(1), *conv(width, separable, bias), norm(kind, width)]
            self.conv_block = nn.Sequential(*layers)

        def forward(self, x: Tensor) -> Tensor:
            changed: Tensor = self.conv_block(x)
            return x + changed

    return Residual


@cache
def blurred_down() -> type[nn.Module]:
    """`BlurredDown(width)`: every second pixel after a 1-2-1 filter (Zhang 2019, as CUT has it)."""
    import torch
    from torch import nn
    from torch.nn import functional

    class BlurredDown(nn.Module):
        def __init__(self, width: int) -> None:
            super().__init__()
            self.filt: Tensor
            row = torch.tensor([1.0, 2.0, 1.0]) / 4
            self.register_buffer("filt", torch.outer(row, row).expand(width, 1, 3, 3).clone())

        def forward(self, x: Tensor) -> Tensor:
            x = functional.pad(x, (1, 1, 1, 1), mode="reflect")
            return functional.conv2d(x, self.filt, stride=2, groups=x.shape[1])

    return BlurredDown


@cache
def blurred_up() -> type[nn.Module]:
    """`BlurredUp(width)`: doubled with a 1-3-3-1 filter (Zhang 2019, as CUT has it)."""
    import torch
    from torch import nn
    from torch.nn import functional

    class BlurredUp(nn.Module):
        def __init__(self, width: int) -> None:
            super().__init__()
            self.filt: Tensor
            row = torch.tensor([1.0, 3.0, 3.0, 1.0]) / 4
            self.register_buffer("filt", torch.outer(row, row).expand(width, 1, 4, 4).clone())

        def forward(self, x: Tensor) -> Tensor:
            x = functional.pad(x, (1, 1, 1, 1), mode="replicate")
            return functional.conv_transpose2d(x, self.filt, stride=2, padding=3, groups=x.shape[1])

    return BlurredUp


@cache
def skip() -> type[nn.Module]:
    """`Skip(first, rest)`: what `first` makes of x, beside what `rest` makes of that; the level of a U-Net.

    `first` is the activation before a level's convolution, which junyanz's networks apply in
    place, so that it also acts on what is carried across.
    """
    import torch
    from torch import nn

    class Skip(nn.Module):
        def __init__(self, *layers: nn.Module) -> None:
            super().__init__()
            self.model = nn.Sequential(*layers)

        def forward(self, x: Tensor) -> Tensor:
            first, *others = self.model
            x = inner = first(x)
            for layer in others:
                inner = layer(inner)
            return torch.cat([x, inner], 1)

    return Skip


@cache
def wrapped() -> type[nn.Module]:
    """`Wrapped(inner)`: `inner` under the name `model`, for the sake of its weights' names."""
    from torch import nn

    class Wrapped(nn.Module):
        def __init__(self, inner: nn.Module) -> None:
            super().__init__()
            self.model = inner

        def forward(self, x: Tensor) -> Tensor:
            changed: Tensor = self.model(x)
            return changed

    return Wrapped
