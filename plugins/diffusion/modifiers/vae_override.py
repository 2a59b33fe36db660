"""Override of a model's own autoencoder by another one, for one image."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from studio import api

from ..checkpoints import diffusers_folder, probe, weight_variants
from ..models.latents import (
    LinearPreview,
    deterministic_latents,
    fit_linear_preview,
    make_colour_chart,
    scale_factor_of,
    to_autoencoder_scale,
    to_denoiser_scale,
    upcast_autoencoder,
)
from ..models.model import Model

if TYPE_CHECKING:
    from diffusers import AutoencoderKL, DiffusionPipeline
    from torch import Tensor

INTERCHANGEABLE = ("AutoencoderKL", "AsymmetricAutoencoderKL", "AutoencoderTiny")
"""Classes of diffusers that can replace each other: their latents are those of images, with one scaling factor."""
_SWITCHES = ("use_tiling", "use_slicing")
_TEST_SIDE = 64
"""Side in pixels of the image that shows the shape of an autoencoder's latents."""
_MAX_DISTANCE = 0.4
"""Root mean square error for images in -1..1. Plain grey has 0.58 from the images of `make_colour_chart`."""


@dataclass
class LoadedAutoencoder:
    """An autoencoder, and the linear preview of its latents."""

    vae: AutoencoderKL
    preview: LinearPreview | None


@contextmanager
def apply(ctx: api.Context, model: Model, pipe: DiffusionPipeline, params: Any) -> Iterator[dict[str, Any]]:
    """Use the chosen autoencoder in the pipeline until the block ends."""
    if not params.vae:
        yield {}
        return
    own, own_preview, fallbacks = getattr(pipe, "vae", None), model.preview, len(model.fallbacks)
    if type(own).__name__ not in INTERCHANGEABLE:
        raise api.BadInput(f"{model.family.title} works with its own autoencoder only.", "Leave VAE empty.")
    key, override = _load(ctx, model, pipe, params.vae)
    _copy_switches(own, override.vae)
    try:
        pipe.vae, model.preview = override.vae, override.preview
        yield {}
    finally:
        pipe.vae, model.preview = own, own_preview
        _copy_switches(override.vae, own)
        if len(model.fallbacks) > fallbacks:
            ctx.models.drop(key)  # it may have the hooks of an offloaded pipeline


def _copy_switches(source: AutoencoderKL, target: AutoencoderKL) -> None:
    """Keep on whatever a fallback for lack of memory has switched on."""
    for name in _SWITCHES:
        setattr(target, name, getattr(source, name, False))


def _load(ctx: api.Context, model: Model, pipe: DiffusionPipeline, choice: str) -> tuple[str, LoadedAutoencoder]:
    """Load an autoencoder. Raises BadInput for one that is missing, damaged, no autoencoder, or for other latents."""
    path = Path(ctx.model(choice))
    if not path.exists():
        raise api.BadInput(f"{choice} is not on this computer.", "Download it, and choose its folder or file.")
    path = path / "vae" if (path / diffusers_folder.INDEX).is_file() else path
    title = path.parent.name if path.name == "vae" else path.name
    key = f"vae:{path.resolve()}:{api.model_files.file_stamp(path)}:{model.key}"

    def load_autoencoder() -> LoadedAutoencoder:
        damaged = api.BadInput(
            f"The autoencoder {title} is incomplete, or not of the kind that {model.title} has.",
            "Choose another autoencoder.",
        )
        with api.model_files.quiet_load(damaged):
            vae = _load_folder(path, title, ctx) if path.is_dir() else _load_file(path, pipe.vae, ctx)
        vae = vae.eval().to(ctx.device)
        _check_latents(ctx, vae, title, model, pipe)
        preview = fit_linear_preview(SimpleNamespace(vae=vae, vae_scale_factor=scale_factor_of(pipe)))
        return LoadedAutoencoder(vae, preview)

    return key, ctx.models.load(key, load_autoencoder)


def _load_folder(path: Path, title: str, ctx: api.Context) -> AutoencoderKL:
    import diffusers

    try:
        name = json.loads((path / "config.json").read_bytes())["_class_name"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise api.BadInput(f"{title} is no autoencoder.", "Choose another autoencoder.") from error
    if name not in INTERCHANGEABLE:
        raise api.BadInput(f"{title} is a {name}, which cannot replace another one.", "Choose another autoencoder.")
    for file in sorted(path.iterdir()):
        if file.suffix.lower() == ".safetensors" or not any(path.glob("*.safetensors")):
            _check_file(file)
    return getattr(diffusers, name).from_pretrained(
        str(path),
        use_safetensors=True,
        local_files_only=True,
        torch_dtype=ctx.dtype,
        variant=weight_variants.variant_of(path),
    )


def _check_file(file: Path) -> None:
    """Raise BadInput for a pickle and for a damaged file."""
    if file.suffix.lower() in (".safetensors", ".bin", ".ckpt", ".pt", ".pth"):
        api.model_files.read_weight_shapes(file)


def _load_file(path: Path, own: AutoencoderKL, ctx: api.Context) -> AutoencoderKL:
    """Load a file with the configuration of the model's own autoencoder, as A1111 does: it lacks its scale."""
    from diffusers import AutoencoderKL

    shapes = api.model_files.read_weight_shapes(path)
    if not any("encoder." in name for name in shapes):
        raise api.BadInput(
            f"{path.name} is {probe.identify(shapes).description}, and no autoencoder.", "Choose another file."
        )
    if type(own).__name__ != "AutoencoderKL":
        raise ValueError(type(own).__name__)
    folder = ctx.scratch / "vae"
    own.save_config(folder)
    vae = AutoencoderKL.from_single_file(str(path), config=str(folder), local_files_only=True, torch_dtype=ctx.dtype)
    if any(weight.is_meta for weight in vae.parameters()):
        raise ValueError("weights are missing")
    return vae


def _check_latents(ctx: api.Context, vae: AutoencoderKL, title: str, model: Model, pipe: DiffusionPipeline) -> None:
    """Raise BadInput for an autoencoder whose latents have another shape or another meaning."""
    import torch

    own = pipe.vae
    blank = torch.zeros(1, 3, _TEST_SIDE, _TEST_SIDE)
    with torch.inference_mode(), upcast_autoencoder(own), upcast_autoencoder(vae):
        (_, own_channels, *_, own_side) = _encode(own, blank, ctx).shape
        (_, channels, *_, side) = _encode(vae, blank, ctx).shape
    if (channels, side) != (own_channels, own_side):
        raise api.BadInput(
            f"{title} makes latents of {channels} channels at 1/{_TEST_SIDE // side} of the size, and {model.title} "
            f"needs {own_channels} channels at 1/{_TEST_SIDE // own_side}.",
            "Choose an autoencoder for the same family.",
        )
    if measure_decoding_error(ctx, own, vae) is None:
        raise api.BadInput(
            f"{title} was trained for other latents than those of {model.title}.",
            "Choose an autoencoder for the same family.",
        )


def measure_decoding_error(
    ctx: api.Context, own: AutoencoderKL, other: AutoencoderKL, normalize: Callable[[Tensor], Tensor] | None = None
) -> float | None:
    """Return the root mean square error of images in -1..1 that `own` encodes and `other` decodes.

    `normalize` converts latents from the scale of `own` to the denoiser's, where its config does not tell how.
    None where the error is too large for two autoencoders with the same latents.
    """
    import torch

    images = make_colour_chart(_TEST_SIDE * 2)
    with torch.inference_mode(), upcast_autoencoder(own), upcast_autoencoder(other):
        encoded = _encode(own, images, ctx)
        latents = normalize(encoded) if normalize else to_denoiser_scale(encoded, own)
        own_error = _decoding_error(own, encoded, images)
        error = _decoding_error(other, to_autoencoder_scale(latents, other), images)
    return None if error > max(_MAX_DISTANCE, 1.5 * own_error) else error


def _encode(vae: AutoencoderKL, images: Tensor, ctx: api.Context) -> Tensor:
    output = vae.encode(images.to(ctx.device, vae.dtype))
    if hasattr(output, "latent_dist"):
        latents: Tensor = output.latent_dist.mode()
        return latents
    return deterministic_latents(output)


def _decoding_error(vae: AutoencoderKL, latents: Tensor, images: Tensor) -> float:
    """Return the error of images that are decoded from latents in the autoencoder's scale."""
    decoded = vae.decode(latents).sample
    return float((decoded.clamp(-1, 1).float().cpu() - images).square().mean().sqrt())
