"""Extract a LoRA from the difference of two models."""

from __future__ import annotations

from collections.abc import Iterator

from studio import api

from ..models.loader import STARTER
from ..weights import lora_output, model_weights
from ..weights.error_report import format_error
from ..weights.extraction import ExtractedLayers, Extraction, ExtractionOptions
from ..weights.params import KeptParams, LoraFileParams, build_truncation, find_device


class ExtractLora(api.Tool):
    """Extracts a LoRA from a tuned model: what it learnt beyond its base model, in a small file."""

    id = "diffusion.extract_lora"
    title = "Extract a LoRA"
    output = "model"
    icon = "mdi6.call-split"

    class Params(KeptParams, LoraFileParams):
        field_order = ("model", "tuned", "title", "rank", "kept", "layers", "text_encoder")

        model: api.ModelChoice = api.param(STARTER, model="diffusion", title="Base model")
        """The model that the other one was tuned from."""
        tuned: api.ModelChoice = api.param(model="diffusion", title="Tuned model")
        """A model that was fine-tuned or merged, of the same family. It may be a folder and the base a single file."""
        rank: int = api.param(32, ge=1, le=4096)
        """A higher rank keeps more of the difference and makes the file larger. Usual are 16 to 128."""
        layers: ExtractedLayers = api.param(
            "convolutions",
            labels=("Attention", "Attention + feed-forward", "Attention + convolutions", "All layers"),
            advanced=True,
        )
        """All layers also keeps what only this studio and programs that read LyCORIS apply, such as norms."""
        text_encoder: bool = api.param(True, title="Text encoders", advanced=True)
        """Whether the differences of the text encoders are kept too."""

    def run(self, params: Params, ctx: api.Context) -> Iterator[api.Event]:
        yield api.Progress(0, 0, "Reading the models")
        base = model_weights.open_model(ctx, params.model)
        tuned = model_weights.open_model(ctx, params.tuned)
        options = ExtractionOptions(
            build_truncation(params.rank, params.kept),
            params.layers,
            params.text_encoder,
            params.precision,
            find_device(ctx),
        )
        extraction = Extraction(base, tuned, options)
        yield from extraction.run()
        report = extraction.report
        yield api.Notice(
            f"The LoRA keeps the difference but for {format_error(report.overall)} (relative error, Frobenius norm)."
        )
        tuned_name, base_name = (api.model_card.escape(model.title) for model in (tuned, base))
        summary = f"A LoRA for {base_name}: the difference to {tuned_name}, by singular value decomposition."
        yield lora_output.finish(extraction.output, ctx, params.title, summary, extraction.build_metadata(), report)
