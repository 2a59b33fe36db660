"""A network for effects whose patterns repeat every 8 px, such as the dots of a print."""

from __future__ import annotations

from functools import cache
from itertools import pairwise
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor, nn

STRIDE = 8


def pattern(blocks: int = 6, width: int = 24) -> nn.Module:
    """Three halvings, `blocks` of separable convolutions, and three doublings, each added to what was halved.

    Sides must be multiples of 8. Nothing is normalised, so that light and dark stay what they are, and a picture in
    tiles looks like a whole one. Transposed convolutions know where a pixel stands within 8 × 8, which is what a
    screen of dots needs. RGB in -1..1, [n, 3, h, w], as all networks here.
    """
    return _class()(blocks, width)


@cache
def _class() -> type[nn.Module]:
    import torch
    from torch import nn

    def conv(wide: int, out: int, side: int, stride: int = 1, groups: int = 1) -> list[nn.Module]:
        around = (side - 1) // 2
        return [nn.ReflectionPad2d(around), nn.Conv2d(wide, out, side, stride=stride, groups=groups)]

    def active(*layers: nn.Module) -> nn.Module:
        return nn.Sequential(*layers, nn.LeakyReLU(0.1))

    class Block(nn.Module):
        def __init__(self, width: int) -> None:
            super().__init__()
            self.layers = nn.Sequential(
                *conv(width, width, 3, groups=width),
                nn.Conv2d(width, 2 * width, 1),
                nn.LeakyReLU(0.1),
                nn.Conv2d(2 * width, width, 1),
            )

        def forward(self, x: Tensor) -> Tensor:
            changed: Tensor = self.layers(x)
            return x + changed

    class Pattern(nn.Module):
        def __init__(self, blocks: int, width: int) -> None:
            super().__init__()
            wide = [width, 2 * width, 3 * width, 4 * width]
            self.first = active(*conv(3, width, 5))
            self.down = nn.ModuleList(active(*conv(one, two, 4, stride=2)) for one, two in pairwise(wide))
            self.middle = nn.Sequential(*(Block(wide[-1]) for _ in range(blocks)))
            self.up = nn.ModuleList(nn.ConvTranspose2d(two, one, 4, stride=2, padding=1) for one, two in pairwise(wide))
            self.after = nn.ModuleList(active(*conv(one, one, 3)) for one in wide[:-1])
            self.last = nn.Sequential(*conv(width, 3, 3))

        def forward(self, x: Tensor) -> Tensor:
            seen = [self.first(x)]
            for down in self.down:
                seen.append(down(seen[-1]))
            made = self.middle(seen.pop())
            for up, after in zip(reversed(self.up), reversed(self.after), strict=True):
                made = after(up(made) + seen.pop())
            return torch.tanh(self.last(made))

    return Pattern
