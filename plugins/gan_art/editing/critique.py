"""The discriminator as a teacher: grades of images, and what moved the grade."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from studio import api

from .directions import sample_styles

if TYPE_CHECKING:
    from torch import Tensor

    from ..models.gan_model import GanModel
    from ..networks.stylegan2 import Discriminator

REFERENCES = 64
"""Number of generated images that the grades refer to."""
SMOOTHING = 0.06
"""Radius of the blur of the gradient map, as a fraction of the shorter side."""


@dataclass(frozen=True)
class Grade:
    """The discriminator's opinion of one image."""

    score: float
    """The output of the discriminator; higher is more like the training data."""
    percentile: float
    """Fraction (0..1) of generated images that score lower."""
    influence: Tensor
    """[height, width] in 0..1: how much each place moves the score."""
    class_number: int | None = None
    """The class as which the image was graded; of a conditional model, the one with the highest score if not given."""


def grade_images(model: GanModel, images: Tensor, classes: Sequence[int | None], seed: int) -> list[Grade]:
    """Grade images [n, channels, h, w] in -1..1, each as one of a class, or of the best one if that is None.

    Raises BadInput for a model without a discriminator.
    """
    import torch

    critic = model.discriminator
    if critic is None:
        raise api.BadInput(
            f"{model.title} has no discriminator.", "Choose a GAN that was trained here, or imported with one."
        )
    references = _score_generated(model, critic, seed)
    grades = []
    with torch.enable_grad():
        for image, number in zip(images, classes, strict=True):
            value = image[None].to(model.device).clone().requires_grad_(True)
            chosen, score = _score(model, critic, value, number)
            (gradient,) = torch.autograd.grad(score, value)
            found = float(score.detach())
            lower = float((references < found).float().mean())
            grades.append(Grade(found, lower, _smooth(gradient[0].abs().sum(dim=0)).cpu(), chosen))
    return grades


def _score(model: GanModel, critic: Discriminator, image: Tensor, number: int | None) -> tuple[int | None, Tensor]:
    """Return (class, score) of one image. Its batch statistics are those of a single image."""
    if not critic.config.classes:
        return None, critic(image)[0]
    candidates = range(critic.config.classes) if number is None else (number,)
    scores = [(one, critic(image, model.build_labels([one]))[0]) for one in candidates]
    return max(scores, key=lambda pair: float(pair[1].detach()))


def _score_generated(model: GanModel, critic: Discriminator, seed: int) -> Tensor:
    import torch

    count = model.generator.classes
    scores = []
    styles = sample_styles(model, REFERENCES, seed, truncation=0.8)
    with torch.no_grad():
        for style in styles:
            image = model.generator.synthesize(style[None].to(model.device)).float().clamp(-1, 1)
            labels = range(count) if count else (None,)
            values = [critic(image, None if one is None else model.build_labels([one]))[0] for one in labels]
            scores.append(torch.stack(values).max().cpu())
    return torch.stack(scores)


def _smooth(values: Tensor) -> Tensor:
    """Blur a map [h, w] and scale it to 0..1."""
    from torch.nn import functional

    radius = max(1, round(SMOOTHING * min(values.shape)))
    blurred = values[None, None]
    for _ in range(2):
        padded = functional.pad(blurred, (radius,) * 4, mode="replicate")
        blurred = functional.avg_pool2d(padded, 2 * radius + 1, 1)
    blurred = blurred[0, 0]
    return (blurred - blurred.min()) / (blurred.max() - blurred.min()).clamp(min=1e-12)
