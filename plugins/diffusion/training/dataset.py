"""Latents with the words for them, and batches that depend only on seed and step.

Pictures are encoded once, and what came of it is kept beside the checkpoint.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from studio import api

from . import captions, composites, small_model
from .captions import Subject
from .composites import Rgb, Rgba, Scene

if TYPE_CHECKING:
    from torch import Tensor

SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".webp", ".avif", ".bmp", ".gif", ".tif", ".tiff"})
CACHE = "latents.safetensors"
GROUNDS = 1
"""Coloured grounds that each picture with a clear ground is also laid over."""
DROPPED = 0.1
"""The share of captions left out, for classifier-free guidance."""
PAIR_SHARE = 0.18
"""How often a picture of two is drawn."""
SINGLES = {"plain": 0.7, "ground": 0.12}
"""How often each sort of picture of one is, beside each other."""
ENCODED_AT_ONCE = 32


@dataclass(frozen=True)
class Item:
    """A row of the latents: one subject, perhaps mirrored or on a ground, or a scene of two."""

    sort: str
    subject: int = 0
    ground: str = ""
    mirrored: bool = False
    scene: Scene | None = None


@dataclass(frozen=True)
class LoadedImages:
    """What a training learns from. `pixels` are [h, w, 3 | 4], squares of one size."""

    subjects: Sequence[Subject]
    pixels: Sequence[NDArray[np.uint8]]


def find_images(folder: Path) -> list[Path]:
    """Every picture in a folder and those inside, in order. Raises BadInput when it is missing or may not be read."""
    if not folder.is_dir():
        raise api.BadInput(f"There is no folder {folder}.", "Check the path.")
    try:
        return sorted(
            path
            for path in folder.rglob("*")
            if path.suffix.lower() in SUFFIXES and not path.name.startswith(".") and path.is_file()
        )
    except OSError as error:
        raise api.BadInput(f"The folder {folder} may not be read.", "Change its permissions.") from error


def read_image(subject: Subject, size: int) -> tuple[Subject, NDArray[np.uint8]]:
    """A picture's middle square at `size` px, and its subject with the colour and the frame it shows.

    Raises BadInput.
    """
    from PIL import Image

    image = api.images.open_picture(subject.path)
    side = min(image.size)
    across, down = (image.width - side) // 2, (image.height - side) // 2
    box = (across, down, across + side, down + side)
    pixels = np.asarray(image.resize((size, size), Image.Resampling.LANCZOS, box=box))
    if pixels.ndim == 3 and pixels.shape[2] == 4 and not subject.fixed:
        subject = replace(subject, colour=captions.main_colour(pixels))
    scale = size / side
    return replace(subject, frame=(image.height, image.width, round(down * scale), round(across * scale))), pixels


def plan_items(pictures: LoadedImages, *, flips: bool, pairs: int, seed: int) -> list[Item]:
    """What is to be encoded. Clear grounds are filled with white and colours, others are taken as they are."""
    chance = np.random.default_rng(seed)
    words = list(captions.COLOURS)
    items: list[Item] = []
    clear: list[int] = []
    for number, (subject, pixels) in enumerate(zip(pictures.subjects, pictures.pixels, strict=True)):
        items.append(Item("plain", number))
        if flips and subject.flips:
            items.append(Item("plain", number, mirrored=True))
        if pixels.shape[2] == 4 and not subject.fixed:
            clear.append(number)
            for _ in range(GROUNDS):
                word = words[int(chance.integers(len(words)))]
                items.append(Item("ground", number, word, bool(flips and subject.flips and chance.uniform() < 0.5)))
    if pairs and clear:
        drawn = composites.draw_scenes([pictures.subjects[number] for number in clear], pairs, seed)
        scenes = [Scene(clear[one.left], clear[one.right], one.ground) for one in drawn]
        items += [Item("pair", scene=scene) for scene in scenes]
    return items


def render_item(item: Item, pictures: LoadedImages, size: int) -> Rgb:
    """The picture of an item, [size, size, 3]."""
    if item.scene is not None:
        left, right = (_rgba(pictures.pixels[one]) for one in (item.scene.left, item.scene.right))
        return composites.compose_pair(left, right, composites.ground_colour(item.scene.ground), size)
    ground = composites.ground_colour(item.ground)
    return composites.paste_on_ground(_rgba(pictures.pixels[item.subject]), ground, size, mirrored=item.mirrored)


def render_batch(items: Sequence[Item], pictures: LoadedImages, size: int) -> Tensor:
    """The pictures of items, [n, 3, size, size] in -1..1."""
    import torch

    images = np.stack([render_item(item, pictures, size) for item in items])
    return torch.from_numpy(images).permute(0, 3, 1, 2).float() / 127.5 - 1


@dataclass
class LatentDataset:
    """`values` are float16 [n, c, s, s], one for each item. `pair_share` is how often a pair is drawn.

    A pair is the left half of one and the right half of another on the same ground: so thousands of them make millions,
    and what stands beside a thing says nothing about it.
    """

    items: Sequence[Item]
    subjects: Sequence[Subject]
    values: Tensor
    count: int
    seed: int
    pair_share: float = PAIR_SHARE

    def __post_init__(self) -> None:
        single = (1 - self.pair_share) / sum(SINGLES.values())
        shares = {**{sort: share * single for sort, share in SINGLES.items()}, "pair": self.pair_share}
        rows = {sort: [number for number, item in enumerate(self.items) if item.sort == sort] for sort in shares}
        self._drawn = [(share, rows[sort]) for sort, share in shares.items() if rows[sort]]
        self._alike: dict[tuple[str, str], list[int]] = {}
        for row, item in enumerate(self.items):
            if item.scene is not None:
                self._alike.setdefault(self._look(item.scene), []).append(row)

    def batch(self, step: int) -> tuple[Tensor, list[str], list[small_model.Frame | None]]:
        """(float32 [count, c, s, s], captions, frames) of a step: the same for the same seed, whatever came before."""
        chance = np.random.default_rng((self.seed, step))
        weights = np.array([share for share, _ in self._drawn])
        drawn = chance.choice(len(self._drawn), self.count, p=weights / weights.sum())
        rows = [int(chance.choice(self._drawn[one][1])) for one in drawn]
        items = [self.items[row] for row in rows]
        values = self.values[rows].float()
        middle = values.shape[-1] // 2
        for place, (row, item) in enumerate(zip(rows, items, strict=True)):
            if item.scene is not None:
                other, items[place] = self._beside(row, item.scene, chance)
                values[place, ..., middle:] = self.values[other, ..., middle:]
        texts = ["" if chance.uniform() < DROPPED else self.caption(item, chance) for item in items]
        frames = [None if item.scene else self.subjects[item.subject].frame for item in items]
        return values, texts, frames

    def _beside(self, row: int, scene: Scene, chance: np.random.Generator) -> tuple[int, Item]:
        """(the row of another pair that the right half is taken from, what both halves are). Held out is still held
        out: where the two may not be seen together, the pair stays as it is."""
        alike = self._alike[self._look(scene)]
        other = alike[int(chance.integers(len(alike)))]
        found = self.items[other].scene or scene
        same = found.right == scene.left
        if same or composites.is_held_out(self.subjects[scene.left], self.subjects[found.right]):
            return row, self.items[row]
        return other, Item("pair", scene=replace(scene, right=found.right))

    def _look(self, scene: Scene) -> tuple[str, str]:
        """The ground and the style of a pair: its halves fit to those of another that is alike."""
        return scene.ground, self.subjects[scene.left].style

    def caption(self, item: Item, chance: np.random.Generator) -> str:
        if item.scene is not None:
            return item.scene.caption(self.subjects)
        return captions.draw_caption(self.subjects[item.subject], chance, item.ground)

    def words(self) -> Iterator[str]:
        """What the vocabulary is learnt from: every name, keyword, colour and style."""
        for subject in self.subjects:
            yield captions.complete_caption(subject.noun, style=subject.style)
            yield captions.complete_caption(", ".join((subject.plain, *map(captions.normalize_name, subject.keywords))))
        for word in captions.COLOURS:
            yield from [captions.complete_caption(f"{word} and", word)] * 4


def load_latents(checkpoint_dir: Path, key: str) -> Tensor | None:
    """The latents of an earlier run for the same pictures, plan and autoencoder, perhaps only the first of them.

    None where there are none.
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
    vae: Any, items: Sequence[Item], pictures: LoadedImages, size: int, device: str, *, first: int = 0
) -> Iterator[tuple[int, Tensor]]:
    """Float16 latents of the items from the `first` on, in parts, each with the number of items that are done."""
    for start in range(first, len(items), ENCODED_AT_ONCE):
        part = items[start : start + ENCODED_AT_ONCE]
        shown = render_batch(part, pictures, size).to(device)
        yield start + len(part), small_model.encode_images(vae, shown).half().cpu()


def save_latents(checkpoint_dir: Path, key: str, values: Tensor) -> None:
    from safetensors.torch import save_file

    with api.atomic_write(checkpoint_dir / CACHE) as part:
        save_file({"latents": values.contiguous()}, part, metadata={"key": key})


def compute_cache_key(items: Sequence[Item], pictures: LoadedImages, size: int, vae: Path) -> str:
    """Changes with anything that the latents depend on."""
    found = hashlib.sha256(json.dumps([size, [repr(item) for item in items]]).encode())
    for pixels in pictures.pixels:
        found.update(np.ascontiguousarray(pixels).tobytes())
    for path in sorted(vae.glob("*")) if vae.is_dir() else [vae]:
        if path.suffix in (".safetensors", ".json"):
            found.update(path.read_bytes())
    return found.hexdigest()


def _rgba(pixels: NDArray[np.uint8]) -> Rgba:
    if pixels.shape[2] == 4:
        return pixels
    return np.concatenate([pixels, np.full((*pixels.shape[:2], 1), 255, np.uint8)], axis=2)
