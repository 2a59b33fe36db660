"""How faithfully a model paints what it is asked for, judged by a classifier that learnt from pictures alone.

The classifier never sees what the model paints while it learns: it learns to name the
pictures of the folders, varied in place, size, colour and ground. Then it names paintings,
and a painting counts where the name asked for is among its first guesses.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from studio import api

from . import augmentation, captions, composites, dataset
from .composites import Scene

if TYPE_CHECKING:
    from torch import Tensor, nn

SIDE = 64
"""Pixels at which the classifier looks."""
WIDTHS = (32, 64, 128, 192)
PAIR_TOP_K = 10
"""A painting of two has both where both names are among so many first guesses, each for its half."""


@dataclass(frozen=True)
class ClassNames:
    """The names that can be guessed, and for each the numbers of its pictures, one for each style."""

    words: Sequence[str]
    pictures: Sequence[tuple[int, ...]]

    @classmethod
    def of(cls, subjects: Sequence[captions.Subject]) -> ClassNames:
        """Pictures that go by one name in several styles are one class."""
        found: dict[str, list[int]] = {}
        for number, subject in enumerate(subjects):
            found.setdefault(subject.plain, []).append(number)
        return cls([*found], [tuple(numbers) for numbers in found.values()])


@dataclass(frozen=True)
class EvalPrompt:
    """Something to paint: a prompt, the classes that must be seen in it, the left one first, and what shows the same
    by the pictures themselves."""

    prompt: str
    classes: tuple[int, ...]
    item: dataset.Item


def build_network(classes: int) -> nn.Module:
    """Logits [n, classes] of pictures [n, 3, 64, 64] in -1..1."""
    from torch import nn

    layers: list[nn.Module] = []
    before = 3
    for width in WIDTHS:
        layers += [
            nn.Conv2d(before, width, 3, 2, 1, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(True),
            nn.Conv2d(width, width, 3, 1, 1, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(True),
        ]
        before = width
    return nn.Sequential(*layers, nn.Flatten(), nn.Dropout(0.2), nn.Linear(before * 16, classes))


def train_classifier(
    pictures: dataset.LoadedImages, names: ClassNames, *, steps: int, batch: int, seed: int, device: str
) -> Generator[tuple[int, float], None, nn.Module]:
    """Trains a classifier: yields (step, loss) after each step, and returns the network, ready to judge."""
    import torch
    from torch.nn import functional

    torch.manual_seed(seed)
    model = build_network(len(names.words)).to(device).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3, weight_decay=0.02)
    rates = torch.optim.lr_scheduler.OneCycleLR(optimizer, 2e-3, total_steps=max(2, steps), pct_start=0.1)
    model.to(memory_format=torch.channels_last)
    small = augmentation.stack_images(pictures.pixels, SIDE)
    flips = torch.tensor([subject.flips for subject in pictures.subjects])
    for step in range(steps):
        chance = np.random.default_rng((seed, step))
        classes = chance.integers(0, len(names.words), batch)
        numbers = [int(chance.choice(names.pictures[one])) for one in classes]
        among = torch.Generator().manual_seed(seed * 1_000_003 + step)
        views = augmentation.augment(small[numbers], flips[numbers], among)
        with api.training.autocast(device):
            made = model(views.to(device))
        loss = functional.cross_entropy(made.float(), torch.from_numpy(classes).to(device), label_smoothing=0.1)
        optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        optimizer.step()
        rates.step()
        yield step + 1, float(loss.detach())
    return model.eval()


def choose_prompts(pictures: dataset.LoadedImages, names: ClassNames, count: int) -> list[EvalPrompt]:
    """Single things: the same `count` names for the same pictures, each in one style that it has."""
    asked = []
    for one in sorted(range(len(names.words)), key=lambda number: _place(names.words[number]))[:count]:
        among = names.pictures[one]
        number = among[_place(names.words[one]) % len(among)]
        subject = pictures.subjects[number]
        asked.append(
            EvalPrompt(
                captions.complete_caption(subject.noun, style=subject.style), (one,), dataset.Item("plain", number)
            )
        )
    return asked


def choose_pair_prompts(pictures: dataset.LoadedImages, names: ClassNames, count: int) -> list[EvalPrompt]:
    """Compositions that no training has seen."""
    clear = [number for number, pixels in enumerate(pictures.pixels) if pixels.shape[2] == 4]
    subjects = [pictures.subjects[number] for number in clear]
    by_word = {word: number for number, word in enumerate(names.words)}
    asked = []
    for scene in composites.draw_scenes(subjects, count, 0, held_out=True) if clear else []:
        left, right = (by_word[subjects[one].plain] for one in (scene.left, scene.right))
        whole = Scene(clear[scene.left], clear[scene.right], scene.ground)
        asked.append(EvalPrompt(scene.caption(subjects), (left, right), dataset.Item("pair", scene=whole)))
    return asked


def render_references(asked: Sequence[EvalPrompt], pictures: dataset.LoadedImages) -> Tensor:
    """What was asked for by the pictures themselves, as [n, 3, h, w] in -1..1: the best that a painting can do."""
    return dataset.render_batch([one.item for one in asked], pictures, 2 * SIDE)


def predict_classes(model: nn.Module, painted: Tensor, first: int) -> Tensor:
    """The numbers of the likeliest classes [n, first] of pictures [n, 3, h, w] in -1..1."""
    import torch
    from torch.nn import functional

    with torch.no_grad():
        seen = functional.interpolate(painted, (SIDE, SIDE), mode="bilinear", antialias=True)
        logits: Tensor = model(seen.to(next(model.parameters()).device)).float()
    return logits.topk(min(first, logits.shape[1]), dim=1).indices.cpu()


def top_k_accuracy(model: nn.Module, painted: Tensor, asked: Sequence[EvalPrompt], first: int = 5) -> float:
    """The share of paintings whose one thing is among the first guesses."""
    found = predict_classes(model, painted, first)
    return float(np.mean([one.classes[0] in row for one, row in zip(asked, found.tolist(), strict=True)]))


def pair_accuracy(model: nn.Module, painted: Tensor, asked: Sequence[EvalPrompt]) -> float:
    """The share of paintings with the left thing in their left half and the right one in their right."""
    width = painted.shape[-1]
    halves = [_squared(painted[..., : width // 2]), _squared(painted[..., width - width // 2 :])]
    left, right = (predict_classes(model, half, PAIR_TOP_K).tolist() for half in halves)
    seen = [one.classes[0] in a and one.classes[1] in b for one, a, b in zip(asked, left, right, strict=True)]
    return float(np.mean(seen))


def generate_in_batches(
    asked: Sequence[EvalPrompt], paint: Callable[[list[str], int], Tensor], at_once: int = 16
) -> Iterator[tuple[int, Tensor]]:
    """Paints prompts in parts: (how many are done, pictures). `paint` takes prompts and the number of the first."""
    for start in range(0, len(asked), at_once):
        part = asked[start : start + at_once]
        yield start + len(part), paint([one.prompt for one in part], start)


def _squared(half: Tensor) -> Tensor:
    """The middle square of a half [n, 3, h, h / 2]: things stand side by side, each about half as wide."""
    height, width = half.shape[-2:]
    top = (height - width) // 2
    return half[..., top : top + width, :]


def _place(name: str) -> int:
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8])
