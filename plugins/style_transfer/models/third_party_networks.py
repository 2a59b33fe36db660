"""Other people's networks, rebuilt with the names of their weights so that checkpoints load as they are."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor, nn


def animegan2(width: int = 32) -> nn.Module:
    """The generator of AnimeGAN2 as its torch port names it: RGB in -1..1, sides multiples of 4.

    Layer normalisation over channels and places, inverted residuals (MobileNetV2), and enlarging by
    bilinear interpolation that keeps the corners in place.
    """
    from torch import nn

    def conv(into: int, out: int, side: int = 3, **more: int) -> nn.Module:
        reach = side // 2
        pad = (0, 1, 0, 1) if more.get("stride") == 2 else (reach,) * 4
        return nn.Sequential(
            nn.ReflectionPad2d(pad),
            nn.Conv2d(into, out, side, bias="groups" in more, **more),
            nn.GroupNorm(1, out),
            nn.LeakyReLU(0.2),
        )

    def doubled() -> nn.Module:
        return nn.Upsample(scale_factor=2, mode="bilinear", align_corners=True)

    class Inverted(nn.Module):
        def __init__(self, into: int, out: int) -> None:
            super().__init__()
            wide = 2 * into
            self.layers = nn.Sequential(
                conv(into, wide, 1),
                conv(wide, wide, groups=wide),
                nn.Conv2d(wide, out, 1, bias=False),
                nn.GroupNorm(1, out),
            )
            self.same = into == out

        def forward(self, x: Tensor) -> Tensor:
            changed: Tensor = self.layers(x)
            return x + changed if self.same else changed

    class AnimeGan2(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            one, two, four, eight = width, 2 * width, 4 * width, 8 * width
            self.block_a = nn.Sequential(conv(3, one, 7), conv(one, two, stride=2), conv(two, two))
            self.block_b = nn.Sequential(conv(two, four, stride=2), conv(four, four))
            inverted = [Inverted(four, eight), *(Inverted(eight, eight) for _ in range(3))]
            self.block_c = nn.Sequential(conv(four, four), *inverted, conv(eight, four))
            self.double_c = doubled()
            self.block_d = nn.Sequential(conv(four, four), conv(four, four))
            self.double_d = doubled()
            self.block_e = nn.Sequential(conv(four, two), conv(two, two), conv(two, one, 7))
            self.out_layer = nn.Sequential(nn.Conv2d(one, 3, 1, bias=False), nn.Tanh())

        def forward(self, x: Tensor) -> Tensor:
            x = self.double_c(self.block_c(self.block_b(self.block_a(x))))
            painted: Tensor = self.out_layer(self.block_e(self.double_d(self.block_d(x))))
            return painted

    return AnimeGan2()


def fast_neural_style(width: int = 32, blocks: int = 5) -> nn.Module:
    """The transformer network of torch's example (after Johnson et al. 2016): RGB in 0..255, in and out, unbounded."""
    from torch import nn

    padded = _padded()

    class Block(nn.Module):
        def __init__(self, wide: int) -> None:
            super().__init__()
            self.conv1 = padded(wide, wide, 3)
            self.in1 = nn.InstanceNorm2d(wide, affine=True)
            self.conv2 = padded(wide, wide, 3)
            self.in2 = nn.InstanceNorm2d(wide, affine=True)
            self.relu = nn.ReLU()

        def forward(self, x: Tensor) -> Tensor:
            changed: Tensor = self.in2(self.conv2(self.relu(self.in1(self.conv1(x)))))
            return x + changed

    class FastNeuralStyle(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            sizes = ((3, width, 9, 1), (width, 2 * width, 3, 2), (2 * width, 4 * width, 3, 2))
            for number, (into, out, side, step) in enumerate(sizes, 1):
                setattr(self, f"conv{number}", padded(into, out, side, step))
                setattr(self, f"in{number}", nn.InstanceNorm2d(out, affine=True))
            for number in range(1, blocks + 1):
                setattr(self, f"res{number}", Block(4 * width))
            for number, (into, out) in enumerate(((4 * width, 2 * width), (2 * width, width)), 1):
                setattr(self, f"deconv{number}", padded(into, out, 3, double=True))
                setattr(self, f"in{number + 3}", nn.InstanceNorm2d(out, affine=True))
            self.deconv3 = padded(width, 3, 9)
            self.relu = nn.ReLU()

        def forward(self, x: Tensor) -> Tensor:
            for number in (1, 2, 3):
                x = self.relu(getattr(self, f"in{number}")(getattr(self, f"conv{number}")(x)))
            for number in range(1, blocks + 1):
                x = getattr(self, f"res{number}")(x)
            for number in (1, 2):
                x = self.relu(getattr(self, f"in{number + 3}")(getattr(self, f"deconv{number}")(x)))
            painted: Tensor = self.deconv3(x)
            return painted

    return FastNeuralStyle()


@cache
def _padded() -> type[nn.Module]:
    from torch import nn

    class Padded(nn.Module):
        def __init__(self, into: int, out: int, side: int, step: int = 1, double: bool = False) -> None:
            super().__init__()
            self.enlarge = nn.Upsample(scale_factor=2) if double else nn.Identity()
            self.pad = nn.ReflectionPad2d(side // 2)
            self.conv2d = nn.Conv2d(into, out, side, stride=step)

        def forward(self, x: Tensor) -> Tensor:
            changed: Tensor = self.conv2d(self.pad(self.enlarge(x)))
            return changed

    return Padded
