"""Recognises the GANs of other programs by the names and shapes of their tensors, and converts them."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, cast

from studio import api

from . import other_layouts, stylegan_layouts
from .checkpoint_files import Checkpoint, describe_damage
from .foreign_gan import ForeignFile, ForeignGan
from .state_dicts import StateDict

if TYPE_CHECKING:
    from ..networks.generator import LatentGenerator

LAYOUTS: tuple[Callable[[ForeignFile], ForeignGan | None], ...] = (
    stylegan_layouts.convert_stylegan2,
    stylegan_layouts.convert_stylegan3,
    stylegan_layouts.convert_r3gan,
    stylegan_layouts.convert_rosinality,
    other_layouts.convert_fastgan,
    other_layouts.convert_lightweight_gan,
    other_layouts.convert_lucidrains_stylegan2,
    other_layouts.convert_progressive_gan,
    other_layouts.convert_biggan,
    other_layouts.convert_upsampled_dcgan,
    other_layouts.convert_dcgan,
)
SUPPORTED = (
    "StyleGAN2, StyleGAN2-ADA, StyleGAN3, StyleGAN-XL, R3GAN, FastGAN, Projected GAN, lightweight-gan, "
    "stylegan2-pytorch, Progressive GAN, BigGAN-deep and DCGAN"
)
MEAN_SAMPLES = 4096
"""Number of latents whose styles are averaged where a file has no mean style."""
_SHOWN = 3


def recognise(checkpoint: Checkpoint) -> ForeignGan:
    """Convert the generator in a checkpoint, and a discriminator of StyleGAN2's architecture.

    Raises BadInput, which names what the file is, for anything else.
    """
    name = checkpoint.path.name
    with api.model_files.damage_as_bad_input(checkpoint.path, describe_damage(checkpoint.path)):
        file = ForeignFile(checkpoint)
        if not file.networks:
            raise api.BadInput(f"{name} holds no weights.", "Choose the file of a generator.")
        for convert in LAYOUTS:
            try:
                gan = convert(file)
            except (ValueError, KeyError, IndexError) as error:
                raise _describe_variant(checkpoint, str(error)) from error
            if gan is not None:
                _complete(checkpoint, gan)
                return gan
    raise _describe_unknown(name, file)


def _complete(checkpoint: Checkpoint, gan: ForeignGan) -> None:
    """Add a mean style where there is none, and check that the networks can be built. Raises BadInput."""
    try:
        if gan.architecture in _MEAN_STYLES and _MEAN_STYLES[gan.architecture] not in gan.generator:
            _add_mean_style(gan, _MEAN_STYLES[gan.architecture])
        generator = _build(gan)
    except (ValueError, KeyError, IndexError, RuntimeError) as error:
        if api.is_out_of_memory(error):
            raise
        raise _describe_variant(checkpoint, str(error).partition("\n")[0]) from error
    if gan.discriminator is not None:
        from ..networks.registry import build_discriminator

        try:
            build_discriminator(gan.discriminator, generator.image_size, clamp=gan.clamp)
        except (ValueError, KeyError, RuntimeError):
            gan.discriminator = None
            gan.notes.append("Its discriminator has another architecture and is not imported.")


_MEAN_STYLES = {"stylegan2": "mapping.w_avg", "stylegan3": "mapping.w_avg", "lucidrains_stylegan2": "w_avg"}
"""Name of the mean style by architecture."""


def _add_mean_style(gan: ForeignGan, key: str) -> None:
    import torch

    size = next(value.shape[0] for name, value in gan.generator.items() if name.startswith(("mapping.fc", "S.net.")))
    gan.generator[key] = torch.zeros(size)
    generator = _build(gan)
    latents = torch.randn(MEAN_SAMPLES, generator.latent_size, generator=torch.Generator().manual_seed(0))
    labels = None
    if generator.classes:
        labels = torch.eye(generator.classes)[torch.arange(MEAN_SAMPLES) % generator.classes]
    with torch.inference_mode():
        gan.generator[key] = generator.map_latents(latents, labels)[:, 0].mean(dim=0).clone()
    gan.notes.append(f"Its mean style was not in the file, and is that of {MEAN_SAMPLES:,} latents.")


def _build(gan: ForeignGan) -> LatentGenerator:
    from ..networks.registry import build_generator

    network = build_generator(gan.architecture, gan.generator, clamp=gan.clamp, options=gan.options)
    return cast("LatentGenerator", network.eval())


def _describe_variant(checkpoint: Checkpoint, reason: str) -> api.BadInput:
    printable = "".join(sign if sign.isprintable() else "\ufffd" for sign in reason[:200])
    return api.BadInput(
        f"{checkpoint.path.name} is a variant that the studio does not know: {printable}.",
        f"Supported are {SUPPORTED}.",
    )


def _describe_unknown(name: str, file: ForeignFile) -> api.BadInput:
    network = max(file.networks, key=lambda one: sum(math.prod(shape) for shape in one.shapes.values()))
    matrices = [(key, shape) for key, shape in network.shapes.items() if len(shape) > 1]
    if matrices and all(len(shape) == 2 for _, shape in matrices):
        outputs = matrices[-1][1][0]
        if len(matrices) > 1 and not _is_image_size(outputs):
            counted = "one number" if outputs == 1 else f"{outputs:,} numbers"
            return api.BadInput(f"{name} makes {counted} and no image.", "Choose the generator of a GAN for images.")
    if _is_discriminator(network):
        return api.BadInput(f"{name} is a discriminator, which makes no images.", "Choose the file of its generator.")
    listed = ", ".join(f"{_shorten(key)} {' × '.join(map(str, shape))}" for key, shape in matrices[:_SHOWN])
    return api.BadInput(f"{name} has an unknown layout ({listed}).", f"Supported are {SUPPORTED}.")


def _is_image_size(count: int) -> bool:
    return count >= 64 and any(math.isqrt(count // depth) ** 2 * depth == count for depth in (1, 3))


def _is_discriminator(network: StateDict) -> bool:
    convolutions = [shape for shape in network.shapes.values() if len(shape) == 4]
    last = [shape for shape in network.shapes.values() if len(shape) > 1][-1:]
    return bool(convolutions) and convolutions[0][1] in (1, 3, 4) and last[0][0] == 1


def _shorten(key: str) -> str:
    return "".join(sign if sign.isprintable() else "\ufffd" for sign in key[:60])
