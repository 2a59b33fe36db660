"""Changes that LoRAs make to the weights of a model on the disk."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from studio import api

from ..checkpoints import diffusers_folder
from ..modifiers import lora, lora_conversion, lora_deltas, lora_layers
from ..modifiers.lora import Lora
from ..modifiers.lora_deltas import Delta, UnfitLayerError
from ..modifiers.lora_layers import LoraFile
from ..training.lora_file import FILE
from .model_weights import Layer, ModelWeights, Weight

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Change:
    """A layer of a LoRA and the layer of the model that it changes, at a strength."""

    layer: Layer
    lora: lora_layers.Layer
    strength: float
    title: str
    """Name of the LoRA."""

    def list_weights(self) -> Iterator[Weight]:
        """Yield the tensors of the model that change."""
        if self.lora.tensors.keys() - {"diff_b", "alpha"}:
            yield self.layer.weight
        if "diff_b" in self.lora.tensors and self.layer.bias is not None:
            yield self.layer.bias

    def build_delta(self) -> Delta:
        """Compute the change. Raises UnfitLayerError where it does not fit the layer."""
        delta = lora_deltas.read_delta(self.lora, self.layer.weight.shape)
        if delta.bias is not None and self.layer.bias is None:
            raise UnfitLayerError("changes a bias, which that of the model does not have")
        if "magnitude" in self.lora.tensors:
            magnitude = self.lora.tensors["magnitude"].float()
            lora_deltas.add_magnitude(delta, magnitude, self.layer.weight.read().float())
        return delta

    def apply(self, weight: Weight, values: Tensor, first: int) -> Tensor:
        """Return rows of one of the tensors, from `first` on, with the change. The values are in float32."""
        delta = self.build_delta()
        if weight is not self.layer.bias:
            return delta.merge(values, self.strength, first)
        assert delta.bias is not None
        return values + self.strength * delta.bias[first : first + len(values)].reshape(values.shape)


def find_changes(ctx: api.Context, model: ModelWeights, loras: Sequence[Lora]) -> list[Change]:
    """Find the layers of the model that LoRAs change. Raises BadInput for a LoRA that does not fit."""
    changes: list[Change] = []
    for one in loras:
        ctx.check_cancelled()
        changes += _find_changes(ctx, model, one)
    return changes


def name_of(path: Path) -> str:
    """Return the name of a LoRA: of its file, or of its folder where the file has the name that diffusers gives all."""
    return diffusers_folder.title_of(path.parent) if path.name == FILE else path.stem


def _find_changes(ctx: api.Context, model: ModelWeights, chosen: Lora) -> list[Change]:
    file = lora_layers.read_file(chosen.path)
    names, homeless = model.names, [layer.module for layer in file.layers if model.names.find(layer.module) is None]
    if homeless and model.denoiser != "unet":
        file, homeless = _convert(model, file) or (file, homeless)
    changes = []
    refused: list[tuple[str, str]] = []
    for layer in file.layers:
        if (found := names.find(layer.module)) is None:
            continue
        change = Change(found, layer, chosen.weight, name_of(chosen.path))
        try:
            change.build_delta()
        except UnfitLayerError as error:
            refused.append((layer.module, str(error)))
        ctx.check_cancelled()
        changes.append(change)
    if not changes:
        raise lora.no_place_error(model.description, file)
    if refused:
        raise lora.unfit_error(model.description, file, *refused[0])
    lora.tell_rest(ctx, model.title, file, [*homeless, *file.unknown])
    if file.embeddings:
        ctx.emit(
            api.Notice(f"The textual inversions in {name_of(chosen.path)} stay in it and are not merged.", "warning")
        )
    return changes


def _convert(model: ModelWeights, file: LoraFile) -> tuple[LoraFile, list[str]] | None:
    """Let diffusers convert the names of another program. Returns the file, and the modules without a place."""
    import diffusers

    pipeline = getattr(diffusers, model.pipeline)
    if not hasattr(pipeline, "lora_state_dict"):
        return None
    misfit = lora.no_place_error(model.description, file)
    with api.model_files.quiet_load(misfit):
        conversion = lora_conversion.convert(pipeline, model.names, file)
        if len(conversion.homeless) == len(file.layers):
            raise misfit
        converted = pipeline.lora_state_dict(dict(conversion.tensors), return_alphas=True)
    tensors, alphas = converted[0], converted[1]
    tensors = {**tensors, **{name: value for name, value in (alphas or {}).items() if name not in tensors}}
    return lora_layers.build_file(file.path, tensors, {}), list(conversion.homeless)
