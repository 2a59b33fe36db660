"""Another autoencoder in the place of a model's own, for one picture."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from studio import api

from ..checkpoints import diffusers_folder, probe, weight_variants
from ..models.latents import (
    LinearPreview,
    fit_linear_preview,
    make_colour_chart,
    scale_factor_of,
    to_denoiser_scale,
    upcast_autoencoder,
)
from ..models.model import Model

if TYPE_CHECKING:
    from torch import Tensor

INTERCHANGEABLE = ("AutoencoderKL", "AsymmetricAutoencoderKL", "AutoencoderTiny")
"""The classes of diffusers that take each other's place: latents of pictures, one number for their scale."""
_SAVINGS = ("use_tiling", "use_slicing")
_BROKEN = (OSError, ValueError, TypeError, KeyError, RuntimeError, AttributeError)
_PROBE = 64
"""Side in pixels of a picture that shows the shape of an autoencoder's latents."""
_FAR = 0.4
"""Of a picture in -1..1, as root mean square: plain grey is 0.58 away from what `make_colour_chart` shows."""


@dataclass
class OverrideAutoencoder:
    """An autoencoder, and how its latents look."""

    vae: Any
    view: LinearPreview | None


@contextmanager
def apply(ctx: api.Context, model: Model, pipe: Any, params: Any) -> Iterator[dict[str, Any]]:
    """The pipeline with the autoencoder that is asked for, until the block ends."""
    if not params.vae:
        yield {}
        return
    own, view, taken = getattr(pipe, "vae", None), model.preview, len(model.fallbacks)
    if type(own).__name__ not in INTERCHANGEABLE:
        raise api.BadInput(
            f"{model.family.title} works with its own autoencoder alone.", "Leave the autoencoder to the model."
        )
    key, coder = _chosen(ctx, model, pipe, params.vae)
    _hand_on(own, coder.vae)
    try:
        pipe.vae, model.preview = coder.vae, coder.view
        yield {}
    finally:
        pipe.vae, model.preview = own, view
        _hand_on(coder.vae, own)
        if len(model.fallbacks) > taken:
            ctx.models.drop(key)  # it may be tied to where the model's parts wait now


def _hand_on(giver: Any, taker: Any) -> None:
    """What the memory ladder has switched on stays on."""
    for name in _SAVINGS:
        setattr(taker, name, getattr(giver, name, False))


def _chosen(ctx: api.Context, model: Model, pipe: Any, choice: str) -> tuple[str, OverrideAutoencoder]:
    """Raises BadInput for what is missing, damaged, no autoencoder, or made for other latents."""
    path = Path(ctx.model(choice))
    if not path.exists():
        raise api.BadInput(f"{choice} is not on this computer.", "Download it, and choose its folder or file.")
    path = path / "vae" if (path / diffusers_folder.INDEX).is_file() else path
    title = path.parent.name if path.name == "vae" else path.name
    key = f"vae:{path.resolve()}:{stamp(path)}:{model.key}"

    def loader() -> OverrideAutoencoder:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # diffusers announces what it will rename
            try:
                vae = _from_folder(path, title, ctx) if path.is_dir() else _from_file(path, pipe.vae, ctx)
            except _BROKEN as error:
                raise api.BadInput(
                    f"The autoencoder {title} is incomplete, or not of the kind that {model.title} has.",
                    "Choose another one.",
                ) from error
        vae = vae.eval().to(ctx.device)
        _check(ctx, vae, title, model, pipe)
        return OverrideAutoencoder(
            vae, fit_linear_preview(SimpleNamespace(vae=vae, vae_scale_factor=scale_factor_of(pipe)))
        )

    return key, ctx.models.load(key, loader)


def stamp(path: Path) -> int:
    """Changes when an autoencoder is saved again under the same name."""
    files = [path] if path.is_file() else [*path.glob("*.json"), *path.glob("*.safetensors")]
    return max((file.stat().st_mtime_ns for file in files), default=0)


def _from_folder(path: Path, title: str, ctx: api.Context) -> Any:
    import diffusers

    try:
        name = json.loads((path / "config.json").read_text("utf-8"))["_class_name"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise api.BadInput(f"{title} is no autoencoder.", "Choose another one.") from error
    if name not in INTERCHANGEABLE:
        raise api.BadInput(f"{title} is a {name}, which takes no other one's place.", "Choose another autoencoder.")
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
    """Says why pickles are refused, and what is wrong with a damaged file."""
    if file.suffix.lower() in (".safetensors", ".bin", ".ckpt", ".pt", ".pth"):
        api.model_files.weight_shapes(file)


def _from_file(path: Path, own: Any, ctx: api.Context) -> Any:
    """With the configuration of the model's own, as A1111 has it: such files say nothing of their scale."""
    from diffusers import AutoencoderKL

    shapes = api.model_files.weight_shapes(path)
    if not any("encoder." in name for name in shapes):
        raise api.BadInput(f"{path.name} is {probe.identify(shapes).what}, and no autoencoder.", "Choose another file.")
    if type(own).__name__ != "AutoencoderKL":
        raise ValueError(type(own).__name__)
    folder = ctx.scratch / "vae"
    own.save_config(folder)
    vae = AutoencoderKL.from_single_file(str(path), config=str(folder), local_files_only=True, torch_dtype=ctx.dtype)
    if any(weight.is_meta for weight in vae.parameters()):
        raise ValueError("weights are missing")
    return vae


def _check(ctx: api.Context, vae: Any, title: str, model: Model, pipe: Any) -> None:
    """Raises BadInput where the latents are of another shape, or mean something else."""
    import torch

    own = pipe.vae
    blank = torch.zeros(1, 3, _PROBE, _PROBE)
    with torch.inference_mode(), upcast_autoencoder(own), upcast_autoencoder(vae):
        (_, ours, *_, own_side), (_, theirs, *_, side) = (_encoded(one, blank, ctx).shape for one in (own, vae))
    if (theirs, side) != (ours, own_side):
        raise api.BadInput(
            f"{title} makes latents of {theirs} channels at 1/{_PROBE // side} of the size, and {model.title} "
            f"needs {ours} channels at 1/{_PROBE // own_side}.",
            "Choose an autoencoder for the same family.",
        )
    if compare_autoencoders(ctx, own, vae) is None:
        raise api.BadInput(
            f"{title} was trained apart from {model.title}, and reads its latents as something else.",
            "Choose an autoencoder for the same family.",
        )


def compare_autoencoders(ctx: api.Context, own: Any, other: Any) -> float | None:
    """How far from a picture is what `other` makes of the latents that `own` gave it, in -1..1, as root mean square.

    None where that is too far for latents that mean the same to both.
    """
    import torch

    images = make_colour_chart(_PROBE * 2)
    with torch.inference_mode(), upcast_autoencoder(own), upcast_autoencoder(other):
        latents = to_denoiser_scale(_encoded(own, images, ctx), own)
        known, distance = (_distance(one, latents, images) for one in (own, other))
    return None if distance > max(_FAR, 1.5 * known) else distance


def to_autoencoder_scale(latents: Tensor, vae: Any) -> Tensor:
    """From the scale that the denoiser works in to the autoencoder's own."""
    return (latents / vae.config.scaling_factor + (vae.config.get("shift_factor") or 0.0)).to(vae.dtype)


def _encoded(vae: Any, images: Tensor, ctx: api.Context) -> Tensor:
    found = vae.encode(images.to(ctx.device, vae.dtype))
    latents: Tensor = found.latent_dist.mode() if hasattr(found, "latent_dist") else found.latents
    return latents


def _distance(vae: Any, latents: Tensor, images: Tensor) -> float:
    decoded = vae.decode(to_autoencoder_scale(latents, vae)).sample
    return float((decoded.clamp(-1, 1).float().cpu() - images).square().mean().sqrt())
