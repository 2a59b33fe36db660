"""Lower the rank of a LoRA."""

from __future__ import annotations

from collections.abc import Iterator

from studio import api

from ..modifiers import lora
from ..weights import lora_files, lora_output
from ..weights.error_report import format_error
from ..weights.lora_changes import name_of
from ..weights.params import KeptParams, LoraFileParams, build_truncation, find_device
from ..weights.resizing import Resizing


class ResizeLora(api.Tool):
    """Lowers the rank of a LoRA, which makes the file smaller. LoHa and LoKr become plain LoRAs."""

    id = "diffusion.resize_lora"
    title = "Resize a LoRA"
    output = "model"
    icon = "mdi6.resize"

    class Params(KeptParams, LoraFileParams):
        field_order = ("lora", "title", "rank", "kept")

        lora: api.ModelChoice = api.param(model="lora", title="LoRA")
        """LoRA, DoRA, LoHa, LoKr or full differences. A DoRA keeps its learnt lengths."""
        rank: int = api.param(16, ge=1, le=4096)
        """The new rank; with a kept norm the highest one."""

    def run(self, params: Params, ctx: api.Context) -> Iterator[api.Event]:
        yield api.Progress(0, 0, "Reading the LoRA")
        (file,) = lora_files.read_files(ctx, [lora.find_file(ctx, params.lora)])
        resizing = Resizing(file, build_truncation(params.rank, params.kept), params.precision, find_device(ctx))
        yield from resizing.run()
        report = resizing.report
        after = lora_output.describe_ranks(resizing.output.ranks)
        yield api.Notice(
            f"The new rank is {after}, and {format_error(report.overall)} of the LoRA is lost (relative error, "
            "Frobenius norm)."
        )
        name = api.model_card.escape(name_of(file.path))
        before = lora_output.describe_ranks(resizing.ranks)
        summary = f"{name} ({file.description}) resized from rank {before} to rank {after}."
        yield lora_output.finish(resizing.output, ctx, params.title, summary, resizing.build_metadata(), report)
