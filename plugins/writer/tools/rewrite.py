"""Rewrite a text in another tone, length or point of view."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from studio import api

from ..generation import estimate
from ..generation.chat_template import SYSTEM, USER, encode_chat, require_chat_template
from ..generation.generator import generate_text
from ..generation.sampling_params import SamplingParams, build_sampler_chain
from ..models.writer import STARTER, load_writer

SYSTEM_PROMPT = "You rewrite texts. Keep names, facts and language. Answer with the rewritten text and nothing else."
VIEWS = {"first": "in the first person", "second": "in the second person", "third": "in the third person"}


class RewriteInputs(api.Params):
    """Parameters that come before the sampling parameters."""

    text: api.Prompt = api.param("", title="Text")
    tone: str = api.param("", title="Tone")
    """Such as warm, dry, solemn, or like a fairy tale."""
    extent: Literal["same", "shorter", "longer"] = api.param(
        "same", labels=("Same length", "Shorter", "Longer"), title="Length"
    )
    view: Literal["same", "first", "second", "third"] = api.param(
        "same", labels=("As it is", "First person", "Second person", "Third person"), title="Point of view"
    )
    wish: str = api.param("", title="Other instructions")
    model: api.ModelChoice = api.param(STARTER, model="language")


class WriterRewrite(api.Tool):
    """Rewrites a text in another tone, length or point of view. Needs a model that follows instructions."""

    id = "writer.rewrite"
    title = "Rewrite"
    output = "text"
    selection = "replace"
    icon = "mdi6.file-document-edit-outline"

    class Params(SamplingParams, RewriteInputs):
        pass

    def estimate(self, params: Params, ctx: api.EstimateContext) -> api.Estimate | None:
        length = estimate.guess_token_count(params.text)
        return estimate.estimate_generation(params.model, {"text": params.text}, length, ctx)

    def run(self, params: Params, ctx: api.Context) -> Iterator[api.Event]:
        text = params.text.strip()
        if not text:
            raise api.BadInput("There is no text to rewrite.", "Write or paste a text.")
        yield api.Progress(0, 0, "Loading the model")
        writer = load_writer(ctx, params.model)
        require_chat_template(writer)
        tokens = encode_chat(writer, [(SYSTEM, SYSTEM_PROMPT), (USER, f"{format_instructions(params)}\n\n{text}")])
        available = writer.context_length - len(tokens)
        if available < len(tokens) // 2:
            raise api.BadInput(f"The text is too long for the context window of {writer.name}.", "Rewrite it in parts.")
        length = min(available, 64 + 3 * len(tokens))
        chain = build_sampler_chain(params, writer.tokenizer, ctx.generator(), len(tokens))
        output = yield from generate_text(writer, tokens, chain, length, ctx, stop=params.stop)
        notes = {"tokens": output.tokens, "ended": output.finish_reason, "from": params.text}
        yield api.Text(output.text.strip(), "Rewritten", notes=notes)


def format_instructions(params: WriterRewrite.Params) -> str:
    """Return the instructions to the model as one sentence."""
    parts = [f"in this tone: {params.tone.strip()}"] if params.tone.strip() else []
    parts += [VIEWS[params.view]] if params.view != "same" else []
    parts += [f"{params.extent} than it is"] if params.extent != "same" else ["about as long as it is"]
    parts += [params.wish.strip()] if params.wish.strip() else []
    return f"Rewrite the following text, {'; '.join(parts)}."
