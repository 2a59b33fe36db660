"""Generate text token by token, with previews, until an end token, a stop sequence or the maximum length."""

from __future__ import annotations

import time
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from studio import api

from ..models.writer import Writer
from .sampling_params import SamplerChain
from .top_logprobs import TopLogprobs

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

PREVIEW_SECONDS = 0.05
"""Least time between two previews."""


@dataclass(frozen=True)
class GeneratedText:
    """The new text, without the stop sequence."""

    text: str
    tokens: int
    finish_reason: str
    """``end`` (end token, or a complete grammar), ``stop`` (stop sequence) or ``length``."""
    seconds: float


def generate_text(
    writer: Writer,
    prompt: Sequence[int],
    chain: SamplerChain,
    length: int,
    ctx: api.Context,
    *,
    stop: Sequence[str] = (),
    preview_prefix: str = "",
    logprobs: TopLogprobs | None = None,
) -> Generator[api.Event, None, GeneratedText]:
    """Generate up to `length` tokens after `prompt`.

    Previews show `preview_prefix` and the text so far. `logprobs` receives the logits of each token.
    """
    tokens = [*prompt]
    new_tokens: list[int] = []
    stop = [sequence for sequence in stop if sequence]
    yield api.Progress(0, length, "Reading the prompt")
    logits = writer.kv_cache.prefill(tokens, ctx.check_cancelled)
    started = last_preview = time.monotonic()
    text, finish_reason = "", "length"
    while len(new_tokens) < length:
        token = chain.sample(logits, tokens)
        if token in writer.eos_token_ids:
            finish_reason = "end"
            break
        if logprobs is not None:
            logprobs.add(logits, token)
        tokens.append(token)
        new_tokens.append(token)
        if chain.is_complete:
            finish_reason = "end"
            break
        now = time.monotonic()
        if stop or now - last_preview > PREVIEW_SECONDS or len(new_tokens) == length:
            text = _decode(writer.tokenizer, new_tokens)
            if (place := _find_stop(text, stop)) is not None:
                text, finish_reason = text[:place], "stop"
                break
            if now - last_preview > PREVIEW_SECONDS:
                rate = len(new_tokens) / max(1e-6, now - started)
                yield api.Progress(len(new_tokens), length, f"{rate:.0f} tokens per second")
                yield api.Preview(preview_prefix + text)
                last_preview = now
        ctx.check_cancelled()
        if len(new_tokens) < length:
            logits = writer.kv_cache.append(token)
    if finish_reason == "end":
        text = _decode(writer.tokenizer, new_tokens)
    yield api.Preview(preview_prefix + text)
    return GeneratedText(text, len(new_tokens), finish_reason, time.monotonic() - started)


def _decode(tokenizer: PreTrainedTokenizerBase, tokens: Sequence[int]) -> str:
    """Return the text of tokens, without an incomplete character at its end."""
    return str(tokenizer.decode(tokens, skip_special_tokens=True)).rstrip("\ufffd")


def _find_stop(text: str, stop: Sequence[str]) -> int | None:
    """Return the place of the first stop sequence."""
    return min((place for sequence in stop if (place := text.find(sequence)) >= 0), default=None)
