"""Encode a conversation with the chat template of a model, or as a plain transcript where it has none."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

from studio import api

from ..models.tokenizer import encode_bos, encode_text
from ..models.writer import Writer
from .template_renderer import limit_templates

USER, ASSISTANT, SYSTEM = "user", "assistant", "system"
Message: TypeAlias = tuple[str, str]
"""(role, content), with role `USER`, `ASSISTANT` or `SYSTEM`."""


def has_chat_template(writer: Writer) -> bool:
    return bool(getattr(writer.tokenizer, "chat_template", None))


def encode_chat(writer: Writer, messages: Sequence[Message]) -> list[int]:
    """Return the tokens of a conversation up to where the model answers.

    If the last message is the assistant's, the model continues it. Control tokens in a message are encoded as plain
    characters. A system prompt is put before the first message if the template does not take one.

    Raises BadInput if the template cannot be applied.
    """
    if messages[-1] == (ASSISTANT, ""):
        return encode_chat(writer, messages[:-1])
    is_continued = messages[-1][0] == ASSISTANT
    try:
        with limit_templates():
            tokens = writer.tokenizer.apply_chat_template(
                [{"role": role, "content": content} for role, content in messages],
                add_generation_prompt=not is_continued,
                continue_final_message=is_continued,
                tokenize=True,
                return_dict=False,
                sanitize_control_tokens=True,
            )
    except api.BadInput as error:  # a template without end is not tried again
        raise api.BadInput(str(error.args[0]).replace("The model", writer.name), error.hint) from error
    except Exception as error:  # templates raise what their authors chose
        if len(messages) > 1 and messages[0][0] == SYSTEM:
            (_, system_prompt), (role, content), *rest = messages
            return encode_chat(writer, [(role, f"{system_prompt}\n\n{content}"), *rest])
        raise api.BadInput(f"{writer.name} has a chat template that does not work.", "Choose another model.") from error
    return [int(token) for token in tokens]


def encode_transcript(writer: Writer, messages: Sequence[Message], names: tuple[str, str]) -> list[int]:
    """Return the tokens of a conversation for a model without a chat template.

    Each message stands behind the name of its speaker. `names` are those of the user and of the assistant.
    """
    by_role = {USER: names[0], ASSISTANT: names[1]}
    lines = [f"{by_role[role]}: {content}".rstrip() if role in by_role else content for role, content in messages]
    if messages[-1][0] != ASSISTANT:
        lines.append(f"{names[1]}:")
    return encode_bos(writer.tokenizer) + encode_text(writer.tokenizer, "\n\n".join(lines))


def require_chat_template(writer: Writer) -> None:
    """Raise BadInput for a model that can only continue text."""
    if not has_chat_template(writer):
        raise api.BadInput(
            f"{writer.name} has no chat template, so it cannot follow instructions.",
            "Choose a model with a chat template, such as an “Instruct” model.",
        )
