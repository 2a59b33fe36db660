"""Networks that turn a picture into one of another style, and those that judge it.

All take and give RGB in -1..1 as [n, 3, h, w]. The names of the weights are those of the CycleGAN
authors (junyanz), so that checkpoints of theirs load as they are. Generators after Johnson et al. 2016
(ResNet) and Ronneberger et al. 2015 (U-Net), discriminators after Isola et al. 2017 (PatchGAN).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from inspect import signature
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from studio import api

from . import int8_weights, layers, pattern_network, third_party_networks
from .layers import Norm

if TYPE_CHECKING:
    from torch import nn

WEIGHTS = "model.safetensors"
CONFIG = "config.json"
MAX_CONFIG = 2**16
Upsampling: TypeAlias = Literal["transposed", "resize", "antialiased"]
Downsampling: TypeAlias = Literal["strided", "antialiased"]


def resnet(
    blocks: int = 6,
    width: int = 64,
    *,
    upsampling: Upsampling = "transposed",
    norm: Norm = "instance",
    downsampling: Downsampling | None = None,
    dropout: bool = False,
    separable: bool = False,
    bias: bool | None = None,
) -> nn.Module:
    """CycleGAN's ResNet generator; sides must be multiples of 4, and at least 8.

    `width` channels at full size, four times as many in the `blocks`. ``transposed`` is the authors'
    layout, ``antialiased`` that of CUT, ``resize`` our own against checkerboards: nearest neighbour,
    then a convolution (Odena et al. 2016). `separable` blocks hold an eighth of the weights. Convolutions
    have a `bias` unless a batch normalisation follows. The layers are in `.model`, an `nn.Sequential`.
    """
    from torch import nn

    smooth = (downsampling or upsampling) == "antialiased"
    bias = norm != "batch" if bias is None else bias
    found: list[nn.Module] = [nn.ReflectionPad2d(3), nn.Conv2d(3, width, 7, bias=bias)]
    found += [layers.norm(norm, width), nn.ReLU()]
    for wide in (width, 2 * width):
        found += [nn.Conv2d(wide, 2 * wide, 3, stride=1 if smooth else 2, padding=1, bias=bias)]
        found += [layers.norm(norm, 2 * wide), nn.ReLU()]
        found += [layers.blurred_down()(2 * wide)] if smooth else []
    found += [layers.residual()(4 * width, norm, dropout, separable, bias) for _ in range(blocks)]
    for wide in (4 * width, 2 * width):
        found += _doubled(wide, wide // 2, upsampling, bias)
        found += [layers.norm(norm, wide // 2), nn.ReLU()]
    found += [nn.ReflectionPad2d(3), nn.Conv2d(width, 3, 7), nn.Tanh()]
    return layers.wrapped()(nn.Sequential(*found))


def unet(
    downs: int = 8, width: int = 64, *, norm: Norm = "instance", dropout: bool = False, bias: bool | None = None
) -> nn.Module:
    """The U-Net generator of pix2pix and CycleGAN; sides must be multiples of 2 ** downs.

    There are at least 5 `downs`; 8 are the authors' unet_256, 7 their unet_128. `width` channels after the
    first, at most eight times as many further in.
    """
    from torch import nn

    bias = norm != "batch" if bias is None else bias
    level = layers.skip()
    inner = 8 * width
    found = level(
        nn.LeakyReLU(0.2),
        nn.Conv2d(inner, inner, 4, stride=2, padding=1, bias=bias),
        nn.ReLU(),
        nn.ConvTranspose2d(inner, inner, 4, stride=2, padding=1, bias=bias),
        layers.norm(norm, inner),
    )
    widths = [min(2**number, 8) * width for number in range(downs - 1)]
    for outside, inside in reversed(list(pairwise(widths))):
        found = level(
            nn.LeakyReLU(0.2),
            nn.Conv2d(outside, inside, 4, stride=2, padding=1, bias=bias),
            layers.norm(norm, inside),
            found,
            nn.ReLU(),
            nn.ConvTranspose2d(2 * inside, outside, 4, stride=2, padding=1, bias=bias),
            layers.norm(norm, outside),
            *([nn.Dropout(0.5)] if dropout and outside == inside else []),
        )
    outer = nn.Sequential(
        nn.Conv2d(3, width, 4, stride=2, padding=1, bias=bias),
        found,
        nn.ReLU(),
        nn.ConvTranspose2d(2 * width, 3, 4, stride=2, padding=1),
        nn.Tanh(),
    )
    return layers.wrapped()(layers.wrapped()(outer))


def patch_discriminator(width: int = 64, depth: int = 3, *, norm: Norm = "instance") -> nn.Module:
    """PatchGAN: one number for each patch, [n, 1, h / 2 ** depth - 2, w / 2 ** depth - 2]; no sigmoid at the end.

    With a `depth` of 3 each looks at 70 × 70 pixels.
    """
    from torch import nn

    bias = norm != "batch"
    found: list[nn.Module] = [nn.Conv2d(3, width, 4, stride=2, padding=1), nn.LeakyReLU(0.2)]
    wide = width
    for number in range(1, depth + 1):
        following = min(2**number, 8) * width
        found += [nn.Conv2d(wide, following, 4, stride=2 if number < depth else 1, padding=1, bias=bias)]
        found += [layers.norm(norm, following), nn.LeakyReLU(0.2)]
        wide = following
    found += [nn.Conv2d(wide, 1, 4, padding=1)]
    return layers.wrapped()(nn.Sequential(*found))


def build(config: Mapping[str, Any]) -> nn.Module:
    """The network of a `config`: ``{"network": "resnet", "blocks": 6, …}``, the rest being what its maker takes.

    Networks are ``resnet``, ``unet``, ``patch_discriminator``, ``animegan2``, ``fast_neural_style`` and
    ``pattern``. Raises BadInput where there is none of that name, or where it takes no such settings.
    """
    makers: dict[str, Callable[..., nn.Module]] = {
        "resnet": resnet,
        "unet": unet,
        "patch_discriminator": patch_discriminator,
        "animegan2": third_party_networks.animegan2,
        "fast_neural_style": third_party_networks.fast_neural_style,
        "pattern": pattern_network.pattern,
    }
    settings = dict(config)
    maker = makers.get(str(settings.pop("network", "")))
    if maker is None:
        raise api.BadInput("This is no style network that is known here.", "Choose another style.")
    try:
        return maker(**{name: value for name, value in settings.items() if name in signature(maker).parameters})
    except (TypeError, ValueError, RuntimeError) as error:
        raise api.BadInput("The settings of this style network are damaged.", "Choose another style.") from error


def stride(config: Mapping[str, Any]) -> int:
    """What the sides of pictures must be multiples of."""
    if config.get("network") == "pattern":
        return pattern_network.STRIDE
    return int(2 ** config.get("downs", 8)) if config.get("network") == "unet" else 4


def save(network: nn.Module, folder: Path, config: Mapping[str, Any], *, small: bool = True) -> None:
    """Writes `config.json` and the weights, those of convolutions in eight bits unless `small` is off."""
    from safetensors.torch import save_file

    folder.mkdir(parents=True, exist_ok=True)
    weights = {name: value.detach().cpu().contiguous() for name, value in network.state_dict().items()}
    save_file(int8_weights.packed(weights) if small else weights, folder / WEIGHTS, metadata={"format": "pt"})
    (folder / CONFIG).write_text(json.dumps(dict(config), indent=2) + "\n", encoding="utf-8")


def load(folder: Path) -> tuple[nn.Module, dict[str, Any]]:
    """The network in a folder that `save` wrote, float32, on the CPU, and its config. Raises BadInput for another."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    damaged = api.BadInput(f"The style in {folder.name} is incomplete or damaged.", "Choose another style.")
    try:
        if (folder / CONFIG).stat().st_size > MAX_CONFIG:
            raise damaged
        config = json.loads((folder / CONFIG).read_text("utf-8"))
        if not isinstance(config, dict):
            raise damaged
        api.model_files.weight_shapes(folder / WEIGHTS)
        network = build(config)
        network.load_state_dict(int8_weights.unpacked(load_file(folder / WEIGHTS)))
    except (OSError, ValueError, RuntimeError, SafetensorError) as error:
        raise damaged from error
    return network.float().eval(), config


def _doubled(wide: int, out: int, upsampling: Upsampling, bias: bool) -> list[nn.Module]:
    from torch import nn

    if upsampling == "transposed":
        return [nn.ConvTranspose2d(wide, out, 3, stride=2, padding=1, output_padding=1, bias=bias)]
    if upsampling == "antialiased":
        return [layers.blurred_up()(wide), nn.Conv2d(wide, out, 3, padding=1, bias=bias)]
    return [nn.Upsample(scale_factor=2), nn.ReflectionPad2d(1), nn.Conv2d(wide, out, 3, bias=bias)]
