"""A network for effects whose patterns repeat every 8 px, such as the dots of a print."""

from __future__ import annotations

from functools import cache
from itertools import pairwise
from typing import TYPE_CHECKING, Any

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

    def halved(wide: int, out: int) -> list[nn.Module]:
        return [nn.Conv2d(wide, out, 4, stride=2, padding=1, padding_mode="reflect"), nn.LeakyReLU(0.1)]

    def doubled(wide: int, out: int) -> nn.Module:
        return nn.ConvTranspose2d(wide, out, 4, stride=2, padding=1)

    def mixed(width: int) -> list[nn.Module]:
        return [nn.Conv2d(width, width, 3, padding=1, padding_mode="reflect"), nn.LeakyReLU(0.1)]

    class Block(nn.Module):
        def __init__(self, width: int) -> None:
            super().__init__()
            around: Any = {"padding": 1, "padding_mode": "reflect", "groups": width}
            self.layers = nn.Sequential(
                nn.Conv2d(width, width, 3, **around),
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
            self.first = nn.Sequential(nn.Conv2d(3, width, 5, padding=2, padding_mode="reflect"), nn.LeakyReLU(0.1))
            self.down = nn.ModuleList(nn.Sequential(*halved(one, two)) for one, two in pairwise(wide))
            self.middle = nn.Sequential(*(Block(wide[-1]) for _ in range(blocks)))
            self.up = nn.ModuleList(doubled(two, one) for one, two in pairwise(wide))
            self.after = nn.ModuleList(nn.Sequential(*mixed(one)) for one in wide[:-1])
            self.last = nn.Conv2d(width, 3, 3, padding=1, padding_mode="reflect")

        def forward(self, x: Tensor) -> Tensor:
            seen = [self.first(x)]
            for down in self.down:
                seen.append(down(seen[-1]))
            made = self.middle(seen.pop())
            for up, after in zip(reversed(self.up), reversed(self.after), strict=True):
                made = after(up(made) + seen.pop())
            return torch.tanh(self.last(made))

    return Pattern
