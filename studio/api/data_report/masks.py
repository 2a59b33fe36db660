"""Inspect a folder of masks, which say what part of each training image counts."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from pathlib import Path, PurePath
from typing import TYPE_CHECKING

from msgspec.structs import replace

from studio.api import datasets
from studio.api.data_report.checks import InspectionContext, refuse
from studio.api.data_report.faults import describe_faults
from studio.api.images import Size, open_picture, read_upright_size
from studio.core.data_report import DataFile, DataFolder, DataReport, Fault, Finding
from studio.core.errors import BadInput
from studio.core.untrusted_files import make_printable, name_for_display

if TYPE_CHECKING:
    from PIL.Image import Image

NOUN = "mask"
SHAPE_TOLERANCE = 0.02
"""Relative difference of the ratios of sides up to which a mask has the shape of its image."""
BLACK_LEVEL = 2
"""Largest value, of 255, of a mask that counts as black."""
SHRUNK_SIDE = 256


def inspect_masks(
    report: DataReport,
    folder: Path,
    ctx: InspectionContext,
    *,
    noun: str = "image",
    size: int = 0,
    excluded: Collection[str] = (),
) -> DataReport:
    """Return a report with the masks for its images of a noun. `size` is that of the training in px.

    A mask has the name of its image, relative to the folder of either. An image whose mask cannot be read becomes
    unusable, as a training leaves it out. Raises BadInput for a folder that is missing.
    """
    paths = datasets.find_images(folder)
    masks = datasets.index_masks(folder, excluded)
    images = {_without_suffix(file.name): file for one in report.folders if one.noun == noun for file in one.files}
    files, broken = [], set()
    for number, path in enumerate(paths):
        ctx.report_progress(number, len(paths))
        name = path.relative_to(folder).as_posix()
        image = images.get(_without_suffix(name))
        findings = tuple(_find_faults(path, image, is_chosen=masks.get(_without_suffix(name)) == path))
        is_excluded = name in excluded
        if not is_excluded and any(finding.fault is Fault.BROKEN for finding in findings):
            broken.add(_without_suffix(name))
        files.append(DataFile(name=name, findings=findings, is_excluded=is_excluded))
    ctx.report_progress(len(paths), len(paths))
    folders = [
        replace(one, files=tuple(_add_faults(file, masks, broken) for file in one.files)) if one.noun == noun else one
        for one in report.folders
    ]
    mask_folder = DataFolder(path=str(folder), noun=NOUN, files=tuple(files))
    report = replace(report, folders=(*folders, mask_folder))
    usable = [file for one in folders if one.noun == noun for file in one.usable]
    masked = [file for file in usable if _without_suffix(file.name) in masks]
    facts = (*report.facts, ("Masks", f"{len(masked):,} of {len(usable):,} images have one"))
    report = replace(report, facts=facts, warnings=tuple(describe_faults(report, size)))
    if usable and not masked:
        report = refuse(report, _describe_mismatch(folder))
    elif masked and len(masked) == len(usable) and _are_black(masked, files):
        report = refuse(report, _describe_black(folder))
    return report


def _find_faults(path: Path, image: DataFile | None, *, is_chosen: bool) -> Iterator[Finding]:
    try:
        mask = datasets.mask_channel(open_picture(path, shrink_to=SHRUNK_SIDE))
        size = read_upright_size(path) or mask.size
    except (BadInput, OSError) as error:
        yield Finding(Fault.BROKEN, f"{error} The image of this mask is left out as well.")
        return
    if image is None:
        yield Finding(Fault.UNUSED, "No image has this name, so it is not used.")
        return
    if not is_chosen:
        yield Finding(Fault.UNUSED, "Another mask has the same name, so it is not used.")
        return
    if image.width and not _has_shape(size, (image.width, image.height)):
        yield Finding(
            Fault.OTHER_SHAPE,
            f"{size[0]:,} × {size[1]:,} px, and {make_printable(image.name)} is {image.width:,} × {image.height:,} px: "
            "its middle is used, which does not lie over the same part of the image.",
        )
    if _is_black(mask):
        yield Finding(Fault.BLACK, "It is black everywhere, so that nothing of its image counts in full.")


def _add_faults(file: DataFile, masks: Collection[str], broken: Collection[str]) -> DataFile:
    """Return an image with what its mask means for it."""
    name = _without_suffix(file.name)
    if name in broken:
        finding = Finding(Fault.BROKEN, "Its mask cannot be read, so that it is left out.")
    elif name not in masks and file.is_usable:
        finding = Finding(Fault.NO_MASK, "It has no mask, so that all of it counts.")
    else:
        return file
    return replace(file, findings=(*file.findings, finding))


def _has_shape(size: Size, other: Size) -> bool:
    first, second = size[0] / size[1], other[0] / other[1]
    return abs(first - second) <= SHAPE_TOLERANCE * max(first, second)


def _is_black(mask: Image) -> bool:
    return int(mask.getextrema()[1]) <= BLACK_LEVEL  # type: ignore[arg-type]


def _are_black(masked: Collection[DataFile], files: Collection[DataFile]) -> bool:
    black = {_without_suffix(file.name) for file in files if Fault.BLACK in file.faults}
    return all(_without_suffix(file.name) in black for file in masked)


def _without_suffix(name: str) -> str:
    return PurePath(name).with_suffix("").as_posix()


def _describe_mismatch(folder: Path) -> BadInput:
    return BadInput(
        f"No mask in {name_for_display(folder)} has the name of an image.",
        "Name each mask as its image, such as fox.png for fox.jpg, or choose another folder.",
    )


def _describe_black(folder: Path) -> BadInput:
    return BadInput(
        f"All masks in {name_for_display(folder)} are black, so that nothing would be learned.",
        "Make white what counts, or set Masks to None.",
    )
