"""The generator of FastGAN, and that of Projected GAN, which is the same without a tangent at the end.

Written from the paper (Liu et al. 2021, arXiv:2101.04775): nearest upsampling, gated linear units, and excitation of
large features by small ones. State dicts have the names of the published weights with spectral normalisation folded in:
``init.init.0.weight``, ``feat_8.1.weight``, ``se_64.main.1.weight``, ``to_big.weight``.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from torch import Tensor, nn

from .building import Shapes, build_network
from .latent_styles import (
    AddedNoise,
    LatentGenerator,
    NoiseSource,
    NoisySequence,
    build_convolution,
    list_input_rows,
)
from .layers import Noise

EXCITED = {64: 4, 128: 8, 256: 16, 512: 32}
"""Size of the features that excite those of a size."""
INITIAL_DEVIATION = 0.02
SIZES = (8, 16, 32, 64, 128, 256, 512, 1024)


class Init(nn.Module):
    """Makes features of 4 px."""

    def __init__(self, shapes: Shapes) -> None:
        super().__init__()
        latents, width, kernel, _ = shapes["init.init.0.weight"]
        layer = nn.ConvTranspose2d(latents, width, kernel, bias=False)
        self.init = nn.Sequential(layer, nn.BatchNorm2d(width), nn.GLU(1))

    def forward(self, latents: Tensor) -> Tensor:
        """Map [n, latents] to [n, width, 4, 4]."""
        result: Tensor = self.init(latents[:, :, None, None])
        return result


class Excitation(nn.Module):
    """Multiplies large features by weights made of small ones."""

    def __init__(self, shapes: Shapes, name: str) -> None:
        super().__init__()
        first = build_convolution(shapes, f"{name}.main.1", 0)
        second = build_convolution(shapes, f"{name}.main.3")
        self.main = nn.Sequential(nn.AdaptiveAvgPool2d(4), first, nn.SiLU(), second, nn.Sigmoid())

    def forward(self, small: Tensor, large: Tensor) -> Tensor:
        """Map features [n, inputs, …] and [n, width, h, w] to [n, width, h, w]."""
        weights: Tensor = self.main(small)
        return large * weights


class Generator(LatentGenerator):
    """The generator. Its blocks with noise have two convolutions, those without have one."""

    def __init__(self, shapes: Shapes, *, normalize: bool, tangent: bool) -> None:
        """Create the network; `normalize` brings latents to length 1 per value, `tangent` limits the output."""
        count = sum(1 for size in SIZES if f"feat_{size}.1.weight" in shapes)
        side = SIZES[_find_last(shapes, count)]
        super().__init__(shapes["init.init.0.weight"][0], (side, side), shapes["to_big.weight"][0])
        self.normalize, self.tangent = normalize, tangent
        self.init = Init(shapes)
        for size in SIZES[:count]:
            self.add_module(f"feat_{size}", NoisySequence(_build_block(shapes, f"feat_{size}")))
            if size in EXCITED:
                self.add_module(f"se_{size}", Excitation(shapes, f"se_{size}"))
        self.to_big = build_convolution(shapes, "to_big")

    def synthesize(self, styles: Tensor, noise: Noise = "const") -> Tensor:
        """Return images [n, channels, height, width] in about -1..1."""
        source = NoiseSource(noise)
        latents = styles[:, 0]
        if self.normalize:
            latents = latents * (latents.square().mean(dim=1, keepdim=True) + 1e-8).rsqrt()
        features: dict[int, Tensor] = {4: self.init(latents)}
        result = features[4]
        for size in SIZES[: SIZES.index(self.image_size[0]) + 1]:
            result = self.get_submodule(f"feat_{size}")(result, source)
            if size in EXCITED:
                result = self.get_submodule(f"se_{size}")(features[EXCITED[size]], result)
            features[size] = result
        images: Tensor = self.to_big(result)
        return images.tanh() if self.tangent else images

    def list_feature_layers(self) -> list[tuple[int, nn.Module]]:
        """Return the blocks with their side in px."""
        return [(size, self.get_submodule(f"feat_{size}")) for size in SIZES if size <= self.image_size[0]]

    def list_style_weights(self) -> list[Tensor]:
        """Return the weights [inputs, style_size] with which the first layer reads the style."""
        return list_input_rows(self.get_parameter("init.init.0.weight"))


def create_generator(latents: int, size: int, width: int, channels: int) -> Generator:
    """Return a new generator for images of `size` px, with random weights.

    `width` is the number of channels at 128 px; other sizes have multiples of it, as in the paper.
    """
    factors = {4: 16, 8: 8, 16: 4, 32: 2, 64: 2, 128: 1, 256: 0.5, 512: 0.25, 1024: 0.125}
    widths = {side: max(2, round(width * factor)) for side, factor in factors.items()}
    shapes: dict[str, tuple[int, ...]] = {"init.init.0.weight": (latents, 2 * widths[4], 4, 4)}
    inputs = widths[4]
    for number, side in enumerate(SIZES[: SIZES.index(size) + 1]):
        name = f"feat_{side}"
        shapes[f"{name}.1.weight"] = (2 * widths[side], inputs, 3, 3)
        if number % 2 == 0:
            shapes[f"{name}.5.weight"] = (2 * widths[side], widths[side], 3, 3)
            shapes[f"{name}.7.weight"] = (2 * widths[side],)
        if side in EXCITED:
            small = widths[EXCITED[side]]
            shapes[f"se_{side}.main.1.weight"] = (widths[side], small, 4, 4)
            shapes[f"se_{side}.main.3.weight"] = (widths[side], widths[side], 1, 1)
        inputs = widths[side]
    shapes["to_big.weight"] = (channels, inputs, 3, 3)
    network = Generator(shapes, normalize=False, tangent=True)
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
            nn.init.normal_(module.weight, 0.0, INITIAL_DEVIATION)
        elif isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.weight, 1.0, INITIAL_DEVIATION)
    return network


def build_fastgan(weights: Mapping[str, Tensor], clamp: float | None, options: Mapping[str, Any]) -> Generator:  # noqa: ARG001
    """Build the generator with these weights. The options `normalize` and `tangent` are those of `Generator`.

    Raises ValueError for weights of another network.
    """
    normalize, tangent = bool(options.get("normalize")), bool(options.get("tangent"))
    create = partial(Generator, normalize=normalize, tangent=tangent)
    return build_network(weights, create, "a FastGAN generator")


def _find_last(shapes: Shapes, count: int) -> int:
    """Return the number of the size whose features the convolution to RGB takes."""
    wanted = shapes["to_big.weight"][1]
    for number in reversed(range(count)):
        name = f"feat_{SIZES[number]}"
        last = f"{name}.5.weight" if f"{name}.7.weight" in shapes else f"{name}.1.weight"
        if shapes[last][0] // 2 == wanted:
            return number
    raise KeyError("to_big.weight")


def _build_block(shapes: Shapes, name: str) -> list[nn.Module]:
    layers: list[nn.Module] = [nn.Upsample(scale_factor=2, mode="nearest"), build_convolution(shapes, f"{name}.1")]
    width = shapes[f"{name}.1.weight"][0]
    if f"{name}.7.weight" not in shapes:
        return [*layers, nn.BatchNorm2d(width), nn.GLU(1)]
    second = build_convolution(shapes, f"{name}.5")
    layers += [AddedNoise(), nn.BatchNorm2d(width), nn.GLU(1)]
    width = shapes[f"{name}.5.weight"][0]
    return [*layers, second, AddedNoise(), nn.BatchNorm2d(width), nn.GLU(1)]
