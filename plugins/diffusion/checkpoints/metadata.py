"""What a model's files say of it, read without loading it or importing what it would be loaded with."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from studio import api

from . import diffusers_folder, probe, weight_variants
from .families import DENOISERS, KNOWN, Family
from .pipeline_defaults import PIPELINES, Usual, stem
from .probe import Shapes
from .single_file_configs import LAYOUTS

_NOT_LOADED = ("model_ema.",)
_CODERS = ("vae", "vqgan", "movq", "vqvae")
Config = Mapping[str, Any]


@dataclass(frozen=True)
class Facts:
    """Like `loading.Model` where sizes are asked for. `weights` are numbers, not bytes: of the whole model, and
    of what denoises; `texts` are the folders of its tokenizers, none where they are CLIP's own. `packed` are bytes
    that stay as they are in the file, whatever the precision; those are not among the `weights` of the whole."""

    title: str
    kind: str
    usual: Usual
    family: Family
    weights: int
    denoiser_weights: int
    denoiser: Config
    coder: Config
    texts: tuple[Path, ...] = ()
    packed: int = 0

    @property
    def factor(self) -> int:
        """Pixels along a side of a latent pixel."""
        for name in ("block_out_channels", "encoder_block_out_channels"):
            if isinstance(blocks := self.coder.get(name), list) and blocks:
                return int(2 ** (len(blocks) - 1))
        return int(2 ** len(self.coder.get("temperal_downsample") or (1, 1, 1)))

    @property
    def multiple(self) -> int:
        """Sides must be multiples of this, in pixels."""
        return math.lcm(8, self.factor * self.family.multiple)

    @property
    def size(self) -> int:
        """Side in pixels of the pictures that the model was made for."""
        size = self.denoiser.get("sample_size")
        size = size[0] if isinstance(size, list) and size else size
        return (int(size) if size else self.family.own_size // 8) * self.factor


def found(ctx: api.EstimateContext, choice: str) -> Facts | None:
    """None for a model that is not on this computer, or of no known kind. Raises BadInput for a damaged one."""
    path = ctx.model(choice)
    if not isinstance(path, Path):
        return None
    if path.is_file():
        return of_file(path, _stamp(path))
    borrowed = (
        diffusers_folder.read(path, diffusers_folder.ABOUT).get("components", {})
        if (path / diffusers_folder.ABOUT).is_file()
        else {}
    )
    return of_folder(path, tuple((name, ctx.starter(one)) for name, one in borrowed.items()))


def count(path: Path) -> int:
    """The numbers in the weights of a file or a folder that are held at a job's precision."""
    files = [] if probe.is_gguf(path) else _files(path)
    return sum(math.prod(shape) for file in files for shape in api.weight_shapes(file).values())


def packed(path: Path) -> int:
    """The bytes that are held as they are in a file: all of a GGUF file."""
    return path.stat().st_size if probe.is_gguf(path) and path.is_file() else 0


def of_folder(path: Path, borrowed: tuple[tuple[str, Path], ...] = ()) -> Facts | None:
    """For a diffusers folder, with the components that come from other folders."""
    return _of_folder(path, _stamp(path), borrowed)


@lru_cache(maxsize=16)
def _of_folder(path: Path, stamp: int, borrowed: tuple[tuple[str, Path], ...]) -> Facts | None:  # noqa: ARG001
    index = diffusers_folder.read(path, diffusers_folder.INDEX)
    kind = stem(str(index.get("_class_name")))
    usual = PIPELINES.get(kind)
    if usual is None or usual.family not in KNOWN:
        return None
    names = [name for name, source in index.items() if isinstance(source, list) and source[:1] != [None]]
    parts = {name: path / name for name in names if not name.startswith("_")} | dict(borrowed)
    weights = {name: count(part) for name, part in parts.items()}
    return Facts(
        title=path.name,
        kind=kind,
        usual=usual,
        family=diffusers_folder.as_told(path, KNOWN[usual.family]),
        weights=sum(weights.values()),
        denoiser_weights=sum(weights.get(name, 0) for name in DENOISERS),
        denoiser=_config(parts, DENOISERS),
        coder=_config(parts, _CODERS),
        texts=tuple(part for name, part in sorted(parts.items()) if name.startswith("tokenizer")),
    )


def of_file(path: Path, stamp: int) -> Facts | None:
    """None for what is no model of a known kind, or lacks parts that no folder beside it has.

    A file that has another `stamp` is read again. Raises BadInput for a damaged one.
    """
    shapes = _shapes(path, stamp)
    layout = LAYOUTS.get(probe.probed(shapes).layout)
    if layout is None:
        return None
    weights = sum(map(math.prod, shapes.values()))
    beside = _beside(path, layout.families)
    bytes_packed = packed(path)
    if layout.pipeline and not bytes_packed:
        kind = stem(layout.pipeline)
        denoiser = next((part.config for name, part in layout.parts.items() if name in DENOISERS), {})
        coder: Config = layout.parts["vae"].config
        texts: tuple[Path, ...] = ()
        rest = 0
    elif beside is not None:
        kind, denoiser, coder, texts = beside.kind, beside.denoiser, beside.coder, beside.texts
        rest = beside.weights - beside.denoiser_weights
    else:
        return None
    usual = PIPELINES[kind]
    if usual.family not in KNOWN:
        return None
    held = rest if bytes_packed else weights + rest
    return Facts(path.name, kind, usual, KNOWN[usual.family], held, weights, denoiser, coder, texts, bytes_packed)


@lru_cache(maxsize=16)
def _shapes(path: Path, stamp: int) -> Shapes:  # noqa: ARG001
    return {name: shape for name, shape in probe.shapes_in(path).items() if not name.startswith(_NOT_LOADED)}


def _beside(path: Path, families: tuple[str, ...]) -> Facts | None:
    """The folder that gives what a file lacks, as `single_file` chooses it."""
    found = []
    for index in sorted(path.parent.glob(f"*/{diffusers_folder.INDEX}")):
        one = of_folder(index.parent)
        if one is not None and one.usual.family in families:
            found.append(one)
    return min(found, key=lambda one: families.index(one.usual.family), default=None)


def _stamp(path: Path) -> int:
    """Another one when a file or a folder is saved again under its name."""
    files = [path] if path.is_file() else [*path.glob("*.json"), *path.glob("*/*")]
    return max((file.stat().st_mtime_ns for file in files), default=0)


def _config(parts: Mapping[str, Path], names: tuple[str, ...]) -> Config:
    for name in names:
        file = parts.get(name, Path()) / "config.json"
        if name in parts and file.is_file():
            value = json.loads(file.read_text("utf-8"))
            return value if isinstance(value, dict) else {}
    return {}


def _files(path: Path) -> Iterator[Path]:
    """Those that are loaded: a variant, such as ``model.fp16.safetensors``, only where there is nothing else."""
    if path.is_file():
        yield path
        return
    found = sorted(path.glob("*.safetensors"))
    half = [path / name for name in weight_variants.chosen(file.name for file in found)[1]]
    yield from [file for file in found if "." not in file.stem] or half or found
