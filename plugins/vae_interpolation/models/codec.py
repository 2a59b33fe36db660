"""Any autoencoder as one `Codec`: a starter, a trained model, a folder, a single file, or a hub id."""

from __future__ import annotations

import json
import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from studio import api

from . import checkpoints

if TYPE_CHECKING:
    from torch import Tensor

SPATIAL = "vae-spatial"
GLOBAL = "vae-global"
KINDS = "autoencoder global-autoencoder"
"""What the tools that encode and decode can use."""


class Codec(ABC):
    """Pictures to latents and back. Latents are the means of the posterior, not rescaled."""

    spatial: ClassVar[bool]
    """Whether the latent is a small picture; otherwise it is one vector for the whole picture."""

    def __init__(self, network: Any, title: str, device: str) -> None:
        self.network = network.eval().requires_grad_(False).to(device)
        self.title = title
        self.device = device

    @property
    def can_dream(self) -> bool:
        """Whether a draw from a normal distribution decodes to a picture."""
        return not self.spatial

    @property
    @abstractmethod
    def factor(self) -> int:
        """Sides of pictures must be multiples of this."""

    @property
    @abstractmethod
    def size(self) -> int:
        """Side in pixels of the pictures that it was trained on, and, when global, of all that it makes."""

    @abstractmethod
    def encode(self, images: Tensor) -> Tensor:
        """Images [n, 3, h, w] in -1..1 to latents [n, c, h / factor, w / factor], or [n, d] when global."""

    @abstractmethod
    def decode(self, latents: Tensor) -> Tensor:
        """The reverse of `encode`; values may leave -1..1 a little."""


class KlCodec(Codec):
    """diffusers' `AutoencoderKL`."""

    spatial = True

    @property
    def factor(self) -> int:
        return int(2 ** (len(self.network.config.block_out_channels) - 1))

    @property
    def size(self) -> int:
        size = self.network.config.sample_size
        return int(size if isinstance(size, int) else size[0])

    def encode(self, images: Tensor) -> Tensor:
        return self._within_memory(lambda: self.network.encode(images.to(self.device)).latent_dist.mode())

    def decode(self, latents: Tensor) -> Tensor:
        return self._within_memory(lambda: self.network.decode(latents.to(self.device)).sample)

    def _within_memory(self, step: Callable[[], Tensor]) -> Tensor:
        """In tiles once the whole picture was too much for the device."""
        import torch

        with torch.inference_mode():
            try:
                return step()
            except torch.OutOfMemoryError:
                if self.network.use_tiling:
                    raise
            torch.cuda.empty_cache()
            self.network.tile_sample_min_size = max(256, self.factor * 16)
            self.network.tile_latent_min_size = self.network.tile_sample_min_size // self.factor
            self.network.enable_tiling()
            return step()


class TinyCodec(Codec):
    """diffusers' `AutoencoderTiny` (TAESD and its kin)."""

    spatial = True

    @property
    def factor(self) -> int:
        return int(2 ** (len(self.network.config.num_encoder_blocks) - 1))

    @property
    def size(self) -> int:
        return 512

    def encode(self, images: Tensor) -> Tensor:
        import torch

        with torch.inference_mode():
            latents: Tensor = self.network.encode(images.to(self.device)).latents
        return latents

    def decode(self, latents: Tensor) -> Tensor:
        import torch

        with torch.inference_mode():
            images: Tensor = self.network.decode(latents.to(self.device)).sample
        return images


class GlobalCodec(Codec):
    """This plugin's own `GlobalVae`: one latent vector for a square picture of fixed size."""

    spatial = False

    @property
    def factor(self) -> int:
        return int(self.network.config.size)

    @property
    def size(self) -> int:
        return int(self.network.config.size)

    @property
    def width(self) -> int:
        """Numbers in a latent."""
        return int(self.network.config.latent)

    def dream(self, noise: Tensor) -> Tensor:
        """Latents [n, width] such as pictures have, from standard normal noise of the same shape."""
        import torch

        with torch.inference_mode():
            latents: Tensor = self.network.dream(noise.to(self.device))
        return latents

    def encode(self, images: Tensor) -> Tensor:
        import torch

        with torch.inference_mode():
            mean: Tensor = self.network.encode(images.to(self.device))[0]
        return mean

    def decode(self, latents: Tensor) -> Tensor:
        import torch

        with torch.inference_mode():
            images: Tensor = self.network.decode(latents.to(self.device))
        return images


def load(ctx: api.Context, choice: str) -> Codec:
    """The codec that a `ModelChoice` stands for, in float32 on the job's device.

    Raises BadInput with one sentence for what is missing, damaged, a pickle, a pointer, or
    a model of another family.
    """
    found = ctx.model(choice)
    where = found if isinstance(found, Path) else None
    if where is None and Path(str(found)).exists():
        where = Path(str(found))
    key = f"vae:{where.resolve() if where else found}:{_stamp(where)}:{ctx.device}"

    def loader() -> Codec:
        if where is None:
            return _from_hub(str(found), ctx.device)
        return _from_folder(where, ctx.device) if where.is_dir() else _from_file(where, ctx)

    return ctx.models.load(key, loader)


def _stamp(where: Path | None) -> int:
    """Changes when a model is trained again under the same name."""
    if where is None:
        return 0
    files = [where] if where.is_file() else list(where.glob("*.safetensors"))
    return max((file.stat().st_mtime_ns for file in files), default=0)


def _from_folder(folder: Path, device: str) -> Codec:
    inside = folder / "vae"
    if not (folder / "config.json").is_file() and (inside / "config.json").is_file():
        folder = inside
    config = checkpoints.read_config(folder)
    checkpoints.check_folder(folder)
    name = folder.parent.name if folder.name == "vae" else folder.name
    match config.get("_class_name"):
        case "AutoencoderKL":
            from diffusers import AutoencoderKL

            return KlCodec(_pretrained(AutoencoderKL, folder), name, device)
        case "AutoencoderTiny":
            from diffusers import AutoencoderTiny

            return TinyCodec(_pretrained(AutoencoderTiny, folder), name, device)
        case "GlobalVae":
            from .networks import load_global

            return GlobalCodec(load_global(folder), name, device)
        case other:
            raise _wrong_family(name, str(other) if other else "")


def _pretrained(kind: Any, folder: Path) -> Any:
    import torch

    try:
        return kind.from_pretrained(str(folder), use_safetensors=True, local_files_only=True, torch_dtype=torch.float32)
    except (OSError, ValueError, TypeError, KeyError, RuntimeError, AttributeError) as error:
        raise api.BadInput(
            f"The model in {folder.name} is incomplete or does not fit its config.json.", "Download it again."
        ) from error


def _from_file(path: Path, ctx: api.Context) -> Codec:
    shapes = api.model_files.weight_shapes(path)
    if any(name.startswith(checkpoints.LDM_PREFIX) for name in shapes):
        prefix = checkpoints.LDM_PREFIX
    elif "vae.decoder.conv_in.weight" in shapes:
        prefix = "vae."
    else:
        prefix = ""
    shapes = {name.removeprefix(prefix): shape for name, shape in shapes.items() if name.startswith(prefix)}
    if half := checkpoints.is_taesd_half(shapes):
        return _from_taesd(path, half, ctx)
    config = _config_beside(path) or checkpoints.kl_config(shapes) or checkpoints.tiny_config(shapes)
    if config is None:
        raise _wrong_family(path.name, "")
    return _built(config, checkpoints.tensors(path, prefix), path.stem, ctx)


def _config_beside(path: Path) -> dict[str, Any] | None:
    """A single file may still lie in its model folder, whose config says more than the shapes do."""
    if not (path.parent / "config.json").is_file():
        return None
    config = checkpoints.read_config(path.parent)
    return config if config.get("_class_name") in ("AutoencoderKL", "AutoencoderTiny") else None


def _from_taesd(path: Path, half: str, ctx: api.Context) -> Codec:
    other = "decoder" if half == "encoder" else "encoder"
    partner = path.with_name(path.name.replace(half, other))
    if partner == path or not partner.is_file():
        raise api.BadInput(
            f"{path.name} is only the {half} of a TAESD pair.",
            f"Put the {other} beside it, named alike with “{other}”.",
        )
    if checkpoints.is_taesd_half(api.model_files.weight_shapes(partner)) != other:
        raise api.BadInput(f"{partner.name} is not the {other} that {path.name} needs.")
    encoder, decoder = (path, partner) if half == "encoder" else (partner, path)
    state = checkpoints.taesd(checkpoints.tensors(encoder), checkpoints.tensors(decoder))
    config = checkpoints.tiny_config({name: tuple(value.shape) for name, value in state.items()})
    if config is None:
        raise _wrong_family(path.name, "")
    return _built(config, state, path.stem, ctx)


def _built(config: Mapping[str, Any], state: dict[str, Tensor], title: str, ctx: api.Context) -> Codec:
    """Through diffusers' own conversion, with our config, so that nothing is fetched."""
    import torch
    from diffusers import AutoencoderKL, AutoencoderTiny

    try:
        if config["_class_name"] == "AutoencoderTiny":
            tiny = AutoencoderTiny.from_config(dict(config))
            tiny.load_state_dict(state)
            return TinyCodec(tiny.float(), title, ctx.device)
        folder = ctx.scratch / "vae-config"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
        kl = AutoencoderKL.from_single_file(state, config=str(folder), local_files_only=True, torch_dtype=torch.float32)
        return KlCodec(kl, title, ctx.device)
    except (OSError, ValueError, TypeError, KeyError, RuntimeError, AttributeError) as error:
        raise api.BadInput(
            f"{title} is an autoencoder of a kind that is not known here.", "Choose another model."
        ) from error


def _from_hub(name: str, device: str) -> Codec:
    """From the cache without asking the net; only what is not there is downloaded."""
    try:
        return _fetched(name, device, offline=True)
    except (OSError, ValueError):
        pass
    try:
        return _fetched(name, device, offline=False)
    except (OSError, ValueError) as error:
        raise api.BadInput(
            f"The model {name} is not on this computer and could not be had from the Hugging Face hub.",
            "Check the name and the connection, or choose a folder.",
        ) from error


def _fetched(name: str, device: str, *, offline: bool) -> Codec:
    import torch
    from diffusers import AutoencoderKL, AutoencoderTiny

    codecs: dict[str, tuple[Any, type[Codec]]] = {
        "AutoencoderKL": (AutoencoderKL, KlCodec),
        "AutoencoderTiny": (AutoencoderTiny, TinyCodec),
    }
    inside: dict[str, str] = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # diffusers passes on what the hub's library has deprecated
        try:
            config = AutoencoderKL.load_config(name, local_files_only=offline)
        except OSError:
            inside = {"subfolder": "vae"}
            config = AutoencoderKL.load_config(name, local_files_only=offline, **inside)
        if config.get("_class_name") not in codecs:
            raise _wrong_family(name, str(config.get("_class_name", "")))
        kind, codec = codecs[config["_class_name"]]
        network = kind.from_pretrained(
            name, use_safetensors=True, local_files_only=offline, torch_dtype=torch.float32, **inside
        )
    return codec(network, name, device)


def _wrong_family(name: str, kind: str) -> api.BadInput:
    what = f"a {kind}" if kind else "something else"
    return api.BadInput(
        f"{name} is {what}, and an autoencoder is needed.", "Choose an AutoencoderKL or AutoencoderTiny."
    )
