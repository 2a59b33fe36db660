"""Converts FastGAN, Projected GAN, lucidrains' networks, progressive growing, BigGAN-deep, and kin of DCGAN."""

from __future__ import annotations

import re
from itertools import pairwise
from typing import TYPE_CHECKING

from . import licences, spectral_norm
from .foreign_gan import ForeignFile, ForeignGan, add_colours, rename
from .state_dicts import StateDict
from .stored_tensors import StoredTensor

if TYPE_CHECKING:
    from .foreign_gan import Weights

TANGENT_SIZE = 1024
"""Size in px at which FastGAN limits its output; smaller ones do not."""


def convert_fastgan(file: ForeignFile) -> ForeignGan | None:
    """Convert a generator of FastGAN or, with keys that begin with ``synthesis``, of Projected GAN."""
    found = _find_first(file, *(f"init.init.0.{name}" for name in ("weight_orig", "weight", _PARAMETRIZED)))
    if found is None or not any(key.startswith("to_big.") for key in found.tensors):
        return None
    projected = found.name.endswith("synthesis")
    found = _take_averages(file, found)
    weights = spectral_norm.fold(file.read(found, lambda key: not key.startswith("to_128.")))
    add_colours(weights, "to_big")
    options = {"normalize": projected, "tangent": not projected and f"feat_{TANGENT_SIZE}.1.weight" in weights}
    licence = licences.PROJECTED if projected else licences.FASTGAN
    return ForeignGan("Projected GAN" if projected else "FastGAN", "fastgan", weights, licence, options=options)


def convert_lightweight_gan(file: ForeignFile) -> ForeignGan | None:
    """Convert a generator of lucidrains' lightweight-gan."""
    found = file.find("initial_conv.0.weight")
    if found is None or "out_conv.weight" not in found.tensors:
        return None
    weights = file.read(found)
    add_colours(weights, "out_conv")
    return ForeignGan("lightweight-gan", "lightweight_gan", weights, licences.MIT_PROGRAM)


def convert_lucidrains_stylegan2(file: ForeignFile) -> ForeignGan | None:
    """Convert a generator of lucidrains' stylegan2-pytorch, with its mapping network."""
    synthesis = _find_first(file, "initial_block", "to_initial_block.weight")
    if synthesis is None or "blocks.0.to_style1.weight" not in synthesis.tensors:
        return None
    name = synthesis.name.rpartition(".")[2]
    mapping = file.find("net.0.weight", ["se"] if name == "GE" else ["s"])
    if mapping is None:
        raise ValueError("a generator without its mapping network")
    weights = {f"G.{key}": value for key, value in file.read(synthesis).items()}
    weights.update({f"S.{key}": value for key, value in file.read(mapping).items()})
    gan = ForeignGan("stylegan2-pytorch", "lucidrains_stylegan2", weights, licences.MIT_PROGRAM)
    gan.notes.append("The learning rate of its mapping network is not in the file: it is taken to be the usual 0.1.")
    return gan


def convert_progressive_gan(file: ForeignFile) -> ForeignGan | None:
    """Convert a progressively grown generator of pytorch_GAN_zoo."""
    found = _find_first(file, "formatLayer.weight", "formatLayer.module.weight")
    if found is None:
        return None
    weights = {key.replace(".module.", "."): value for key, value in file.read(found).items()}
    numbers = [int(match[1]) for key in weights if (match := re.match(r"toRGBLayers\.(\d+)\.weight", key))]
    if not numbers:
        return None
    last = f"toRGBLayers.{max(numbers)}"
    kept = {key: value for key, value in weights.items() if not key.startswith("toRGB") or key.startswith(f"{last}.")}
    add_colours(kept, last)
    return ForeignGan("Progressive GAN", "progressive_gan", kept, licences.FACEBOOK)


def convert_biggan(file: ForeignFile) -> ForeignGan | None:
    """Convert BigGAN-deep as pytorch-pretrained-BigGAN saves it."""
    found = _find_first(file, *(f"generator.gen_z.{name}" for name in ("weight_orig", "weight")))
    if found is None:
        return None
    weights = spectral_norm.fold(file.read(found))
    return ForeignGan("BigGAN-deep", "biggan", weights, licences.BIGGAN)


def convert_upsampled_dcgan(file: ForeignFile) -> ForeignGan | None:
    """Convert the generator that PyTorch-GAN calls DCGAN."""
    found = file.find("l1.0.weight")
    if found is None or "conv_blocks.9.weight" not in found.tensors or "label_emb.weight" in found.tensors:
        return None
    weights = file.read(found)
    add_colours(weights, "conv_blocks.9")
    gan = ForeignGan("DCGAN of PyTorch-GAN", "dcgan", weights, licences.MIT_PROGRAM)
    gan.notes.append("Activations are taken to be those of PyTorch-GAN.")
    return gan


def convert_dcgan(file: ForeignFile) -> ForeignGan | None:
    """Convert a stack of transposed convolutions of 4 px, with nothing else but normalisations."""
    for network in file.networks:
        layers = _list_layers(network)
        convolutions = [shapes["weight"] for shapes in layers.values() if len(shapes.get("weight", ())) == 4]
        if not _is_dcgan(convolutions) or any(
            len(shapes.get("weight", ())) not in (1, 4) for shapes in layers.values()
        ):
            continue
        weights = _number_layers(file.read(network), layers)
        add_colours(weights, f"blocks.{len(convolutions) - 1}.conv", axis=1)
        gan = ForeignGan("DCGAN", "dcgan", weights, licences.UNKNOWN)
        gan.notes.append("Its activations are not in the file: they are taken to be ReLU, and a tangent at the end.")
        return gan
    return None


_PARAMETRIZED = "parametrizations.weight.original"


def _find_first(file: ForeignFile, *keys: str) -> StateDict | None:
    return next((found for key in keys if (found := file.find(key)) is not None), None)


def _take_averages(file: ForeignFile, found: StateDict) -> StateDict:
    """Replace parameters by their averages, which FastGAN saves as a list in the order of the modules."""
    averages = next((network for network in file.networks if network.name == "g_ema"), None)
    if averages is None or not all(key.isdecimal() for key in averages.tensors):
        return found
    buffers = ("running_mean", "running_var", "num_batches_tracked", "_u", "_v")
    names = [key for key in found.tensors if not key.endswith(buffers)]
    listed: list[StoredTensor] = list(averages.tensors.values())
    if [found.tensors[name].shape for name in names] != [tensor.shape for tensor in listed]:
        raise ValueError("averages that do not fit to their generator")
    replaced = {**found.tensors, **dict(zip(names, listed, strict=True))}
    return StateDict(found.name, replaced, found.facts, found.class_name)


def _list_layers(network: StateDict) -> dict[str, dict[str, tuple[int, ...]]]:
    """Return the shapes of each layer's tensors, in the order of the file."""
    layers: dict[str, dict[str, tuple[int, ...]]] = {}
    for key, tensor in network.tensors.items():
        layer, _, name = key.rpartition(".")
        layers.setdefault(layer, {})[name] = tensor.shape
    return layers


def _is_dcgan(convolutions: list[tuple[int, ...]]) -> bool:
    """Check that convolutions of 4 px follow each other as transposed ones do: inputs first, then outputs."""
    widths = [convolution[:2] for convolution in convolutions]
    return (
        len(convolutions) > 2
        and all(convolution[2:] == (4, 4) for convolution in convolutions)
        and all(before[1] == after[0] for before, after in pairwise(widths))
        and widths[-1][1] in (1, 3, 4)
    )


def _number_layers(weights: Weights, layers: dict[str, dict[str, tuple[int, ...]]]) -> Weights:
    pairs: list[tuple[str, str]] = []
    block = -1
    for layer, shapes in layers.items():
        is_convolution = len(shapes.get("weight", ())) == 4
        block += is_convolution
        kind = "conv" if is_convolution else "norm"
        pairs.append((rf"{re.escape(layer)}\.(\w+)" if layer else r"(\w+)", rf"blocks.{block}.{kind}.\1"))
    return rename(weights, *pairs)
