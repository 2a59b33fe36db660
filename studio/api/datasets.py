"""Read folders of training data: find files, read pictures and captions, hold out a part for evaluation.

Everything is ordered by name and follows from names alone, so that a training that is resumed sees the same data.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Callable, Collection, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from studio.api.events import Event, Notice, Progress
from studio.api.images import IMAGE_SUFFIXES, Size, flatten_alpha, open_picture, shrink_shorter_side
from studio.core.data_report import CaptionSource
from studio.core.errors import BadInput
from studio.core.text_encoding import decode_text
from studio.core.untrusted_files import name_for_display, read_file

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL.Image import Image as PilImage

_CAMERA_PREFIXES = frozenset(
    {"img", "dsc", "dscn", "dscf", "pxl", "mvimg", "gopr", "dji", "pict", "image", "untitled", "screenshot"}
)
"""Words in the file names of cameras and phones, which say nothing about the image."""
Item = TypeVar("Item")
T = TypeVar("T")

CAPTION_LIST = "captions.jsonl"
"""Name of the file with captions in a folder of pictures."""
HOLDOUT_FRACTION = 0.05
MIN_SIDE = 8
"""Pixels. Pictures with a shorter side are left out of trainings."""
MAX_CAPTION = 20_000
"""Maximum number of characters that are read from a caption file."""
MAX_COUNTED_NAMES = 20_000
"""Number of names after which `count_images` stops looking."""


class HasPath(Protocol):
    """A training sample that comes from a file."""

    @property
    def path(self) -> Path: ...


S = TypeVar("S", bound=HasPath)


@dataclass(frozen=True)
class ImageSample:
    """One picture in memory. `pixels` are uint8 [height, width, 3], or 4 channels with transparency."""

    path: Path
    pixels: NDArray[np.uint8]
    group: int = 0
    """Number of the folder that it comes from."""


@dataclass(frozen=True)
class ImageCaption:
    """The words for one picture."""

    path: Path
    text: str
    is_complete: bool = True
    """True if `text` is a caption to be used as it is. Otherwise it names the subject and can be put into phrases."""
    keywords: tuple[str, ...] = ()
    style: str = ""
    source: CaptionSource = CaptionSource.NONE
    fault: str = ""
    """A sentence about a caption file that cannot be read."""


def find_files(folder: Path, suffixes: Collection[str], exclude: Collection[str] = ()) -> list[Path]:
    """Return the files in a folder and its subfolders whose names end in one of the suffixes, sorted by path.

    Suffixes are given in lower case, such as ".txt" or ".jsonl.xz"; case is ignored. Hidden files are left out, and
    those in `exclude`: names relative to the folder, with forward slashes; one that ends with a slash is a folder.
    Raises BadInput when the folder is missing or may not be read. Subfolders that may not be read are left out, and
    so are links to folders, which may go in circles.
    """
    endings = tuple(suffixes)
    try:
        paths = sorted(path for path in _walk(folder, []) if path.name.lower().endswith(endings))
        found = [path for path in paths if not path.name.startswith(".") and path.is_file()]
    except OSError as error:
        raise _describe_locked(folder) from error
    if not exclude:
        return found
    names, folders = frozenset(exclude), tuple(name for name in exclude if name.endswith("/"))
    named = ((path, path.relative_to(folder).as_posix()) for path in found)
    return [path for path, name in named if name not in names and not name.startswith(folders)]


def find_locked_folders(folder: Path) -> list[Path]:
    """Return the subfolders of a folder that may not be read. Raises BadInput as `find_files` does."""
    locked: list[Path] = []
    for _ in _walk(folder, locked):
        pass
    return sorted(locked)


def _walk(folder: Path, locked: list[Path]) -> Iterator[Path]:
    """Yield the files in a folder and its subfolders, and add subfolders that may not be read to `locked`."""
    if not folder.is_dir():
        raise BadInput(f"There is no folder {folder}.", "Check the path.")

    def note(error: OSError) -> None:
        if Path(error.filename) == folder:
            raise _describe_locked(folder) from error
        locked.append(Path(error.filename))

    for place, _, names in os.walk(folder, onerror=note):
        yield from (Path(place, name) for name in names)


def _describe_locked(folder: Path) -> BadInput:
    return BadInput(f"The folder {folder} cannot be read: permission denied.", "Change its permissions.")


def find_images(folder: Path, words: Sequence[str] = (), exclude: Collection[str] = ()) -> list[Path]:
    """Return the picture files in a folder and its subfolders, sorted by path, without those in `exclude`.

    With `words`, only pictures with one of them in the file name, or in their line of a `captions.jsonl` in the same
    folder; case is ignored. Raises BadInput when the folder is missing or may not be read.
    """
    paths = find_files(folder, IMAGE_SUFFIXES, exclude)
    wanted = [word.casefold() for word in words if word.strip()]
    if not wanted:
        return paths
    lists = {parent: read_caption_list(parent / CAPTION_LIST, strict=False) for parent in {p.parent for p in paths}}

    def searchable(path: Path) -> str:
        row = lists[path.parent].get(path.name, {})
        return f"{path.name} {' '.join(str(value) for value in row.values())}".casefold()

    return [path for path in paths if any(word in searchable(path) for word in wanted)]


def index_masks(folder: Path, exclude: Collection[str] = ()) -> dict[str, Path]:
    """Return the masks in a folder by their names relative to it, with forward slashes and without suffix.

    The first by name counts, if there are several with one name.
    """
    masks: dict[str, Path] = {}
    for path in find_images(folder, exclude=exclude):
        masks.setdefault(path.relative_to(folder).with_suffix("").as_posix(), path)
    return masks


def mask_channel(image: PilImage) -> PilImage:
    """Return what an image means as a mask, of 8 bits: its alpha channel, or its brightness where it is opaque."""
    has_alpha = image.mode == "RGBA" and image.getchannel("A").getextrema() != (255, 255)
    return image.getchannel("A") if has_alpha else image.convert("L")


def count_images(folder: Path, limit: int) -> int:
    """Return the approximate number of pictures in a folder, at most `limit`; 0 where it may not be read.

    Quick enough for `Tool.estimate`: it looks at file names only, and at no more than `MAX_COUNTED_NAMES`.
    """
    try:
        names = islice(folder.rglob("*"), MAX_COUNTED_NAMES)
        return sum(1 for _ in islice((path for path in names if path.suffix.lower() in IMAGE_SUFFIXES), limit))
    except OSError:
        return 0


def read_image(path: Path, side: int, *, keep_alpha: bool = False, group: int = 0) -> ImageSample:
    """Read one picture, scaled down to a shorter side of `side` px if it is larger.

    Transparent pictures are composited over white unless `keep_alpha` is set. Raises BadInput, also for pictures with
    a side below `MIN_SIDE`.
    """
    import numpy as np

    picture = open_picture(path)
    refuse_tiny(path, picture.size)
    picture = shrink_shorter_side(picture if keep_alpha else flatten_alpha(picture), side)
    return ImageSample(path, np.asarray(picture), group)


def refuse_tiny(path: Path, size: Size) -> None:
    """Raise BadInput for a picture that has too few pixels to learn from."""
    if min(size) < MIN_SIDE:
        raise BadInput(
            f"{name_for_display(path)} is {size[0]:,} × {size[1]:,} px, which is too small.",
            f"Use images of {MIN_SIDE} px or more.",
        )


def read_images(
    items: Sequence[Item], read: Callable[[Item], T], *, path_of: Callable[[Item], Path] | None = None, folder: str = ""
) -> Generator[Event, None, tuple[list[T], dict[str, str]]]:
    """Read files with progress, leaving out those that `read` refuses with BadInput.

    Items are paths, or anything for which `path_of` returns the path. Returns (what `read` returned,
    {file name: why it was skipped}). Use it as `samples, skipped = yield from read_images(…)`; skipped files are named
    in one notice, which also names the `folder` if there are several.
    """
    samples: list[T] = []
    skipped: dict[str, str] = {}
    for number, item in enumerate(items):
        if number % 50 == 0:
            yield Progress(0, 0, f"Reading images: {number:,} of {len(items):,}")
        try:
            samples.append(read(item))
        except BadInput as error:
            skipped[(path_of(item) if path_of else Path(str(item))).name] = str(error)
    if skipped:
        yield describe_skipped(skipped, folder)
    return samples, skipped


def read_image_folder(
    folder: Path,
    side: int,
    *,
    limit: int,
    words: Sequence[str] = (),
    exclude: Collection[str] = (),
    keep_alpha: bool = False,
    group: int = 0,
) -> Generator[Event, None, tuple[list[ImageSample], dict[str, str]]]:
    """Read the pictures of a folder into memory, at most `limit`, spread evenly over the files.

    Arguments are those of `find_images` and `read_image`, the result that of `read_images`.
    Raises BadInput when the folder is missing or may not be read.
    """
    paths = find_images(folder, words, exclude)
    if len(paths) > limit:
        yield Notice(f"Only {limit:,} of the {len(paths):,} images in {folder.name} are used.", "warning")
        paths = spread_evenly(paths, limit)

    def read(path: Path) -> ImageSample:
        return read_image(path, side, keep_alpha=keep_alpha, group=group)

    return (yield from read_images(paths, read, folder=folder.name))


def spread_evenly(items: Sequence[Item], limit: int) -> list[Item]:
    """Return at most `limit` of the items, spread evenly over all."""
    if len(items) <= limit:
        return [*items]
    return [items[number * len(items) // limit] for number in range(limit)]


def describe_skipped(skipped: Collection[str], folder: str = "") -> Notice:
    """Return a warning that names up to ten of the files that were skipped, and their folder."""
    names = [*skipped]
    rest = f" and {len(names) - 10:,} more" if len(names) > 10 else ""
    files = "1 file" if len(names) == 1 else f"{len(names):,} files"
    where = f" in {folder}" if folder else ""
    return Notice(f"Skipped {files}{where} that cannot be used: {', '.join(names[:10])}{rest}.", "warning")


def describe_encodings(encodings: Mapping[str, str]) -> str:
    """Return a sentence about the files whose encodings were detected."""
    shown = [f"{name} as {encoding}" for name, encoding in [*encodings.items()][:5]]
    rest = f" and {len(encodings) - 5:,} more" if len(encodings) > 5 else ""
    return f"Not UTF-8, so the encoding was detected: {', '.join(shown)}{rest}."


def is_held_out(name: Path | str, fraction: float = HOLDOUT_FRACTION) -> bool:
    """Check whether a sample belongs to the `fraction` (0..1) that is kept for evaluation.

    It depends on the name alone, of a path on the names of the file and its folder. So it stays the same when other
    samples are added or removed, or when the folder is moved.
    """
    return _name_hash(name) < fraction * 2**32


def split_holdout(samples: Sequence[S], fraction: float = HOLDOUT_FRACTION) -> tuple[list[S], list[S]]:
    """Split samples into (for training, for evaluation) by `is_held_out`.

    Each part has at least one of two or more samples; a single sample is in both.
    """
    if len(samples) < 2:
        return [*samples], [*samples]
    holdout = [sample for sample in samples if is_held_out(sample.path, fraction)][: len(samples) - 1]
    holdout = holdout or [min(samples, key=lambda sample: _name_hash(sample.path))]
    held = {id(sample) for sample in holdout}
    return [sample for sample in samples if id(sample) not in held], holdout


def read_captions(folder: Path, paths: Sequence[Path]) -> list[ImageCaption]:
    """Return the caption of each picture in a folder.

    The first of these counts: a text file NAME.txt beside the picture; its row in `FOLDER.jsonl` beside the folder or
    in `captions.jsonl` inside it (see `read_caption_list`), with `caption`, or with `name` and perhaps `keywords` and
    `style`; its file name, without digits at the end. A file name without a word, such as `000` or `IMG_0001`, is no
    caption: it stays empty, as does that of an image whose text file cannot be read. Raises BadInput when a list is
    damaged.
    """
    rows = read_caption_rows(folder)
    nothing: tuple[CaptionSource, Mapping[str, Any]] = CaptionSource.NONE, {}
    return [_read_caption(path, *rows.get(path.relative_to(folder).as_posix(), nothing)) for path in paths]


def read_caption_rows(folder: Path) -> dict[str, tuple[CaptionSource, Mapping[str, Any]]]:
    """Return the rows of `FOLDER.jsonl` beside a folder and of `captions.jsonl` inside it, with where each is from.

    Keys are file names relative to the folder; the list inside it counts. Raises BadInput when a list is damaged.
    """
    rows: dict[str, tuple[CaptionSource, Mapping[str, Any]]] = {}
    lists = {
        CaptionSource.FOLDER_LIST: folder.with_name(f"{folder.name}.jsonl"),
        CaptionSource.CAPTION_LIST: folder / CAPTION_LIST,
    }
    for source, file in lists.items():
        for name, row in read_caption_list(file).items():
            rows[name.removeprefix(f"{folder.name}/")] = source, row
    return rows


def read_caption_list(path: Path, *, strict: bool = True) -> dict[str, Mapping[str, Any]]:
    """Return the rows of a JSON Lines file by their value of `file`; empty if there is no such file.

    Raises BadInput for a file that is damaged; without `strict`, lines that cannot be read are left out instead.
    """
    if not path.is_file():
        return {}
    damaged = BadInput(
        f"{path.name} is not a list of captions.", 'Write one JSON object per line, with "file" and "caption".'
    )
    rows: dict[str, Mapping[str, Any]] = {}
    try:
        lines = decode_text(read_file(path)).text.split("\n")  # not splitlines: JSON strings may hold other line breaks
    except Exception as error:
        if strict:
            raise damaged from error
        return {}
    for line in filter(str.strip, lines):
        try:
            row = json.loads(line)
            rows[str(row["file"])] = row
        except Exception as error:
            if strict:
                raise damaged from error
    return rows


def name_from_file(stem: str) -> str:
    """Return the words in a file name without its suffix: "red-apple_02" gives "red apple"."""
    words = re.sub(r"[-_\s]+", " ", stem).strip()
    return re.sub(r"\s*\(?\d+\)?$", "", words).strip() or words


def has_word(name: str) -> bool:
    """Check whether a file name says anything: it has a word that is no camera's prefix and no hexadecimal number."""
    if re.fullmatch(r"[0-9a-f -]{12,}", name, re.IGNORECASE):
        return False
    words = re.findall(r"[^\W\d_]+", name)
    return any((len(word) > 1 or not word.isascii()) and word.casefold() not in _CAMERA_PREFIXES for word in words)


def _read_caption(path: Path, source: CaptionSource, row: Mapping[str, Any]) -> ImageCaption:
    try:
        if text := _caption_file(path.with_suffix(".txt")):
            return ImageCaption(path, text, source=CaptionSource.TEXT_FILE)
    except BadInput as error:
        return ImageCaption(path, "", fault=str(error))
    if text := _text(row.get("caption")):
        return ImageCaption(path, text, source=source)
    if text := _text(row.get("name")):
        words = row.get("keywords")
        keywords = tuple(word for word in words if isinstance(word, str)) if isinstance(words, list) else ()
        return ImageCaption(path, text, False, keywords, str(row.get("style") or ""), source)
    name = name_from_file(path.stem)
    return ImageCaption(path, name, source=CaptionSource.FILE_NAME) if has_word(name) else ImageCaption(path, "")


def _caption_file(path: Path) -> str:
    try:
        if not path.is_file():
            return ""
        return " ".join(decode_text(read_file(path, 2**20)).text[:MAX_CAPTION].split())
    except UnicodeError as error:
        raise BadInput(f"The caption file {path.name} is no text.", "Save it as UTF-8.") from error
    except OSError as error:
        raise BadInput(f"The caption file {path.name} cannot be read.", "Change its permissions.") from error


def _text(value: object) -> str:
    return value.strip() if isinstance(value, str) else ""


def _name_hash(name: Path | str) -> int:
    text = f"{name.parent.name}/{name.name}" if isinstance(name, Path) else name
    return int.from_bytes(hashlib.sha256(os.fsencode(text)).digest()[:4])
