"""Turn an idea into a prompt for an image model."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Literal, TypeAlias

from studio import api

from ..generation.chat_template import SYSTEM, USER, encode_chat, has_chat_template
from ..generation.generator import generate_text
from ..generation.sampling_params import SamplingParams, build_sampler_chain
from ..models.writer import STARTER, load_writer

Dialect: TypeAlias = Literal["emoji", "tags", "sentences"]
INSTRUCTIONS = {
    "emoji": "Name at most two things that are emoji, with their colours, and nothing else: 'a red apple and a fox'.",
    "tags": "Write a list of short phrases with commas between: subject first, then setting, light, medium and mood.",
    "sentences": "Write two or three plain sentences: who or what, where, in what light, from where it is seen.",
}
STYLES = {"emoji": "3d", "tags": "detailed, soft light", "sentences": ""}
MAX_WORDS = {"emoji": 4, "tags": 16, "sentences": 16}
"""Number of keywords that are kept by a model that cannot follow instructions."""
LENGTH = 160
"""Maximum number of new tokens."""
_STOP_WORDS = frozenset((
    "a", "an", "the", "and", "or", "but", "so", "then", "than", "that", "this", "these", "those", "there", "here",
    "it", "its", "is", "are", "was", "were", "be", "been", "being", "am", "do", "does", "did", "has", "have",
    "had", "will", "would", "can", "could", "should", "may", "might", "must", "not", "no", "nor", "very", "just",
    "only", "also", "too", "as", "at", "by", "for", "from", "in", "into", "of", "off", "on", "onto", "out",
    "over", "to", "up", "with", "without", "about", "again", "once", "when", "while", "where", "who", "whom",
    "whose", "which", "what", "why", "how", "all", "any", "both", "each", "few", "more", "most", "other", "some",
    "such", "own", "same", "i", "you", "he", "she", "we", "they", "me", "him", "her", "us", "them", "my", "your",
    "his", "our", "their", "said", "says", "upon", "lived",
))  # fmt: skip
"""Words without anything to see."""


class IdeaInputs(api.Params):
    """Parameters that come before the sampling parameters."""

    text: api.Prompt = api.param("", title="Idea")
    """A sentence of a story, a mood, or a few words."""
    dialect: Dialect = api.param(
        "emoji",
        labels=("Emoji starter model", "Stable Diffusion (tags)", "Flux, Qwen and similar (sentences)"),
        title="Prompt for",
    )
    """The image model for which the prompt is written."""
    style: str = api.param("", title="Style")
    """Added at the end of the prompt. Empty uses a style that suits the image model."""
    model: api.ModelChoice = api.param(STARTER, model="language", title="Language model")


class WriterPrompt(api.Tool):
    """Turns an idea into a prompt for an image model."""

    id = "writer.prompt"
    title = "Idea to image prompt"
    output = "text"
    icon = "mdi6.lightbulb-on-outline"

    class Params(SamplingParams, IdeaInputs):
        pass

    def run(self, params: Params, ctx: api.Context) -> Iterator[api.Event]:
        idea = params.text.strip()
        if not idea:
            raise api.BadInput("There is no idea.", "Write a few words.")
        yield api.Progress(0, 0, "Loading the model")
        writer = load_writer(ctx, params.model)
        if has_chat_template(writer):
            instructions = INSTRUCTIONS[params.dialect]
            system = f"You write prompts for a program that paints. {instructions} Answer with the prompt only."
            tokens = encode_chat(writer, [(SYSTEM, system), (USER, idea[:4000])])
            chain = build_sampler_chain(params, writer.tokenizer, ctx.generator(), len(tokens))
            output = yield from generate_text(writer, tokens, chain, LENGTH, ctx, stop=["\n\n", *params.stop])
            prompt = " ".join(output.text.split()).strip('"')
        else:
            yield api.Notice(f"{writer.name} cannot follow instructions, so the prompt is made of your own keywords.")
            prompt = extract_keywords(params.text, MAX_WORDS[params.dialect])
        style = params.style.strip() or STYLES[params.dialect]
        prompt = ", ".join(part for part in (prompt, style) if part)
        yield api.Preview(prompt)
        yield api.Text(prompt, idea[:80], notes={"idea": params.text, "dialect": params.dialect})


def extract_keywords(text: str, limit: int) -> str:
    """Return up to `limit` words of a text in their order, without stop words and repetitions."""
    keywords: list[str] = []
    for match in re.findall(r"[^\W\d_]+(?:['’-][^\W\d_]+)*", text):
        word = match.lower()
        if word not in _STOP_WORDS and word not in keywords:
            keywords.append(word)
    return " ".join(keywords[:limit]) or " ".join(text.split())[:80]
