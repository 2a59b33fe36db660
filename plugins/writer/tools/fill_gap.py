"""Suggest words for a gap in a sentence, with a masked language model."""

from __future__ import annotations

from collections.abc import Iterator

from studio import api

from ..generation.fill_mask import predict_words
from ..models.writer import MASKED_STARTER, load_masked_model

GAP = "___"


class WriterSuggest(api.Tool):
    """Suggests words for a gap in a sentence, each with its probability."""

    id = "writer.suggest"
    title = "Find a word"
    output = "text"
    selection = "offer"
    icon = "mdi6.form-textbox"

    class Params(api.Params):
        text: api.Prompt = api.param("", title="Text with a gap")
        """Write three underscores, ___, where a word is missing."""
        model: api.ModelChoice = api.param(MASKED_STARTER, model="masked-language")
        words: int = api.param(10, ge=1, le=50, title="Number of words")

    def run(self, params: Params, ctx: api.Context) -> Iterator[api.Event]:
        before, gap, after = params.text.partition(GAP)
        if not gap:
            raise api.BadInput("There is no gap in the text.", f"Write {GAP} where a word is missing.")
        yield api.Progress(0, 0, "Loading the model")
        model, tokenizer = load_masked_model(ctx, params.model)
        words = predict_words(model, tokenizer, before, after, count=params.words, device=ctx.device)
        lines = [f"{word.strip() or repr(word)} · {probability:.1%}" for word, probability in words]
        notes = {"words": [[word, round(probability, 5)] for word, probability in words]}
        yield api.Text("\n".join(lines), params.text[:80], notes=notes)
