"""A talk with a model."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterator, Sequence

from studio import api

from ..generation import chat_template, generator, sampling_params
from ..generation import estimate as estimating
from ..generation.chat_template import ANSWER, SYSTEM, USER, Message
from ..generation.context_window import NEW
from ..generation.top_logprobs import Alternatives
from ..models import tokenizer
from ..models import writer as models
from ..models.writer import Writer
from .continue_text import STARTER

TITLE = 60
"""Characters of what was asked that stand in the title of an answer."""


class Talk(api.Params):
    """What is asked first."""

    text: api.PageText = api.param("", title="The talk")
    """What you say is answered, and behind the answer you say the next. Names stand before the turns; the first needs
    none."""
    persona: str = api.param("Muse", title="Its name")
    name: str = api.param("You", title="Your name")
    system: api.Prompt = api.param(
        "You are a kind and honest companion of an artist. Answer briefly.", title="How it should be"
    )
    model: api.ModelChoice = api.param(STARTER, model="language")
    length: int = api.param(300, ge=1, le=8192, title="Length", unit="tokens")


class WriterChat(api.Tool):
    """A talk with a model that answers as the one you describe."""

    id = "writer.chat"
    title = "Talk"
    output = "text"
    icon = "mdi6.chat-outline"

    class Params(sampling_params.Sampling, Talk):
        pass

    def estimate(self, params: Params, ctx: api.EstimateContext) -> api.Estimate | None:
        known = estimating.facts(params.model, ctx)
        if known is None:
            return None
        if known.tokenizer is None:
            return estimating.told(known, estimating.guessed(params.system, params.text), params.length, {})
        rules, text = (len(tokenizer.words(known.tokenizer, part)) for part in (params.system, params.text))
        length = min(params.length, known.longest // 2)
        over = max(0, rules + text + length - known.longest)
        left_out = min(text, over)
        read = api.TokenBudget(known.longest, {"rules": rules, "text": text - left_out, NEW: length}, left_out)
        return estimating.told(known, rules + text - left_out, length, {}, read)

    def run(self, params: Params, ctx: api.Context) -> Iterator[api.Event]:
        names = params.name.strip() or "You", params.persona.strip() or "Muse"
        if names[0] == names[1]:
            raise api.BadInput(f"You are both called {names[0]}.", "Give one of you another name.")
        talk = parsed(params.text, names)
        who, last = talk[-1]
        if not last and (who == USER or len(talk) == 1):
            raise api.BadInput("Nothing is said yet.", "Write what you want to say.")
        yield api.Progress(0, 0, "Getting the model ready")
        writer = models.load(ctx, params.model)
        taught, stop = chat_template.has_template(writer), [*params.stop]
        if not taught:
            yield api.Notice(f"{writer.name} was not taught to talk: it writes on as if this were a scene.", "warning")
            stop.append(f"\n{names[0]}:")
        length = min(params.length, writer.longest // 2)
        rules = [(SYSTEM, params.system.strip())] if params.system.strip() else []
        tokens, left_out = _read(writer, rules, talk, names, writer.longest - length)
        if left_out:
            yield api.Notice(f"{writer.name} reads at most {writer.longest:,} tokens: the oldest turns are not seen.")
        chain = sampling_params.chain(params, writer.tokenizer, ctx.generator(), len(tokens))
        begun = params.text + ("" if who == ANSWER else f"{_gap(params.text)}{names[1]}:")
        space = " " if taught and begun.endswith(":") else ""
        alternatives = Alternatives()
        written = yield from generator.write(
            writer, tokens, chain, length, ctx, stop=stop, before=begun + space, alternatives=alternatives
        )
        answer = written.text.rstrip()
        choices = alternatives.told(writer.tokenizer, tokens, answer)
        if begun[-1:].isspace() and answer != answer.lstrip():
            answer, choices = answer.lstrip(), []
        elif begun.endswith(":") and not answer[:1].isspace():
            begun += " "
        notes = {
            "begun": len(begun),
            "tokens": written.tokens,
            "ended": written.ended,
            "seen": len(tokens),
            "left_out": left_out,
            "choices": [[begun[len(params.text) :], []], *choices],
        }
        said = f"{begun}{answer}\n\n{names[0]}: "
        asked = next((" ".join(what.split()) for one, what in reversed(talk) if one == USER), "")
        yield api.Text(said, f"A talk with {names[1]}: {asked[:TITLE]}".rstrip(": "), notes=notes)


def parsed(text: str, names: tuple[str, str]) -> list[Message]:
    """The talk in a text: what begins with a name and a colon is said by that one, all else by the one before, or at
    first by the artist. None is empty but perhaps the last, who is to speak."""
    who = {names[0]: USER, names[1]: ANSWER}
    parts = re.split(rf"(?m)^({'|'.join(map(re.escape, names))}):", text)
    found = [(USER, parts[0]), *((who[name], said) for name, said in zip(parts[1::2], parts[2::2], strict=True))]
    *turns, last = [(one, said.strip()) for one, said in found]
    return [*(turn for turn in turns if turn[1]), last]


def _read(
    writer: Writer, rules: Sequence[Message], talk: Sequence[Message], names: tuple[str, str], room: int
) -> tuple[list[int], int]:
    """The tokens of rules and talk, and how many turns were left out at its beginning so that it fits into `room`.

    Raises BadInput where the last words of the artist do not fit.
    """

    def told(first: int) -> list[int]:
        messages = [*rules, *talk[first:]]
        if chat_template.has_template(writer):
            return chat_template.prompt(writer, messages)
        return chat_template.plain(writer, messages, names)

    starts = [0, *(number for number, (who, _) in enumerate(talk) if who == USER and number)]
    first = starts[min(len(starts) - 1, bisect_left(starts, True, key=lambda start: len(told(start)) <= room))]
    tokens = told(first)
    if len(tokens) > room:
        over = len(tokens) - room
        raise api.BadInput(f"What was said last is {over:,} tokens longer than {writer.name} can read.", "Shorten it.")
    return tokens, first


def _gap(text: str) -> str:
    """What is missing to an empty line."""
    return "\n" * max(0, 2 - (len(text) - len(text.rstrip("\n"))))
