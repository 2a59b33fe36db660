"""The model card of a trained language model."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

CREDITS = "CREDITS.md"


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
    credited: bool = False
    eight_bits: bool = False


_WORDS = {
    "new": (
        "A model that writes on",
        "It goes on from a beginning in the manner of its texts. It knows nothing of the world beyond them, forgets "
        "what stands further back, and follows no instructions.",
    ),
    "masked": (
        "A masked model, which fills gaps",
        "It says which words fit into a gap, by what stands on both sides. It knows no words but those of its texts.",
    ),
    "lora": (
        "A LoRA for a model that writes on",
        "It leads its writer towards the manner of its texts, and works with that writer alone.",
    ),
}
"""What it is, and what it can and cannot do."""


def credits(told: Iterable[tuple[str, str]], base: Path | None) -> str:
    """Whom to name, of (title, credit) of texts, and whom the model named that was taught; empty where nobody is."""
    lines = [f"- {title}: {credit}" for title, credit in told]
    before = base / CREDITS if base else None
    if before and before.is_file():
        lines += [line for line in before.read_text("utf-8", "replace").splitlines() if line.startswith("- ")]
    return "# Credits of the texts\n\n" + "\n".join(dict.fromkeys(lines)) + "\n" if lines else ""


def text(facts: Facts) -> str:
    """The card as Markdown. What a model wrote stands in it as plain text, in fences."""
    masked = facts.kind == "masked"
    what, can = _WORDS["masked" if masked else "lora" if facts.kind == "lora" else "new"]
    begun = f", from {'the words of ' if masked else ''}{facts.base}" if facts.base else ""
    plain = "float8 (E4M3) and float16" if facts.eight_bits else "float16"
    stored = "float32, to be added to its writer's" if facts.kind == "lora" else plain
    credited = f" {CREDITS} tells whom to name for the texts." if facts.credited else ""
    learnt = "\n".join(f"| {name} | {count:,} |" for name, count in facts.documents.items())
    measure = "hidden tokens" if masked else "the next token"
    samples = "\n\n".join(f"{asked}:\n\n~~~~\n{made.replace('~~~~', '')}\n~~~~" for asked, made in facts.samples)
    return (
        f"# {facts.title}\n\n"
        f"{what}: {facts.parameters:,} parameters, trained with `writer.train`{begun}.\n\n"
        f"Seed {facts.seed}, {facts.steps:,} steps, {facts.seen:,} tokens seen of {facts.tokens:,}, "
        f"{facts.minutes:.0f} minutes of training. The weights are a moving average, stored as {stored}.\n\n"
        f"{can}\n\n"
        f"| texts learnt from | documents |\n|---|---|\n{learnt}\n\n"
        f"Some of them were held out to be measured on.{credited}\n\n"
        f"**Perplexity** of {measure} on {facts.held_tokens:,} tokens of texts that it has not seen: "
        f"{facts.perplexity:.1f}\n\n"
        f"## Samples, unedited\n{samples}\n"
    )
