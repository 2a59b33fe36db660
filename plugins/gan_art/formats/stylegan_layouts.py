"""Converts StyleGAN2, StyleGAN2-ADA, StyleGAN3, StyleGAN-XL, R3GAN, and StyleGAN2 in rosinality's layout."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING

from . import licences
from .foreign_gan import ForeignFile, ForeignGan, add_colours, read_number, rename
from .state_dicts import StateDict

if TYPE_CHECKING:
    from .foreign_gan import Weights

MAPPING_RATE = 0.01
DEFAULT_CLAMP = 256.0
"""Limit of activations in StyleGAN3 where the file does not tell it."""


def convert_stylegan2(file: ForeignFile) -> ForeignGan | None:
    """Convert a generator with the keys of StyleGAN2-ADA; the studio's have the same."""
    found = file.find("synthesis.b4.const")
    if found is None:
        return None
    if any(re.fullmatch(r"synthesis\.b\d+\.skip\.weight", key) for key in found.tensors):
        raise ValueError("a residual generator, which no published model has")
    weights = file.read(found)
    _check_facts(found)
    _scale_mapping(weights, found)
    largest = max(int(match[1]) for key in weights if (match := re.match(r"synthesis\.b(\d+)\.", key)))
    grey = weights[f"synthesis.b{largest}.torgb.weight"].shape[0] == 1
    for key in [key for key in weights if key.endswith(".torgb.weight")]:
        add_colours(weights, key.removesuffix(".weight"))
    clamp = read_number(found.facts, "conv_clamp")
    gan = ForeignGan("StyleGAN2-ADA", "stylegan2", weights, licences.NVIDIA, clamp=clamp)
    _add_discriminator(file, gan, grey=grey)
    return gan


def convert_stylegan3(file: ForeignFile) -> ForeignGan | None:
    """Convert a generator of StyleGAN3-t, -r or StyleGAN-XL."""
    found = file.find("synthesis.input.freqs")
    if found is None:
        return None
    weights = {re.sub(r"\.(up|down)_filter\w*\Z", r".\1_filter", key): value for key, value in file.read(found).items()}
    _scale_mapping(weights, found)
    layers = [key for key in weights if re.fullmatch(r"synthesis\.L\d+_\d+_\d+\.weight", key)]
    last = max(layers, key=lambda key: int(key.split("_")[0].rpartition("L")[2]))
    add_colours(weights, last.removesuffix(".weight"))
    options: dict[str, float | bool] = {}
    for name, attribute in (("bandwidth", "synthesis.input.bandwidth"), ("rate", "synthesis.input.sampling_rate")):
        if (number := read_number(found.facts, attribute)) is not None:
            options[name] = number
    if found.facts.get("mapping.embed_proj.activation") == "linear":
        options["linear_embedding"] = True
    clamp = read_number(found.facts, "conv_clamp")
    is_xl = "mapping.embed_proj.weight" in weights
    radial = weights[layers[0]].shape[2] == 1
    layout = "StyleGAN-XL" if is_xl else f"StyleGAN3-{'r' if radial else 't'}"
    licence = licences.PROJECTED if is_xl else licences.NVIDIA
    gan = ForeignGan(
        layout, "stylegan3", weights, licence, clamp=DEFAULT_CLAMP if clamp is None else clamp, options=dict(options)
    )
    _add_discriminator(file, gan, grey=False)
    return gan


def convert_r3gan(file: ForeignFile) -> ForeignGan | None:
    """Convert a generator of R3GAN."""
    found = file.find("Model.MainLayers.0.Layers.0.Basis")
    if found is None:
        return None
    weights = file.read(found, lambda key: key.startswith("Model."))
    add_colours(weights, "Model.AggregationLayer.Layer")
    gan = ForeignGan("R3GAN", "r3gan", weights, licences.NVIDIA)
    gan.notes.append("Its discriminator is not imported.")
    return gan


def convert_rosinality(file: ForeignFile) -> ForeignGan | None:
    """Convert StyleGAN2 in the layout of rosinality's stylegan2-pytorch, which pSp and e4e have as well."""
    found = file.find("input.input")
    if found is None or "style.1.weight" not in found.tensors:
        return None
    stored = file.read(found)
    layers = r"(?:conv\.)?"
    weights = rename(
        stored,
        (r"input\.input", "synthesis.b4.const"),
        (r"style\.(\d+)\.(weight|bias)", r"mapping.fc\1.\2"),
        (rf"conv1\.{layers}(.+)", r"0.\1"),
        (rf"to_rgb1\.{layers}(.+)", r"rgb0.\1"),
        (rf"convs\.(\d+)\.{layers}(.+)", r"convs\1.\2"),
        (rf"to_rgbs\.(\d+)\.{layers}(.+)", r"torgbs\1.\2"),
        (r"noises\.(noise_\d+)", r"\1"),
    )
    converted: Weights = {}
    for key, value in weights.items():
        if (target := _rename_rosinality(key)) is not None:
            converted[target] = value.reshape(_shape_of(target, tuple(value.shape)))
    average = file.find("latent_avg")
    gan = ForeignGan("StyleGAN2 (rosinality)", "stylegan2", converted, licences.NVIDIA)
    if average is not None:
        styles = file.read(average)["latent_avg"]
        converted["mapping.w_avg"] = styles.reshape(-1, styles.shape[-1]).mean(dim=0)
    _add_rosinality_discriminator(file, gan)
    return gan


def _rename_rosinality(key: str) -> str | None:
    """Return the key in StyleGAN2-ADA of a layer that has been numbered."""
    if key.startswith(("mapping.fc", "synthesis.")):
        number = re.match(r"mapping\.fc(\d+)\.", key)
        return key if number is None else key.replace(f"fc{number[1]}", f"fc{int(number[1]) - 1}", 1)
    if match := re.fullmatch(r"noise_(\d+)", key):
        number_of_noise = int(match[1])
        return f"{_place(number_of_noise - 1)}.noise_const" if number_of_noise else "synthesis.b4.conv1.noise_const"
    match = re.fullmatch(r"(convs|torgbs|rgb)?(\d+)\.(.+)", key)
    name = None if match is None else _NAMES.get(match[3])
    if match is None or name is None:
        return None
    kind, number_of_layer = match[1], int(match[2])
    if kind is None:
        return f"synthesis.b4.conv1.{name}"
    if kind == "rgb":
        return f"synthesis.b4.torgb.{name}"
    if kind == "torgbs":
        return f"synthesis.b{8 * 2**number_of_layer}.torgb.{name}"
    return f"{_place(number_of_layer)}.{name}"


_NAMES = {
    "weight": "weight",
    "modulation.weight": "affine.weight",
    "modulation.bias": "affine.bias",
    "noise.weight": "noise_strength",
    "activate.bias": "bias",
    "bias": "bias",
}


def _place(number: int) -> str:
    return f"synthesis.b{8 * 2 ** (number // 2)}.conv{number % 2}"


def _shape_of(key: str, shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return the shape without the sides of 1 that the other layout adds."""
    if key.endswith("noise_strength"):
        return ()
    if key.endswith("noise_const"):
        return shape[2:]
    if key.endswith(".bias") and len(shape) > 1:
        return (shape[1],)
    has_extra = len(shape) == 5 or (key.endswith(".const") and len(shape) == 4)
    return shape[1:] if has_extra else shape


def _add_rosinality_discriminator(file: ForeignFile, gan: ForeignGan) -> None:
    found = file.find_discriminator("final_linear.1.weight")
    if found is None:
        return
    weights = file.read(found)
    numbers = {int(match[1]) for key in weights if (match := re.match(r"convs\.(\d+)\.conv1", key))}
    largest = 4 * 2 ** len(numbers)
    converted: Weights = {}
    names = {
        "conv1.0.weight": "conv0.weight",
        "conv1.1.bias": "conv0.bias",
        "conv2.1.weight": "conv1.weight",
        "conv2.2.bias": "conv1.bias",
        "skip.1.weight": "skip.weight",
    }
    ends = {
        "convs.0.0.weight": f"b{largest}.fromrgb.weight",
        "convs.0.1.bias": f"b{largest}.fromrgb.bias",
        "final_conv.0.weight": "b4.conv.weight",
        "final_conv.1.bias": "b4.conv.bias",
        "final_linear.0.weight": "b4.fc.weight",
        "final_linear.0.bias": "b4.fc.bias",
        "final_linear.1.weight": "b4.out.weight",
        "final_linear.1.bias": "b4.out.bias",
    }
    for key, value in weights.items():
        match = re.fullmatch(r"convs\.(\d+)\.(.+)", key)
        if key in ends:
            converted[ends[key]] = value
        elif match is not None and match[2] in names:
            converted[f"b{largest // 2 ** (int(match[1]) - 1)}.{names[match[2]]}"] = value
    gan.discriminator = converted


def _add_discriminator(file: ForeignFile, gan: ForeignGan, *, grey: bool) -> None:
    """Add a discriminator with the keys of StyleGAN2-ADA, where it has the architecture of the studio's."""
    import torch

    found = file.find_discriminator("b4.out.weight")
    if found is None:
        return
    weights = file.read(found)
    if not any(re.fullmatch(r"b\d+\.skip\.weight", key) for key in weights):
        gan.notes.append("Its discriminator has no residual blocks and is not imported.")
        return
    _scale_mapping(weights, found)
    if "mapping.embed.weight" in weights:
        weights.setdefault("mapping.w_avg", torch.zeros(weights["b4.out.weight"].shape[0]))
    if grey:  # its equalised weights are divided by the root of the number of channels
        for key in [key for key in weights if key.endswith("fromrgb.weight")]:
            weights[key] = weights[key].repeat(1, 3, 1, 1) / math.sqrt(3)
    gan.discriminator = weights


def _check_facts(found: StateDict) -> None:
    """Raise ValueError for activations and filters that the studio's StyleGAN2 does not have."""
    for key, value in found.facts.items():
        if re.fullmatch(r"synthesis\.b\d+\.conv\d\.activation", key) and value != "lrelu":
            raise ValueError(f"{key} is {value}")
    for key, tensor in found.tensors.items():
        if key.endswith("resample_filter") and tensor.shape != (4, 4):
            raise ValueError(f"{key} has another size than 4 × 4")


def _scale_mapping(weights: Weights, found: StateDict) -> None:
    """Scale the layers of a mapping network that was trained at another rate than 0.01."""
    for key in [key for key in weights if re.fullmatch(r"mapping\.fc\d+\.weight", key)]:
        layer = key.removesuffix(".weight")
        gain, bias_gain = (found.facts.get(f"{layer}.{name}") for name in ("weight_gain", "bias_gain"))
        if isinstance(gain, float) and gain > 0:
            weights[key] = weights[key] * (gain * math.sqrt(weights[key].shape[1]) / MAPPING_RATE)
        if isinstance(bias_gain, int | float) and bias_gain > 0 and f"{layer}.bias" in weights:
            weights[f"{layer}.bias"] = weights[f"{layer}.bias"] * (bias_gain / MAPPING_RATE)
