"""The images of a GAN training and their classes."""

from __future__ import annotations

from collections.abc import Collection, Generator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from studio import api

from ..models.pixels import read_pixels
from .params import Aspect, GanTrainingParams

MAX_IMAGES = 100_000
MAX_BYTES = 4 * 2**30
"""Maximum size of all images in memory."""
BY_FOLDER = "folder"
HOLDOUT = 0.05


@dataclass(frozen=True)
class TrainingImage:
    """One image in memory: uint8 [height, width, 3 or 4], and the number of its class."""

    path: Path
    pixels: NDArray[np.uint8]
    label: int = 0


@dataclass(frozen=True)
class ImageSet:
    """Images of equal size in arrays."""

    pixels: NDArray[np.uint8]
    """[n, height, width, 3 or 4]."""
    labels: NDArray[np.int64]
    """[n], numbers of classes; all 0 without classes."""

    def __len__(self) -> int:
        return len(self.pixels)


@dataclass(frozen=True)
class TrainingData:
    """The images for training, those held out for evaluation, and the names of the classes."""

    training: ImageSet
    holdout: ImageSet
    class_names: tuple[str, ...] = ()
    skipped: Mapping[str, str] = field(default_factory=dict)

    def count_classes(self) -> dict[str, int]:
        """Return the number of training images by class."""
        return {name: int((self.training.labels == number).sum()) for number, name in enumerate(self.class_names)}


def size_of(size: int, aspect: Aspect) -> tuple[int, int]:
    """Return (height, width) of images whose shorter side is `size`."""
    return {"1:1": (size, size), "3:2": (size, size * 3 // 2), "2:3": (size * 3 // 2, size)}[aspect]


def list_images(params: GanTrainingParams) -> tuple[list[tuple[Path, int]], tuple[str, ...]]:
    """Return ([(path, number of its class)], names of the classes) of the images that the parameters ask for.

    Raises BadInput when a folder is missing, a filter is not of the form KEY=VALUE, or no image has a wanted class.
    """
    filters = _parse_filters(params.filters)
    found: list[tuple[Path, str]] = []
    for folder in (params.folder, *params.more_folders):
        paths = api.datasets.find_images(folder, exclude=params.excluded_in(folder))
        has_rows = filters or params.label_by not in ("", BY_FOLDER)
        rows = api.datasets.read_caption_rows(folder) if has_rows else {}
        for path in paths:
            name = path.relative_to(folder).as_posix()
            row = rows[name][1] if name in rows else {}
            if all(str(row.get(key, "")).casefold() in values for key, values in filters.items()):
                found.append((path, _read_label(params.label_by, path, folder, row)))
    if not params.label_by:
        return [(path, 0) for path, _ in found], ()
    wanted = {label.casefold(): label for label in params.labels}
    chosen = [(path, label) for path, label in found if label and (not wanted or label.casefold() in wanted)]
    names = tuple(sorted({label for _, label in chosen}, key=str.casefold))
    if len(names) < 2:
        raise api.BadInput(
            f"The images have {'only one class' if names else 'no classes'} by “{params.label_by}”.",
            "Leave the field “Class by” empty, use “folder”, or a key in the lines of captions.jsonl.",
        )
    numbers = {name: number for number, name in enumerate(names)}
    return [(path, numbers[label]) for path, label in chosen], names


def read_training_data(params: GanTrainingParams) -> Generator[api.Event, None, TrainingData]:
    """Read the images with progress, cropped and scaled to the training size. Raises BadInput as `list_images` does."""
    listed, names = list_images(params)
    height, width = size_of(params.size, params.aspect)
    channels = 4 if params.transparent else 3
    limit = min(MAX_IMAGES, MAX_BYTES // (height * width * channels))
    if len(listed) > limit:
        yield api.Notice(
            f"Only {limit:,} of the {len(listed):,} images are used, since all are held in memory.", "warning"
        )
        listed = api.datasets.spread_evenly(listed, limit)
    samples, skipped = yield from api.datasets.read_images(
        listed,
        lambda item: TrainingImage(item[0], read_pixels(item[0], (height, width), channels), item[1]),
        path_of=lambda item: item[0],
    )
    training, holdout = api.datasets.split_holdout(samples, HOLDOUT)
    return TrainingData(
        _stack(training, (height, width, channels)), _stack(holdout, (height, width, channels)), names, skipped
    )


def _stack(samples: Sequence[TrainingImage], shape: tuple[int, int, int]) -> ImageSet:
    pixels = np.stack([sample.pixels for sample in samples]) if samples else np.zeros((0, *shape), np.uint8)
    return ImageSet(pixels, np.array([sample.label for sample in samples], np.int64))


def _parse_filters(filters: Sequence[str]) -> dict[str, Collection[str]]:
    """Return the wanted values, case-folded, by key."""
    parsed: dict[str, set[str]] = {}
    for text in filters:
        key, equals, value = text.partition("=")
        if not equals or not key.strip():
            raise api.BadInput(f"“{text}” is not a filter.", "Write KEY=VALUE, such as objects=2.")
        parsed.setdefault(key.strip(), set()).add(value.strip().casefold())
    return {**parsed}


def _read_label(label_by: str, path: Path, folder: Path, row: Mapping[str, Any]) -> str:
    if label_by == BY_FOLDER:
        parts = path.relative_to(folder).parts
        return parts[0] if len(parts) > 1 else ""
    value = row.get(label_by)
    return str(value).strip() if isinstance(value, str | int | bool) else ""
