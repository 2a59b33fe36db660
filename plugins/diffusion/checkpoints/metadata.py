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
from .families import KNOWN, Family
from .pipeline_defaults import PIPELINES, Usual, stem

DENOISERS = ("unet", "transformer", "prior", "decoder")
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
        from . import single_file_metadata

        return single_file_metadata.of_file(path, _stamp(path))
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
