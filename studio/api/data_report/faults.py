"""Write sentences about the faults of files."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from studio.api import datasets
from studio.core.data_report import DataFile, DataReport, Fault, Finding, count_noun
from studio.core.untrusted_files import make_printable

LOCKED_FOLDER = Finding(Fault.BROKEN, "This folder cannot be read: permission denied. Change its permissions.")
MAX_NAMED = 3
"""Number of files that a sentence names."""
_SENTENCES: dict[Fault, tuple[str, str]] = {
    Fault.BROKEN: ("cannot be read and is left out", "cannot be read and are left out"),
    Fault.EMPTY: ("is empty and is left out", "are empty and are left out"),
    Fault.TINY: (
        f"has a side of less than {datasets.MIN_SIDE} px and is left out",
        f"have a side of less than {datasets.MIN_SIDE} px and are left out",
    ),
    Fault.BLANK: ("shows one colour only", "show one colour only"),
    Fault.DUPLICATE: ("is a copy of another", "are copies of others"),
    Fault.NEAR_DUPLICATE: ("is nearly the same as another", "are nearly the same as others"),
    Fault.SHAPE: ("is long and narrow", "are long and narrow"),
    Fault.BROKEN_CAPTION: (
        "has a caption file that cannot be read, so that it counts as one without a caption",
        "have caption files that cannot be read, so that they count as ones without a caption",
    ),
    Fault.NO_MASK: ("has no mask, so that all of it counts", "have no mask, so that all of each counts"),
    Fault.UNUSED: ("belongs to no image and is not used", "belong to no image and are not used"),
    Fault.OTHER_SHAPE: ("has another shape than its image", "have other shapes than their images"),
    Fault.BLACK: ("is black everywhere", "are black everywhere"),
    Fault.DAMAGED: ("has lost characters", "have lost characters"),
}
"""Sentences about one file and about several, by fault."""


def describe_faults(report: DataReport, size: int = 0) -> Iterator[Finding]:
    """Yield a sentence for each fault that files of one noun have. `size` is that of the training in px."""
    for noun in dict.fromkeys(folder.noun for folder in report.folders):
        files = [
            file for folder in report.folders if folder.noun == noun for file in folder.files if not file.is_excluded
        ]
        for fault in Fault:
            found = [file for file in files if fault in file.faults]
            if not found:
                continue
            if fault is Fault.SMALL:
                yield Finding(fault, _describe_small(len(found), sum(file.is_usable for file in files), noun, size))
            elif fault is Fault.NO_CAPTION:
                yield Finding(fault, _describe_missing_captions(found, noun))
            else:
                words = _SENTENCES[fault][len(found) > 1]
                yield Finding(fault, f"{count_noun(len(found), noun)} {words}: {_name_files(found)}.")


def _describe_small(count: int, total: int, noun: str, size: int) -> str:
    subject = f"All {total:,} {noun}s are" if count == total > 1 else f"{count_noun(count, noun)} "
    verb = "" if count == total > 1 else "is" if count == 1 else "are"
    return f"{subject}{verb} smaller than {size} px and will be enlarged, which gives no more detail."


def _describe_missing_captions(files: Sequence[DataFile], noun: str) -> str:
    have = "has" if len(files) == 1 else "have"
    subject = f"{count_noun(len(files), noun)} {have} no caption"
    return (
        f"{subject} and will be trained with an empty one, or the trigger word: {_name_files(files)}. "
        "A file name without a word is no caption. Write what an image shows into NAME.txt beside it."
    )


def _name_files(files: Sequence[DataFile]) -> str:
    names = ", ".join(make_printable(file.name) for file in files[:MAX_NAMED])
    return f"{names} and {len(files) - MAX_NAMED:,} more" if len(files) > MAX_NAMED else names
