"""Metadata of models: read from their files, without loading the weights or importing diffusers."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from studio import api

from . import diffusers_folder, probe, single_file, weight_variants
from .families import DENOISERS, FAMILIES, Family
from .pipeline_defaults import PIPELINE_DEFAULTS, PipelineDefaults, pipeline_stem
from .probe import Shapes
from .single_file_configs import LAYOUTS, Config

_NOT_LOADED = ("model_ema.",)
_AUTOENCODERS = ("vae", "vqgan", "movq", "vqvae")


@dataclass(frozen=True)
class ModelMetadata:
    """Properties of a model, with the same names as in `models.model.Model` where both have them.

    `pipeline` is the class name without its task, such as ``StableDiffusionXL``. The weight counts are numbers, not
    bytes. `quantized_bytes` stay as they are in the file, whatever the precision, and are not in `weight_count`.
    `tokenizer_folders` is empty where the tokenizer is CLIP's own.
    """

    title: str
    pipeline: str
    defaults: PipelineDefaults
    family: Family
    weight_count: int
    denoiser_weight_count: int
    denoiser_config: Config
    autoencoder_config: Config
    tokenizer_folders: tuple[Path, ...] = ()
    quantized_bytes: int = 0

    @property
    def scale_factor(self) -> int:
        """Pixels along a side of a latent pixel."""
        for name in ("block_out_channels", "encoder_block_out_channels"):
            if isinstance(blocks := self.autoencoder_config.get(name), list) and blocks:
                return int(2 ** (len(blocks) - 1))
        return int(2 ** len(self.autoencoder_config.get("temperal_downsample") or (1, 1, 1)))

    @property
    def multiple(self) -> int:
        """Number of pixels that the sides of an image must be multiples of."""
        return math.lcm(8, self.scale_factor * self.family.multiple)

    @property
    def size(self) -> int:
        """Side in pixels of the images that the model was made for."""
        size = self.denoiser_config.get("sample_size")
        size = size[0] if isinstance(size, list) and size else size
        return (int(size) if size else self.family.native_size // 8) * self.scale_factor


def metadata_of(ctx: api.EstimateContext, choice: str) -> ModelMetadata | None:
    """Read the metadata of a chosen model.

    Returns None for a model that is not on this computer, or of no known family. Raises BadInput for a damaged one.
    """
    path = ctx.model(choice)
    if not isinstance(path, Path):
        return None
    path = single_file.find_in_folder(path)
    if path.is_file():
        return file_metadata(path, api.model_files.file_stamp(path))
    starters = (
        diffusers_folder.read_json(path, diffusers_folder.STUDIO_FILE).get("components", {})
        if (path / diffusers_folder.STUDIO_FILE).is_file()
        else {}
    )
    return folder_metadata(path, tuple((name, ctx.starter(starter)) for name, starter in starters.items()))


def count_weights(path: Path) -> int:
    """Count the numbers in the weights of a file or a folder, without those of quantised (GGUF) files."""
    files = [] if probe.is_gguf(path) else _weight_files(path)
    return sum(math.prod(shape) for file in files for shape in api.model_files.read_weight_shapes(file).values())


def count_quantized_bytes(path: Path) -> int:
    """Count the bytes that stay quantised in memory: the size of a GGUF file, 0 for anything else."""
    return path.stat().st_size if probe.is_gguf(path) and path.is_file() else 0


def folder_metadata(path: Path, borrowed: tuple[tuple[str, Path], ...] = ()) -> ModelMetadata | None:
    """Read the metadata of a diffusers folder; `borrowed` are components (name, folder) that lie in other folders."""
    return _folder_metadata(path, api.model_files.file_stamp(path), borrowed)


@lru_cache(maxsize=16)
def _folder_metadata(path: Path, stamp: int, borrowed: tuple[tuple[str, Path], ...]) -> ModelMetadata | None:  # noqa: ARG001
    index = diffusers_folder.read_json(path, diffusers_folder.INDEX)
    pipeline = pipeline_stem(str(index.get("_class_name")))
    defaults = PIPELINE_DEFAULTS.get(pipeline)
    if defaults is None or defaults.family not in FAMILIES:
        return None
    names = [name for name, source in index.items() if isinstance(source, list) and source[:1] != [None]]
    components = {name: path / name for name in names if not name.startswith("_")} | dict(borrowed)
    counts = {name: count_weights(component) for name, component in components.items()}
    return ModelMetadata(
        title=path.name,
        pipeline=pipeline,
        defaults=defaults,
        family=diffusers_folder.with_own_defaults(path, FAMILIES[defaults.family]),
        weight_count=sum(counts.values()),
        denoiser_weight_count=sum(counts.get(name, 0) for name in DENOISERS),
        denoiser_config=_read_config(components, DENOISERS),
        autoencoder_config=_read_config(components, _AUTOENCODERS),
        tokenizer_folders=tuple(
            component for name, component in sorted(components.items()) if name.startswith("tokenizer")
        ),
    )


def file_metadata(path: Path, stamp: int) -> ModelMetadata | None:
    """Read the metadata of a single file, and of the folder beside it that provides the other components.

    Returns None for what is no model of a known kind, or lacks components that no folder beside it has. A file that
    has another `stamp` is read again. Raises BadInput for a damaged one.
    """
    shapes = _read_shapes(path, stamp)
    layout = LAYOUTS.get(probe.identify(shapes).layout)
    if layout is None:
        return None
    file_weights = sum(map(math.prod, shapes.values()))
    folder = _find_components_folder(path, layout.families)
    quantized = count_quantized_bytes(path)
    tokenizers: tuple[Path, ...] = ()
    folder_weights = 0
    if layout.pipeline and not quantized:
        pipeline = pipeline_stem(layout.pipeline)
        denoiser = next((part.config for name, part in layout.components.items() if name in DENOISERS), {})
        autoencoder = layout.components["vae"].config
    elif folder is not None:
        pipeline, denoiser, autoencoder = folder.pipeline, folder.denoiser_config, folder.autoencoder_config
        tokenizers = folder.tokenizer_folders
        folder_weights = folder.weight_count - folder.denoiser_weight_count
    else:
        return None
    defaults = PIPELINE_DEFAULTS[pipeline]
    if defaults.family not in FAMILIES:
        return None
    return ModelMetadata(
        title=path.name,
        pipeline=pipeline,
        defaults=defaults,
        family=FAMILIES[defaults.family],
        weight_count=folder_weights if quantized else file_weights + folder_weights,
        denoiser_weight_count=file_weights,
        denoiser_config=denoiser,
        autoencoder_config=autoencoder,
        tokenizer_folders=tokenizers,
        quantized_bytes=quantized,
    )


@lru_cache(maxsize=16)
def _read_shapes(path: Path, stamp: int) -> Shapes:  # noqa: ARG001
    return {name: shape for name, shape in probe.read_shapes(path).items() if not name.startswith(_NOT_LOADED)}


def _find_components_folder(path: Path, families: tuple[str, ...]) -> ModelMetadata | None:
    """Find the folder that provides what a file lacks, by the rule of `single_file`."""
    candidates = []
    for index in sorted(path.parent.glob(f"*/{diffusers_folder.INDEX}")):
        folder = folder_metadata(index.parent)
        if folder is not None and folder.defaults.family in families:
            candidates.append(folder)
    return min(candidates, key=lambda folder: families.index(folder.defaults.family), default=None)


def _read_config(components: Mapping[str, Path], names: tuple[str, ...]) -> Config:
    """Read the configuration of the first of these components that there is."""
    for name in names:
        file = components.get(name, Path()) / "config.json"
        if name in components and file.is_file():
            value = json.loads(file.read_bytes())
            return value if isinstance(value, dict) else {}
    return {}


def _weight_files(path: Path) -> Iterator[Path]:
    """Yield the files that are loaded: a variant such as ``model.fp16.safetensors`` only without any other."""
    if path.is_file():
        yield path
        return
    files = sorted(path.glob("*.safetensors"))
    variant = [path / name for name in weight_variants.choose_variant(file.name for file in files)[1]]
    yield from [file for file in files if "." not in file.stem] or variant or files
