"""Training data: images, the items that are made of them, and their latents.

Images are encoded once, and their latents are stored beside the checkpoint.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import re
from collections.abc import Callable, Collection, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from studio import api

from . import captions, composites, small_model
from .buckets import choose_bucket
from .captions import Subject
from .composites import Rgb, Rgba, Scene

if TYPE_CHECKING:
    from diffusers import AutoencoderKL
    from PIL import Image
    from torch import Tensor

MAX_IMAGES = 10_000
"""Maximum number of images, since all are held in memory (up to 64 KB each at 128 px)."""
CACHE = "latents.safetensors"
GROUNDS = 1
"""Number of coloured grounds that each image with a transparent background is also composited over."""
_REPEATS = re.compile(r"(\d{1,3})_")
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
    """Images in memory. `pixels` are [h, w, 3 | 4] of 8 bits, squares of one size or in buckets."""

    subjects: Sequence[Subject]
    pixels: Sequence[NDArray[np.uint8]]
    masks: Sequence[NDArray[np.uint8] | None] = ()
    """Masks [h, w] of the images, 255 where the loss counts; None or nothing for images without one."""
    counts: dict[str, int] = field(default_factory=dict)
    """Number of images by folder."""
    skipped: dict[str, str] = field(default_factory=dict)
    """Reason by file name, of images that cannot be read."""


@dataclass(frozen=True)
class Reading:
    """Sets the `size` in px of images that are read, their middle squares or buckets, and their masks."""

    size: int
    buckets: bool = False
    alpha_masks: bool = False
    """Whether the alpha channel is the mask."""
    masks: Mapping[str, Path] | None = None
    """Masks by the names of images, as `api.datasets.index_masks` returns them; None where they are not used."""
    repeats: int = 1


def read_folders(
    folders: Sequence[Path],
    reading: Reading | int,
    regularisation: Path | None = None,
    excluded_in: Callable[[Path], Collection[str]] = lambda _: (),
) -> Generator[api.Event, None, LoadedImages]:
    """Read the images of folders, with progress; those of `regularisation` are marked as such.

    `excluded_in` returns names of files to leave out, relative to a folder. `reading` may be the size of squares.
    If there are more than `MAX_IMAGES`, only every second one is read, or every third, and so on. Raises BadInput for
    a folder that cannot be read.
    """
    if isinstance(reading, int):
        reading = Reading(reading)
    every = [*folders, *([regularisation] if regularisation else [])]
    found = [
        (folder, captions.read_captions(folder, api.datasets.find_images(folder, exclude=excluded_in(folder))))
        for folder in every
    ]
    stride = max(1, -(-sum(len(subjects) for _, subjects in found) // MAX_IMAGES))
    if stride > 1:
        yield api.Notice(f"There are more than {MAX_IMAGES:,} images, so only one in {stride} is used.", "warning")
    subjects: list[Subject] = []
    pixels: list[NDArray[np.uint8]] = []
    masks: list[NDArray[np.uint8] | None] = []
    images = LoadedImages(subjects, pixels, masks)
    for number, (folder, in_folder) in enumerate(found):
        is_regularisation = number >= len(folders)
        by_path = {
            subject.path: replace(
                subject,
                repeats=reading.repeats * find_repeats(subject.path, folder),
                is_regularisation=is_regularisation,
            )
            for subject in in_folder[::stride]
        }
        read, skipped = yield from api.datasets.read_images(
            [*by_path], _Reader(by_path, reading, folder), folder=folder.name if len(found) > 1 else ""
        )
        subjects += [sample[0] for sample in read]
        pixels += [sample[1] for sample in read]
        masks += [sample[2] for sample in read]
        images.skipped.update(skipped)
        images.counts[_unique_name(folder, images.counts)] = len(read)
    return images


def find_repeats(path: Path, folder: Path) -> int:
    """Return how often an image counts in an epoch: 10 in a folder named `10_fox`, as in kohya's scripts; else 1."""
    for parent in (path.parent, *path.parent.parents):
        if match := _REPEATS.match(parent.name):
            return max(1, int(match[1]))
        if parent == folder:
            break
    return 1


def _unique_name(folder: Path, names: Collection[str]) -> str:
    """Return a folder's name, with a number if there is one of this name. Its path is nothing to share."""
    numbered = (f"{folder.name} ({number})" for number in range(2, len(names) + 3))
    return folder.name if folder.name not in names else next(name for name in numbered if name not in names)


@dataclass(frozen=True)
class _Reader:
    subjects: dict[Path, Subject]
    reading: Reading
    folder: Path

    def __call__(self, path: Path) -> tuple[Subject, NDArray[np.uint8], NDArray[np.uint8] | None]:
        subject, pixels = read_image(self.subjects[path], self.reading.size, buckets=self.reading.buckets)
        mask = None
        if self.reading.masks is not None and not subject.is_regularisation:
            if mask_path := self.reading.masks.get(path.relative_to(self.folder).with_suffix("").as_posix()):
                mask = _read_mask(mask_path, pixels.shape)
        elif self.reading.alpha_masks and pixels.shape[2] == 4:
            mask = pixels[..., 3]
        return subject, pixels, mask


def read_image(subject: Subject, size: int, *, buckets: bool = False) -> tuple[Subject, NDArray[np.uint8]]:
    """Read an image's middle square at `size` px, or with `buckets` the middle of the nearest shape of that area.

    The returned subject has its main colour and its frame. Raises BadInput if the image cannot be read.
    """
    image = api.images.open_picture(subject.path)
    api.datasets.refuse_tiny(subject.path, image.size)
    height, width = choose_bucket(image.height, image.width, size) if buckets else (size, size)
    pixels, (left, top) = _crop_middle(image, height, width)
    if pixels.ndim == 3 and pixels.shape[2] == 4 and not subject.fixed:
        subject = replace(subject, colour=captions.find_main_colour(pixels))
    return replace(subject, frame=(image.height, image.width, top, left, height, width)), pixels


def _crop_middle(image: Image.Image, height: int, width: int) -> tuple[NDArray[np.uint8], tuple[int, int]]:
    """Scale an image to cover a shape. Returns its middle, and the left and top of the crop after scaling."""
    from PIL import Image

    scale = max(height / image.height, width / image.width)
    box_width, box_height = min(image.width, width / scale), min(image.height, height / scale)
    left, top = round(image.width - box_width) // 2, round(image.height - box_height) // 2
    box = (left, top, left + box_width, top + box_height)
    pixels = np.asarray(image.resize((width, height), Image.Resampling.LANCZOS, box=box))
    return pixels, (round(left * scale), round(top * scale))


def _read_mask(path: Path, shape: tuple[int, ...]) -> NDArray[np.uint8]:
    return _crop_middle(api.datasets.mask_channel(api.images.open_picture(path)), *shape[:2])[0]


def plan_items(images: LoadedImages, *, flips: bool, pairs: int, seed: int) -> list[Item]:
    """Choose the items to encode. Transparent backgrounds are filled with white and colours, and combined to pairs."""
    if any(pixels.shape[0] != pixels.shape[1] for pixels in images.pixels):
        return _plan_bucket_items(images, flips=flips)
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


def _plan_bucket_items(images: LoadedImages, *, flips: bool) -> list[Item]:
    """Plan the images and their mirror images, ordered by shape, since those of one shape are encoded together."""
    order = sorted(range(len(images.pixels)), key=lambda number: images.pixels[number].shape[:2])
    return [
        Item("plain", number, mirrored=mirrored)
        for number in order
        for mirrored in ((False, True) if flips and images.subjects[number].flips else (False,))
    ]


def render_item(item: Item, images: LoadedImages, size: int) -> Rgb:
    """Render the image of an item, [size, size, 3] of 8 bits, or in the shape of its bucket."""
    if item.scene is not None:
        left, right = (_to_rgba(images.pixels[number]) for number in (item.scene.left, item.scene.right))
        return composites.compose_pair(left, right, composites.find_ground_colour(item.scene.ground), size)
    ground = composites.find_ground_colour(item.ground)
    pixels = images.pixels[item.subject]
    if pixels.shape[0] != pixels.shape[1]:
        return composites.flatten(_to_rgba(pixels), ground, mirrored=item.mirrored)
    return composites.paste_on_ground(_to_rgba(pixels), ground, size, mirrored=item.mirrored)


def render_batch(items: Sequence[Item], images: LoadedImages, size: int) -> Tensor:
    """Render the images of items of one shape as a tensor [n, 3, h, w] in -1..1."""
    import torch

    return torch.from_numpy(api.images.from_uint8(np.stack([render_item(item, images, size) for item in items])))


def load_latents(checkpoint_dir: Path, key: str) -> list[Tensor]:
    """Load the batches of latents that an earlier run has stored under the same key, perhaps only the first of them.

    Returns an empty list if there are none.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(checkpoint_dir / CACHE, "pt") as file:
            if (file.metadata() or {}).get("key") != key:
                return []
            return [file.get_tensor(f"{number:06}") for number in range(len(file.keys()))]
    except (OSError, SafetensorError):
        return []


def encode_items(
    vae: AutoencoderKL, items: Sequence[Item], images: LoadedImages, size: int, device: str, *, first: int = 0
) -> Iterator[tuple[int, Tensor]]:
    """Encode the items from `first` on in batches of one shape.

    Yields (number of items that are done, float16 latents [n, c, h, w]).
    """
    start = first
    while start < len(items):
        shape = _shape_of(items[start], images)
        batch = [*itertools.takewhile(lambda item: _shape_of(item, images) == shape, items[start:][:ENCODER_BATCH])]  # noqa: B023
        pixels = render_batch(batch, images, size).to(device)
        start += len(batch)
        yield start, small_model.encode_images(vae, pixels).half().cpu()


def _shape_of(item: Item, images: LoadedImages) -> tuple[int, ...]:
    """Return the shape of the bucket of an item. All items of square images have one shape."""
    height, width = images.pixels[item.subject].shape[:2]
    return (0, 0) if item.scene is not None or height == width else (height, width)


def save_latents(checkpoint_dir: Path, key: str, batches: Sequence[Tensor]) -> None:
    """Store batches of latents under a key, whole or not at all."""
    from safetensors.torch import save_file

    tensors = {f"{number:06}": values.contiguous() for number, values in enumerate(batches)}
    with api.atomic_write(checkpoint_dir / CACHE) as temporary:
        save_file(tensors, temporary, metadata={"key": key})


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
