"""The same, said otherwise."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from studio import api

from ..generation import chat_template, generator, sampling_params
from ..generation import estimate as estimating
from ..generation.chat_template import SYSTEM, USER
from ..models import writer as models
from .continue_text import STARTER


class Wish(api.Params):
    """What is asked first."""

    text: api.Prompt = api.param("", title="Your words")
    tone: str = api.param("", title="Tone")
    """Such as warm, dry, solemn, or like a fairy tale."""
    extent: Literal["same", "shorter", "longer"] = api.param(
        "same", labels=("As long", "Shorter", "Longer"), title="Length"
    )
    view: Literal["same", "first", "second", "third"] = api.param(
        "same", labels=("As it is", "I", "You", "He, she, they"), title="Told by"
    )
    wish: str = api.param("", title="Anything else")
    model: api.ModelChoice = api.param(STARTER, model="language")


class WriterRewrite(api.Tool):
    """Says your words otherwise: in another tone, length or point of view. Needs a model that follows instructions."""

    id = "writer.rewrite"
    title = "Rewrite"
    output = "text"
    selection = "replace"
    icon = "mdi6.file-document-edit-outline"

    class Params(sampling_params.Sampling, Wish):
        pass

    def estimate(self, params: Params, ctx: api.EstimateContext) -> api.Estimate | None:
        return estimating.estimate(params.model, {"text": params.text}, len(params.text) // 4, ctx)

    def run(self, params: Params, ctx: api.Context) -> Iterator[api.Event]:
        if not params.text.strip():
            raise api.BadInput("There is nothing to rewrite.", "Write or paste something.")
        yield api.Progress(0, 0, "Getting the model ready")
        writer = models.load(ctx, params.model)
        chat_template.must_follow(writer)
        rules = "You rewrite texts. Keep names, facts and language. Answer with the rewritten text and nothing else."
        tokens = chat_template.prompt(writer, [(SYSTEM, rules), (USER, f"{asked(params)}\n\n{params.text.strip()}")])
        room = writer.longest - len(tokens)
        if room < len(tokens) // 2:
            raise api.BadInput(f"The text is too long for {writer.name}.", "Take a part of it.")
        length = min(room, 64 + 3 * len(tokens))
        chain = sampling_params.chain(params, writer.tokenizer, ctx.generator(), len(tokens))
        written = yield from generator.write(writer, tokens, chain, length, ctx, stop=params.stop)
        notes = {"tokens": written.tokens, "ended": written.ended, "from": params.text}
        yield api.Text(written.text.strip(), "Rewritten", notes=notes)


def asked(params: WriterRewrite.Params) -> str:
    """The artist's wishes as a sentence."""
    views = {"first": "in the first person", "second": "in the second person", "third": "in the third person"}
    wishes = [f"in this tone: {params.tone.strip()}"] if params.tone.strip() else []
    wishes += [views[params.view]] if params.view != "same" else []
    wishes += [f"{params.extent} than it is"] if params.extent != "same" else ["about as long as it is"]
    wishes += [params.wish.strip()] if params.wish.strip() else []
    return f"Rewrite the following text, {'; '.join(wishes)}."
