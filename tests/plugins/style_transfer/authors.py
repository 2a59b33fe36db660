"""The networks of other people, as plainly as their papers and the names in their checkpoints tell.

Written for the tests alone and apart from the plugin's, so that the two can be compared.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812


class Named(nn.Module):
    """Its layers stand under `model`."""

    def __init__(self, *layers: nn.Module) -> None:
        super().__init__()
        self.model = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        return self.model(x)


class Block(nn.Module):
    def __init__(self, width: int, norm: type[nn.Module], *, dropout: bool, bias: bool, **more: bool) -> None:
        super().__init__()
        layers = [nn.ReflectionPad2d(1), nn.Conv2d(width, width, 3, bias=bias), norm(width, **more), nn.ReLU(True)]
        layers += [nn.Dropout(0.5)] * dropout
        layers += [nn.ReflectionPad2d(1), nn.Conv2d(width, width, 3, bias=bias), norm(width, **more)]
        self.conv_block = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv_block(x)


class Downsample(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        row = torch.tensor([1.0, 2.0, 1.0])
        kernel = row[:, None] * row[None]
        self.register_buffer("filt", (kernel / kernel.sum())[None, None].repeat(width, 1, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(nn.ReflectionPad2d(1)(x), self.filt, stride=2, groups=x.shape[1])


class Upsample(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        row = torch.tensor([1.0, 3.0, 3.0, 1.0])
        kernel = row[:, None] * row[None]
        self.register_buffer("filt", (kernel / kernel.sum() * 4)[None, None].repeat(width, 1, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        padded = nn.ReplicationPad2d(1)(x)
        larger = F.conv_transpose2d(padded, self.filt, stride=2, padding=2, groups=x.shape[1])
        return larger[:, :, 1:, 1:][:, :, :-1, :-1]


def cyclegan(
    blocks: int, width: int = 8, norm: type[nn.Module] = nn.InstanceNorm2d, *, dropout: bool = False, **more: bool
) -> nn.Module:
    bias = norm is not nn.BatchNorm2d
    layers: list[nn.Module] = [nn.ReflectionPad2d(3), nn.Conv2d(3, width, 7, bias=bias)]
    layers += [norm(width, **more), nn.ReLU(True)]
    for wide in (width, 2 * width):
        layers += [nn.Conv2d(wide, 2 * wide, 3, 2, 1, bias=bias), norm(2 * wide, **more), nn.ReLU(True)]
    layers += [Block(4 * width, norm, dropout=dropout, bias=bias, **more) for _ in range(blocks)]
    for wide in (4 * width, 2 * width):
        layers += [nn.ConvTranspose2d(wide, wide // 2, 3, 2, 1, 1, bias=bias)]
        layers += [norm(wide // 2, **more), nn.ReLU(True)]
    return Named(*layers, nn.ReflectionPad2d(3), nn.Conv2d(width, 3, 7), nn.Tanh())


def cut(blocks: int, width: int = 8) -> nn.Module:
    norm = nn.InstanceNorm2d
    layers: list[nn.Module] = [nn.ReflectionPad2d(3), nn.Conv2d(3, width, 7), norm(width), nn.ReLU(True)]
    for wide in (width, 2 * width):
        layers += [nn.Conv2d(wide, 2 * wide, 3, 1, 1), norm(2 * wide), nn.ReLU(True), Downsample(2 * wide)]
    layers += [Block(4 * width, norm, dropout=False, bias=True) for _ in range(blocks)]
    for wide in (4 * width, 2 * width):
        layers += [Upsample(wide), nn.Conv2d(wide, wide // 2, 3, 1, 1), norm(wide // 2), nn.ReLU(True)]
    return Named(*layers, nn.ReflectionPad2d(3), nn.Conv2d(width, 3, 7), nn.Tanh())


class UnetLevel(nn.Module):
    def __init__(
        self, outer: int, inner: int, inside: nn.Module | None, norm: type[nn.Module], *, outermost: bool = False
    ) -> None:
        super().__init__()
        self.outermost = outermost
        bias = norm is not nn.BatchNorm2d
        down = nn.Conv2d(3 if outermost else outer, inner, 4, 2, 1, bias=bias)
        wide = inner if inside is None else 2 * inner
        if outermost:
            layers = [down, inside, nn.ReLU(True), nn.ConvTranspose2d(wide, 3, 4, 2, 1), nn.Tanh()]
        else:
            up = nn.ConvTranspose2d(wide, outer, 4, 2, 1, bias=bias)
            before = [nn.LeakyReLU(0.2, True), down, *([] if inside is None else [norm(inner), inside])]
            layers = [*before, nn.ReLU(True), up, norm(outer)]
        self.model = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        return self.model(x) if self.outermost else torch.cat([x, self.model(x)], 1)


def unet(downs: int, width: int = 4, norm: type[nn.Module] = nn.InstanceNorm2d) -> nn.Module:
    level = UnetLevel(8 * width, 8 * width, None, norm)
    for _ in range(downs - 5):
        level = UnetLevel(8 * width, 8 * width, level, norm)
    for outer, inner in ((4, 8), (2, 4), (1, 2)):
        level = UnetLevel(outer * width, inner * width, level, norm)
    outermost = UnetLevel(3, width, level, norm, outermost=True)
    whole = nn.Module()
    whole.model = outermost
    whole.forward = outermost.forward  # type: ignore[method-assign]
    return whole


class AnimeGan2(nn.Module):
    def __init__(self, width: int = 8) -> None:
        super().__init__()
        w = width
        self.block_a = nn.Sequential(self.conv(3, w, 7), self.conv(w, 2 * w, stride=2), self.conv(2 * w, 2 * w))
        self.block_b = nn.Sequential(self.conv(2 * w, 4 * w, stride=2), self.conv(4 * w, 4 * w))
        inverted = [Inverted(4 * w, 8 * w), *(Inverted(8 * w, 8 * w) for _ in range(3))]
        self.block_c = nn.Sequential(self.conv(4 * w, 4 * w), *inverted, self.conv(8 * w, 4 * w))
        self.block_d = nn.Sequential(self.conv(4 * w, 4 * w), self.conv(4 * w, 4 * w))
        self.block_e = nn.Sequential(self.conv(4 * w, 2 * w), self.conv(2 * w, 2 * w), self.conv(2 * w, w, 7))
        self.out_layer = nn.Sequential(nn.Conv2d(w, 3, 1, bias=False), nn.Tanh())

    @staticmethod
    def conv(into: int, out: int, side: int = 3, stride: int = 1, groups: int = 1) -> nn.Module:
        pad = nn.ReflectionPad2d((0, 1, 0, 1) if stride == 2 else side // 2)
        conv = nn.Conv2d(into, out, side, stride, groups=groups, bias=groups > 1)
        return nn.Sequential(pad, conv, nn.GroupNorm(1, out), nn.LeakyReLU(0.2, True))

    def forward(self, x: Tensor) -> Tensor:
        half = self.block_a(x)
        quarter = self.block_c(self.block_b(half))
        larger = F.interpolate(quarter, half.shape[-2:], mode="bilinear", align_corners=True)
        larger = F.interpolate(self.block_d(larger), x.shape[-2:], mode="bilinear", align_corners=True)
        return self.out_layer(self.block_e(larger))


class Inverted(nn.Module):
    def __init__(self, into: int, out: int) -> None:
        super().__init__()
        wide = 2 * into
        first, depthwise = AnimeGan2.conv(into, wide, 1), AnimeGan2.conv(wide, wide, groups=wide)
        self.layers = nn.Sequential(first, depthwise, nn.Conv2d(wide, out, 1, bias=False), nn.GroupNorm(1, out))

    def forward(self, x: Tensor) -> Tensor:
        y = self.layers(x)
        return x + y if x.shape[1] == y.shape[1] else y


class FastNeuralStyle(nn.Module):
    """Values of 0..255."""

    class Conv(nn.Module):
        def __init__(self, into: int, out: int, side: int, stride: int = 1, larger: int = 1) -> None:
            super().__init__()
            self.larger = larger
            self.conv2d = nn.Conv2d(into, out, side, stride)

        def forward(self, x: Tensor) -> Tensor:
            x = F.interpolate(x, scale_factor=self.larger, mode="nearest") if self.larger > 1 else x
            return self.conv2d(F.pad(x, (self.conv2d.kernel_size[0] // 2,) * 4, mode="reflect"))

    class Res(nn.Module):
        def __init__(self, width: int) -> None:
            super().__init__()
            self.conv1, self.conv2 = (FastNeuralStyle.Conv(width, width, 3) for _ in range(2))
            self.in1, self.in2 = (nn.InstanceNorm2d(width, affine=True) for _ in range(2))

        def forward(self, x: Tensor) -> Tensor:
            return x + self.in2(self.conv2(torch.relu(self.in1(self.conv1(x)))))

    def __init__(self, width: int = 8) -> None:
        super().__init__()
        w, conv = width, self.Conv
        self.conv1, self.conv2, self.conv3 = conv(3, w, 9), conv(w, 2 * w, 3, 2), conv(2 * w, 4 * w, 3, 2)
        for number, wide in enumerate((w, 2 * w, 4 * w, 2 * w, w), 1):
            setattr(self, f"in{number}", nn.InstanceNorm2d(wide, affine=True))
        self.res1, self.res2, self.res3, self.res4, self.res5 = (self.Res(4 * w) for _ in range(5))
        self.deconv1, self.deconv2 = conv(4 * w, 2 * w, 3, larger=2), conv(2 * w, w, 3, larger=2)
        self.deconv3 = conv(w, 3, 9)

    def forward(self, x: Tensor) -> Tensor:
        for conv, norm in ((self.conv1, self.in1), (self.conv2, self.in2), (self.conv3, self.in3)):
            x = torch.relu(norm(conv(x)))
        x = self.res5(self.res4(self.res3(self.res2(self.res1(x)))))
        for conv, norm in ((self.deconv1, self.in4), (self.deconv2, self.in5)):
            x = torch.relu(norm(conv(x)))
        return self.deconv3(x)
