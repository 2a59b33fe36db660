"""An idea becomes a prompt for pictures."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Literal, TypeAlias

from studio import api

from ..generation import chat_template, generator, sampling_params
from ..generation.chat_template import SYSTEM, USER
from ..models import writer as models
from .continue_text import STARTER

Dialect: TypeAlias = Literal["emoji", "tags", "sentences"]
RULES = {
    "emoji": "Name at most two things that are emoji, with their colours, and nothing else: 'a red apple and a fox'.",
    "tags": "Write a list of short phrases with commas between: subject first, then setting, light, medium and mood.",
    "sentences": "Write two or three plain sentences: who or what, where, in what light, from where it is seen.",
}
STYLES = {"emoji": "3d", "tags": "detailed, soft light", "sentences": ""}
LENGTH = 160
_PASSED_OVER = frozenset((
    "a", "an", "the", "and", "or", "but", "so", "then", "than", "that", "this", "these", "those", "there", "here",
    "it", "its", "is", "are", "was", "were", "be", "been", "being", "am", "do", "does", "did", "has", "have",
    "had", "will", "would", "can", "could", "should", "may", "might", "must", "not", "no", "nor", "very", "just",
    "only", "also", "too", "as", "at", "by", "for", "from", "in", "into", "of", "off", "on", "onto", "out",
    "over", "to", "up", "with", "without", "about", "again", "once", "when", "while", "where", "who", "whom",
    "whose", "which", "what", "why", "how", "all", "any", "both", "each", "few", "more", "most", "other", "some",
    "such", "own", "same", "i", "you", "he", "she", "we", "they", "me", "him", "her", "us", "them", "my", "your",
    "his", "our", "their", "said", "says", "upon", "lived",
))  # fmt: skip
"""Small words that show nothing."""


class Idea(api.Params):
    """What is asked first."""

    text: api.Prompt = api.param("", title="Your idea")
    """A sentence of a story, a mood, or a few words."""
    dialect: Dialect = api.param(
        "emoji", labels=("The emoji starter", "Stable Diffusion", "Flux, Qwen and their like"), title="Prompt for"
    )
    """Each model has been told about pictures in its own manner."""
    style: str = api.param("", title="Style")
    """Is put behind it. Empty means what suits the model."""
    model: api.ModelChoice = api.param(STARTER, model="language", title="Writer")


class WriterPrompt(api.Tool):
    """Turns an idea into a prompt that a picture can be painted from."""

    id = "writer.prompt"
    title = "Idea to prompt"
    output = "text"
    icon = "mdi6.lightbulb-on-outline"

    class Params(sampling_params.Sampling, Idea):
        pass

    def run(self, params: Params, ctx: api.Context) -> Iterator[api.Event]:
        if not params.text.strip():
            raise api.BadInput("There is no idea yet.", "Write a few words.")
        yield api.Progress(0, 0, "Getting the model ready")
        writer = models.load(ctx, params.model)
        if chat_template.has_template(writer):
            rules = f"You write prompts for a program that paints. {RULES[params.dialect]} Answer with the prompt only."
            tokens = chat_template.prompt(writer, [(SYSTEM, rules), (USER, params.text.strip()[:4000])])
            chain = sampling_params.chain(params, writer.tokenizer, ctx.generator(), len(tokens))
            written = yield from generator.write(writer, tokens, chain, LENGTH, ctx, stop=["\n\n", *params.stop])
            made = " ".join(written.text.split()).strip('"')
        else:
            yield api.Notice(
                f"{writer.name} cannot follow instructions, so the words that carry the idea are kept as they are."
            )
            made = carrying(params.text, most=4 if params.dialect == "emoji" else 16)
        style = params.style.strip() or STYLES[params.dialect]
        made = ", ".join(part for part in (made, style) if part)
        yield api.Preview(made)
        yield api.Text(made, params.text.strip()[:80], notes={"idea": params.text, "dialect": params.dialect})


def carrying(text: str, most: int) -> str:
    """The words of a text that say what there is to see, in their order, without the small ones between."""
    words = re.findall(r"[^\W\d_]+(?:['’-][^\W\d_]+)*", text)
    found: list[str] = []
    for word in words:
        plain = word.lower()
        if plain not in _PASSED_OVER and plain not in found:
            found.append(plain)
    return " ".join(found[:most]) or " ".join(text.split())[:80]
