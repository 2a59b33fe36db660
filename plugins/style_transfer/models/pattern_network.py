"""The generator for effects whose patterns repeat every 8 px, such as halftone dots."""

from __future__ import annotations

from functools import cache
from itertools import pairwise
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor, nn

STRIDE = 8


def build_pattern_network(blocks: int = 6, width: int = 24) -> nn.Module:
    """Build a network of three downsamplings, `blocks` of separable convolutions, and three upsamplings with skips.

    Input and output are RGB in -1..1, [n, 3, h, w], with sides in multiples of 8. There is no normalisation, so that
    light and dark are preserved and tiles show no seams. Transposed convolutions know the position of a pixel within
    8 × 8, which halftone dots need.
    """
    return _get_network_class()(blocks, width)


@cache
def _get_network_class() -> type[nn.Module]:
    import torch
    from torch import nn

    def make_conv(wide: int, out: int, side: int, stride: int = 1, groups: int = 1) -> list[nn.Module]:
        padding = (side - 1) // 2
        return [nn.ReflectionPad2d(padding), nn.Conv2d(wide, out, side, stride=stride, groups=groups)]

    def add_activation(*layers: nn.Module) -> nn.Module:
        return nn.Sequential(*layers, nn.LeakyReLU(0.1))

    class Block(nn.Module):
        def __init__(self, width: int) -> None:
            super().__init__()
            self.layers = nn.Sequential(
                *make_conv(width, width, 3, groups=width),
                nn.Conv2d(width, 2 * width, 1),
                nn.LeakyReLU(0.1),
                nn.Conv2d(2 * width, width, 1),
            )

        def forward(self, x: Tensor) -> Tensor:
            residual: Tensor = self.layers(x)
            return x + residual

    class PatternNetwork(nn.Module):
        def __init__(self, blocks: int, width: int) -> None:
            super().__init__()
            wide = [width, 2 * width, 3 * width, 4 * width]
            self.first = add_activation(*make_conv(3, width, 5))
            self.down = nn.ModuleList(
                add_activation(*make_conv(outer, inner, 4, stride=2)) for outer, inner in pairwise(wide)
            )
            self.middle = nn.Sequential(*(Block(wide[-1]) for _ in range(blocks)))
            self.up = nn.ModuleList(
                nn.ConvTranspose2d(inner, outer, 4, stride=2, padding=1) for outer, inner in pairwise(wide)
            )
            self.after = nn.ModuleList(add_activation(*make_conv(outer, outer, 3)) for outer in wide[:-1])
            self.last = nn.Sequential(*make_conv(width, 3, 3))

        def forward(self, x: Tensor) -> Tensor:
            features = [self.first(x)]
            for down in self.down:
                features.append(down(features[-1]))
            x = self.middle(features.pop())
            for up, after in zip(reversed(self.up), reversed(self.after), strict=True):
                x = after(up(x) + features.pop())
            return torch.tanh(self.last(x))

    return PatternNetwork
