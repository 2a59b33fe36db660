"""Describe an image, or answer a question about it, with a vision-language model."""

from __future__ import annotations

import time
from collections.abc import Iterator

from studio import api

from ..generation import estimate, image_description


class WriterCaption(api.Tool):
    """Describes an image, or answers a question about it. Needs a vision-language model such as BLIP or Qwen-VL."""

    id = "writer.caption"
    title = "Describe image"
    output = "text"
    icon = "mdi6.image-text"

    class Params(api.Params):
        image: api.ImageInput
        """The image to describe."""
        prompt: api.Prompt = api.param("", title="Question")
        """Your question about the image. Empty asks for a description. A model without a chat template continues it."""
        model: api.ModelChoice = api.param("", model="vision-language")
        length: int = api.param(80, ge=1, le=2000, title="Maximum length", unit="tokens")

    def estimate(self, params: Params, ctx: api.EstimateContext) -> api.Estimate | None:
        return estimate.estimate_weights(params.model, params.length, ctx)

    def run(self, params: Params, ctx: api.Context) -> Iterator[api.Event]:
        yield api.Progress(0, 0, "Loading the model")
        describer = image_description.load_describer(ctx, params.model)
        image = api.images.open_picture(params.image)
        yield api.Progress(0, params.length, "Looking at the image")
        started = time.monotonic()

        def report(count: int) -> None:
            rate = count / max(1e-6, time.monotonic() - started)
            ctx.emit(api.Progress(count, params.length, f"{rate:.0f} tokens per second"))

        text = describer.describe(
            image, params.prompt, default_question="Describe this picture.", length=params.length, on_token=report
        )
        if not text:
            raise api.StudioError(f"{describer.name} returned an empty description.", "Ask a question about the image.")
        yield api.Preview(text)
        yield api.Text(text, params.image.stem, notes={"question": params.prompt})
