"""A LoRA from the difference of a tuned model and its base, layer by layer."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from studio import api

from ..training.adapter import TEXT_LAYERS, UNET_LAYERS, Layers
from ..training.lora_names import format_layer
from .decomposition import Truncation, decompose
from .error_report import ErrorReport, measure_square
from .lora_output import LoraOutput, Precision
from .model_weights import ModelWeights, Weight, read_scheduler_config

if TYPE_CHECKING:
    from torch import Tensor

ExtractedLayers = Literal["attention", "blocks", "convolutions", "all"]
_COARSENESS = ("BF16", "F16", "F32", "F64")
_TORCH_NAMES = {"BF16": "bfloat16", "F16": "float16", "F32": "float32", "F64": "float64"}
_EMBEDDING = re.compile(r"(embedding|embeddings|shared|embed_tokens|relative_attention_bias)$")
"""Ends of the names of tables, which a LoRA does not change."""
_ATTENTION = re.compile(r"(^|[._])(attn|attention|to_[qkv]|to_out|qkv)")
_BLOCK = re.compile(r"\.\d+\.")
_SD2_WIDTH = 1024


@dataclass(frozen=True)
class ExtractionOptions:
    """The artist's choices."""

    truncation: Truncation
    layers: ExtractedLayers
    text_encoder: bool
    precision: Precision
    device: str = "cpu"


class Extraction:
    """Compares a tuned model with its base and gathers the layers of a LoRA, and what they lack.

    Raises BadInput for models that do not belong together.
    """

    def __init__(self, base: ModelWeights, tuned: ModelWeights, options: ExtractionOptions) -> None:
        self._base = base
        self._tuned = tuned
        self._options = options
        self._is_unet = base.denoiser == "unet"
        self.output = LoraOutput("kohya" if self._is_unet else "peft", options.precision)
        self.report = ErrorReport()
        self._check_models()

    def run(self) -> Iterator[api.Event]:
        """Compute the layers and yield the progress. Raises BadInput where there is nothing to extract."""
        weights = [
            (key, weight, self._base.weights[key])
            for key, weight in self._tuned.weights.items()
            if key in self._base.weights and (self._options.text_encoder or key[0] == self._tuned.denoiser)
        ]
        for done, ((component, name), tuned, base) in enumerate(weights, 1):
            yield api.Progress(done, len(weights), f"Extracting: {done} of {len(weights)} tensors")
            difference = _subtract(tuned, base)
            if difference.any():
                self._add(component, name, difference)
        if not self.report.layers:
            raise api.BadInput(
                f"{self._tuned.title} and {self._base.title} have the same weights, so there is nothing to extract.",
                "Choose the model that was tuned, and the base that it was tuned from.",
            )
        if not self.output.layers:
            raise api.BadInput(
                f"{self._tuned.title} differs from {self._base.title} only in layers that are not extracted.",
                "Choose more layers.",
            )

    def build_metadata(self) -> dict[str, str]:
        """Build the metadata that tells other programs which model the LoRA is for."""
        base = self._base
        is_sd2 = base.config.get("cross_attention_dim") == _SD2_WIDTH
        is_velocity = read_scheduler_config(base.path).get("prediction_type") == "v_prediction"
        if base.is_xl:
            version, architecture = "sdxl_base_v1-0", "stable-diffusion-xl-v1-base"
        elif self._is_unet:
            version = f"sd_{'v2' if is_sd2 else 'v1'}{'_v' if is_velocity else ''}"
            architecture = "stable-diffusion-v2-768-v" if is_sd2 and is_velocity else "stable-diffusion-v2-512"
            architecture = architecture if is_sd2 else "stable-diffusion-v1"
        else:
            version = architecture = base.family.name
        return {
            "ss_base_model_version": version,
            "ss_sd_model_name": base.title,
            "ss_v2": str(is_sd2 and not base.is_xl),
            "modelspec.architecture": f"{architecture}/lora",
            "modelspec.implementation": "https://github.com/huggingface/diffusers",
            "modelspec.prediction_type": "v" if is_velocity else "epsilon",
        }

    def _check_models(self) -> None:
        base, tuned = self._base, self._tuned
        if base.path.resolve() == tuned.path.resolve():
            raise api.BadInput(
                f"{base.title} is chosen as the base model and as the tuned model.", "Choose two models."
            )
        if base.denoiser != tuned.denoiser or base.pipeline != tuned.pipeline:
            raise api.BadInput(
                f"{tuned.title} is a model of {tuned.family.title} ({tuned.pipeline}), and {base.title} one of "
                f"{base.family.title} ({base.pipeline}).",
                "Choose the base that the model was tuned from.",
            )
        common = [key for key in tuned.weights if key in base.weights]
        other = next((key for key in common if tuned.weights[key].shape != base.weights[key].shape), None)
        if other is not None or not common:
            detail = f": {other[1]} has another shape" if other else ""
            raise api.BadInput(
                f"{tuned.title} was not tuned from {base.title}{detail}.",
                "Choose the base that the model was tuned from.",
            )
        largest = max((_side(weight) for weight in tuned.weights.values() if self._is_layer(weight)), default=0)
        if largest and self._options.truncation.rank > largest:
            raise api.BadInput(
                f"A rank of {self._options.truncation.rank} is higher than the layers of {tuned.title} allow.",
                f"Choose {largest} or less.",
            )

    def _add(self, component: str, name: str, difference: Tensor) -> None:
        weight = self._tuned.weights[component, name]
        square = measure_square(difference)
        module, _, role = name.rpartition(".")
        written = self._name(component, module)
        label = f"{component}.{name}"
        if self._is_layer(weight):
            matrix = difference.flatten(1).to(self._options.device)
            factors = self.output.add(written, decompose(matrix, self._options.truncation), weight.shape)
            self.report.add(label, square, factors.measure_loss(matrix))
        elif self._options.layers == "all" and self._is_unet and role in ("weight", "bias") and difference.ndim == 1:
            tensors = {"diff" if role == "weight" else "diff_b": difference}
            self.output.add_tensors(written, tensors)
            lost = difference - difference.to(self.output.dtype).float()
            self.report.add(label, square, measure_square(lost))
        else:
            self.report.add(label, square, square)

    def _name(self, component: str, module: str) -> str:
        if not self._is_unet:
            return f"{component}.{module}"
        blocks = self._base.layers_per_block
        return format_layer(component, module, is_xl=self._base.is_xl, layers_per_block=blocks)

    def _is_layer(self, weight: Weight) -> bool:
        """Check whether the LoRA gets a layer for a tensor."""
        module, _, role = weight.name.rpartition(".")
        if role != "weight" or len(weight.shape) not in (2, 4) or _EMBEDDING.search(module):
            return False
        if self._options.layers == "all":
            return True
        if weight.component.startswith("text_encoder"):
            return not self._is_unet or module.endswith(_list_names(TEXT_LAYERS, self._options.layers))
        if self._is_unet:
            return module.endswith(_list_names(UNET_LAYERS, self._options.layers))
        is_block = bool(_BLOCK.search(f".{module}."))
        return is_block and (self._options.layers != "attention" or bool(_ATTENTION.search(module)))


def _list_names(names: Mapping[Layers, tuple[str, ...]], choice: Layers) -> tuple[str, ...]:
    order = list(names)
    return tuple(name for layers in order[: order.index(choice) + 1] for name in names[layers])


def _subtract(tuned: Weight, base: Weight) -> Tensor:
    """Return the difference in float32. Weights in unequal precisions are compared in the coarser one."""
    import torch

    coarser = min(tuned.dtype, base.dtype, key=_COARSENESS.index)
    dtype = getattr(torch, _TORCH_NAMES[coarser])
    return tuned.read().to(dtype).float() - base.read().to(dtype).float()


def _side(weight: Weight) -> int:
    columns = 1
    for size in weight.shape[1:]:
        columns *= size
    return min(weight.shape[0], columns)
