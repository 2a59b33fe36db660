"""Generators: networks that turn an image into one of another style.

Input and output are RGB in -1..1, [n, 3, h, w]. Weights have the names of junyanz's CycleGAN, so that its checkpoints
load unchanged. Papers: Johnson et al. 2016 (ResNet), Ronneberger et al. 2015 (U-Net).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from inspect import signature
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from studio import api

from . import layers, pattern_network, third_party_networks
from .layers import Norm

if TYPE_CHECKING:
    from torch import nn

WEIGHTS = "model.safetensors"
CONFIG = "config.json"
MAX_CONFIG_BYTES = 2**16
Upsampling: TypeAlias = Literal["transposed", "resize", "antialiased"]
Downsampling: TypeAlias = Literal["strided", "antialiased"]


def build_resnet(
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
    """Build CycleGAN's ResNet generator; sides must be multiples of 4, and at least 8.

    It has `width` channels at full size and four times as many in the residual `blocks`. Upsampling is ``transposed``
    as in CycleGAN, ``antialiased`` as in CUT, or ``resize``, nearest neighbour and a convolution, which leaves no
    checkerboard (Odena et al. 2016). `separable` blocks have an eighth of the weights. Convolutions have a `bias`
    unless batch normalisation follows. The layers are in `.model`, an `nn.Sequential`.
    """
    from torch import nn

    antialiased = (downsampling or upsampling) == "antialiased"
    bias = norm != "batch" if bias is None else bias
    sequence: list[nn.Module] = [nn.ReflectionPad2d(3), nn.Conv2d(3, width, 7, bias=bias)]
    sequence += [layers.build_norm(norm, width), nn.ReLU()]
    for channels in (width, 2 * width):
        stride = 1 if antialiased else 2
        sequence += [nn.Conv2d(channels, 2 * channels, 3, stride=stride, padding=1, bias=bias)]
        sequence += [layers.build_norm(norm, 2 * channels), nn.ReLU()]
        sequence += [layers.get_blur_downsample()(2 * channels)] if antialiased else []
    sequence += [layers.get_residual_block()(4 * width, norm, dropout, separable, bias) for _ in range(blocks)]
    for channels in (4 * width, 2 * width):
        sequence += _build_upsampling(channels, channels // 2, upsampling, bias)
        sequence += [layers.build_norm(norm, channels // 2), nn.ReLU()]
    sequence += [nn.ReflectionPad2d(3), nn.Conv2d(width, 3, 7), nn.Tanh()]
    return layers.get_model_wrapper()(nn.Sequential(*sequence))


def build_unet(
    downs: int = 8, width: int = 64, *, norm: Norm = "instance", dropout: bool = False, bias: bool | None = None
) -> nn.Module:
    """Build the U-Net generator of pix2pix and CycleGAN; sides must be multiples of 2 ** downs.

    `downs` is at least 5; 8 is the authors' unet_256, 7 their unet_128. There are `width` channels after the first
    convolution and at most eight times as many further in.
    """
    from torch import nn

    bias = norm != "batch" if bias is None else bias
    level = layers.get_skip_block()
    inner = 8 * width
    network = level(
        nn.LeakyReLU(0.2),
        nn.Conv2d(inner, inner, 4, stride=2, padding=1, bias=bias),
        nn.ReLU(),
        nn.ConvTranspose2d(inner, inner, 4, stride=2, padding=1, bias=bias),
        layers.build_norm(norm, inner),
    )
    widths = [min(2**number, 8) * width for number in range(downs - 1)]
    for outside, inside in reversed(list(pairwise(widths))):
        network = level(
            nn.LeakyReLU(0.2),
            nn.Conv2d(outside, inside, 4, stride=2, padding=1, bias=bias),
            layers.build_norm(norm, inside),
            network,
            nn.ReLU(),
            nn.ConvTranspose2d(2 * inside, outside, 4, stride=2, padding=1, bias=bias),
            layers.build_norm(norm, outside),
            *([nn.Dropout(0.5)] if dropout and outside == inside else []),
        )
    outermost = nn.Sequential(
        nn.Conv2d(3, width, 4, stride=2, padding=1, bias=bias),
        network,
        nn.ReLU(),
        nn.ConvTranspose2d(2 * width, 3, 4, stride=2, padding=1),
        nn.Tanh(),
    )
    wrapper = layers.get_model_wrapper()
    return wrapper(wrapper(outermost))


def build_network(config: Mapping[str, Any]) -> nn.Module:
    """Build the generator of a `config`: ``{"network": "resnet", "blocks": 6, …}``, with arguments of its builder.

    Networks are ``resnet``, ``unet``, ``animegan2``, ``fast_neural_style`` and ``pattern``; other keys are ignored.
    Raises BadInput for another network or for arguments that do not fit.
    """
    builders: dict[str, Callable[..., nn.Module]] = {
        "resnet": build_resnet,
        "unet": build_unet,
        "animegan2": third_party_networks.build_animegan2,
        "fast_neural_style": third_party_networks.build_fast_neural_style,
        "pattern": pattern_network.build_pattern_network,
    }
    settings = dict(config)
    builder = builders.get(str(settings.pop("network", "")))
    if builder is None:
        raise api.BadInput("This style network is not supported.", "Choose another style.")
    arguments = {name: value for name, value in settings.items() if name in signature(builder).parameters}
    try:
        return builder(**arguments)
    except (TypeError, ValueError, RuntimeError) as error:
        raise api.BadInput(f"The {CONFIG} of this style is damaged.", "Choose another style.") from error


def stride_of(config: Mapping[str, Any]) -> int:
    """Return the number of which the sides of images must be multiples."""
    if config.get("network") == "pattern":
        return pattern_network.STRIDE
    return int(2 ** config.get("downs", 8)) if config.get("network") == "unet" else 4


def save_network(network: nn.Module, folder: Path, config: Mapping[str, Any], *, int8: bool = True) -> None:
    """Write `config.json` and the weights, those of convolutions as int8 unless `int8` is off."""
    from safetensors.torch import save_file

    folder.mkdir(parents=True, exist_ok=True)
    weights = {name: value.detach().cpu().contiguous() for name, value in network.state_dict().items()}
    save_file(api.int8_weights.quantize(weights) if int8 else weights, folder / WEIGHTS, metadata={"format": "pt"})
    (folder / CONFIG).write_text(json.dumps(dict(config), indent=2) + "\n", encoding="utf-8")


def load_network(folder: Path) -> tuple[nn.Module, dict[str, Any]]:
    """Load the generator that `save_network` wrote, as float32 on the CPU, and its config.

    Raises BadInput for a folder that is incomplete or damaged.
    """
    from safetensors.torch import load_file

    damaged = api.BadInput(f"The style in {folder.name} is incomplete or damaged.", "Choose another style.")
    with api.model_files.quiet_load(damaged):
        if (folder / CONFIG).stat().st_size > MAX_CONFIG_BYTES:
            raise damaged
        config = json.loads((folder / CONFIG).read_bytes())
        if not isinstance(config, dict):
            raise damaged
        api.model_files.read_weight_shapes(folder / WEIGHTS)
        network = build_network(config)
        network.load_state_dict(api.int8_weights.dequantize(load_file(folder / WEIGHTS)))
    return network.float().eval(), config


def _build_upsampling(channels: int, out_channels: int, upsampling: Upsampling, bias: bool) -> list[nn.Module]:
    from torch import nn

    if upsampling == "transposed":
        return [nn.ConvTranspose2d(channels, out_channels, 3, stride=2, padding=1, output_padding=1, bias=bias)]
    if upsampling == "antialiased":
        return [layers.get_blur_upsample()(channels), nn.Conv2d(channels, out_channels, 3, padding=1, bias=bias)]
    return [nn.Upsample(scale_factor=2), nn.ReflectionPad2d(1), nn.Conv2d(channels, out_channels, 3, bias=bias)]
