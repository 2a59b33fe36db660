"""Directions in the space of styles: found, taught, measured, and applied.

Found without labels by SeFa (Shen and Zhou, arXiv:2007.06600), from the weights that read the styles, and by principal
components of sampled styles (Härkönen et al., arXiv:2004.02546). What a direction does is measured on images, against
random directions of the same length.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from studio import api

from ..models.image_features import FeatureExtractor, composite
from ..sampling import latents

if TYPE_CHECKING:
    from torch import Tensor

    from ..models.gan_model import GanModel

Method: TypeAlias = Literal["sefa", "pca"]
LayerRange: TypeAlias = Literal["all", "coarse", "middle", "fine"]
LAYER_RANGES: tuple[LayerRange, ...] = ("all", "coarse", "middle", "fine")

PCA_SAMPLES = 4096
MEASURED = 12
"""Number of images on which a direction is measured."""
TRIAL_LENGTH = 2.0
"""Length at which the effect is measured, in standard deviations of the styles."""
LENGTHS = (0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0, 8.0)
"""Lengths that are tried for the range, in standard deviations of the styles."""
MAX_CHANGE = 0.7
"""Change at the end of the range, relative to the mean difference of two random images."""


@dataclass(frozen=True)
class Direction:
    """A direction in the space of styles, and what is known about it."""

    name: str
    values: Tensor
    """[layers, style size] on the CPU, up to the end of its range; zero in the layers that it leaves alone."""
    effect: float = 0.0
    """Change of the images, relative to a random direction of the same length."""
    side_effects: float = 0.0
    """Fraction (0..1) of the change that differs from image to image."""
    change: Tensor | None = None
    """[e]: mean change of the features of images, where it was measured."""

    @property
    def layers(self) -> tuple[int, ...]:
        """The layers that it changes."""
        return tuple(self.values.any(dim=1).nonzero().flatten().tolist())


def choose_layers(count: int, layer_range: LayerRange) -> slice:
    """Return the layers of a range: thirds of all."""
    first, second = round(count / 3), round(2 * count / 3)
    ranges = {
        "all": slice(0, count),
        "coarse": slice(0, first),
        "middle": slice(first, second),
        "fine": slice(second, count),
    }
    return ranges[layer_range]


def find_candidates(model: GanModel, method: Method, layer_range: LayerRange, count: int, seed: int) -> list[Tensor]:
    """Return up to `count` directions [layers, style size] of length 1 in the layers of a range.

    Raises BadInput for a model whose layers do not show how they read the styles (SeFa only).
    """
    import torch

    generator: Any = model.generator
    layers = choose_layers(generator.layer_count, layer_range)
    if method == "sefa":
        if not hasattr(generator, "list_style_weights"):
            raise api.BadInput(f"{model.title} does not show how its layers read styles.", "Use the method PCA.")
        weights = torch.cat([_normalize_rows(weight) for weight in generator.list_style_weights()[layers]])
        _, vectors = torch.linalg.eigh(weights.T @ weights)
        axes = vectors.T.flip(0)
    else:
        styles = sample_styles(model, PCA_SAMPLES, seed)[:, 0]
        axes = torch.linalg.svd(styles - styles.mean(dim=0), full_matrices=False).Vh
    found = []
    for axis in axes[:count]:
        values = torch.zeros(generator.layer_count, generator.style_size)
        values[layers] = axis * axis[axis.abs().argmax()].sign()
        found.append(values)
    return found


def sample_styles(model: GanModel, count: int, seed: int, *, truncation: float = 1.0) -> Tensor:
    """Return styles [count, layers, style size] of random latents and classes, on the CPU."""
    import torch

    drawn = torch.randn(count, model.generator.latent_size, generator=torch.Generator().manual_seed(seed))
    classes: list[int] = []
    if model.generator.classes:
        random = torch.Generator().manual_seed((seed + 1) % latents.SEEDS)
        classes = torch.randint(model.generator.classes, (count,), generator=random).tolist()
    return model.map_latents(drawn, classes, truncation=truncation).cpu()


class DirectionMeter:
    """Measures directions on a fixed set of images of a model."""

    def __init__(self, model: GanModel, extractor: FeatureExtractor, seed: int, truncation: float = 0.8) -> None:
        import torch

        self.model, self.extractor = model, extractor
        self.styles = sample_styles(model, MEASURED, seed, truncation=truncation)
        spread = sample_styles(model, 512, seed)[:, 0].std(dim=0)
        self.unit = float(spread.square().sum().sqrt()) / spread.numel() ** 0.5
        """Standard deviation of a style in one direction."""
        self.base = self._describe(self.styles)
        pairs = self.base[:, None] - self.base[None]
        self.typical = float(pairs.norm(dim=2).sum() / (MEASURED * (MEASURED - 1)))
        """Mean difference of two random images."""
        random = torch.Generator().manual_seed(seed)
        self._random = torch.randn(4, model.generator.style_size, generator=random)
        self._random_effects: dict[tuple[bool, ...], float] = {}

    def measure(self, name: str, values: Tensor) -> Direction:
        """Return a direction of length 1 with its effect and side effects."""
        change: Any = self._change(values * TRIAL_LENGTH * self.unit)
        mean = float(change.norm(dim=1).mean())
        common = float(change.mean(dim=0).norm())
        size = float(change.square().sum(dim=1).mean().sqrt())
        shared = (common / max(1e-9, size)) ** 2
        effect = mean / max(1e-9, self._measure_random(values))
        return Direction(name, values, effect, 1 - shared, change.mean(dim=0))

    def _measure_random(self, values: Tensor) -> float:
        """Return the mean change by random directions in the same layers and of the same length."""
        layers = values.abs().sum(dim=1) > 0
        key = tuple(layers.tolist())
        if key not in self._random_effects:
            changes = []
            for drawn in self._random:
                other = layers[:, None] * (drawn / drawn.norm())
                changes.append(float(self._change(other * TRIAL_LENGTH * self.unit).norm(dim=1).mean()))
            self._random_effects[key] = sum(changes) / len(changes)
        return self._random_effects[key]

    def calibrate(self, direction: Direction) -> Direction:
        """Return a direction of length 1 scaled to the length at which images change as much as `MAX_CHANGE`."""
        values = direction.values
        length = LENGTHS[0]
        for candidate in LENGTHS:
            step = candidate * self.unit * values
            changes = [float(self._change(one).norm(dim=1).mean()) for one in (step, -step)]
            if max(changes) > MAX_CHANGE * self.typical and candidate > LENGTHS[0]:
                break
            length = candidate
        return replace(direction, values=values * (length * self.unit))

    def _change(self, step: Tensor) -> Tensor:
        return self._describe(self.styles + step) - self.base

    def _describe(self, styles: Tensor) -> Tensor:
        import torch

        images = self.model.synthesize(styles)
        return torch.from_numpy(self.extractor.extract(composite(images)).layout)


def rank_directions(
    meter: DirectionMeter, candidates: Sequence[tuple[str, Tensor]]
) -> Iterator[tuple[int, list[Direction]]]:
    """Measure candidates one by one; yields (number of measured ones, directions by falling effect)."""
    measured: list[Direction] = []
    for number, (name, values) in enumerate(candidates, 1):
        measured.append(meter.measure(name, values))
        measured.sort(key=lambda direction: direction.effect * (1 - direction.side_effects), reverse=True)
        yield number, [*measured]


def keep_different(ranked: Sequence[Direction], count: int, *, max_cosine: float = 0.8) -> list[Direction]:
    """Return the first `count` directions that do not resemble an earlier one in the styles or in the images.

    Each range of layers has an equal share if it can fill it: directions of fine layers have the fewest side effects
    and would leave no place for shapes.
    """
    ranges = {direction.layers for direction in ranked}
    share = -(-count // max(1, len(ranges)))
    kept: list[int] = []
    for limit in (share, count):
        for number, direction in enumerate(ranked):
            others = [ranked[one] for one in kept]
            is_full = sum(one.layers == direction.layers for one in others) >= limit
            if number in kept or is_full or len(kept) == count:
                continue
            if all(_measure_likeness(direction, one) < max_cosine for one in others):
                kept.append(number)
    return [ranked[number] for number in sorted(kept)]


def _measure_likeness(first: Direction, second: Direction) -> float:
    """Return the greater cosine, without its sign, of two directions: of their values, or of what they change."""
    from torch.nn import functional

    pairs = [(first.values, second.values)]
    if first.change is not None and second.change is not None:
        pairs.append((first.change, second.change))
    cosines = [functional.cosine_similarity(one.flatten(), other.flatten(), dim=0) for one, other in pairs]
    return max(abs(float(cosine)) for cosine in cosines)


def number_names(directions: Sequence[Direction]) -> list[Direction]:
    """Return the directions with a number after each name that several have, in order."""
    names = [direction.name for direction in directions]
    numbered = []
    for number, direction in enumerate(directions):
        ordinal = names[: number + 1].count(direction.name)
        is_shared = names.count(direction.name) > 1
        numbered.append(replace(direction, name=f"{direction.name} {ordinal}") if is_shared else direction)
    return numbered


def teach_direction(liked: Tensor, disliked: Tensor) -> Tensor:
    """Return the direction [layers, style size] from disliked to liked styles [n, layers, style size].

    Its layers have a mean length of 1. This is linear discriminant analysis with strong shrinkage, for few examples.
    """
    import torch

    difference = liked.mean(dim=0) - disliked.mean(dim=0)
    within = torch.cat([liked - liked.mean(dim=0), disliked - disliked.mean(dim=0)])
    variance = within.square().mean(dim=0)
    values = difference / (variance + variance.mean() + 1e-8)
    taught: Tensor = values / values.norm(dim=1, keepdim=True).mean().clamp(min=1e-8)
    return taught


def apply_directions(styles: Tensor, moves: Sequence[tuple[Direction, float]]) -> Tensor:
    """Return styles [layers, size] moved along directions; an amount of 1 or -1 is the end of the range."""
    for direction, amount in moves:
        styles = styles + amount * direction.values
    return styles


def rename_directions(directions: Sequence[Direction], names: Sequence[str]) -> list[Direction]:
    """Return the directions with new names, in order; an empty name keeps the old one, "-" drops the direction."""
    renamed = []
    for number, direction in enumerate(directions):
        name = names[number].strip() if number < len(names) else ""
        if name != "-":
            renamed.append(replace(direction, name=name or direction.name))
    return renamed


def _normalize_rows(weight: Tensor) -> Tensor:
    """Return the weights [inputs, style size] of one layer with the Frobenius norm 1, so that layers count equally."""
    weight = weight.detach().float().cpu()
    normalized: Tensor = weight / weight.norm().clamp(min=1e-8)
    return normalized
