"""What the plugin adds to writing, against transformers' `generate` over the same weights, and what it saves on a page
that it has read before."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import torch

from plugins.writer.generation import generator, sampling_params
from plugins.writer.generation.sampling_params import SamplingParams
from plugins.writer.models import architectures
from plugins.writer.models.writer import Writer
from plugins.writer.training.bpe import train_tokenizer
from plugins.writer.training.documents import Document
from studio import testing
from tests.benchmarks.measure import LEAST, Figure

SHAPE = architectures.Shape(512, 8, 8, 1376)
"""28 million parameters at random: a token takes about 10 ms on a core."""
PAGE, MORE, LENGTH = 1000, 10, 64
"""Tokens: on the page, added to it, and written."""
SETTINGS = SamplingParams(temperature=0.8, top_p=0.95)


def figures() -> Iterator[Figure]:
    writer = _writer()
    page = torch.randint(8, len(writer.tokenizer), (PAGE,), generator=torch.Generator().manual_seed(1)).tolist()
    bare, hosted = [], []
    for number in range(LEAST + 1):
        first, second = (_bare, _hosted) if number % 2 else (_hosted, _bare)
        for kind in (first, second):
            (bare if kind is _bare else hosted).append(kind(writer, page[:100]))
    yield Figure(
        what=f"tokens a second, of those of bare generate ({LENGTH} tokens, sampled)",
        unit="%",
        samples=tuple(100 * one / other for one, other in zip(bare[1:], hosted[1:], strict=True)),
        idle=1000 * sorted(bare)[len(bare) // 2] / LENGTH,
        of_idle="bare generate, in ms a token; at least 97 % is aimed at",
    )
    cold, warm = [], []
    for number in range(LEAST + 1):
        more = [8 + (number * MORE + one) % 250 for one in range(MORE)]
        writer.kv_cache.clear()
        cold.append(_first(writer, page + more))
        writer.kv_cache.prefill(page, _nothing)
        warm.append(_first(writer, page + more))
    yield Figure(
        what=f"first token after {MORE} more on a page of {PAGE:,}: as many times sooner as without what was read",
        unit="×",
        samples=tuple(one / other for one, other in zip(cold[1:], warm[1:], strict=True)),
        idle=1000 * sorted(cold)[len(cold) // 2],
        of_idle="without, in ms; at least 5 × is aimed at",
    )
    yield Figure(
        what="greedy tokens that differ from those of generate",
        unit="",
        samples=(float(_differing(writer, page[:100])),),
        bound=0,
    )


def _writer() -> Writer:
    torch.manual_seed(0)
    words = "".join(chr(97 + one % 26) + chr(97 + one * 7 % 26) + " " for one in range(4000))
    tokenizer = train_tokenizer([Document("", words)], 1000)
    writer = Writer(architectures.build_causal_model(SHAPE, tokenizer), tokenizer, "bench", "cpu")
    writer.eos_token_ids = frozenset()
    return writer


def _bare(writer: Writer, tokens: list[int]) -> float:
    """Seconds for `LENGTH` tokens."""
    ids = torch.tensor([tokens])
    torch.manual_seed(1)
    began = time.perf_counter()
    writer.model.generate(
        ids,
        attention_mask=torch.ones_like(ids),
        do_sample=True,
        temperature=0.8,
        top_p=0.95,
        top_k=0,
        max_new_tokens=LENGTH,
        min_new_tokens=LENGTH,
        eos_token_id=None,
        pad_token_id=1,
    )
    return time.perf_counter() - began


def _hosted(writer: Writer, tokens: list[int]) -> float:
    writer.kv_cache.clear()
    ctx = testing.FakeContext(seed=1)
    settings = SETTINGS.model_copy(update={"min_p": 0.0, "dry": 0.0})
    began = time.perf_counter()
    chain = sampling_params.build_sampler_chain(settings, writer.tokenizer, ctx.generator(), len(tokens))
    writing = generator.generate_text(writer, tokens, chain, LENGTH, ctx)
    while event := next(writing, None):
        ctx.emit(event)
    return time.perf_counter() - began


def _first(writer: Writer, tokens: list[int]) -> float:
    began = time.perf_counter()
    int(writer.kv_cache.prefill(tokens, _nothing).argmax())
    return time.perf_counter() - began


def _differing(writer: Writer, tokens: list[int]) -> int:
    ids = torch.tensor([tokens])
    theirs: Any = writer.model.generate(
        ids,
        attention_mask=torch.ones_like(ids),
        do_sample=False,
        max_new_tokens=LENGTH,
        eos_token_id=None,
        pad_token_id=1,
    )
    writer.kv_cache.clear()
    logits, ours = writer.kv_cache.prefill(tokens, _nothing), []
    for _ in range(LENGTH):
        ours.append(int(logits.argmax()))
        logits = writer.kv_cache.append(ours[-1])
    return sum(one != other for one, other in zip(ours, theirs[0, len(tokens) :].tolist(), strict=True))


def _nothing() -> None:
    pass
