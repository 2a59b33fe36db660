"""A talk with a model."""

from __future__ import annotations

import re
from collections.abc import Iterator

from studio import api

from . import estimating, generation, instructing, models, sampling
from .continue_tool import STARTER
from .instructing import ANSWER, SYSTEM, USER, Message


class Talk(api.Params):
    """What is asked first."""

    text: api.Prompt = api.param("", title="The talk")
    """What you say. To go on, leave the talk as it is and write below it, on a line that begins with your name."""
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

    class Params(sampling.Sampling, Talk):
        pass

    def estimate(self, params: Params, ctx: api.EstimateContext) -> api.Estimate | None:
        return estimating.estimate(params.model, {"text": params.text, "system": params.system}, params.length, ctx)

    def run(self, params: Params, ctx: api.Context) -> Iterator[api.Event]:
        names = params.name.strip() or "You", params.persona.strip() or "Muse"
        talk = parsed(params.text, names)
        if not talk:
            raise api.BadInput("Nothing is said yet.", "Write what you want to say.")
        yield api.Progress(0, 0, "Getting the model ready")
        writer = models.load(ctx, params.model)
        rules = [(SYSTEM, params.system.strip())] if params.system.strip() else []
        stop = [*params.stop]
        if instructing.has_template(writer):
            tokens = instructing.prompt(writer, [*rules, *talk])
        else:
            yield api.Notice(f"{writer.name} was not taught to talk: it writes on as if this were a scene.", "warning")
            tokens = instructing.plain(writer, [*rules, *talk], names)
            stop.append(f"\n{names[0]}:")
        length = min(params.length, writer.longest // 2)
        if len(tokens) > writer.longest - length:
            raise api.BadInput(
                f"The talk is {len(tokens) - writer.longest + length:,} tokens longer than {writer.name} can read.",
                "Cut its beginning.",
            )
        chain = sampling.chain(params, writer.tokenizer, ctx.generator(), len(tokens))
        so_far = shown(talk, names) + f"\n\n{names[1]}: "
        written = yield from generation.write(writer, tokens, chain, length, ctx, stop=stop, before=so_far)
        notes = {"tokens": written.tokens, "ended": written.ended, "seen": len(tokens), "begun": len(so_far)}
        yield api.Text(so_far + written.text.strip(), f"A talk with {names[1]}", notes=notes)


def parsed(text: str, names: tuple[str, str]) -> list[Message]:
    """The talk in a text: what begins with a name and a colon is said by that one, all else by the artist."""
    who = {names[0]: USER, names[1]: ANSWER}
    parts = re.split(rf"(?m)^({'|'.join(map(re.escape, names))}):", text)
    found = [(USER, parts[0]), *((who[name], said) for name, said in zip(parts[1::2], parts[2::2], strict=True))]
    return [(one, said.strip()) for one, said in found if said.strip()]


def shown(talk: list[Message], names: tuple[str, str]) -> str:
    return "\n\n".join(f"{names[0] if who == USER else names[1]}: {said}" for who, said in talk)
