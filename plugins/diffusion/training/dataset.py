"""Training data: latents with captions, in batches that depend on the seed and the step only.

Images are encoded once, and their latents are stored beside the checkpoint.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Generator, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from studio import api

from . import captions, composites, small_model
from .captions import Subject
from .composites import Rgb, Rgba, Scene

if TYPE_CHECKING:
    from diffusers import AutoencoderKL
    from torch import Tensor

MAX_IMAGES = 10_000
"""Maximum number of images, since all are held in memory (up to 64 KB each at 128 px)."""
CACHE = "latents.safetensors"
GROUNDS = 1
"""Number of coloured grounds that each image with a transparent background is also composited over."""
CAPTION_DROPOUT = 0.1
"""Fraction of captions that are left empty, for classifier-free guidance."""
PAIR_FRACTION = 0.18
"""Default fraction of composite images of two subjects in a batch."""
SINGLE_WEIGHTS = {"plain": 0.7, "ground": 0.12}
"""Relative frequency of each sort of image with one subject."""
ENCODER_BATCH = 32
"""Number of images that are encoded at once."""


@dataclass(frozen=True)
class Item:
    """A row of the latents: one subject, perhaps mirrored or on a coloured ground, or a scene of two.

    The cache key of the latents contains the `repr` of the items.
    """

    sort: str
    subject: int = 0
    ground: str = ""
    mirrored: bool = False
    scene: Scene | None = None


@dataclass(frozen=True)
class LoadedImages:
    """Images in memory. `pixels` are [h, w, 3 | 4] of 8 bits, squares of one size."""

    subjects: Sequence[Subject]
    pixels: Sequence[NDArray[np.uint8]]
    counts: dict[str, int] = field(default_factory=dict)
    """Number of images by folder."""
    skipped: dict[str, str] = field(default_factory=dict)
    """Reason by file name, of images that cannot be read."""


def read_folders(folders: Sequence[Path], size: int) -> Generator[api.Event, None, LoadedImages]:
    """Read the images of folders at `size` px, with progress. Raises BadInput for a folder that cannot be read.

    If there are more than `MAX_IMAGES`, only every second one is read, or every third, and so on.
    """
    found = [(folder, captions.read_captions(folder, api.datasets.find_images(folder))) for folder in folders]
    stride = max(1, -(-sum(len(subjects) for _, subjects in found) // MAX_IMAGES))
    if stride > 1:
        yield api.Notice(f"There are more than {MAX_IMAGES:,} images, so only one in {stride} is used.", "warning")
    subjects: list[Subject] = []
    pixels: list[NDArray[np.uint8]] = []
    images = LoadedImages(subjects, pixels)
    for folder, in_folder in found:
        by_path = {subject.path: subject for subject in in_folder[::stride]}
        read, skipped = yield from api.datasets.read_images([*by_path], _Reader(by_path, size))
        subjects += [subject for subject, _ in read]
        pixels += [array for _, array in read]
        images.skipped.update(skipped)
        images.counts[_unique_name(folder, images.counts)] = len(read)
    return images


def _unique_name(folder: Path, names: Collection[str]) -> str:
    """Return a folder's name, with a number if there is one of this name. Its path is nothing to share."""
    numbered = (f"{folder.name} ({number})" for number in range(2, len(names) + 3))
    return folder.name if folder.name not in names else next(name for name in numbered if name not in names)


@dataclass(frozen=True)
class _Reader:
    subjects: dict[Path, Subject]
    size: int

    def __call__(self, path: Path) -> tuple[Subject, NDArray[np.uint8]]:
        return read_image(self.subjects[path], self.size)


def read_image(subject: Subject, size: int) -> tuple[Subject, NDArray[np.uint8]]:
    """Read an image's middle square at `size` px. The returned subject has its main colour and its frame.

    Raises BadInput if the image cannot be read.
    """
    from PIL import Image

    image = api.images.open_picture(subject.path)
    side = min(image.size)
    left, top = (image.width - side) // 2, (image.height - side) // 2
    box = (left, top, left + side, top + side)
    pixels = np.asarray(image.resize((size, size), Image.Resampling.LANCZOS, box=box))
    if pixels.ndim == 3 and pixels.shape[2] == 4 and not subject.fixed:
        subject = replace(subject, colour=captions.find_main_colour(pixels))
    scale = size / side
    return replace(subject, frame=(image.height, image.width, round(top * scale), round(left * scale))), pixels


def plan_items(images: LoadedImages, *, flips: bool, pairs: int, seed: int) -> list[Item]:
    """Choose the items to encode. Transparent backgrounds are filled with white and colours, and combined to pairs."""
    rng = np.random.default_rng(seed)
    words = list(captions.COLOURS)
    items: list[Item] = []
    transparent: list[int] = []
    for number, (subject, pixels) in enumerate(zip(images.subjects, images.pixels, strict=True)):
        items.append(Item("plain", number))
        if flips and subject.flips:
            items.append(Item("plain", number, mirrored=True))
        if pixels.shape[2] == 4 and not subject.fixed:
            transparent.append(number)
            for _ in range(GROUNDS):
                word = words[int(rng.integers(len(words)))]
                items.append(Item("ground", number, word, bool(flips and subject.flips and rng.uniform() < 0.5)))
    if pairs and transparent:
        scenes = composites.draw_scenes([images.subjects[number] for number in transparent], pairs, seed)
        items += [
            Item("pair", scene=Scene(transparent[scene.left], transparent[scene.right], scene.ground))
            for scene in scenes
        ]
    return items


def render_item(item: Item, images: LoadedImages, size: int) -> Rgb:
    """Render the image of an item, [size, size, 3] of 8 bits."""
    if item.scene is not None:
        left, right = (_to_rgba(images.pixels[number]) for number in (item.scene.left, item.scene.right))
        return composites.compose_pair(left, right, composites.find_ground_colour(item.scene.ground), size)
    ground = composites.find_ground_colour(item.ground)
    return composites.paste_on_ground(_to_rgba(images.pixels[item.subject]), ground, size, mirrored=item.mirrored)


def render_batch(items: Sequence[Item], images: LoadedImages, size: int) -> Tensor:
    """Render the images of items as a tensor [n, 3, size, size] in -1..1."""
    import torch

    return torch.from_numpy(api.images.from_uint8(np.stack([render_item(item, images, size) for item in items])))


@dataclass
class LatentDataset:
    """Encoded items. `values` are float16 [n, c, s, s], one row for each item.

    A pair in a batch consists of the left half of one pair and the right half of another one on the same ground. So
    thousands of pairs make millions, and a subject says nothing about its neighbour.
    """

    items: Sequence[Item]
    subjects: Sequence[Subject]
    values: Tensor
    batch_size: int
    seed: int
    pair_fraction: float = PAIR_FRACTION

    def __post_init__(self) -> None:
        single = (1 - self.pair_fraction) / sum(SINGLE_WEIGHTS.values())
        weights = {**{sort: weight * single for sort, weight in SINGLE_WEIGHTS.items()}, "pair": self.pair_fraction}
        rows = {sort: [row for row, item in enumerate(self.items) if item.sort == sort] for sort in weights}
        self._sorts = [(weight, rows[sort]) for sort, weight in weights.items() if rows[sort]]
        self._pairs_by_look: dict[tuple[str, str], list[int]] = {}
        for row, item in enumerate(self.items):
            if item.scene is not None:
                self._pairs_by_look.setdefault(self._describe_look(item.scene), []).append(row)

    def draw_batch(self, step: int) -> tuple[Tensor, list[str], list[small_model.Frame | None]]:
        """Return the latents (float32 [batch_size, c, s, s]), captions and frames of a step.

        They are always the same for a seed and a step, whatever came before.
        """
        rng = np.random.default_rng((self.seed, step))
        weights = np.array([weight for weight, _ in self._sorts])
        sorts = rng.choice(len(self._sorts), self.batch_size, p=weights / weights.sum())
        rows = [int(rng.choice(self._sorts[sort][1])) for sort in sorts]
        items = [self.items[row] for row in rows]
        values = self.values[rows].float()
        middle = values.shape[-1] // 2
        for index, (row, item) in enumerate(zip(rows, items, strict=True)):
            if item.scene is not None:
                other, items[index] = self._draw_right_half(row, item.scene, rng)
                values[index, ..., middle:] = self.values[other, ..., middle:]
        texts = ["" if rng.uniform() < CAPTION_DROPOUT else self._draw_caption(item, rng) for item in items]
        frames = [None if item.scene else self.subjects[item.subject].frame for item in items]
        return values, texts, frames

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
        if item.scene is not None:
            return item.scene.describe(self.subjects)
        return captions.draw_caption(self.subjects[item.subject], rng, item.ground)

    def list_vocabulary_texts(self) -> Iterator[str]:
        """Yield texts with every name, keyword, colour and style, from which the tokenizer's vocabulary is trained."""
        for subject in self.subjects:
            yield captions.complete_caption(subject.noun, style=subject.style)
            keywords = map(captions.normalize_name, subject.keywords)
            yield captions.complete_caption(", ".join((subject.plain, *keywords)))
        for word in captions.COLOURS:
            yield from [captions.complete_caption(f"{word} and", word)] * 4


def load_latents(checkpoint_dir: Path, key: str) -> Tensor | None:
    """Load the latents that an earlier run has stored under the same key, perhaps only the first of them.

    Returns None if there are none.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(checkpoint_dir / CACHE, "pt") as file:
            if (file.metadata() or {}).get("key") != key:
                return None
            values: Tensor = file.get_tensor("latents")
            return values
    except (OSError, SafetensorError):
        return None


def encode_items(
    vae: AutoencoderKL, items: Sequence[Item], images: LoadedImages, size: int, device: str, *, first: int = 0
) -> Iterator[tuple[int, Tensor]]:
    """Encode the items from `first` on in batches: yields (number of items that are done, float16 latents)."""
    for start in range(first, len(items), ENCODER_BATCH):
        batch = items[start : start + ENCODER_BATCH]
        pixels = render_batch(batch, images, size).to(device)
        yield start + len(batch), small_model.encode_images(vae, pixels).half().cpu()


def save_latents(checkpoint_dir: Path, key: str, values: Tensor) -> None:
    """Store latents under a key, whole or not at all."""
    from safetensors.torch import save_file

    with api.atomic_write(checkpoint_dir / CACHE) as temporary:
        save_file({"latents": values.contiguous()}, temporary, metadata={"key": key})


def compute_cache_key(items: Sequence[Item], images: LoadedImages, size: int, vae: Path) -> str:
    """Return a hash of everything that the latents depend on. `vae` is the autoencoder's folder or file."""
    digest = hashlib.sha256(json.dumps([size, [repr(item) for item in items]]).encode())
    for pixels in images.pixels:
        digest.update(np.ascontiguousarray(pixels).tobytes())
    for path in sorted(vae.glob("*")) if vae.is_dir() else [vae]:
        if path.suffix in (".safetensors", ".json"):
            digest.update(path.read_bytes())
    return digest.hexdigest()


def _to_rgba(pixels: NDArray[np.uint8]) -> Rgba:
    if pixels.shape[2] == 4:
        return pixels
    return np.concatenate([pixels, np.full((*pixels.shape[:2], 1), 255, np.uint8)], axis=2)
