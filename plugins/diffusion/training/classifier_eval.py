"""Evaluate how well generated images match their prompts, with a classifier.

The classifier is trained on the images of the folders only, augmented in place, size, colour and ground, and never sees
a generated image during its training. A generated image counts as correct if the name in its prompt is among the
classifier's first predictions.
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
from .dataset import LoadedImages

if TYPE_CHECKING:
    from torch import Tensor, nn

SIDE = 64
"""Side in pixels of the images that the classifier gets."""
WIDTHS = (32, 64, 128, 192)
PAIR_TOP_K = 10
"""Number of predictions for each half of a pair among which its name must be."""


@dataclass(frozen=True)
class ClassNames:
    """The names of the classes, and for each the numbers of its images, one for each style."""

    words: Sequence[str]
    images: Sequence[tuple[int, ...]]

    @classmethod
    def of(cls, subjects: Sequence[captions.Subject]) -> ClassNames:
        """Collect the names of subjects. Images of one name in several styles are one class."""
        numbers: dict[str, list[int]] = {}
        for number, subject in enumerate(subjects):
            numbers.setdefault(subject.plain, []).append(number)
        return cls([*numbers], [tuple(values) for values in numbers.values()])


@dataclass(frozen=True)
class EvalPrompt:
    """A prompt, the classes that its image should show (the left one first), and a training item with them."""

    prompt: str
    classes: tuple[int, ...]
    item: dataset.Item


def build_network(classes: int) -> nn.Module:
    """Build a classifier: logits [n, classes] of images [n, 3, 64, 64] in -1..1."""
    from torch import nn

    layers: list[nn.Module] = []
    channels = 3
    for width in WIDTHS:
        layers += [
            nn.Conv2d(channels, width, 3, 2, 1, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(True),
            nn.Conv2d(width, width, 3, 1, 1, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(True),
        ]
        channels = width
    return nn.Sequential(*layers, nn.Flatten(), nn.Dropout(0.2), nn.Linear(channels * 16, classes))


def train_classifier(
    images: LoadedImages, names: ClassNames, *, steps: int, batch: int, seed: int, device: str
) -> Generator[tuple[int, float], None, nn.Module]:
    """Train a classifier: yields (step, loss) after each step, and returns the network in evaluation mode."""
    import torch
    from torch.nn import functional

    torch.manual_seed(seed)
    network = build_network(len(names.words)).to(device).train()
    optimizer = torch.optim.AdamW(network.parameters(), lr=2e-3, weight_decay=0.02)
    scheduler = torch.optim.lr_scheduler.OneCycleLR(optimizer, 2e-3, total_steps=max(2, steps), pct_start=0.1)
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    small = augmentation.stack_images(images.pixels, SIDE)
    flips = torch.tensor([subject.flips for subject in images.subjects])
    for step in range(steps):
        rng = np.random.default_rng((seed, step))
        classes = rng.integers(0, len(names.words), batch)
        numbers = [int(rng.choice(names.images[index])) for index in classes]
        views = augmentation.augment(small[numbers], flips[numbers], api.training.step_generator(seed, step))
        with api.training.autocast(device):
            logits = network(views.to(device))
        loss = functional.cross_entropy(logits.float(), torch.from_numpy(classes).to(device), label_smoothing=0.1)
        optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        optimizer.step()
        scheduler.step()
        yield step + 1, float(loss.detach())
    return network.eval()


def choose_prompts(images: LoadedImages, names: ClassNames, count: int) -> list[EvalPrompt]:
    """Choose prompts for single subjects: the same `count` names for the same images, each in one style that it has."""
    prompts = []
    for index in sorted(range(len(names.words)), key=lambda number: _hash(names.words[number]))[:count]:
        numbers = names.images[index]
        number = numbers[_hash(names.words[index]) % len(numbers)]
        subject = images.subjects[number]
        text = captions.complete_caption(subject.noun, style=subject.style)
        prompts.append(EvalPrompt(text, (index,), dataset.Item("plain", number)))
    return prompts


def choose_pair_prompts(images: LoadedImages, names: ClassNames, count: int) -> list[EvalPrompt]:
    """Choose prompts for pairs that are held out from every training."""
    transparent = [number for number, pixels in enumerate(images.pixels) if pixels.shape[2] == 4]
    subjects = [images.subjects[number] for number in transparent]
    by_word = {word: number for number, word in enumerate(names.words)}
    prompts = []
    for scene in composites.draw_scenes(subjects, count, 0, held_out=True) if transparent else []:
        classes = (by_word[subjects[scene.left].plain], by_word[subjects[scene.right].plain])
        item = dataset.Item("pair", scene=Scene(transparent[scene.left], transparent[scene.right], scene.ground))
        prompts.append(EvalPrompt(scene.describe(subjects), classes, item))
    return prompts


def render_references(prompts: Sequence[EvalPrompt], images: LoadedImages) -> Tensor:
    """Render the training images [n, 3, h, w] in -1..1 of prompts, the best that generated images can reach."""
    return dataset.render_batch([prompt.item for prompt in prompts], images, 2 * SIDE)


def predict_classes(network: nn.Module, images: Tensor, count: int) -> Tensor:
    """Return the `count` likeliest classes [n, count] of images [n, 3, h, w] in -1..1."""
    import torch
    from torch.nn import functional

    with torch.no_grad():
        small = functional.interpolate(images, (SIDE, SIDE), mode="bilinear", antialias=True)
        logits: Tensor = network(small.to(next(network.parameters()).device)).float()
    return logits.topk(min(count, logits.shape[1]), dim=1).indices.cpu()


def compute_top_k_accuracy(network: nn.Module, images: Tensor, prompts: Sequence[EvalPrompt], k: int = 5) -> float:
    """Return the fraction of images whose class is among the first k predictions."""
    rows = predict_classes(network, images, k).tolist()
    return float(np.mean([prompt.classes[0] in row for prompt, row in zip(prompts, rows, strict=True)]))


def compute_pair_accuracy(network: nn.Module, images: Tensor, prompts: Sequence[EvalPrompt]) -> float:
    """Return the fraction of images with the left class in their left half and the right one in their right half."""
    width = images.shape[-1]
    halves = [_crop_square(images[..., : width // 2]), _crop_square(images[..., width - width // 2 :])]
    left_rows, right_rows = (predict_classes(network, half, PAIR_TOP_K).tolist() for half in halves)
    correct = [
        prompt.classes[0] in left and prompt.classes[1] in right
        for prompt, left, right in zip(prompts, left_rows, right_rows, strict=True)
    ]
    return float(np.mean(correct))


def generate_in_batches(
    prompts: Sequence[EvalPrompt], generate: Callable[[list[str], int], Tensor], batch_size: int = 16
) -> Iterator[tuple[int, Tensor]]:
    """Yield (number of prompts that are done, images). `generate` takes prompts and the number of the first of them."""
    for start in range(0, len(prompts), batch_size):
        batch = prompts[start : start + batch_size]
        yield start + len(batch), generate([prompt.prompt for prompt in batch], start)


def _crop_square(half: Tensor) -> Tensor:
    """Return the middle square of a half [n, 3, h, h / 2]: the subjects are side by side, each about half as wide."""
    height, width = half.shape[-2:]
    top = (height - width) // 2
    return half[..., top : top + width, :]


def _hash(name: str) -> int:
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8])
