"""Compare the writer with transformers' `generate` on the same weights, and measure what its KV cache saves."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import torch

from plugins.writer.generation.generator import generate_text
from plugins.writer.generation.sampling_params import SamplingParams, build_sampler_chain
from plugins.writer.models import architectures
from plugins.writer.models.writer import Writer
from plugins.writer.training.bpe import train_tokenizer
from plugins.writer.training.documents import Document
from studio import testing
from tests.benchmarks.figure import MIN_SAMPLES, Figure

SHAPE = architectures.Shape(512, 8, 8, 1376)
"""28 million random parameters: a token takes about 10 ms on one core."""
PAGE, MORE, LENGTH = 1000, 10, 64
"""Number of tokens on the page, added to it, and generated."""
PROMPT = 100
SAMPLING = SamplingParams(temperature=0.8, top_p=0.95, min_p=0.0, dry=0.0)


def run() -> Iterator[Figure]:
    writer = _build_writer()
    page = torch.randint(8, len(writer.tokenizer), (PAGE,), generator=torch.Generator().manual_seed(1)).tolist()
    bare, hosted = _time_alternately(writer, page[:PROMPT], _time_generate, _time_writer)
    yield Figure(
        title=f"tokens per second, relative to bare generate ({LENGTH} tokens, sampled)",
        unit="%",
        samples=tuple(100 * one / other for one, other in zip(bare[1:], hosted[1:], strict=True)),
        baseline=1000 * sorted(bare)[len(bare) // 2] / LENGTH,
        baseline_title="bare generate, in ms per token; the aim is at least 97 %",
    )
    cold, warm = [], []
    for number in range(MIN_SAMPLES + 1):
        more = [8 + (number * MORE + offset) % 250 for offset in range(MORE)]
        writer.kv_cache.clear()
        cold.append(_time_first_token(writer, page + more))
        writer.kv_cache.prefill(page, _ignore_cancel)
        warm.append(_time_first_token(writer, page + more))
    yield Figure(
        title=f"speed-up of the first token by the KV cache, for {MORE} more tokens on a page of {PAGE:,}",
        unit="×",
        samples=tuple(one / other for one, other in zip(cold[1:], warm[1:], strict=True)),
        baseline=1000 * sorted(cold)[len(cold) // 2],
        baseline_title="without the KV cache, in ms; the aim is at least 5 ×",
    )
    yield Figure(
        title="greedy tokens that differ from those of generate",
        unit="",
        samples=(float(_count_differences(writer, page[:PROMPT])),),
        bound=0,
    )


def _build_writer() -> Writer:
    torch.manual_seed(0)
    words = "".join(chr(97 + number % 26) + chr(97 + number * 7 % 26) + " " for number in range(4000))
    tokenizer = train_tokenizer([Document("", words)], 1000)
    writer = Writer(architectures.build_causal_model(SHAPE, tokenizer), tokenizer, "bench", "cpu")
    writer.eos_token_ids = frozenset()
    return writer


def _time_alternately(
    writer: Writer, prompt: list[int], *functions: Callable[[Writer, list[int]], float]
) -> tuple[list[float], ...]:
    """Return the times of each function, run in turns and in alternating order."""
    times: tuple[list[float], ...] = tuple([] for _ in functions)
    for number in range(MIN_SAMPLES + 1):
        pairs = [*zip(functions, times, strict=True)]
        for function, samples in pairs if number % 2 else reversed(pairs):
            samples.append(function(writer, prompt))
    return times


def _time_generate(writer: Writer, prompt: list[int]) -> float:
    """Return the seconds for `LENGTH` tokens with transformers."""
    ids = torch.tensor([prompt])
    torch.manual_seed(1)
    started = time.perf_counter()
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
    return time.perf_counter() - started


def _time_writer(writer: Writer, prompt: list[int]) -> float:
    """Return the seconds for `LENGTH` tokens with the plugin."""
    writer.kv_cache.clear()
    ctx = testing.FakeContext(seed=1)
    started = time.perf_counter()
    chain = build_sampler_chain(SAMPLING, writer.tokenizer, ctx.generator(), len(prompt))
    events = generate_text(writer, prompt, chain, LENGTH, ctx)
    while event := next(events, None):
        ctx.emit(event)
    return time.perf_counter() - started


def _time_first_token(writer: Writer, prompt: list[int]) -> float:
    started = time.perf_counter()
    int(writer.kv_cache.prefill(prompt, _ignore_cancel).argmax())
    return time.perf_counter() - started


def _count_differences(writer: Writer, prompt: list[int]) -> int:
    """Return the number of greedy tokens that differ from those of transformers."""
    ids = torch.tensor([prompt])
    expected = writer.model.generate(
        ids,
        attention_mask=torch.ones_like(ids),
        do_sample=False,
        max_new_tokens=LENGTH,
        eos_token_id=None,
        pad_token_id=1,
    )[0, len(prompt) :].tolist()
    writer.kv_cache.clear()
    logits, tokens = writer.kv_cache.prefill(prompt, _ignore_cancel), []
    for _ in range(LENGTH):
        tokens.append(int(logits.argmax()))
        logits = writer.kv_cache.append(tokens[-1])
    return sum(one != other for one, other in zip(tokens, expected, strict=True))


def _ignore_cancel() -> None:
    pass
