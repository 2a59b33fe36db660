"""One LoRA from several: their changes added up, exactly or at a lower rank."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from studio import api

from ..modifiers.lora_layers import Layer, LoraFile
from ..modifiers.lora_modules import normalise_module
from ..training.lora_names import convert_to_sgm
from .decomposition import Factors, Truncation, decompose, decompose_product
from .error_report import ErrorReport, measure_square
from .lora_changes import name_of
from .lora_files import LayerChange, is_dora, read_change
from .lora_output import LoraOutput, Naming, Precision, find_naming, join_licences, name_module

_UNET_BLOCKS = ("down_blocks_", "mid_block_", "up_blocks_")
_SAME_FACTS = ("ss_base_model_version", "ss_sd_model_name", "ss_sd_model_hash", "ss_v2", "modelspec.architecture")
"""Metadata that is kept where all files have the same."""


class Combination:
    """Adds LoRAs up layer by layer. Without a truncation, ranks add up and nothing is lost.

    Raises BadInput for LoRAs of different families, for DoRAs, and for names that cannot be brought together.
    """

    def __init__(
        self,
        files: Sequence[LoraFile],
        weights: Sequence[float],
        truncation: Truncation | None,
        precision: Precision,
        device: str = "cpu",
    ) -> None:
        self._files = files
        self._truncation = truncation
        self._device = device
        self._entries: dict[tuple[str, str], list[tuple[LoraFile, Layer, float]]] = {}
        for file, weight in zip(files, weights, strict=True):
            if is_dora(file):
                raise api.BadInput(
                    f"{name_of(file.path)} is a DoRA, whose effect depends on its model, so it cannot be added.",
                    "Merge the LoRAs into the model and extract a LoRA from the result.",
                )
            for layer in file.layers if weight else ():
                self._entries.setdefault(normalise_module(layer.module), []).append((file, layer, weight))
        self._check_families()
        self._naming, self._is_renamed = self._choose_naming()
        embeddings = {name: value for file in reversed(files) for name, value in file.embeddings.items()}
        self.output = LoraOutput(self._naming, precision, embeddings=embeddings)
        self.report = ErrorReport()

    def run(self) -> Iterator[api.Event]:
        """Compute the layers and yield the progress."""
        for done, (key, entries) in enumerate(self._entries.items(), 1):
            yield api.Progress(done, len(self._entries), f"Combining: {done} of {len(self._entries)} layers")
            changes = [(read_change(file, layer), weight) for file, layer, weight in entries]
            first_file, first_layer, _ = entries[0]
            shapes = {change.shape for change, _ in changes if change.shape}
            if len(shapes) > 1:
                other = next(
                    file
                    for (file, _, _), (change, _) in zip(entries, changes, strict=True)
                    if change.shape and change.shape != changes[0][0].shape
                )
                raise _families_error(first_file, other, first_layer.module)
            module = self._rename(*key) if self._is_renamed else name_module(first_layer.module, self._naming)
            self._add(module, changes)

    def build_metadata(self) -> dict[str, str]:
        """Build metadata of what all files have in common, and of where it comes from."""
        first = self._files[0].metadata
        same = {
            name: first[name]
            for name in _SAME_FACTS
            if name in first and all(file.metadata.get(name) == first[name] for file in self._files)
        }
        names = ", ".join(name_of(file.path) for file in self._files)
        return {**same, **join_licences(self._files), "modelspec.merged_from": names}

    def _add(self, module: str, changes: Sequence[tuple[LayerChange, float]]) -> None:
        matrices = [(change, weight) for change, weight in changes if change.is_matrix]
        vectors = [(change.delta.dense, weight) for change, weight in changes if len(change.shape) == 1]
        biases = [(change.delta.bias, weight) for change, weight in changes if change.delta.bias is not None]
        for role, values in (("diff", vectors), ("diff_b", biases)):
            summed = [weight * value for value, weight in values if value is not None]
            if summed:
                self.output.add_tensors(module, {role: sum(summed[1:], summed[0])})
        if not matrices:
            return
        shape = matrices[0][0].shape
        factors = self._join(matrices)
        if factors is None:
            total = sum(weight * change.delta.materialise().flatten(1) for change, weight in matrices)
            matrix = total.to(self._device)  # type: ignore[union-attr]
            lowered = decompose(matrix, self._truncation or Truncation(min(matrix.shape), 1.0))
        else:
            matrix = factors.up @ factors.down
            lowered = factors
            if self._truncation or factors.rank > min(matrix.shape):
                lowered = decompose_product(factors, self._truncation or Truncation(min(matrix.shape)))
        if not matrix.any():
            return
        written = self.output.add(module, lowered, shape)
        self.report.add(module, measure_square(matrix), written.measure_loss(matrix))

    def _join(self, matrices: Sequence[tuple[LayerChange, float]]) -> Factors | None:
        """Put the factors of all changes side by side; None where one of them has none."""
        import torch

        parts = []
        for change, weight in matrices:
            if (factors := change.as_factors()) is None:
                return None
            root = abs(weight) ** 0.5
            sign = -1.0 if weight < 0 else 1.0
            balance = _balance(factors)
            parts.append((factors.down * root * balance, factors.up * (sign * root / balance)))
        return Factors(torch.cat([down for down, _ in parts]), torch.cat([up for _, up in parts], dim=1))

    def _check_families(self) -> None:
        first = self._files[0]
        for file in self._files[1:]:
            families = [one.description.partition(" for ")[2] for one in (first, file)]
            if all(families) and families[0] != families[1] and "the text encoder alone" not in families:
                raise _families_error(first, file)

    def _choose_naming(self) -> tuple[Naming, bool]:
        """Return how tensors are named, and whether modules need the names of kohya's scripts."""
        naming = {(find_naming(file), _find_style(file)) for file in self._files}
        if len(naming) == 1:
            return next(iter(naming))[0], False
        if all(component or name.startswith(_UNET_BLOCKS) for component, name in self._entries):
            return "kohya", True
        raise api.BadInput(
            f"{name_of(self._files[0].path)} and the others name their layers in different ways.",
            "Merge them into the model and extract a LoRA from the result.",
        )

    def _rename(self, component: str, name: str) -> str:
        is_xl = any("Stable Diffusion XL" in file.description for file in self._files)
        if component:
            prefix = {"text_encoder": "lora_te1" if is_xl else "lora_te", "text_encoder_2": "lora_te2"}
            return f"{prefix.get(component, 'lora_te3')}_text_model_{name}"
        return f"lora_unet_{convert_to_sgm(name, 3) if is_xl else name}"


def _find_style(file: LoraFile) -> str:
    """Find which names a file has for the blocks of its denoiser."""
    names = [layer.module.replace(".", "_") for layer in file.layers]
    if any("put_blocks_" in name or "middle_block_" in name for name in names):
        return "sgm"
    dotted = any("." in layer.module for layer in file.layers)
    if any(part in name for name in names for part in ("double_blocks_", "joint_blocks_")):
        return "original, dotted" if dotted else "original"
    return "dotted" if dotted else "plain"


def _balance(factors: Factors) -> float:
    """Return the number that brings both factors to the same size, so that neither leaves the range of float16."""
    down, up = float(factors.down.norm()), float(factors.up.norm())
    return (up / down) ** 0.5 if down and up else 1.0


def _families_error(first: LoraFile, other: LoraFile, module: str = "") -> api.BadInput:
    detail = f": {module} has another shape in each" if module else ""
    return api.BadInput(
        f"{name_of(first.path)} is {first.description} and {name_of(other.path)} {other.description}, and they do not "
        f"fit each other{detail}.",
        "Choose LoRAs for one model.",
    )
