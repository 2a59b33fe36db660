"""Continue a story, a poem or any other text from where it ends."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from studio import api

from ..generation import estimate
from ..generation.character import load_lorebook
from ..generation.constrained import GrammarConstraint, constrain_to_choices, constrain_to_regex
from ..generation.context_window import (
    OVERFLOW_LABELS,
    EncodedContext,
    Lorebook,
    Overflow,
    PageContext,
    compute_token_budget,
    encode_context,
    fit_to_window,
    parse_lorebook,
)
from ..generation.generator import generate_text
from ..generation.sampling_params import SamplingParams, build_sampler_chain
from ..generation.top_logprobs import TopLogprobs
from ..models.tokenizer import TokenEncoder, encode_bos, encode_header, has_kind_tokens
from ..models.writer import STARTER, load_writer

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

MAX_CHARACTERS = 1_000_000
"""Number of last characters of the text that are encoded: more than the context window of any model."""
CONTEXT_GROUP, OUTPUT_GROUP = "Context", "Constrained output"


class ContinueInputs(api.Params):
    """Parameters that come before the sampling parameters."""

    text: api.PageText = api.param("", title="Text")
    """The model continues from the end of this text. Without a text it starts one."""
    title: str = ""
    """Title of the text, for models that were trained here."""
    kind: Literal["tale", "story", "poem", "book"] = api.param(
        "tale", labels=("Fairy tale", "Simple story", "Poem", "Book"), title="Kind of text"
    )
    """For models that were trained here. Others follow your text."""
    model: api.ModelChoice = api.param(STARTER, model="language")
    length: int = api.param(200, ge=1, le=8192, title="Maximum length", unit="tokens")
    """A token has about four characters."""


class WriterContinue(api.Tool):
    """Continues a story, a poem or any other text from where it ends."""

    id = "writer.continue"
    title = "Continue text"
    output = "text"
    icon = "mdi6.fountain-pen-tip"

    class Params(SamplingParams, ContinueInputs):
        memory: api.Prompt = api.param("", title="Memory", advanced=True, group=CONTEXT_GROUP)
        """Always comes first in the prompt, however long the text becomes."""
        note: api.Prompt = api.param("", title="Author's note", advanced=True, group=CONTEXT_GROUP)
        """Inserted in brackets shortly before the end of the prompt, where it has much influence."""
        depth: int = api.param(
            2, ge=0, le=50, title="Author's note depth", unit="paragraphs", advanced=True, group=CONTEXT_GROUP
        )
        """Number of paragraphs after the author's note."""
        lorebook: list[str] = api.param([], max_items=200, title="Lorebook", advanced=True, group=CONTEXT_GROUP)
        """Entries such as `Mira, the fox: a vixen with one white ear`. An entry is added to the prompt when one of its
        keywords is in the text."""
        lorebook_file: api.FileInput | None = api.param(
            None, accepts=(".json",), title="Lorebook file", advanced=True, group=CONTEXT_GROUP
        )
        """A world info file of SillyTavern, or another lorebook in JSON. Its entries are added to the lorebook."""
        choices: list[str] = api.param(
            [], max_items=50, title="One of these choices", advanced=True, group=OUTPUT_GROUP
        )
        """The output is exactly one of these."""
        form: str = api.param("", title="Regular expression", advanced=True, group=OUTPUT_GROUP)
        """The whole output matches it, such as `[A-Z][a-z]+ and [A-Z][a-z]+`."""
        overflow: Overflow = api.param(
            "oldest", labels=OVERFLOW_LABELS, title="Context overflow", advanced=True, group=CONTEXT_GROUP
        )
        """Applies when the text is longer than the context window of the model."""

    def estimate(self, params: Params, ctx: api.EstimateContext) -> api.Estimate | None:
        model = estimate.read_model_size(params.model, ctx)
        if model is None:
            return None
        if model.tokenizer is None:
            count = estimate.guess_token_count(params.text, params.memory, params.note)
            return estimate.build_estimate(model, count, params.length)
        notes: dict[str, str] = {}
        lore = Lore(params.memory)
        try:
            lore = _load_lore(params)
        except api.BadInput as error:  # a file of another kind, or an entry that is still being typed
            notes["lorebook"] = str(error)
        context = _encode_page(params, lore, model.tokenizer)
        length = min(params.length, model.context_length // 2)
        budget = compute_token_budget(context, model.context_length, length, params.overflow)
        return estimate.build_estimate(model, min(budget.whole, budget.used) - length, length, notes, budget)

    def run(self, params: Params, ctx: api.Context) -> Iterator[api.Event]:
        yield api.Progress(0, 0, "Loading the model")
        writer = load_writer(ctx, params.model)
        context = _encode_page(params, _load_lore(params), writer.tokenizer)
        length = min(params.length, writer.context_length // 2)
        window = fit_to_window(context, writer.context_length - length, params.overflow)
        if window.left_out:
            yield api.Notice(
                f"The context window of {writer.name} has {writer.context_length:,} tokens: "
                f"{window.left_out:,} tokens of the text are left out."
            )
        prompt = window.tokens or [writer.tokenizer.bos_token_id or writer.tokenizer.eos_token_id or 0]
        constraint = _build_constraint(params, writer.tokenizer)
        chain = build_sampler_chain(params, writer.tokenizer, ctx.generator(), len(prompt), constraint)
        logprobs = TopLogprobs()
        output = yield from generate_text(
            writer, prompt, chain, length, ctx, stop=params.stop, preview_prefix=params.text, logprobs=logprobs
        )
        notes = {
            "begun": len(params.text),
            "tokens": output.tokens,
            "ended": output.finish_reason,
            "seen": len(prompt),
            "left_out": window.left_out,
            "choices": logprobs.decode(writer.tokenizer, prompt, output.text),
        }
        yield api.Text(params.text + output.text, params.title, notes=notes)


@dataclass(frozen=True)
class Lore:
    """The memory with what a lorebook file always tells, and the entries of the form and of the file."""

    memory: str
    entries: Lorebook = ()


def _load_lore(params: WriterContinue.Params) -> Lore:
    lines, constant = load_lorebook(params.lorebook_file, "", "")
    memory = "\n\n".join(filter(None, (params.memory.strip(), constant)))
    return Lore(memory, parse_lorebook([*params.lorebook, *lines]))


def _encode_page(params: WriterContinue.Params, lore: Lore, tokenizer: TokenEncoder) -> EncodedContext:
    if has_kind_tokens(tokenizer):
        header = encode_header(tokenizer, params.kind, params.title)
    else:
        header = encode_bos(tokenizer)
    page = PageContext(params.text[-MAX_CHARACTERS:], lore.memory, params.note, params.depth, lore.entries)
    return encode_context(tokenizer, page, header)


def _build_constraint(params: WriterContinue.Params, tokenizer: PreTrainedTokenizerBase) -> GrammarConstraint | None:
    if choices := [choice for choice in params.choices if choice]:
        return constrain_to_choices(tokenizer, choices)
    return constrain_to_regex(tokenizer, params.form) if params.form else None
