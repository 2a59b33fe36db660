"""Inspect folders of images."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from studio.api import datasets
from studio.api.data_report.checks import InspectionContext, refuse
from studio.api.data_report.faults import LOCKED_FOLDER, describe_faults
from studio.api.image_similarity import THUMBNAIL_SIDE, find_similar
from studio.api.images import Size, flatten_alpha, open_picture, read_upright_size
from studio.core.data_report import UNUSABLE, CaptionSource, DataFile, DataFolder, DataReport, Fault, Finding
from studio.core.errors import BadInput
from studio.core.untrusted_files import make_printable, name_for_display, open_file

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from studio.api.training.params import TrainingParams

MAX_INSPECTED = 20_000
"""Maximum number of files of a folder that are looked at, spread evenly over all."""
MAX_ASPECT = 3.0
"""Images that are longer than this ratio of their sides are reported."""
BLANK_DEVIATION = 2.0
"""Standard deviation, of 255, of each channel below which an image shows one colour only."""


@dataclass(frozen=True)
class ImageSource:
    """A folder of images to inspect.

    `paths` are all images of it, also the excluded ones, and subfolders that may not be read; `size` is the side in px
    that the training scales images to.
    """

    folder: Path
    paths: Sequence[Path]
    size: int
    noun: str = "image"
    excluded: frozenset[str] = frozenset()
    """Names relative to the folder."""
    has_captions: bool = False
    crops_centre: bool = False
    """Whether the training sees no more than the middle square of each image."""
    is_first: bool = False
    """True for the folder of the parameter `folder`."""


def list_sources(
    params: TrainingParams, size: int, *, noun: str = "image", has_captions: bool = False, crops_centre: bool = False
) -> list[ImageSource]:
    """Return the folders of a training to inspect. Raises BadInput for one that is missing."""
    return [
        ImageSource(
            folder,
            [*datasets.find_images(folder, exclude=params.nested_in(folder)), *datasets.find_locked_folders(folder)],
            size,
            noun,
            excluded=params.excluded_in(folder),
            has_captions=has_captions,
            crops_centre=crops_centre,
            is_first=number == 0,
        )
        for number, folder in enumerate((params.folder, *params.more_folders))
    ]


def inspect_images(
    sources: Sequence[ImageSource], ctx: InspectionContext, bucket_of: Callable[[Size], Size] | None = None
) -> DataReport:
    """Inspect the images of folders.

    Takes about 2 ms per file beside its decoding. `bucket_of` returns the width and height to which the training
    scales an image of a size, if it uses aspect-ratio buckets. Images of different nouns are not compared.
    """
    chosen = [datasets.spread_evenly(source.paths, MAX_INSPECTED) for source in sources]
    total, done = sum(map(len, chosen)), 0
    inspected: dict[str, list[_Image]] = defaultdict(list)
    by_source: list[list[_Image]] = []
    for source, paths in zip(sources, chosen, strict=True):
        images = []
        for path in paths:
            ctx.report_progress(done, total)
            images.append(_inspect_image(source, path))
            done += 1
        inspected[source.noun] += images
        by_source.append(images)
    ctx.report_progress(total, total)
    for images in inspected.values():
        _mark_duplicates([image for image in images if image.is_usable])
    refusal: BadInput | None = None
    folders = []
    for source, images in zip(sources, by_source, strict=True):
        try:
            captions = _read_captions(source, images)
        except BadInput as error:
            refusal, captions = error, {}
        files = tuple(_build_file(image, captions.get(image.path)) for image in images)
        folders.append(
            DataFolder(
                path=str(source.folder),
                noun=source.noun,
                files=files,
                has_captions=source.has_captions,
                left_out=len(source.paths) - len(images),
                is_first=source.is_first,
            )
        )
    facts = [*_describe_sizes(sources, by_source), *(_describe_buckets(by_source, bucket_of) if bucket_of else [])]
    report = DataReport(folders=tuple(folders), facts=tuple(facts))
    size = max((source.size for source in sources), default=0)
    report = replace(report, warnings=tuple(describe_faults(report, size)))
    if refusal:
        report = refuse(report, refusal)
    for folder in folders:
        if folder.usable and all(Fault.BLANK in file.faults for file in folder.usable):
            report = refuse(report, _describe_blank(folder))
    return report


@dataclass
class _Image:
    """An image while the folder is inspected."""

    path: Path
    name: str
    is_excluded: bool
    findings: list[Finding]
    bytes: int = 0
    size: Size = (0, 0)
    thumbnail: NDArray[np.uint8] | None = None

    @property
    def is_usable(self) -> bool:
        return not self.is_excluded and not any(finding.fault in UNUSABLE for finding in self.findings)

    def add(self, fault: Fault, sentence: str) -> None:
        self.findings.append(Finding(fault, sentence))


def _inspect_image(source: ImageSource, path: Path) -> _Image:
    name = path.relative_to(source.folder).as_posix()
    image = _Image(path, name, name in source.excluded, [])
    if path.is_dir():
        image.name = f"{name}/"
        image.findings.append(LOCKED_FOLDER)
        return image
    try:
        image.bytes = path.stat().st_size
        picture = open_picture(path, shrink_to=2 * THUMBNAIL_SIDE)
    except (BadInput, OSError) as error:
        image.add(Fault.BROKEN, str(error))
        return image
    image.size = width, height = read_upright_size(path) or picture.size
    try:
        datasets.refuse_tiny(path, image.size)
    except BadInput as error:
        image.add(Fault.TINY, str(error))
        return image
    shown = f"{width:,} × {height:,} px"
    if min(image.size) < source.size:
        image.add(Fault.SMALL, f"{shown}; the training enlarges it to {source.size} px.")
    if (aspect := max(image.size) / min(image.size)) > MAX_ASPECT:
        loss = f", so {1 - 1 / aspect:.0%} of it is cut off" if source.crops_centre else ""
        image.add(Fault.SHAPE, f"{shown}: one side is {aspect:.1f} times the other{loss}.")
    image.thumbnail, is_blank = _make_thumbnail(picture)
    if is_blank:
        image.add(Fault.BLANK, "It shows one colour only.")
    return image


def _make_thumbnail(picture: Any) -> tuple[NDArray[np.uint8], bool]:
    """Return a thumbnail over white, and whether the image shows one colour only."""
    import numpy as np
    from PIL import Image

    small = picture.resize((THUMBNAIL_SIDE, THUMBNAIL_SIDE), Image.Resampling.BOX)
    pixels = np.asarray(flatten_alpha(small))
    deviation = float(pixels.std(axis=(0, 1)).max())
    if small.mode == "RGBA":  # a white shape on nothing is no blank image
        deviation = max(deviation, float(np.asarray(small.getchannel("A")).std()))
    return pixels, deviation < BLANK_DEVIATION


def _mark_duplicates(images: Sequence[_Image]) -> None:
    """Add findings to all images but the first of each group with equal bytes or nearly equal content."""
    import numpy as np

    by_size: dict[int, list[_Image]] = defaultdict(list)
    for image in images:
        by_size[image.bytes].append(image)
    first_with: dict[bytes, _Image] = {}
    for same_size in by_size.values():
        for image in same_size if len(same_size) > 1 else ():
            if (digest := _hash_file(image.path)) and (first := first_with.setdefault(digest, image)) is not image:
                image.add(Fault.DUPLICATE, f"The same file as {make_printable(first.name)}.")
    left = {Fault.BLANK, Fault.DUPLICATE}
    compared = [image for image in images if not any(finding.fault in left for finding in image.findings)]
    thumbnails = [image.thumbnail for image in compared if image.thumbnail is not None]
    if len(thumbnails) > 1:
        for number, first_number in find_similar(np.stack(thumbnails)).items():
            compared[number].add(
                Fault.NEAR_DUPLICATE, f"Nearly the same image as {make_printable(compared[first_number].name)}."
            )


def _hash_file(path: Path) -> bytes:
    try:
        with open_file(path) as file:
            return hashlib.file_digest(file, "sha256").digest()
    except OSError:
        return b""


def _read_captions(source: ImageSource, images: Sequence[_Image]) -> dict[Path, datasets.ImageCaption]:
    if not source.has_captions:
        return {}
    captions = datasets.read_captions(source.folder, [image.path for image in images])
    for image, caption in zip(images, captions, strict=True):
        if image.is_usable and caption.fault:
            image.add(Fault.BROKEN_CAPTION, caption.fault)
        elif image.is_usable and not caption.text:
            image.add(Fault.NO_CAPTION, "It has no caption.")
    return {caption.path: caption for caption in captions}


def _build_file(image: _Image, caption: datasets.ImageCaption | None) -> DataFile:
    return DataFile(
        name=image.name,
        width=image.size[0],
        height=image.size[1],
        caption=caption.text if caption else "",
        caption_source=caption.source if caption else CaptionSource.NONE,
        findings=tuple(image.findings),
        is_excluded=image.is_excluded,
    )


def _describe_sizes(sources: Sequence[ImageSource], by_source: Sequence[Sequence[_Image]]) -> Iterator[tuple[str, str]]:
    used = [image.size for images in by_source for image in images if image.is_usable]
    if not used:
        return
    low, high = min(used, key=lambda size: size[0] * size[1]), max(used, key=lambda size: size[0] * size[1])
    yield "Sizes", f"{_format_size(low)}" if low == high else f"{_format_size(low)} to {_format_size(high)}"
    cropped = [
        image.size
        for source, images in zip(sources, by_source, strict=True)
        for image in images
        if source.crops_centre and image.is_usable
    ]
    if cropped:
        loss = sum(1 - min(size) / max(size) for size in cropped) / len(cropped)
        yield "Crop", f"the middle square of each image; {loss:.0%} of the area is cut off on average"


def _describe_buckets(
    by_source: Sequence[Sequence[_Image]], bucket_of: Callable[[Size], Size]
) -> Iterator[tuple[str, str]]:
    counts: dict[Size, int] = defaultdict(int)
    for images in by_source:
        for image in images:
            if image.is_usable:
                counts[bucket_of(image.size)] += 1
    listed = sorted(counts.items(), key=lambda entry: -entry[1])
    yield "Buckets", ", ".join(f"{_format_size(size)} ({count:,})" for size, count in listed)


def _format_size(size: Size) -> str:
    return f"{size[0]:,} × {size[1]:,} px"


def _describe_blank(folder: DataFolder) -> BadInput:
    count = len(folder.usable)
    subject = f"The only {folder.noun} of" if count == 1 else f"All {count:,} {folder.noun}s of"
    verb = "shows" if count == 1 else "show"
    return BadInput(
        f"{subject} {name_for_display(Path(folder.path))} {verb} one colour only.",
        f"Add {folder.noun}s or choose another folder.",
    )
