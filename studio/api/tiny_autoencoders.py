"""Load tiny autoencoders (TAESD, TAESDXL, TAESD3, TAEF1, TAEF2, TAESANA) from files in any of their layouts.

The layouts are those of https://github.com/madebyollin/taesd, in which encoder and decoder are plain `Sequential`
networks in files of their own, of diffusers' `AutoencoderTiny`, and of ComfyUI. The network is built from the names and
shapes of the tensors: the number of latent channels, the scale, and blocks with a pooled branch, as TAEF2 has them.
"""

from __future__ import annotations

import pickle
import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeAlias, TypeVar

from studio.api.model_files import PICKLE_SUFFIXES, UNREADABLE, quiet_load, read_weight_shapes
from studio.core.errors import BadInput

if TYPE_CHECKING:
    from diffusers import AutoencoderTiny
    from torch import Tensor, nn

__all__ = ["Half", "find_halves", "load", "read"]

V = TypeVar("V")
Half: TypeAlias = Literal["encoder", "decoder"]
MAX_BYTES = 256 * 2**20
"""Larger pickles are not opened: the largest tiny autoencoder has 40 MB."""
_MAX_LAYERS = 200
_POOL_GROUPS = 4
_WHOLE = re.compile(r"(?:taesd_)?(encoder|decoder)\.(layers\.)?(\d+)\.(.+)", re.ASCII)
_BARE = re.compile(r"(\d+)\.(.+)", re.ASCII)
_UNREADABLE: tuple[type[Exception], ...] = (pickle.UnpicklingError, *UNREADABLE)
_FACTORS = ("vae_scale", "vae_shift")


def find_halves(tensors: Mapping[str, V]) -> dict[Half, dict[str, V]]:
    """Return the tensors, or their shapes, of each half by diffusers' names without prefix (``3.conv.0.weight``).

    A file may have one half or both. Empty for any other model.
    """
    halves: dict[Half, dict[str, V]] = {}
    bare: Half = "encoder" if "0.weight" in tensors else "decoder"
    for name, value in tensors.items():
        if found := _WHOLE.fullmatch(name):
            half: Half = "encoder" if found[1] == "encoder" else "decoder"
            number, rest, is_published = int(found[3]), found[4], not found[2]
        elif found := _BARE.fullmatch(name):
            half, number, rest, is_published = bare, int(found[1]), found[2], True
        elif name in _FACTORS:
            continue
        else:
            return {}
        # The published decoder begins with a layer that clamps the latents. In diffusers it is outside the layers.
        number -= half == "decoder" and is_published
        if not 0 <= number <= _MAX_LAYERS:
            return {}
        halves.setdefault(half, {})[f"{number}.{rest}"] = value
    is_tiny = all("0.weight" in half and any(".conv.0.weight" in name for name in half) for half in halves.values())
    return halves if is_tiny else {}


def read(path: Path) -> dict[Half, dict[str, Tensor]]:
    """Read the halves in a file: safetensors, or a pickle of which only weights are read.

    Raises BadInput for a damaged file, a pickle that has more than weights, and any other model.
    """
    halves = find_halves(_read_pickle(path) if path.suffix.lower() in PICKLE_SUFFIXES else _read_safetensors(path))
    if not halves:
        raise BadInput(f"{path.name} is not a tiny autoencoder.", "Choose another file.")
    return halves


def load(path: Path, *, decoder_only: bool = False) -> AutoencoderTiny:
    """Load a tiny autoencoder in float32. Of a file with one half, the other is read from the file beside it.

    Images are in -1..1. `decoder_only` needs and loads no encoder. Raises BadInput as `read`, and for a missing half.
    """
    import torch
    from diffusers import AutoencoderTiny

    halves = read(path)
    needed: tuple[Half, ...] = ("decoder",) if decoder_only else ("encoder", "decoder")
    for half in needed:
        if half not in halves:
            halves[half] = _read_partner(path, half)
    incomplete = BadInput(f"{path.name} is incomplete, or a tiny autoencoder of an unknown kind.", "Download it again.")
    with quiet_load(incomplete), torch.device("cpu"):
        decoder, factor = _build_layers(halves["decoder"], "decoder")
        levels = factor.bit_length() - 1
        channels = int(halves["decoder"]["0.weight"].shape[1])
        widths, blocks = (8,) * (levels + 1), (1,) * (levels + 1)
        vae = AutoencoderTiny(
            latent_channels=channels,
            encoder_block_out_channels=widths,
            decoder_block_out_channels=widths,
            num_encoder_blocks=blocks,
            num_decoder_blocks=blocks,
        )
        vae.decoder.layers = decoder
        vae.encoder.layers = torch.nn.Sequential()
        if not decoder_only:
            vae.encoder.layers, shrinking = _build_layers(halves["encoder"], "encoder")
            latents = max(int(name.split(".")[0]) for name in halves["encoder"])
            if shrinking != factor or halves["encoder"][f"{latents}.weight"].shape[0] != channels:
                raise BadInput(f"{path.name}: its encoder and decoder do not belong together.", "Choose another.")
    return vae.eval().requires_grad_(requires_grad=False)


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    from safetensors.torch import load_file

    if not find_halves(read_weight_shapes(path)):
        return {}
    with quiet_load(BadInput(f"{path.name} is damaged.", "Download the model again.")):
        tensors: dict[str, Tensor] = load_file(path)
    return tensors


def _read_pickle(path: Path) -> dict[str, Tensor]:
    """Read a pickle with torch's loader for weights, which makes nothing but tensors and plain containers."""
    import torch

    try:
        if path.stat().st_size > MAX_BYTES:
            raise OSError
        with quiet_load():
            content = torch.load(path, map_location="cpu", weights_only=True)
        if not isinstance(content, Mapping):
            raise TypeError
    except _UNREADABLE:
        content = {}
    tensors = {str(name): value for name, value in content.items() if isinstance(value, torch.Tensor)}
    if not find_halves(tensors):
        read_weight_shapes(path)  # says that pickles are not opened
    return tensors


def _read_partner(path: Path, half: Half) -> dict[str, Tensor]:
    has: Half = "decoder" if half == "encoder" else "encoder"
    stem = path.stem.replace(has, half)
    names = (path.with_name(f"{stem}{suffix}") for suffix in (path.suffix, ".safetensors", ".pth", ".pt"))
    partner = next((name for name in names if name != path and name.is_file()), None)
    if partner is None or has not in path.name:
        raise BadInput(
            f"{path.name} is only the {has} of a TAESD pair.",
            f"Put the {half} beside it, with “{half}” in place of “{has}” in its name.",
        )
    found = read(partner)
    if half not in found:
        raise BadInput(f"{partner.name} is not the {half} that {path.name} needs.")
    return found[half]


def _build_layers(weights: Mapping[str, Tensor], half: Half) -> tuple[nn.Sequential, int]:
    """Return the layers with their weights, and the factor by which they scale.

    Raises KeyError or RuntimeError for weights that are missing or do not fit.
    """
    from torch import nn

    names = {int(name.split(".")[0]) for name in weights}
    last = max(names)
    layers: list[nn.Module] = []
    factor = 1
    for number in range(last + 1):
        weight = weights.get(f"{number}.weight")
        if f"{number}.conv.0.weight" in weights:
            block = weights[f"{number}.conv.0.weight"]
            is_pooled = f"{number}.pool.0.weight" in weights
            layers.append(_block_class()(block.shape[1], block.shape[0], is_pooled=is_pooled))
        elif weight is not None:
            has_bias = f"{number}.bias" in weights
            # An encoder shrinks where there is no bias, and TAESANA's where an activation follows.
            is_shrinking = half == "encoder" and number < last and (not has_bias or number + 1 not in names)
            factor *= 2 if is_shrinking else 1
            layers.append(
                nn.Conv2d(
                    weight.shape[1], weight.shape[0], 3, padding=1, stride=2 if is_shrinking else 1, bias=has_bias
                )
            )
        elif half == "decoder" and f"{number + 1}.weight" in weights and f"{number + 1}.bias" not in weights:
            factor *= 2
            layers.append(nn.Upsample(scale_factor=2))
        else:
            layers.append(nn.ReLU())
    built = nn.Sequential(*layers)
    built.load_state_dict(dict(weights))
    return built, factor


@cache
def _block_class() -> type[nn.Module]:
    """Define the class on first use, because its base class needs torch to be imported."""
    from torch import nn

    class TinyBlock(nn.Module):
        """Residual block of three convolutions. With `is_pooled` a branch with group norm is added to its input."""

        def __init__(self, width_in: int, width_out: int, *, is_pooled: bool) -> None:
            super().__init__()
            self.conv = nn.Sequential(
                nn.Conv2d(width_in, width_out, 3, padding=1),
                nn.ReLU(),
                nn.Conv2d(width_out, width_out, 3, padding=1),
                nn.ReLU(),
                nn.Conv2d(width_out, width_out, 3, padding=1),
            )
            self.skip = nn.Identity() if width_in == width_out else nn.Conv2d(width_in, width_out, 1, bias=False)
            self.fuse = nn.ReLU()
            inner = width_in * _POOL_GROUPS
            self.pool = (
                nn.Sequential(
                    nn.Conv2d(width_in, inner, 1, bias=False),
                    nn.GroupNorm(_POOL_GROUPS, inner),
                    nn.ReLU(),
                    nn.Conv2d(inner, width_in, 1, bias=False),
                )
                if is_pooled
                else None
            )

        def forward(self, x: Tensor) -> Tensor:
            if self.pool is not None:
                x = x + self.pool(x)
            fused: Tensor = self.fuse(self.conv(x) + self.skip(x))
            return fused

    return TinyBlock
