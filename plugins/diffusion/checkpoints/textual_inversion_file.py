"""Textual inversions in files: ``emb_params``, diffusers' ``<token>``, ``clip_l`` and ``clip_g``, or inside a LoRA."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from studio import api

from . import lora_names, probe

if TYPE_CHECKING:
    from torch import Tensor

SINGLE, PAIR = "emb_params", ("clip_l", "clip_g")
"""Names of the vectors in a file for one text encoder, and for the two of Stable Diffusion XL."""
_FAMILY_BY_WIDTHS = {
    (768,): "Stable Diffusion 1",
    (1024,): "Stable Diffusion 2",
    (768, 1280): "Stable Diffusion XL",
    (1280,): "the refiner of Stable Diffusion XL",
}


@dataclass(frozen=True)
class Source:
    """Where the vectors of a textual inversion are: a file of its own, or a LoRA that holds them under `word`."""

    path: Path
    word: str = ""

    @property
    def title(self) -> str:
        return f"{self.word} in {self.path.name}" if self.word else self.path.name


def find_file(path: Path) -> Path:
    """Return the file of a textual inversion, which may be the only one in a folder. Raises BadInput otherwise."""
    files = sorted(path.glob("*.safetensors")) if path.is_dir() else [path]
    if len(files) != 1:
        raise api.BadInput(f"{path.name} is no folder of a textual inversion.", "Choose its safetensors file.")
    read_shapes(Source(files[0]))
    return files[0]


def read_shapes(source: Source) -> probe.Shapes:
    """Read the shapes of a textual inversion: ``emb_params``, diffusers' ``<token>``, or ``clip_l`` and ``clip_g``.

    Raises BadInput for a file that is damaged or something else.
    """
    in_file = api.model_files.read_weight_shapes(source.path)
    shapes = {role: in_file[name] for role, name in _tensor_names(source).items()}
    pair: dict[str, tuple[int, ...]] = {name: shapes[name] for name in PAIR if name in shapes}
    if not (pair or len(shapes) == 1) or any(not 1 <= len(shape) <= 2 or 0 in shape for shape in shapes.values()):
        raise api.BadInput(
            f"{source.title} is {probe.identify(shapes).description}, and no textual inversion.", "Choose another file."
        )
    return pair or shapes


def read_vectors(source: Source, key: str) -> Tensor:
    """Read the vectors [n, width] for one encoder. In a file for one encoder they are found under any name."""
    from safetensors import safe_open

    names = _tensor_names(source)
    with safe_open(source.path, "pt") as file:
        vectors: Tensor = file.get_tensor(names.get(key) or next(iter(names.values())))
    return vectors.reshape(-1, vectors.shape[-1])


def count_rows(shape: tuple[int, ...]) -> int:
    """Return the number of vectors that a tensor of this shape has."""
    return shape[0] if len(shape) > 1 else 1


def describe_widths(widths: Sequence[int]) -> str:
    """Name the family whose text encoders have embeddings of these widths."""
    numbers = " and ".join(map(str, widths))
    return f"{_FAMILY_BY_WIDTHS.get(tuple(widths), 'a model of another kind')} (embeddings of {numbers} numbers)"


def describe_mismatch(source: Source, shapes: probe.Shapes, title: str, widths: Sequence[int]) -> api.BadInput:
    """Return the error that says that a textual inversion does not fit the model `title` with these widths."""
    in_file = tuple(shapes[name][-1] for name in sorted(shapes, reverse=True))
    return api.BadInput(
        f"{source.title} is made for {describe_widths(in_file)}, and {title} is {describe_widths(widths)}.",
        "Choose a textual inversion of the same family.",
    )


def _tensor_names(source: Source) -> dict[str, str]:
    """Return the names of the tensors in the file by role, which are the same unless a LoRA holds them."""
    names = api.model_files.read_weight_shapes(source.path)
    return lora_names.bundled_embeddings(names)[source.word] if source.word else {name: name for name in names}
