"""Chat with a model on a page, where each turn stands behind the name of its speaker."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterator, Sequence

from studio import api

from ..generation import estimate
from ..generation.character import Character, load_character
from ..generation.chat_template import (
    ASSISTANT,
    SYSTEM,
    USER,
    Message,
    encode_chat,
    encode_transcript,
    has_chat_template,
)
from ..generation.context_window import NEW_TOKENS
from ..generation.generator import generate_text
from ..generation.sampling_params import SamplingParams, build_sampler_chain
from ..generation.top_logprobs import TopLogprobs
from ..models.tokenizer import encode_text
from ..models.writer import STARTER, Writer, load_writer

CHARACTER_GROUP = "Character"
TITLE_LENGTH = 60
"""Characters of the user's message in the title of an answer."""


class ChatInputs(api.Params):
    """Parameters that come before the sampling parameters."""

    text: api.PageText = api.param("", title="Conversation")
    """The model answers your last message. Names stand before the messages; the first needs none."""
    persona: str = api.param("Muse", title="Character name")
    name: str = api.param("You", title="Your name")
    system: api.Prompt = api.param(
        "You are a kind and honest companion of an artist. Answer briefly.", title="System prompt"
    )
    """Describes the character and how it should answer."""
    model: api.ModelChoice = api.param(STARTER, model="language")
    length: int = api.param(300, ge=1, le=8192, title="Maximum length", unit="tokens")


class WriterChat(api.Tool):
    """Chats with you as a character that you describe in the system prompt."""

    id = "writer.chat"
    title = "Chat"
    output = "text"
    icon = "mdi6.chat-outline"

    class Params(SamplingParams, ChatInputs):
        lorebook: list[str] = api.param([], max_items=500, title="Lorebook", advanced=True, group=CHARACTER_GROUP)
        """Entries such as `Mira, the fox: a vixen with one white ear`. An entry is added to the system prompt when one
        of its keywords is in the conversation."""
        card: api.FileInput | None = api.param(
            None,
            accepts=api.characters.CARD_SUFFIXES,
            title="Character card",
            advanced=True,
            group=CHARACTER_GROUP,
        )
        """A card of SillyTavern or Chub. It replaces the character name and the system prompt. Without a conversation,
        its first message begins one."""
        lorebook_file: api.FileInput | None = api.param(
            None, accepts=(".json",), title="Lorebook file", advanced=True, group=CHARACTER_GROUP
        )
        """A world info file of SillyTavern, or another lorebook in JSON. Its entries are added to the lorebook."""

    def estimate(self, params: Params, ctx: api.EstimateContext) -> api.Estimate | None:
        model = estimate.read_model_size(params.model, ctx)
        if model is None:
            return None
        notes: dict[str, str] = {}
        prompt = params.system
        try:
            prompt = _load_character(params).build_system_prompt(params.text)
        except api.BadInput as error:  # a file of another kind, or an entry that is still being typed
            notes["card" if params.card else "lorebook"] = str(error)
        if model.tokenizer is None:
            count = estimate.guess_token_count(prompt, params.text)
            return estimate.build_estimate(model, count, params.length, notes)
        system, text = (len(encode_text(model.tokenizer, part)) for part in (prompt, params.text))
        length = min(params.length, model.context_length // 2)
        excess = max(0, system + text + length - model.context_length)
        left_out = min(text, excess)
        parts = {"system prompt": system, "text": text - left_out, NEW_TOKENS: length}
        budget = api.TokenBudget(model.context_length, parts, left_out)
        return estimate.build_estimate(model, system + text - left_out, length, notes, budget)

    def run(self, params: Params, ctx: api.Context) -> Iterator[api.Event]:
        character = _load_character(params)
        names = _user_name(params), character.name
        if names[0] == names[1]:
            raise api.BadInput(f"You and the character are both called {names[0]}.", "Change one of the names.")
        if character.greeting and not params.text.strip():
            text = f"{names[1]}: {character.greeting}"
            yield api.Text(f"{text}\n\n{names[0]}: ", f"Chat with {names[1]}", notes={"begun": 0})
            return
        messages = parse_conversation(params.text, names)
        role, last = messages[-1]
        if not last and (role == USER or len(messages) == 1):
            raise api.BadInput("Your last message is empty.", "Write what you want to say.")
        yield api.Progress(0, 0, "Loading the model")
        writer = load_writer(ctx, params.model)
        has_template, stop = has_chat_template(writer), [*params.stop]
        if not has_template:
            yield api.Notice(
                f"{writer.name} has no chat template, so it continues the conversation as plain text.", "warning"
            )
            stop.append(f"\n{names[0]}:")
        length = min(params.length, writer.context_length // 2)
        prompt = character.build_system_prompt(params.text)
        system = [(SYSTEM, prompt)] if prompt else []
        tokens, left_out = _encode_recent(writer, system, messages, names, writer.context_length - length)
        if left_out:
            yield api.Notice(
                f"The context window of {writer.name} has {writer.context_length:,} tokens: the oldest messages are "
                "left out."
            )
        chain = build_sampler_chain(params, writer.tokenizer, ctx.generator(), len(tokens))
        given = params.text + ("" if role == ASSISTANT else f"{_missing_line_breaks(params.text)}{names[1]}:")
        space = " " if has_template and given.endswith(":") else ""
        logprobs = TopLogprobs()
        output = yield from generate_text(
            writer, tokens, chain, length, ctx, stop=stop, preview_prefix=given + space, logprobs=logprobs
        )
        answer = output.text.rstrip()
        choices = logprobs.decode(writer.tokenizer, tokens, answer)
        if given[-1:].isspace() and answer != answer.lstrip():
            answer, choices = answer.lstrip(), []
        elif given.endswith(":") and not answer[:1].isspace():
            given += " "
        notes = {
            "begun": len(given),
            "tokens": output.tokens,
            "ended": output.finish_reason,
            "seen": len(tokens),
            "left_out": left_out,
            "choices": [[given[len(params.text) :], []], *choices],
        }
        question = next((" ".join(content.split()) for role, content in reversed(messages) if role == USER), "")
        title = f"Chat with {names[1]}: {question[:TITLE_LENGTH]}".rstrip(": ")
        yield api.Text(f"{given}{answer}\n\n{names[0]}: ", title, notes=notes)


def _user_name(params: WriterChat.Params) -> str:
    return params.name.strip() or "You"


def _load_character(params: WriterChat.Params) -> Character:
    name = params.persona.strip() or "Muse"
    return load_character(name, params.system, params.lorebook, params.card, params.lorebook_file, _user_name(params))


def parse_conversation(text: str, names: tuple[str, str]) -> list[Message]:
    """Parse the messages in a text. `names` are those of the user and of the assistant.

    A name with a colon at the beginning of a line starts a message; what comes before the first is the user's. No
    message is empty but perhaps the last, whose speaker is next.
    """
    roles = {names[0]: USER, names[1]: ASSISTANT}
    parts = re.split(rf"(?m)^({'|'.join(map(re.escape, names))}):", text)
    messages = [(USER, parts[0])]
    messages += [(roles[name], content) for name, content in zip(parts[1::2], parts[2::2], strict=True)]
    *earlier, last = [(role, content.strip()) for role, content in messages]
    return [*(message for message in earlier if message[1]), last]


def _encode_recent(
    writer: Writer, system: Sequence[Message], messages: Sequence[Message], names: tuple[str, str], limit: int
) -> tuple[list[int], int]:
    """Return the tokens of the prompt, and how many of the oldest messages were left out to fit into `limit` tokens.

    Raises BadInput if the user's last message does not fit.
    """

    def encode(first: int) -> list[int]:
        prompt = [*system, *messages[first:]]
        return encode_chat(writer, prompt) if has_chat_template(writer) else encode_transcript(writer, prompt, names)

    starts = [0, *(number for number, (role, _) in enumerate(messages) if role == USER and number)]
    fits = bisect_left(starts, True, key=lambda start: len(encode(start)) <= limit)
    first = starts[min(len(starts) - 1, fits)]
    tokens = encode(first)
    if len(tokens) > limit:
        excess = len(tokens) - limit
        raise api.BadInput(
            f"Your last message is {excess:,} tokens longer than the context window of {writer.name}.", "Shorten it."
        )
    return tokens, first


def _missing_line_breaks(text: str) -> str:
    """Return the line breaks that the text needs to end with an empty line."""
    return "\n" * max(0, 2 - (len(text) - len(text.rstrip("\n"))))
