"""Combine several LoRAs into one."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from studio import api

from ..modifiers import lora
from ..weights import lora_files, lora_output
from ..weights.combination import Combination
from ..weights.error_report import format_error
from ..weights.lora_changes import name_of
from ..weights.params import KeptParams, LoraFileParams, build_truncation, find_device


class CombineLoras(api.Tool):
    """Combines several LoRAs into one file with the effect of all of them."""

    id = "diffusion.combine_loras"
    title = "Combine LoRAs"
    output = "model"
    icon = "mdi6.set-merge"

    class Params(KeptParams, LoraFileParams):
        field_order = ("loras", "lora_weights", "title", "method", "rank", "kept")

        loras: list[api.ModelChoice] = api.param(model="lora", min_items=2, max_items=16, title="LoRAs")
        """LoRAs for one family of models: LoRA, LoHa, LoKr or full differences."""
        lora_weights: list[float] = api.param([], max_items=16, title="LoRA weights")
        """One for each LoRA, in the same order, as in Text to image. A missing weight is 1."""
        method: Literal["concatenate", "svd"] = api.param("concatenate", labels=("Concatenate", "Reduce by SVD"))
        """Concatenating is exact, and the ranks add up. Reducing makes a smaller file with a small error."""
        rank: int = api.param(32, ge=1, le=4096)
        """The rank for reducing; with a kept norm the highest one."""

    def run(self, params: Params, ctx: api.Context) -> Iterator[api.Event]:
        yield api.Progress(0, 0, "Reading the LoRAs")
        loras = lora.collect_loras(ctx, "", params.loras, params.lora_weights)
        if not any(one.weight for one in loras):
            raise api.BadInput("All LoRAs have a weight of 0.", "Give one of them another weight.")
        files = lora_files.read_files(ctx, [one.path for one in loras])
        truncation = build_truncation(params.rank, params.kept) if params.method == "svd" else None
        weights = [one.weight for one in loras]
        combination = Combination(files, weights, truncation, params.precision, find_device(ctx))
        yield from combination.run()
        report = combination.report
        rank = lora_output.describe_ranks(combination.output.ranks)
        yield api.Notice(
            f"The new rank is {rank}, and {format_error(report.overall)} of the sum is lost (relative error, Frobenius "
            "norm)."
        )
        parts = ", ".join(f"{name_of(one.path)} ({one.weight:g})" for one in loras)
        summary = f"The sum of {api.model_card.escape(parts)}."
        yield lora_output.finish(combination.output, ctx, params.title, summary, combination.build_metadata(), report)
