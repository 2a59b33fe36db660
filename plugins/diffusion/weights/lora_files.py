"""LoRA files without their model: the shapes and changes of their layers, and layers of several files side by side."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from studio import api

from ..modifiers import lora_deltas, lora_layers
from ..modifiers.lora_deltas import Delta, UnfitLayerError
from ..modifiers.lora_layers import Layer, LoraFile
from .decomposition import Factors
from .lora_changes import name_of


@dataclass(frozen=True)
class LayerChange:
    """The change that a layer of a LoRA makes to weights of a shape."""

    shape: tuple[int, ...]
    delta: Delta

    @property
    def is_matrix(self) -> bool:
        return len(self.shape) > 1

    def as_factors(self) -> Factors | None:
        """Return the change as a product of two matrices where it is one of low rank."""
        if not self.delta.factors:
            return None
        down, up = self.delta.factors
        return Factors(down.flatten(1), up.flatten(1))


def read_change(file: LoraFile, layer: Layer) -> LayerChange:
    """Read the change of a layer. Raises BadInput for one that is damaged, or of a kind that has no such change."""
    try:
        if layer.tensors.keys() <= {"diff_b", "alpha"}:
            return LayerChange((), Delta(bias=layer.tensors["diff_b"].float()))
        shape = lora_deltas.find_shape(layer)
        return LayerChange(shape, lora_deltas.read_delta(layer, shape))
    except (UnfitLayerError, KeyError) as error:
        raise api.BadInput(
            f"{name_of(file.path)} is {file.description}, and its layer {layer.module} cannot be read: it {error}.",
            "Choose a LoRA, LoHa or LoKr.",
        ) from error


def is_dora(file: LoraFile) -> bool:
    """Check whether a file has learnt lengths, whose effect depends on the model's weights."""
    return any("magnitude" in layer.tensors for layer in file.layers)


def read_files(ctx: api.Context, paths: list[Path]) -> list[LoraFile]:
    """Read LoRA files, and tell what of them is left out. Raises BadInput for one that has no layers."""
    files = [lora_layers.read_file(path) for path in paths]
    for file in files:
        name = name_of(file.path)
        if not file.layers:
            raise api.BadInput(f"{name} contains no layers of a LoRA.", "Choose another file.")
        if file.unknown:
            text = f"{name} has tensors with unknown names, which are left out, such as {file.unknown[0]}."
            ctx.emit(api.Notice(text, "warning"))
    return files
