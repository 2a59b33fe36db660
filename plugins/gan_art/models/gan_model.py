"""A GAN on a device, and its folder: config.json, safetensors of generator and discriminator, and a model card."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from studio import api

if TYPE_CHECKING:
    from torch import Tensor

    from ..networks.generator import LatentGenerator
    from ..networks.layers import Noise
    from ..networks.stylegan2 import Discriminator

MODEL_KIND = "gan"
STARTER = "gan-fruit"
CONFIG, GENERATOR, DISCRIMINATOR = "config.json", "generator.safetensors", "discriminator.safetensors"
FORMAT = 1
MAX_CONFIG = 2**20


@dataclass(frozen=True)
class GanConfig:
    """What config.json says about the networks beside it; sizes and widths are those of the tensors."""

    architecture: str = "stylegan2"
    class_names: tuple[str, ...] = ()
    clamp: float | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    """Facts of an architecture that its tensors do not show."""


@dataclass(frozen=True)
class GanModel:
    """A generator for inference, and its discriminator if there is one."""

    generator: LatentGenerator
    title: str
    config: GanConfig
    device: str = "cpu"
    discriminator: Discriminator | None = None
    folder: Path | None = None

    @property
    def megabytes(self) -> float:
        """Size of the weights in memory, in MB."""
        networks: list[Any] = [self.generator, self.discriminator]
        values = [value for network in networks if network is not None for value in network.parameters()]
        return float(sum(value.numel() * value.element_size() for value in values)) / 1e6

    @property
    def class_names(self) -> list[str]:
        """Names of the classes; their numbers where they have no names."""
        names = [*self.config.class_names[: self.generator.classes]]
        return names + [str(number) for number in range(len(names), self.generator.classes)]

    @cached_property
    def style_space(self) -> str:
        """A digest of the mapping network: models with the same one share the meaning of styles.

        That of all weights where there is no mapping network.
        """
        generator: Any = self.generator
        weights: dict[str, Tensor] = generator.state_dict()
        mapping = {name: value for name, value in weights.items() if name.startswith("mapping.")}
        digest = hashlib.sha256()
        for name, value in sorted((mapping or weights).items()):
            digest.update(name.encode() + value.cpu().float().contiguous().numpy().tobytes())
        return digest.hexdigest()

    def find_class(self, name: str) -> int:
        """Return the number of a class by its name or number. Raises BadInput for one that does not exist."""
        wanted = name.strip().casefold()
        for number, known in enumerate(self.class_names):
            if wanted in (known.casefold(), str(number)):
                return number
        if not self.generator.classes:
            raise api.BadInput(f"{self.title} has no classes.", "Leave the class empty.")
        names = ", ".join(self.class_names[:20]) + (" …" if self.generator.classes > 20 else "")
        raise api.BadInput(f"{self.title} has no class “{name}”.", f"Choose one of these: {names}.")

    def build_labels(self, classes: Sequence[int]) -> Tensor | None:
        """Return one-hot labels [n, classes] of class numbers; None for an unconditional model."""
        import torch

        if not self.generator.classes:
            return None
        return torch.eye(self.generator.classes, device=self.device)[[*classes]]

    def map_latents(
        self, latents: Tensor, classes: Sequence[int] = (), *, truncation: float = 1.0, cutoff: int | None = None
    ) -> Tensor:
        """Return the styles [n, layers, style size] of latents [n, latent size].

        `truncation` (psi) moves the styles of the first `cutoff` layers towards the mean style: 1 leaves them, 0 gives
        the mean image. Where there is no mapping network, it scales the latents.
        """
        import torch

        with torch.inference_mode():
            styles = self.generator.map_latents(latents.to(self.device), self.build_labels(classes))
            return self.truncate(styles, classes, truncation, cutoff)

    def truncate(
        self, styles: Tensor, classes: Sequence[int] = (), truncation: float = 1.0, cutoff: int | None = None
    ) -> Tensor:
        """Move styles [n, layers, style size] towards the mean style (of their class)."""
        if truncation == 1.0:
            return styles
        mean = self.generator.mean_style
        if len(mean) > 1:
            mean = mean[[*classes]]
        count = styles.shape[1] if cutoff is None else cutoff
        moved = styles.clone()
        moved[:, :count] = mean[:, None] + truncation * (styles[:, :count] - mean[:, None])
        return moved

    def synthesize(self, styles: Tensor, noise: Noise = "const") -> Tensor:
        """Return images [n, channels, height, width] in -1..1, on the CPU."""
        import torch

        with torch.inference_mode():
            return self.generator.synthesize(styles.to(self.device), noise).float().clamp(-1, 1).cpu()


def save_gan(
    folder: Path,
    generator: Mapping[str, Tensor],
    config: GanConfig,
    discriminator: Mapping[str, Tensor] | None = None,
    *,
    compress: bool = False,
    half: bool = True,
) -> None:
    """Write the state dicts of a GAN as float16 into a new folder; with `compress`, convolutions as int8.

    Without `half` the weights are written as they are: those of other programs may be too large for float16.

    Raises StudioError when the disk is full or the folder may not be written.
    """
    from safetensors.torch import save_file

    folder.mkdir(parents=True, exist_ok=True)
    for name, weights in ((GENERATOR, generator), (DISCRIMINATOR, discriminator)):
        if weights is None:
            continue
        cpu = {key: value.detach().cpu().contiguous().clone() for key, value in weights.items()}
        stored = api.int8_weights.quantize(cpu) if compress else _halve(cpu) if half else cpu
        with api.atomic_write(folder / name) as part:
            save_file(stored, part)
    content = {
        "format": FORMAT,
        "architecture": config.architecture,
        "class_names": [*config.class_names],
        "clamp": config.clamp,
        "options": dict(config.options),
    }
    with api.atomic_write(folder / CONFIG) as part:
        part.write_text(json.dumps(content, indent=2, ensure_ascii=False), encoding="utf-8")


def load_gan(ctx: api.Context, choice: str) -> GanModel:
    """Load the GAN of a `ModelChoice` on the job's device, through the model cache.

    Raises BadInput for a model that is missing, damaged, or no GAN.
    """
    if not choice:
        raise api.BadInput("No GAN is chosen.", "Choose one, or train one with “Train a GAN”.")
    path = Path(ctx.model(choice))
    key = f"gan:{path.resolve()}:{api.model_files.file_stamp(path)}:{ctx.device}"
    return ctx.models.load(key, lambda: open_gan(path, ctx.device))


def open_gan(folder: Path, device: str = "cpu") -> GanModel:
    """Open the GAN in a folder of the studio. Raises BadInput for anything else."""
    if not folder.is_dir():
        raise api.BadInput(
            f"{folder.name} is not a GAN of the studio.", "Convert a downloaded file with “Import a GAN” first."
        )
    api.model_files.refuse_pointers(folder)
    config = read_config(folder)
    generator = load_generator(folder, config)
    api.model_files.check_weights(generator, folder.name)
    discriminator = load_discriminator(folder, config, generator) if (folder / DISCRIMINATOR).is_file() else None
    for network in filter(None, (generator, discriminator)):
        network.float().eval().requires_grad_(False).to(device)
    return GanModel(generator, api.model_files.read_title(folder), config, device, discriminator, folder)


def read_config(folder: Path) -> GanConfig:
    """Read config.json of a GAN's folder. Raises BadInput if it is missing or damaged."""
    path = folder / CONFIG
    damaged = api.BadInput(f"The config.json of {folder.name} is damaged.", "Import or train the model again.")
    try:
        if path.stat().st_size > MAX_CONFIG:
            raise damaged
        content = json.loads(path.read_bytes())
        names, clamp, options = content["class_names"], content["clamp"], content["options"]
        if not all(isinstance(name, str) for name in names) or not isinstance(options, dict):
            raise damaged
        return GanConfig(str(content["architecture"]), tuple(names), None if clamp is None else float(clamp), options)
    except FileNotFoundError as error:
        raise api.BadInput(f"{folder.name} is no GAN: it has no config.json.", "Choose another model.") from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise damaged from error


def load_generator(folder: Path, config: GanConfig) -> Any:
    """Return the generator in a GAN's folder, on the CPU. Raises BadInput if it is damaged."""
    from ..networks import registry

    weights = read_weights(folder / GENERATOR)
    with api.model_files.quiet_load(_describe_damage(folder)):
        return registry.build_generator(config.architecture, weights, clamp=config.clamp, options=config.options)


def load_discriminator(folder: Path, config: GanConfig, generator: LatentGenerator) -> Discriminator:
    """Return the discriminator in a GAN's folder, on the CPU. Raises BadInput if it is damaged."""
    from ..networks import registry

    weights = read_weights(folder / DISCRIMINATOR)
    with api.model_files.quiet_load(_describe_damage(folder)):
        return registry.build_discriminator(weights, generator.image_size, clamp=config.clamp)


def read_weights(path: Path) -> dict[str, Tensor]:
    """Read a safetensors file of a GAN's folder as float32. Raises BadInput if it is damaged."""
    from safetensors.torch import load_file

    with api.model_files.quiet_load(api.BadInput(f"{path.name} is missing or damaged.", "Get the model again.")):
        weights = api.int8_weights.dequantize(load_file(path))
    return {name: value.float() if value.is_floating_point() else value for name, value in weights.items()}


def _describe_damage(folder: Path) -> api.BadInput:
    return api.BadInput(f"The weights of {folder.name} do not fit to its config.json.", "Get the model again.")


def _halve(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: value.half() if value.is_floating_point() else value for name, value in weights.items()}
