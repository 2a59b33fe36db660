"""A LoRA of lower rank from another one. LoHa, LoKr and full differences become plain LoRAs."""

from __future__ import annotations

from collections.abc import Iterator

from studio import api

from ..modifiers.lora_layers import LoraFile
from .decomposition import Truncation, decompose, decompose_product
from .error_report import ErrorReport, measure_square
from .lora_changes import name_of
from .lora_files import LayerChange, read_change
from .lora_output import LoraOutput, Precision, describe_ranks, find_naming, name_module


class Resizing:
    """Lowers the rank of a LoRA layer by layer. Raises BadInput for a rank that is not lower."""

    def __init__(self, file: LoraFile, truncation: Truncation, precision: Precision, device: str = "cpu") -> None:
        self._file = file
        self._truncation = truncation
        self._device = device
        naming = find_naming(file)
        self.output = LoraOutput(naming, precision, embeddings=file.embeddings)
        self.report = ErrorReport()
        self.ranks: list[int] = []
        """Ranks of the layers of the file."""
        self._check_rank()

    def run(self) -> Iterator[api.Event]:
        """Compute the layers and yield the progress."""
        for done, layer in enumerate(self._file.layers, 1):
            yield api.Progress(done, len(self._file.layers), f"Resizing: {done} of {len(self._file.layers)} layers")
            change = read_change(self._file, layer)
            module = name_module(layer.module, self.output.naming)
            kept = {role: value for role, value in layer.tensors.items() if role in ("magnitude", "diff_b")}
            if change.is_matrix:
                self._resize(module, change)
            elif "diff" in layer.tensors:
                kept["diff"] = layer.tensors["diff"]
            if kept:
                self.output.add_tensors(module, kept)

    def build_metadata(self) -> dict[str, str]:
        """Return the metadata of the file with a comment on the change."""
        old = describe_ranks(self.ranks)
        comment = f"resized from rank {old} to {describe_ranks(self.output.ranks)}"
        before = self._file.metadata.get("ss_training_comment", "")
        known = before and before != "None"
        return {**self._file.metadata, "ss_training_comment": f"{comment}; {before}" if known else comment}

    def _resize(self, module: str, change: LayerChange) -> None:
        factors = change.as_factors()
        if factors is None:
            matrix = change.delta.materialise().flatten(1).to(self._device)
            lowered = decompose(matrix, self._truncation)
        else:
            lowered = decompose_product(factors, self._truncation)
            matrix = factors.up @ factors.down
        written = self.output.add(module, lowered, change.shape)
        self.report.add(module, measure_square(matrix), written.measure_loss(matrix))

    def _check_rank(self) -> None:
        for layer in self._file.layers:
            if "down" in layer.tensors:
                self.ranks.append(layer.tensors["down"].shape[0])
        highest = max(self.ranks, default=0)
        is_plain = len(self.ranks) == sum("diff" not in layer.tensors for layer in self._file.layers)
        if is_plain and self._truncation.kept is None and self._truncation.rank >= highest:
            raise api.BadInput(
                f"{name_of(self._file.path)} has rank {describe_ranks(self.ranks)}, and {self._truncation.rank} is not "
                "lower.",
                "Choose a lower rank." if highest > 1 else "It cannot be made smaller.",
            )
