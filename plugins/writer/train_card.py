"""The model card of a trained language model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Facts:
    """What a training leaves to say. `documents` counts what was learnt from, by file; `samples` are (what was asked,
    what was written), unedited."""

    title: str
    kind: str
    base: str
    documents: Mapping[str, int]
    tokens: int
    seen: int
    seed: int
    steps: int
    minutes: float
    parameters: int
    perplexity: float
    held_tokens: int
    samples: Sequence[tuple[str, str]]


def text(facts: Facts) -> str:
    """The card as Markdown. What a model wrote stands in it as plain text, in fences."""
    masked = facts.kind == "masked"
    what = "A masked model, which fills gaps" if masked else "A model that writes on"
    begun = f", from {facts.base}" if facts.base else ""
    learnt = "\n".join(f"| {name} | {count:,} |" for name, count in facts.documents.items())
    measure = "hidden tokens" if masked else "the next token"
    samples = "\n\n".join(f"{asked}:\n\n~~~~\n{made.replace('~~~~', '')}\n~~~~" for asked, made in facts.samples)
    return (
        f"# {facts.title}\n\n"
        f"{what}: {facts.parameters:,} parameters, trained with `writer.train`{begun}.\n\n"
        f"Seed {facts.seed}, {facts.steps:,} steps, {facts.seen:,} tokens seen of {facts.tokens:,}, "
        f"{facts.minutes:.0f} minutes of training. The weights are a moving average, stored as float16.\n\n"
        f"| texts learnt from | documents |\n|---|---|\n{learnt}\n\n"
        f"**Perplexity** of {measure} on {facts.held_tokens:,} tokens of texts that it has not seen: "
        f"{facts.perplexity:.1f}\n\n"
        f"## Samples, unedited\n{samples}\n"
    )
