"""Tokens one after the other, shown as they come, until an end, a stop or the length that was asked for."""

from __future__ import annotations

import time
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import Any

from studio import api

from ..models.writer import Writer
from .sampling_params import Chain
from .top_logprobs import Alternatives

SHOW_EVERY = 0.05
"""Seconds between two previews."""


@dataclass(frozen=True)
class Written:
    """What was written; `ended` is ``end`` (the model's own), ``stop`` (a word to stop at) or ``length``."""

    text: str
    tokens: int
    ended: str
    seconds: float


def write(
    writer: Writer,
    prompt: Sequence[int],
    chain: Chain,
    length: int,
    ctx: api.Context,
    *,
    stop: Sequence[str] = (),
    before: str = "",
    alternatives: Alternatives | None = None,
) -> Generator[api.Event, None, Written]:
    """Up to `length` tokens after `prompt`. Previews show `before` and what was written so far; `alternatives` is told
    of each token."""
    tokens = [*prompt]
    made: list[int] = []
    stops = [word for word in stop if word]
    yield api.Progress(0, length, "Reading")
    logits = writer.prefix.read(tokens, ctx.check_cancelled)
    began = shown = time.monotonic()
    text, ended = "", "length"
    while len(made) < length:
        token = chain.draw(logits, tokens)
        if token in writer.ends:
            ended = "end"
            break
        if alternatives is not None:
            alternatives.note(logits, token)
        tokens.append(token)
        made.append(token)
        if chain.done:
            ended = "end"
            break
        now = time.monotonic()
        if stops or now - shown > SHOW_EVERY or len(made) == length:
            text = _told(writer.tokenizer, made)
            if cut := _stopped(text, stops):
                text, ended = cut[0], "stop"
                break
            if now - shown > SHOW_EVERY:
                rate = len(made) / max(1e-6, now - began)
                yield api.Progress(len(made), length, f"{rate:.0f} tokens a second")
                yield api.Preview(before + text)
                shown = now
        ctx.check_cancelled()
        if len(made) < length:
            logits = writer.prefix.add(token)
    if ended == "end":
        text = _told(writer.tokenizer, made)
    yield api.Preview(before + text)
    return Written(text, len(made), ended, time.monotonic() - began)


def _told(tokenizer: Any, tokens: Sequence[int]) -> str:
    """The text of tokens, without half a character at its end."""
    return str(tokenizer.decode(tokens, skip_special_tokens=True)).rstrip("\ufffd")


def _stopped(text: str, stops: Sequence[str]) -> tuple[str] | None:
    places = [place for word in stops if (place := text.find(word)) >= 0]
    return (text[: min(places)],) if places else None
