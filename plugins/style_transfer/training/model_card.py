"""The model card of a trained style."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from studio import api

if TYPE_CHECKING:
    from .base import StyleTraining
    from .params import StyleTrainingParams

SCORE_MEANINGS = {
    "cycle": "mean difference of a photo and its reconstruction from the painting (0 to 2); less is better",
    "structure": "difference of light and dark from the photo; less is better",
    "pixels": "mean difference from the effect (0 to 2); less is better",
    "style": "sliced Wasserstein distance of patches from those of the targets; less is better",
}


@dataclass(frozen=True)
class Evaluation:
    """The best weights: their step, their scores on held-out images, and the checkerboard energy of the latter."""

    best_step: int
    scores: Mapping[str, float]
    checkerboard: float


def build_card(
    params: StyleTrainingParams,
    title: str,
    training: StyleTraining,
    evaluation: Evaluation,
    data: Mapping[str, int],
    *,
    seed: int,
    base: str = "",
) -> api.model_card.ModelCard:
    """Build the card. `data` counts the images used for training, by what they are; `base` names the base style."""
    method = f"effect: {params.effect}" if params.kind == "effect" else params.kind
    parameters = sum(value.numel() for value in training.ema.parameters())
    measures = [api.model_card.Measure(name, value, SCORE_MEANINGS[name]) for name, value in evaluation.scores.items()]
    measures.append(
        api.model_card.Measure(
            "checkerboard energy", evaluation.checkerboard, "fraction of the contrast that repeats every few pixels"
        )
    )
    return api.model_card.ModelCard(
        title=title,
        summary=f"A style for `style.transfer`, trained with the method {method}.",
        rows={
            **api.model_card.training_rows("style.train", training.state, seed=seed, parameters=parameters),
            "Method": method,
            **({"Base style": base} if base else {}),
            "Crop size": f"{params.size} px",
            "Weights": f"moving average, from step {evaluation.best_step:,}",
        },
        data=data,
        measures=measures,
    )
