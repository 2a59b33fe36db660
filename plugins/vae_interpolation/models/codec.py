"""Autoencoders of every kind behind one interface: a starter, a folder, a single file, or a hub id."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from studio import api

from . import checkpoints

if TYPE_CHECKING:
    from diffusers import ModelMixin
    from torch import Tensor

SPATIAL_STARTER = "vae-spatial"
GLOBAL_STARTER = "vae-global"
MODEL_KINDS = "autoencoder global-autoencoder"
"""Kinds of models that can encode and decode pictures."""


class Codec(ABC):
    """Encodes pictures to latents and decodes them. Latents are the means of the posterior, not rescaled."""

    is_spatial: ClassVar[bool]
    """Whether the latent is a small picture; otherwise it is one vector for the whole picture."""

    def __init__(self, network: Any, title: str, device: str) -> None:
        """Put a network on the device for inference. `title` names it in messages.

        Raises BadInput for weights that are absent or not finite.
        """
        api.model_files.check_weights(network, title)
        self.network = network.eval().requires_grad_(False).to(device)
        self.title = title
        self.device = device

    @property
    def can_dream(self) -> bool:
        """Whether new pictures can be sampled from it."""
        return not self.is_spatial

    @property
    @abstractmethod
    def factor(self) -> int:
        """Sides of pictures must be multiples of this."""

    @property
    @abstractmethod
    def size(self) -> int:
        """Side in pixels of the training pictures, and of all pictures if it is global."""

    @abstractmethod
    def encode(self, images: Tensor) -> Tensor:
        """Encode images [n, 3, h, w] in -1..1 to latents [n, c, h / factor, w / factor], or [n, d] if global."""

    @abstractmethod
    def decode(self, latents: Tensor) -> Tensor:
        """Decode latents to images; values may slightly exceed -1..1."""


class KlCodec(Codec):
    """diffusers' `AutoencoderKL`."""

    is_spatial = True

    @property
    def factor(self) -> int:
        return int(2 ** (len(self.network.config.block_out_channels) - 1))

    @property
    def size(self) -> int:
        size = self.network.config.sample_size
        return int(size if isinstance(size, int) else size[0])

    def encode(self, images: Tensor) -> Tensor:
        return self._run_within_memory(lambda: self.network.encode(images.to(self.device)).latent_dist.mode())

    def decode(self, latents: Tensor) -> Tensor:
        return self._run_within_memory(lambda: self.network.decode(latents.to(self.device)).sample)

    def _run_within_memory(self, step: Callable[[], Tensor]) -> Tensor:
        """Run a step, and switch to tiles if the device has too little memory for the whole picture."""
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
    """diffusers' `AutoencoderTiny` (TAESD and similar)."""

    is_spatial = True

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

    is_spatial = False

    @property
    def factor(self) -> int:
        return int(self.network.config.size)

    @property
    def size(self) -> int:
        return int(self.network.config.size)

    @property
    def latent_size(self) -> int:
        """Number of values in a latent."""
        return int(self.network.config.latent)

    def dream(self, noise: Tensor) -> Tensor:
        """Return latents of new pictures, [n, latent_size], from standard normal noise of the same shape."""
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


def load_codec(ctx: api.Context, choice: str) -> Codec:
    """Load the model of a `ModelChoice` value in float32 on the job's device, or return the loaded one.

    Raises BadInput for a model that is missing, damaged, a pickle, a Git LFS pointer, or not an autoencoder.
    """
    model = ctx.model(choice)
    path = Path(model) if Path(model).exists() else None
    stamp = api.model_files.file_stamp(path) if path else 0
    key = f"vae:{path.resolve() if path else model}:{stamp}:{ctx.device}"

    def loader() -> Codec:
        if path is None:
            return _load_from_hub(str(model), ctx.device)
        return _load_folder(path, ctx.device) if path.is_dir() else _load_file(path, ctx)

    return ctx.models.load(key, loader)


def _load_folder(folder: Path, device: str) -> Codec:
    subfolder = folder / "vae"
    if not (folder / "config.json").is_file() and (subfolder / "config.json").is_file():
        folder = subfolder
    api.model_files.refuse_pointers(folder)
    config = checkpoints.read_config(folder)
    checkpoints.check_folder(folder)
    name = api.model_files.read_title(folder.parent if folder.name == "vae" else folder)
    match config.get("_class_name"):
        case "AutoencoderKL":
            from diffusers import AutoencoderKL

            return KlCodec(_load_pretrained(AutoencoderKL, folder), name, device)
        case "AutoencoderTiny":
            from diffusers import AutoencoderTiny

            return TinyCodec(_load_pretrained(AutoencoderTiny, folder), name, device)
        case "GlobalVae":
            from .networks import load_global

            return GlobalCodec(load_global(folder), name, device)
        case class_name:
            raise _wrong_model_error(name, str(class_name) if class_name else "")


def _load_pretrained(model_class: type[ModelMixin], folder: Path) -> Any:
    import torch

    sentence = f"The model in {folder.name} is incomplete or does not fit its config.json."
    with api.model_files.quiet_load(api.BadInput(sentence, "Download it again.")):
        network, report = model_class.from_pretrained(
            str(folder),
            use_safetensors=True,
            local_files_only=True,
            torch_dtype=torch.float32,
            output_loading_info=True,
        )
    api.model_files.check_loaded(folder.name, report["missing_keys"])
    return network


def _load_file(path: Path, ctx: api.Context) -> Codec:
    if path.suffix.lower() in api.model_files.PICKLE_SUFFIXES:
        return TinyCodec(api.tiny_autoencoders.load(path), path.stem, ctx.device)
    shapes = api.model_files.read_weight_shapes(path)
    api.model_files.refuse_whole_numbers_in_file(path, path.name)
    if any(name.startswith(checkpoints.LDM_PREFIX) for name in shapes):
        prefix = checkpoints.LDM_PREFIX
    elif "vae.decoder.conv_in.weight" in shapes:
        prefix = "vae."
    else:
        prefix = ""
    shapes = {name.removeprefix(prefix): shape for name, shape in shapes.items() if name.startswith(prefix)}
    if api.tiny_autoencoders.find_halves(shapes):
        return TinyCodec(api.tiny_autoencoders.load(path), path.stem, ctx.device)
    config = _read_config_beside(path) or checkpoints.infer_kl_config(shapes)
    if config is None:
        raise _wrong_model_error(path.name, "")
    return _build(config, checkpoints.load_tensors(path, prefix), path.stem, ctx)


def _read_config_beside(path: Path) -> dict[str, Any] | None:
    """Return the config beside a single file that lies in its model folder: it has more than the shapes tell."""
    if not (path.parent / "config.json").is_file():
        return None
    config = checkpoints.read_config(path.parent)
    return config if config.get("_class_name") == "AutoencoderKL" else None


def _build(config: Mapping[str, Any], state: dict[str, Tensor], title: str, ctx: api.Context) -> Codec:
    """Build a model by diffusers' own conversion, with our config, so that nothing is downloaded."""
    import torch
    from diffusers import AutoencoderKL

    unknown = api.BadInput(f"{title} is an autoencoder of an unknown kind.", "Choose another model.")
    with api.model_files.quiet_load(unknown):
        folder = ctx.scratch / "vae-config"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
        kl = AutoencoderKL.from_single_file(state, config=str(folder), local_files_only=True, torch_dtype=torch.float32)
        return KlCodec(kl, title, ctx.device)


def _load_from_hub(name: str, device: str) -> Codec:
    """Load a model from the hub's cache without using the network, or download it if it is not there."""
    try:
        return _load_by_name(name, device, offline=True)
    except (OSError, ValueError):
        pass
    try:
        return _load_by_name(name, device, offline=False)
    except (OSError, ValueError) as error:
        raise api.BadInput(
            f"The model {name} is not on this computer and could not be downloaded from the Hugging Face hub.",
            "Check the name and the connection, or choose a folder.",
        ) from error


def _load_by_name(name: str, device: str, *, offline: bool) -> Codec:
    import torch
    from diffusers import AutoencoderKL, AutoencoderTiny

    codecs: dict[str, tuple[type[ModelMixin], type[Codec]]] = {
        "AutoencoderKL": (AutoencoderKL, KlCodec),
        "AutoencoderTiny": (AutoencoderTiny, TinyCodec),
    }
    subfolder: dict[str, str] = {}
    with api.model_files.quiet_load():
        try:
            config = AutoencoderKL.load_config(name, local_files_only=offline)
        except OSError:
            subfolder = {"subfolder": "vae"}
            config = AutoencoderKL.load_config(name, local_files_only=offline, **subfolder)
        if config.get("_class_name") not in codecs:
            raise _wrong_model_error(name, str(config.get("_class_name", "")))
        model_class, codec_class = codecs[config["_class_name"]]
        network = model_class.from_pretrained(
            name, use_safetensors=True, local_files_only=offline, torch_dtype=torch.float32, **subfolder
        )
    return codec_class(network, name, device)


def _wrong_model_error(name: str, class_name: str) -> api.BadInput:
    needed = f"{name} is a {class_name}, and an autoencoder is needed."
    return api.BadInput(
        needed if class_name else f"{name} is not an autoencoder.", "Choose an AutoencoderKL or AutoencoderTiny."
    )
