"""Batches of latents with captions, which depend on the seed and the step only."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from studio import api

from . import captions, composites
from .caption_options import CaptionOptions
from .captions import Subject
from .composites import Scene
from .dataset import Item, LoadedImages
from .epochs import EpochOrder
from .trainable_model import Frame

if TYPE_CHECKING:
    from torch import Tensor

PAIR_FRACTION = 0.18
"""Default fraction of composite images of two subjects in a batch."""
MAX_CAPTIONS_OF_ITEM, MAX_CAPTIONS = 8, 2000
"""Number of different captions of an item and of all, where they are encoded in advance."""
SINGLE_WEIGHTS = {"plain": 0.7, "ground": 0.12}
"""Relative frequency of each sort of image with one subject."""


class Batch(NamedTuple):
    """Latents [n, c, h, w] with n captions and n frames. `weights` of the loss are [n, 1, h, w] or [n, 1, 1, 1]."""

    latents: Tensor
    texts: list[str]
    frames: Sequence[Frame | None]
    weights: Tensor | None = None


@dataclass(frozen=True)
class LossWeights:
    """Weights the parts of the training data in the loss."""

    unmasked: float = 0.1
    """Weight of the area outside of a mask, whose inside has 1."""
    regularisation: float = 1.0
    """Weight of regularisation images."""


@dataclass
class LatentDataset:
    """Encoded items. `values` are float16 [c, h, w], one for each item.

    Single images are gone through in epochs. Where there are pairs or coloured grounds, the items are drawn at random.
    A pair in a batch consists of the left half of one pair and the right half of another one on the same ground. So
    thousands of pairs make millions, and a subject says nothing about its neighbour.
    """

    items: Sequence[Item]
    images: LoadedImages
    values: Sequence[Tensor]
    batch_size: int
    seed: int
    pair_fraction: float = PAIR_FRACTION
    captions: CaptionOptions = field(default_factory=CaptionOptions)
    weights: LossWeights = field(default_factory=LossWeights)
    held_out: frozenset[int] = frozenset()
    """Numbers of the subjects that are kept for the held-out loss."""
    caption_count: int | None = None
    """Number of different captions of an item, so that all are known beforehand; None for any number."""

    def __post_init__(self) -> None:
        self.subjects = self.images.subjects
        single = (1 - self.pair_fraction) / sum(SINGLE_WEIGHTS.values())
        weights = {**{sort: weight * single for sort, weight in SINGLE_WEIGHTS.items()}, "pair": self.pair_fraction}
        rows: dict[str, list[int]] = {sort: [] for sort in weights}
        self._pairs_by_look: dict[tuple[str, str], list[int]] = {}
        self._plain_rows: dict[int, list[int]] = {}
        for row, item in enumerate(self.items):
            if item.sort == "plain":
                self._plain_rows.setdefault(item.subject, []).append(row)
            scene = item.scene
            if not self.held_out & ({scene.left, scene.right} if scene else {item.subject}):
                rows[item.sort].append(row)
                if scene is not None:
                    self._pairs_by_look.setdefault(self._describe_look(scene), []).append(row)
        self._sorts = [(weight, rows[sort]) for sort, weight in weights.items() if rows[sort]]
        self._order = None if rows["ground"] or rows["pair"] else self._plan_epochs()

    def _plan_epochs(self) -> EpochOrder:
        numbers = [number for number in self._plain_rows if number not in self.held_out]
        uses = [number for number in numbers for _ in range(self.subjects[number].repeats)]
        shapes = {number: self._shape_of(self._plain_rows[number][0]) for number in numbers}
        return EpochOrder(
            [number for number in uses if not self.subjects[number].is_regularisation],
            shapes,
            self.batch_size,
            self.seed,
            regularisation=[number for number in numbers if self.subjects[number].is_regularisation],
        )

    def _shape_of(self, row: int) -> tuple[int, int]:
        height, width = self.values[row].shape[-2:]
        return height, width

    @property
    def batches_per_epoch(self) -> float:
        """Number of batches in which each image is used as often as its repeats say."""
        if self._order:
            return self._order.batches_per_epoch
        return (len(self.subjects) - len(self.held_out)) / self.batch_size

    def square_side(self, size: int) -> int:
        """Return the side of the latents of a square image of `size` px."""
        height, width = self.images.pixels[self.items[0].subject].shape[:2]
        pixels = width if width != height else size
        return round(size * self.values[0].shape[-1] / pixels)

    def draw_batch(self, index: int) -> Batch:
        """Return the batch of a step. It is always the same for a seed and a step, whatever came before."""
        import torch

        rng = np.random.default_rng((self.seed, index))
        if self._order:
            rows = [self._choose_row(number, rng) for number in self._order.draw(index)]
        else:
            weights = np.array([weight for weight, _ in self._sorts])
            sorts = rng.choice(len(self._sorts), self.batch_size, p=weights / weights.sum())
            rows = [int(rng.choice(self._sorts[sort][1])) for sort in sorts]
        items = [self.items[row] for row in rows]
        values = torch.stack([self.values[row] for row in rows]).float()
        middle = values.shape[-1] // 2
        for place, (row, item) in enumerate(zip(rows, items, strict=True)):
            if item.scene is not None:
                other, items[place] = self._draw_right_half(row, item.scene, rng)
                values[place, ..., middle:] = self.values[other][..., middle:]
        return Batch(values, [self._draw_caption(item, rng) for item in items], *self._describe(rows, items))

    def held_out_batches(self) -> Iterator[Batch]:
        """Yield the held-out images with their complete captions, in batches that are always the same."""
        import torch

        by_shape: dict[tuple[int, int], list[int]] = {}
        for number in sorted(self.held_out):
            row = self._plain_rows[number][0]
            by_shape.setdefault(self._shape_of(row), []).append(row)
        for rows in by_shape.values():
            for start in range(0, len(rows), self.batch_size):
                some = rows[start : start + self.batch_size]
                items = [self.items[row] for row in some]
                texts = [self.describe_subject(self.subjects[item.subject]) for item in items]
                values = torch.stack([self.values[row] for row in some]).float()
                yield Batch(values, texts, *self._describe(some, items))

    def _choose_row(self, number: int, rng: np.random.Generator) -> int:
        """Choose between an image and its mirror image."""
        rows = self._plain_rows[number]
        return rows[int(rng.integers(len(rows)))]

    def _describe(self, rows: Sequence[int], items: Sequence[Item]) -> tuple[list[Frame | None], Tensor | None]:
        """Return the frames and the weights of the rows of a batch."""
        import torch

        frames = [None if item.scene else self.subjects[item.subject].frame for item in items]
        found = [self._weigh(row, item) for row, item in zip(rows, items, strict=True)]
        if all(weight is None for weight in found):
            return frames, None
        whole = torch.ones(1, *self.values[rows[0]].shape[-2:])
        return frames, torch.stack([whole if weight is None else weight for weight in found])

    def _weigh(self, row: int, item: Item) -> Tensor | None:
        """Return the weights [1, h, w] of an item's loss, with a mean of 1 for a mask; None where all are 1."""
        import torch

        subject = self.subjects[item.subject]
        masks = self.images.masks
        mask = masks[item.subject] if item.scene is None and masks else None
        factor = self.weights.regularisation if subject.is_regularisation and item.scene is None else 1.0
        if mask is None:
            return None if factor == 1 else torch.full((1, *self.values[row].shape[-2:]), factor)
        inside = torch.from_numpy((mask[:, ::-1] if item.mirrored else mask).copy()).float()[None, None] / 255
        inside = torch.nn.functional.adaptive_avg_pool2d(inside, self._shape_of(row))[0]
        weights = self.weights.unmasked + (1 - self.weights.unmasked) * inside
        return factor * weights / weights.mean().clamp(min=1e-3)

    def _draw_right_half(self, row: int, scene: Scene, rng: np.random.Generator) -> tuple[int, Item]:
        """Return the row of the pair that the right half is taken from, and the item that results.

        Where the two subjects are held out or the same, the pair stays as it is.
        """
        rows = self._pairs_by_look[self._describe_look(scene)]
        other = rows[int(rng.integers(len(rows)))]
        other_scene = self.items[other].scene or scene
        is_same = other_scene.right == scene.left
        if is_same or composites.is_held_out(self.subjects[scene.left], self.subjects[other_scene.right]):
            return row, self.items[row]
        return other, Item("pair", scene=replace(scene, right=other_scene.right))

    def _describe_look(self, scene: Scene) -> tuple[str, str]:
        """Return the ground and the style of a pair, which its halves must share with those of another one."""
        return scene.ground, self.subjects[scene.left].style

    def _draw_caption(self, item: Item, rng: np.random.Generator) -> str:
        if self.caption_count is None:
            return self._describe_item(item, self.captions, rng)
        if rng.uniform() < self.captions.dropout:
            return ""
        return self._choose_caption(item, int(rng.integers(self.caption_count)))

    def _choose_caption(self, item: Item, number: int) -> str:
        rng = np.random.default_rng((self.seed, item.subject, item.mirrored, number))
        return self._describe_item(item, replace(self.captions, dropout=0.0), rng)

    def _describe_item(self, item: Item, options: CaptionOptions, rng: np.random.Generator) -> str:
        if item.scene is not None:
            return options.draw(item.scene.describe(self.subjects), rng)
        subject = self.subjects[item.subject]
        text = captions.draw_caption(subject, rng, item.ground)
        return options.draw(text, rng, is_regularisation=subject.is_regularisation)

    def list_captions(self) -> list[str]:
        """List the different captions that batches and held-out images have, where `caption_count` is given."""
        texts = [self._choose_caption(item, number) for item in self.items for number in range(self.caption_count or 0)]
        held_out = [self.describe_subject(self.subjects[number]) for number in sorted(self.held_out)]
        return [*dict.fromkeys([*texts, *held_out])]

    def describe_subject(self, subject: Subject) -> str:
        """Return the caption of an image without anything random."""
        text = captions.complete_caption(subject.noun, style=subject.style)
        return self.captions.complete(text, is_regularisation=subject.is_regularisation)

    def list_vocabulary_texts(self) -> Iterator[str]:
        """Yield texts with every name, keyword, colour and style, from which the tokenizer's vocabulary is trained."""
        for subject in self.subjects:
            yield self.describe_subject(subject)
            keywords = map(captions.normalize_name, subject.keywords)
            yield captions.complete_caption(", ".join((subject.plain, *keywords)))
        for word in captions.COLOURS:
            yield from [captions.complete_caption(f"{word} and", word)] * 4


def choose_caption_count(items: int) -> int:
    """Choose the number of captions of an item so that they are few enough to be encoded and stored in advance."""
    return max(1, min(MAX_CAPTIONS_OF_ITEM, MAX_CAPTIONS // max(1, items)))


def choose_held_out(subjects: Sequence[Subject], fraction: float) -> frozenset[int]:
    """Choose a fraction of the images by their names, at least one unless it is 0; no regularisation images."""
    own = [number for number, subject in enumerate(subjects) if not subject.is_regularisation]
    if not fraction or len(own) < 2:
        return frozenset()
    held = {subject.path for subject in api.datasets.split_holdout([subjects[number] for number in own], fraction)[1]}
    return frozenset(number for number in own if subjects[number].path in held)
