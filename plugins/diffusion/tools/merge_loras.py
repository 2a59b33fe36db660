"""Merge LoRAs into a copy of a model."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from studio import api

from ..checkpoints import single_file
from ..models.loader import STARTER
from ..modifiers import lora
from ..weights import error_report, lora_changes, lora_output, merging, model_weights
from ..weights.merging import Merge


class MergeLoras(api.Tool):
    """Merges LoRAs into a copy of a model, which then makes their images by itself, also in other programs."""

    id = "diffusion.merge_loras"
    title = "Merge LoRAs into a model"
    output = "model"
    icon = "mdi6.call-merge"

    class Params(api.Params):
        model: api.ModelChoice = api.param(STARTER, model="diffusion", title="Base model")
        """The model to copy. The copy is a folder or a single file, as the model is, in its precision."""
        loras: list[api.ModelChoice] = api.param(model="lora", min_items=1, max_items=16, title="LoRAs")
        """LoRA, DoRA, LoHa, LoKr or full differences, with convolutions and text encoders."""
        lora_weights: list[float] = api.param([], max_items=16, title="LoRA weights")
        """One for each LoRA, in the same order, as in Text to image. A missing weight is 1."""
        title: str = api.param("Merged model", title="Name")
        """Name of the new model."""

    def estimate(self, params: Params, ctx: api.EstimateContext) -> api.Estimate | None:
        path = ctx.model(params.model)
        if not isinstance(path, Path):
            return None
        size = merging.measure_size(single_file.find_in_folder(path))
        return api.Estimate(work=size / 1e9, rate="diffusion.merge_loras", disk=size)

    def run(self, params: Params, ctx: api.Context) -> Iterator[api.Event]:
        yield api.Progress(0, 0, "Reading the model and the LoRAs")
        loras = lora.collect_loras(ctx, "", params.loras, params.lora_weights)
        model = model_weights.open_model(ctx, params.model)
        changes = lora_changes.find_changes(ctx, model, [one for one in loras if one.weight])
        if not changes:
            raise api.BadInput("All LoRAs have a weight of 0.", "Give one of them another weight.")
        merge = Merge(model, changes, params.title)
        merge.require_space(ctx.scratch)
        folder = ctx.scratch / "model"
        folder.mkdir(parents=True, exist_ok=True)
        yield from merge.write(folder)
        if model.components is not None:
            if _is_known(ctx, model.components):
                merge.write_components(folder, model.components.name)
            else:
                yield api.Notice(
                    f"The merged model takes what it lacks from {model.components.name}: put that folder into the "
                    "models folder.",
                    "warning",
                )
        names = [f"{lora_changes.name_of(one.path)} ({one.weight:g})" for one in loras if one.weight]
        summary = f"{api.model_card.escape(model.title)} with {api.model_card.escape(', '.join(names))} merged into it."
        rows = {"Family": model.family.title, "Changed tensors": len(merge.report.layers)}
        lora_output.write_card(folder, params.title, summary, merge.report, rows, heading="Merged model")
        if merge.report.overall > _NOTABLE:
            lost = error_report.format_error(merge.report.overall)
            yield api.Notice(
                f"The precision of {model.title} rounds {lost} of the change away. A base model with 32 bits keeps all "
                "of it."
            )
        yield api.Trained(folder, params.title, "diffusion", lora_output.describe_error(merge.report), is_derived=True)


def _is_known(ctx: api.Context, folder: Path) -> bool:
    """Check whether the name of a folder is enough to find it."""
    try:
        return Path(ctx.model(folder.name)).resolve() == folder.resolve()
    except api.BadInput:
        return False


_NOTABLE = 0.05
"""Relative error of a merge that is said in a notice."""
