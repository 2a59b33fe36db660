"""Telling a model what to do: by its own chat template, or where it has none, by a plain talk."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from studio import api

from ..models import tokenizer
from ..models.writer import Writer

USER, ANSWER, SYSTEM = "user", "assistant", "system"
Message = tuple[str, str]
"""(who, what), with `USER`, `ANSWER` or `SYSTEM`."""


def has_template(writer: Writer) -> bool:
    return bool(getattr(writer.tokenizer, "chat_template", None))


def prompt(writer: Writer, messages: Sequence[Message]) -> list[int]:
    """The tokens of a talk, up to where the model answers, or goes on with its answer if that is last. Control tokens
    in what someone said are taken apart.

    Raises BadInput when the template does not take such a talk.
    """
    if messages[-1] == (ANSWER, ""):
        return prompt(writer, messages[:-1])
    told = [{"role": who, "content": what} for who, what in messages]
    begun = messages[-1][0] == ANSWER
    try:
        made: Any = writer.tokenizer.apply_chat_template(
            told,
            add_generation_prompt=not begun,
            continue_final_message=begun,
            tokenize=True,
            return_dict=False,
            sanitize_control_tokens=True,
        )
    except Exception as error:  # templates raise what their authors chose
        if len(messages) > 1 and messages[0][0] == SYSTEM:  # Some take no rules of their own.
            (_, rules), (who, what), *rest = messages
            return prompt(writer, [(who, f"{rules}\n\n{what}"), *rest])
        sentence = f"{writer.name} has a chat template that cannot be used."
        raise api.BadInput(sentence, "Choose another model.") from error
    return [int(token) for token in made]


def plain(writer: Writer, messages: Sequence[Message], names: tuple[str, str]) -> list[int]:
    """The same for a model without a template: a talk with names before the lines."""
    by = {USER: names[0], ANSWER: names[1]}
    goes_on = messages[-1][0] == ANSWER
    lines = [f"{by[who]}: {what}".rstrip() if who in by else what for who, what in messages]
    told = "\n\n".join(lines if goes_on else [*lines, f"{names[1]}:"])
    return tokenizer.beginning(writer.tokenizer) + tokenizer.words(writer.tokenizer, told)


def must_follow(writer: Writer) -> None:
    """Raises BadInput for a model that can only write on."""
    if not has_template(writer):
        raise api.BadInput(
            f"{writer.name} can only write on: it was not taught to follow instructions.",
            "Choose a model with a chat template, such as an “Instruct” one.",
        )
