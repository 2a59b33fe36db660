"""The discriminator as a teacher: grades of images, and what moved the grade."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from studio import api

from ..models.image_features import FeatureExtractor, Features
from .directions import sample_styles

if TYPE_CHECKING:
    from torch import Tensor

    from ..models.gan_model import GanModel
    from ..networks.stylegan2 import Discriminator

REFERENCES = 64
"""Number of generated images that the grades refer to."""
MAX_STRANGENESS = 3.5
"""Images that are further from the generated ones are graded with a reservation. Held-out fruits were below 2, save a
few; flowers, portraits and paintings were above 5."""
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
    strangeness: float = 0.0
    """Distance to the nearest generated image, relative to that between generated ones."""

    @property
    def is_strange(self) -> bool:
        """True for an image of another kind than those of the GAN, whose score says little."""
        return self.strangeness > MAX_STRANGENESS


class Critic:
    """Grades images with the discriminator of a model.

    A discriminator has seen training and generated images only and gives any score to others, so that features tell
    which images are of another kind.
    """

    def __init__(self, model: GanModel, extractor: FeatureExtractor, seed: int) -> None:
        """Generate the images that grades refer to. Raises BadInput for a model without a discriminator."""
        import torch

        if model.discriminator is None:
            raise api.BadInput(
                f"{model.title} has no discriminator.", "Choose a GAN that was trained here, or imported with one."
            )
        self.model, self.network, self.extractor = model, model.discriminator, extractor
        styles = sample_styles(model, REFERENCES, seed, truncation=0.8)
        generated = torch.cat([model.synthesize(style[None]) for style in styles])
        self._scores = _score_generated(model, self.network, generated)
        self._references = extractor.extract(generated)

    def grade(self, image: Tensor, number: int | None = None) -> Grade:
        """Grade an image [1, channels, h, w] in -1..1 as one of a class, or of the best one if that is None."""
        import torch

        with torch.enable_grad():
            value = image.to(self.model.device).clone().requires_grad_(True)
            chosen, score = _score(self.model, self.network, value, number)
            (gradient,) = torch.autograd.grad(score, value)
        found = float(score.detach())
        lower = float((self._scores < found).float().mean())
        influence = _smooth(gradient[0].abs().sum(dim=0)).cpu()
        return Grade(found, lower, influence, chosen, self.measure_strangeness(image))

    def measure_strangeness(self, image: Tensor) -> float:
        """Return the distance to the nearest generated image, relative to the median between generated ones."""
        features = self.extractor.extract(image)
        pairs = (
            (features.appearance, self._references.appearance),
            (features.layout, self._references.layout),
        )
        return min(_compare_distances(query, references) for query, references in pairs)


def _compare_distances(query: Features, references: Features) -> float:
    """Return the distance of a query [1, d] to the nearest reference [n, d], relative to those among the references."""
    import numpy as np

    scale = references.std(axis=0) + 1e-2 * float(references.std()) + 1e-6
    query, references = query / scale, references / scale
    among = np.linalg.norm(references[:, None] - references[None], axis=2)
    np.fill_diagonal(among, np.inf)
    usual = float(np.median(among.min(axis=1)))
    return float(np.linalg.norm(references - query, axis=1).min()) / max(1e-6, usual)


def _score(model: GanModel, critic: Discriminator, image: Tensor, number: int | None) -> tuple[int | None, Tensor]:
    """Return (class, score) of one image. Its batch statistics are those of a single image."""
    if not critic.config.classes:
        return None, critic(image)[0]
    candidates = range(critic.config.classes) if number is None else (number,)
    scores = [(one, critic(image, model.build_labels([one]))[0]) for one in candidates]
    return max(scores, key=lambda pair: float(pair[1].detach()))


def _score_generated(model: GanModel, critic: Discriminator, images: Tensor) -> Tensor:
    """Return the scores [n] of images [n, channels, h, w], each as the class that fits best."""
    import torch

    count = model.generator.classes
    labels = range(count) if count else (None,)
    scores = []
    with torch.no_grad():
        for number in range(len(images)):
            moved = images[number : number + 1].to(model.device)
            values = [critic(moved, None if one is None else model.build_labels([one]))[0] for one in labels]
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
