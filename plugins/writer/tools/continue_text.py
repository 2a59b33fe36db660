"""Write on: a story or a poem goes on from where it stops."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

from studio import api

from ..generation import constrained, context_window, generator, sampling_params
from ..generation import estimate as estimating
from ..generation.context_window import Lore
from ..generation.top_logprobs import Alternatives
from ..models import tokenizer as vocabulary
from ..models import writer as models

STARTER = "writer-tales"
MOST = 1_000_000
"""Characters that are read of a page: more than any model can see."""


class Words(api.Params):
    """What is asked first; the choice of words comes behind it."""

    text: api.PageText = api.param("", title="Your words")
    """Where your words end, the model goes on; where there are none, it begins."""
    title: str = ""
    """What it is called, for models that were trained here."""
    kind: Literal["tale", "story", "poem", "book"] = api.param(
        "tale", labels=("A fairy tale", "A simple story", "A poem", "A book"), title="Kind"
    )
    """For models that were trained here. Others take it from your words."""
    model: api.ModelChoice = api.param(STARTER, model="language")
    length: int = api.param(200, ge=1, le=8192, title="Length", unit="tokens")
    """At most; about four letters each."""


class WriterContinue(api.Tool):
    """A story or a poem goes on from where your words end."""

    id = "writer.continue"
    title = "Write on"
    output = "text"
    icon = "mdi6.fountain-pen-tip"

    class Params(sampling_params.Sampling, Words):
        memory: api.Prompt = api.param("", title="Memory", advanced=True, group="What it knows")
        """Stands before everything, however long the text becomes."""
        note: api.Prompt = api.param("", title="Author's note", advanced=True, group="What it knows")
        """Stands in brackets before the last paragraphs, so that it is heeded."""
        depth: int = api.param(
            2, ge=0, le=50, title="Note before the last", unit="paragraphs", advanced=True, group="What it knows"
        )
        lorebook: list[str] = api.param([], max_items=200, title="Lorebook", advanced=True, group="What it knows")
        """Such as `Mira, the fox: a vixen with one white ear`: told once one of its words is in the text."""
        choices: list[str] = api.param([], max_items=50, title="One of these", advanced=True, group="Form")
        """The new words are one of these, to the letter."""
        form: str = api.param("", title="Regular expression", advanced=True, group="Form")
        """The new words match it as a whole, such as `[A-Z][a-z]+ and [A-Z][a-z]+`."""
        overflow: context_window.Overflow = api.param(
            "oldest", labels=context_window.OVERFLOWS, title="When it is too long", advanced=True, group="What it knows"
        )

    def estimate(self, params: Params, ctx: api.EstimateContext) -> api.Estimate | None:
        facts = estimating.facts(params.model, ctx)
        if facts is None:
            return None
        if facts.tokenizer is None:
            known = estimating.guessed(params.text, params.memory, params.note)
            return estimating.told(facts, known, params.length, {})
        notes: dict[str, str] = {}
        try:
            entries = context_window.lore(params.lorebook)
        except api.BadInput as error:  # half typed
            entries, notes["lorebook"] = [], str(error)
        whole, length = _laid(params, entries, facts.tokenizer, facts.longest)
        read = context_window.budget(whole, facts.longest, length, params.overflow)
        return estimating.told(facts, min(read.whole, read.used) - length, length, notes, read)

    def run(self, params: Params, ctx: api.Context) -> Iterator[api.Event]:
        yield api.Progress(0, 0, "Getting the model ready")
        writer = models.load(ctx, params.model)
        whole, length = _laid(params, context_window.lore(params.lorebook), writer.tokenizer, writer.longest)
        seen = context_window.cut(whole, writer.longest - length, params.overflow)
        if seen.left_out:
            yield api.Notice(f"The model reads at most {writer.longest:,} tokens: {seen.left_out:,} are not seen.")
        prompt = seen.tokens or [writer.tokenizer.bos_token_id or writer.tokenizer.eos_token_id or 0]
        form = _form(params, writer.tokenizer)
        chain = sampling_params.chain(params, writer.tokenizer, ctx.generator(), len(prompt), form)
        alternatives = Alternatives()
        written = yield from generator.write(
            writer, prompt, chain, length, ctx, stop=params.stop, before=params.text, alternatives=alternatives
        )
        notes = {
            "begun": len(params.text),
            "tokens": written.tokens,
            "ended": written.ended,
            "seen": len(prompt),
            "left_out": seen.left_out,
            "choices": alternatives.told(writer.tokenizer, prompt, written.text),
        }
        yield api.Text(params.text + written.text, params.title, notes=notes)


def _laid(params: WriterContinue.Params, lore: Lore, tokenizer: Any, longest: int) -> tuple[context_window.Laid, int]:
    """All that belongs to the page, in tokens, and how many new ones there are to be."""
    before = vocabulary.beginning(tokenizer)
    if vocabulary.has_tags(tokenizer):
        before = vocabulary.opening(tokenizer, params.kind, params.title)
    told = context_window.Page(params.text[-MOST:], params.memory, params.note, params.depth, lore)
    return context_window.laid(tokenizer, told, before), min(params.length, longest // 2)


def _form(params: WriterContinue.Params, tokenizer: Any) -> constrained.Constrained | None:
    if choices := [choice for choice in params.choices if choice]:
        return constrained.choice(tokenizer, choices)
    return constrained.regular(tokenizer, params.form) if params.form else None
