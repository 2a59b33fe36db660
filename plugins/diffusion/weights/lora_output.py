"""LoRAs written from computed layers: names, metadata in the keys of kohya's scripts, and model card."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from studio import api

from ..modifiers.lora_layers import LoraFile
from ..training import lora_file
from .decomposition import Factors
from .error_report import ErrorReport, format_error

if TYPE_CHECKING:
    import torch
    from torch import Tensor

Precision = Literal["float16", "bfloat16", "float32"]
Naming = Literal["kohya", "peft"]
PRECISION_LABELS = ("16 bits (float16)", "16 bits (bfloat16)", "32 bits")
_SUFFIXES: Mapping[Naming, Mapping[str, str]] = {
    "kohya": {"down": "lora_down.weight", "up": "lora_up.weight", "magnitude": "dora_scale"},
    "peft": {"down": "lora_A.weight", "up": "lora_B.weight", "magnitude": "lora_magnitude_vector.weight"},
}
_PEFT_MARKS = (".lora_A", ".lora.down", "_lora.down", ".lora_linear_layer.down")
_DROPPED = ("lora_adapter_metadata", "sshs_model_hash", "sshs_legacy_hash", "modelspec.hash_sha256")
"""Metadata that no longer holds."""


@dataclass
class LoraOutput:
    """Layers of a new LoRA by module, each with its tensors by role. All are scaled by 1: alpha equals the rank."""

    naming: Naming
    precision: Precision
    layers: dict[str, dict[str, Tensor]] = field(default_factory=dict)
    embeddings: dict[str, Tensor] = field(default_factory=dict)
    """Textual inversions by the names of their tensors, which stay as they are."""

    @property
    def dtype(self) -> torch.dtype:
        import torch

        dtype: torch.dtype = getattr(torch, self.precision)
        return dtype

    @property
    def ranks(self) -> list[int]:
        """Ranks of the layers that have one."""
        return [tensors["down"].shape[0] for tensors in self.layers.values() if "down" in tensors]

    def add(self, module: str, factors: Factors, shape: Sequence[int]) -> Factors:
        """Add a layer that changes weights of a shape. Returns its factors as they will be stored."""
        rounded = factors.to(self.dtype)
        down, up = rounded.down, rounded.up
        if len(shape) > 2:
            down, up = down.reshape(-1, *shape[1:]), up.reshape(*up.shape, *[1] * (len(shape) - 2))
        self.layers.setdefault(module, {}).update(down=down.cpu(), up=up.cpu())
        return rounded

    def add_tensors(self, module: str, tensors: Mapping[str, Tensor]) -> None:
        """Add tensors by role as they are, in the precision of the file."""
        kept = {role: value.to(self.dtype) for role, value in tensors.items() if role != "magnitude"}
        if "magnitude" in tensors:  # rounding the lengths of DoRA would change all weights
            kept["magnitude"] = tensors["magnitude"].float()
        self.layers.setdefault(module, {}).update(kept)

    def write(self, folder: Path, title: str, metadata: Mapping[str, str]) -> None:
        """Write the file with metadata that is brought up to date."""
        import torch

        tensors = dict(self.embeddings)
        for module, by_role in self.layers.items():
            for role, value in by_role.items():
                tensors[f"{module}.{_SUFFIXES[self.naming].get(role, role)}"] = value.contiguous()
            if self.naming == "kohya" and "down" in by_role:
                tensors[f"{module}.alpha"] = torch.tensor(float(by_role["down"].shape[0]))
        lora_file.write(folder, tensors, self._adjust(metadata, title))

    def _adjust(self, metadata: Mapping[str, str], title: str) -> dict[str, str]:
        rank = describe_ranks(self.ranks)
        number = rank if rank.isdigit() else "Dynamic"
        is_dora = any("magnitude" in tensors for tensors in self.layers.values())
        changed = {
            "ss_output_name": title,
            "ss_network_module": "lycoris.kohya" if is_dora else "networks.lora",
            "ss_network_dim": number,
            "ss_network_alpha": number,
            "ss_network_args": json.dumps(self._describe_arguments(number, is_dora=is_dora)),
            "modelspec.sai_model_spec": "1.0.0",
            "modelspec.title": title,
        }
        return {name: value for name, value in {**metadata, **changed}.items() if name not in _DROPPED}

    def _describe_arguments(self, rank: str, *, is_dora: bool) -> dict[str, str]:
        has_convolutions = any(tensors["down"].ndim > 2 for tensors in self.layers.values() if "down" in tensors)
        arguments = {"conv_dim": rank, "conv_alpha": rank} if has_convolutions else {}
        return {**arguments, "algo": "lora", "dora_wd": "True"} if is_dora else arguments


def describe_ranks(ranks: Sequence[int]) -> str:
    """Describe ranks by the one that all layers have, or by the smallest and the largest."""
    if not ranks:
        return "none"
    return str(ranks[0]) if len(set(ranks)) == 1 else f"{min(ranks)} to {max(ranks)}"


def find_naming(file: LoraFile) -> Naming:
    """Find whether a file names its tensors as kohya's scripts or as peft and diffusers."""
    return "peft" if any(mark in name for name in file.tensors for mark in _PEFT_MARKS) else "kohya"


def name_module(module: str, naming: Naming) -> str:
    """Return the name of a module in a new file; old attention processors have today's names."""
    if naming == "kohya":
        return module
    name = module.replace(".processor.to_", ".to_")
    return f"{name}.0" if name.endswith(".to_out") else name


def join_licences(files: Sequence[LoraFile]) -> dict[str, str]:
    """Return the licences in the headers of files as metadata of what is made from them; empty if there are none."""
    licences = dict.fromkeys(file.metadata.get("modelspec.license", "").strip() for file in files)
    known = [licence for licence in licences if licence]
    return {"modelspec.license": ", ".join(known)} if known else {}


def finish(
    output: LoraOutput, ctx: api.Context, title: str, summary: str, metadata: Mapping[str, str], report: ErrorReport
) -> api.Trained:
    """Write the LoRA, its card and its errors, and return it as a result."""
    folder = ctx.scratch / "model"
    folder.mkdir(parents=True, exist_ok=True)
    ranks = describe_ranks(output.ranks)
    output.write(folder, title, metadata)
    write_card(
        folder, title, summary, report, {"Layers": len(output.layers), "Rank": ranks, "Precision": output.precision}
    )
    notes = {"rank": ranks, "layers": len(output.layers), **describe_error(report)}
    return api.Trained(folder, title, "lora", notes, is_derived=True)


def write_card(
    folder: Path, title: str, summary: str, report: ErrorReport, rows: Mapping[str, object], heading: str = "LoRA"
) -> None:
    """Write a model card with the errors by layer."""
    facts = {**rows, "Relative error (Frobenius norm)": format_error(report.overall)}
    sections = {"Layers with the largest errors": report.describe_worst()} if report.layers else {}
    api.model_card.ModelCard(title, summary, rows=facts, rows_title=heading, sections=sections).write(folder)
    report.write(folder)


def describe_error(report: ErrorReport) -> dict[str, object]:
    """Return the errors as notes of a result."""
    worst = max(report.by_layer().items(), key=lambda pair: pair[1], default=("", 0.0))
    return {
        "relative_error": float(f"{report.overall:.4g}"),
        "largest_error": {"layer": worst[0], "relative_error": float(f"{worst[1]:.4g}")},
    }
