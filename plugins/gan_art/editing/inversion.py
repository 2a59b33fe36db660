"""Finds the styles of a given image, and tunes a generator so that it makes exactly this image.

The styles are optimised in w+ with a perceptual and a pixel loss (Abdal et al., arXiv:1904.03189); tuning with the
styles fixed follows pivotal tuning (Roich et al., arXiv:2106.05744).
"""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from studio import api

from ..models.image_features import FeatureExtractor, composite
from .directions import sample_styles

if TYPE_CHECKING:
    from torch import Tensor

    from ..models.gan_model import GanModel

STARTS = 48
"""Number of random images of which the most similar one is the start."""
LEARNING_RATE = 0.1
WARM_UP, COOL_DOWN = 0.05, 0.3
"""Fractions of the steps in which the learning rate rises and falls."""
PIXEL_WEIGHT = 2.0
LOCALITY_WEIGHT = 0.3
LOCALITY_IMAGES = 2
TUNING_RATE = 2e-3
TUNING_PIXEL_WEIGHT = 10.0
"""Weight of the pixels when a generator is tuned: what is missing then is detail at its place."""


@dataclass(frozen=True)
class InversionStep:
    """The state of an inversion after a step."""

    styles: Tensor
    """[layers, style size] on the CPU."""
    image: Tensor
    """[channels, height, width] in -1..1 on the CPU."""
    loss: float


def invert_image(
    model: GanModel,
    extractor: FeatureExtractor,
    target: Tensor,
    *,
    steps: int,
    regularisation: float,
    seed: int,
    start: Tensor | None = None,
) -> Iterator[InversionStep]:
    """Optimise the styles for a target [1, channels, h, w] in -1..1; yields the state after each step.

    `regularisation` pulls the styles towards the mean style, so that they stay editable. The first state is the most
    similar of some random images, or `start`, [layers, style size].
    """
    import torch

    generator: Any = model.generator
    target = target.to(model.device)
    first = _find_start(model, extractor, target, seed) if start is None else start
    mean = generator.mean_style.mean(dim=0)
    with torch.enable_grad():
        styles = first.to(model.device).clone().requires_grad_(True)
        optimizer = torch.optim.Adam([styles], betas=(0.9, 0.99))
        for step in range(steps):
            optimizer.param_groups[0]["lr"] = LEARNING_RATE * _shape_rate(step / max(1, steps))
            image = generator.synthesize(styles[None])
            loss = _compare(extractor, image, target)
            if regularisation:
                loss = loss + regularisation * (styles - mean).square().mean()
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            if not math.isfinite(float(loss.detach())):
                raise api.StudioError("The inversion diverged.", "Raise the regularisation.")
            shown = image[0].detach().float().clamp(-1, 1).cpu()
            yield InversionStep(styles.detach().cpu().clone(), shown, float(loss.detach()))


def tune_generator(
    model: GanModel, extractor: FeatureExtractor, target: Tensor, styles: Tensor, *, steps: int, seed: int
) -> Iterator[tuple[Any, Tensor, float]]:
    """Tune a copy of the generator so that `styles` [layers, size] give the target; the styles stay.

    Images of other styles are held near those of the generator (locality). Yields (copy, image [c, h, w], loss) after
    each step.
    """
    import torch

    tuned: Any = copy.deepcopy(model.generator)
    target, pivot = target.to(model.device), styles[None].to(model.device)
    others = sample_styles(model, steps * LOCALITY_IMAGES, seed).to(model.device)
    parameters = [value for name, value in tuned.named_parameters() if not name.startswith("mapping.")]
    for value in parameters:
        value.requires_grad_(True)
    with torch.enable_grad():
        optimizer = torch.optim.Adam(parameters, lr=TUNING_RATE)
        for step in range(steps):
            optimizer.param_groups[0]["lr"] = TUNING_RATE * _shape_rate(step / max(1, steps))
            image = tuned.synthesize(pivot)
            near = torch.lerp(pivot, others[step * LOCALITY_IMAGES : (step + 1) * LOCALITY_IMAGES], 0.5)
            with torch.no_grad():
                expected = model.generator.synthesize(near)
            loss = _compare(extractor, image, target, TUNING_PIXEL_WEIGHT)
            loss = loss + LOCALITY_WEIGHT * _compare(extractor, tuned.synthesize(near), expected, TUNING_PIXEL_WEIGHT)
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            yield tuned, image[0].detach().float().clamp(-1, 1).cpu(), float(loss.detach())


def measure_psnr(first: Tensor, second: Tensor) -> float:
    """Return the peak signal-to-noise ratio in dB of two images in -1..1."""
    error = float((first - second).square().mean())
    return 99.0 if error < 1e-9 else 10 * math.log10(4 / error)


def _compare(
    extractor: FeatureExtractor, images: Tensor, targets: Tensor, pixel_weight: float = PIXEL_WEIGHT
) -> Tensor:
    perceptual = extractor.measure_distance(composite(images.float()), composite(targets.float())).mean()
    pixels = (images.float() - targets.float()).square().mean()
    return perceptual + pixel_weight * pixels


def _find_start(model: GanModel, extractor: FeatureExtractor, target: Tensor, seed: int) -> Tensor:
    import torch

    styles = sample_styles(model, STARTS, seed, truncation=0.7)
    distances = []
    with torch.no_grad():
        for part in torch.split(styles, 8):
            images = model.generator.synthesize(part.to(model.device)).float()
            pixels = (images - target).square().mean(dim=(1, 2, 3))
            features = extractor.measure_distance(composite(images), composite(target.expand_as(images)))
            distances.append(features + PIXEL_WEIGHT * pixels)
    return styles[int(torch.cat(distances).argmin())]


def _shape_rate(done: float) -> float:
    """Return the factor of the learning rate at a fraction of the steps."""
    rise = min(1.0, (done + 1e-3) / WARM_UP)
    fall = min(1.0, (1 - done) / COOL_DOWN)
    return rise * (0.5 - 0.5 * math.cos(math.pi * fall))
