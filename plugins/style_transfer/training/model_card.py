"""The model card of a trained style."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Facts:
    """What a training leaves to say. `pictures` counts what was learnt from, by what it was; `measured` is what was
    measured on held-out pictures at `best_step`, the step whose weights are kept."""

    title: str
    kind: str
    size: int
    pictures: Mapping[str, int]
    seed: int
    steps: int
    best_step: int
    minutes: float
    parameters: int
    measured: Mapping[str, float]
    checkerboard: float


MEANINGS = {
    "cycle": "mean difference of a photo that was painted and turned back (range 0 to 2)",
    "structure": "how far light and dark lie elsewhere than in the photo",
    "pixels": "mean difference from the effect itself (range 0 to 2)",
    "style": "sliced Wasserstein distance of patches from those aimed at",
}


def text(facts: Facts) -> str:
    """The card as Markdown."""
    learnt = "\n".join(f"| {name} | {count:,} |" for name, count in facts.pictures.items())
    measured = "\n".join(f"| {name} | {value:.4f} | {MEANINGS[name]} |" for name, value in facts.measured.items())
    return (
        f"# {facts.title}\n\n"
        f"A style, {facts.parameters:,} parameters, trained with `style.train` ({facts.kind}) on crops of "
        f"{facts.size} px.\n\n"
        f"Seed {facts.seed}, {facts.steps:,} steps, {facts.minutes:.0f} minutes of training. "
        f"The weights are a moving average, those of step {facts.best_step:,}.\n\n"
        f"| pictures learnt from | number |\n|---|---|\n{learnt}\n\n"
        f"| measure on held-out pictures | value | what it is |\n|---|---|---|\n{measured}\n"
        f"| checkerboard energy | {facts.checkerboard:.4f} | share of a pattern that repeats every few pixels |\n"
    )
