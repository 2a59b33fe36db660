"""Words for a gap, from a model that has learnt to fill them."""

from __future__ import annotations

from collections.abc import Iterator

from studio import api

from ..models import writer
from ..training import samples

STARTER = "writer-words"
GAP = "___"


class WriterSuggest(api.Tool):
    """Offers words for a gap, and how likely each is."""

    id = "writer.suggest"
    title = "Find a word"
    output = "text"
    selection = "offer"
    icon = "mdi6.form-textbox"

    class Params(api.Params):
        text: api.Prompt = api.param("", title="Your words")
        """With three underscores, ___, where a word is missing."""
        model: api.ModelChoice = api.param(STARTER, model="masked-language")
        words: int = api.param(10, ge=1, le=50, title="Words")

    def run(self, params: Params, ctx: api.Context) -> Iterator[api.Event]:
        before, gap, after = params.text.partition(GAP)
        if not gap:
            raise api.BadInput("There is no gap in the text.", f"Put {GAP} where a word is missing.")
        yield api.Progress(0, 0, "Getting the model ready")
        model, tokenizer = writer.load_guesser(ctx, params.model)
        found = samples.guesses(model, tokenizer, before, after, count=params.words, device=ctx.device)
        lines = [f"{word.strip() or repr(word)} · {share:.1%}" for word, share in found]
        notes = {"words": [[word, round(share, 5)] for word, share in found]}
        yield api.Text("\n".join(lines), params.text[:80], notes=notes)
