"""Describes what an inspection of training data found, as a plain value that window and command line show."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from enum import StrEnum
from pathlib import PurePath

from msgspec import Struct


class Fault(StrEnum):
    """What can be wrong with a file of training data."""

    BROKEN = "broken"
    EMPTY = "empty"
    TINY = "tiny"
    SMALL = "small"
    BLANK = "blank"
    DUPLICATE = "duplicate"
    NEAR_DUPLICATE = "near_duplicate"
    SHAPE = "shape"
    DAMAGED = "damaged"
    NO_CAPTION = "no_caption"
    BROKEN_CAPTION = "broken_caption"
    NO_MASK = "no_mask"
    UNUSED = "unused"
    OTHER_SHAPE = "other_shape"
    BLACK = "black"

    @property
    def label(self) -> str:
        return _LABELS[self]


_LABELS = {
    Fault.BROKEN: "cannot be read",
    Fault.EMPTY: "empty",
    Fault.TINY: "too small to use",
    Fault.SMALL: "small",
    Fault.BLANK: "blank",
    Fault.DUPLICATE: "duplicate",
    Fault.NEAR_DUPLICATE: "near-duplicate",
    Fault.SHAPE: "long and narrow",
    Fault.DAMAGED: "lost characters",
    Fault.NO_CAPTION: "no caption",
    Fault.BROKEN_CAPTION: "unreadable caption",
    Fault.NO_MASK: "no mask",
    Fault.UNUSED: "not used",
    Fault.OTHER_SHAPE: "another shape",
    Fault.BLACK: "black",
}
UNUSABLE = frozenset({Fault.BROKEN, Fault.EMPTY, Fault.TINY, Fault.UNUSED})
"""Faults of files that a training leaves out."""
REPEATED = frozenset({Fault.DUPLICATE, Fault.NEAR_DUPLICATE})


class CaptionSource(StrEnum):
    """Where the caption of an image comes from."""

    NONE = "none"
    TEXT_FILE = "text_file"
    CAPTION_LIST = "caption_list"
    FOLDER_LIST = "folder_list"
    FILE_NAME = "file_name"

    @property
    def label(self) -> str:
        return _SOURCE_LABELS[self]


_SOURCE_LABELS = {
    CaptionSource.NONE: "none",
    CaptionSource.TEXT_FILE: "NAME.txt",
    CaptionSource.CAPTION_LIST: "captions.jsonl",
    CaptionSource.FOLDER_LIST: "FOLDER.jsonl",
    CaptionSource.FILE_NAME: "file name",
}


class Finding(Struct, frozen=True):
    """One fault of a file, with a sentence about it."""

    fault: Fault
    sentence: str


class DataFile(Struct, frozen=True, kw_only=True):
    """One file. `name` is relative to its folder, with forward slashes. Sizes are 0 where they are not known."""

    name: str
    width: int = 0
    height: int = 0
    characters: int = 0
    texts: int = 0
    """Number of texts in a text file."""
    caption: str = ""
    caption_source: CaptionSource = CaptionSource.NONE
    excerpt: str = ""
    """The beginning of a text."""
    findings: tuple[Finding, ...] = ()
    is_excluded: bool = False

    @property
    def faults(self) -> frozenset[Fault]:
        return frozenset(finding.fault for finding in self.findings)

    @property
    def is_usable(self) -> bool:
        """Whether a training uses the file."""
        return not self.is_excluded and not self.faults & UNUSABLE


class DataFolder(Struct, frozen=True, kw_only=True):
    """The files of one folder. `noun` says in the singular what they are, such as "photo"."""

    path: str
    noun: str = "image"
    files: tuple[DataFile, ...] = ()
    has_captions: bool = False
    """Whether the training uses captions."""
    left_out: int = 0
    """Number of files that were not looked at, because there are more than can be used."""
    is_first: bool = False
    """True for the folder whose files `exclude` names without the name of the folder."""

    @property
    def usable(self) -> list[DataFile]:
        return [file for file in self.files if file.is_usable]


class DataReport(Struct, frozen=True, kw_only=True):
    """What a training would find in its folders.

    `refusal` is a sentence that says why the training cannot start, and `hint` what to do. `advice` says what to
    expect of so much data; it is a warning if `is_scarce`. `facts` are further rows of (name, text).
    """

    folders: tuple[DataFolder, ...] = ()
    facts: tuple[tuple[str, str], ...] = ()
    warnings: tuple[Finding, ...] = ()
    """A sentence for each fault that files have."""
    advice: str = ""
    is_scarce: bool = False
    refusal: str = ""
    hint: str = ""

    def list_files(self) -> Iterator[tuple[DataFolder, DataFile]]:
        """Yield each file with its folder."""
        for folder in self.folders:
            for file in folder.files:
                yield folder, file

    def count_usable(self, noun: str) -> int:
        """Return the number of files that the training uses, of the folders with this noun."""
        return sum(len(folder.usable) for folder in self.folders if folder.noun == noun)

    def count_texts(self) -> int:
        """Return the number of texts in usable files."""
        return sum(file.texts for folder in self.folders for file in folder.usable)

    def count_characters(self) -> int:
        """Return the number of characters in usable files."""
        return sum(file.characters for folder in self.folders for file in folder.usable)

    def count_faults(self) -> dict[Fault, int]:
        """Return the number of files by fault, without excluded ones, in the order of `Fault`."""
        counts = Counter(fault for _, file in self.list_files() if not file.is_excluded for fault in file.faults)
        return {fault: counts[fault] for fault in Fault if counts[fault]}

    def find_common_faults(self) -> frozenset[Fault]:
        """Return the faults that single out no file: all of several usable ones have them, or most are small or
        without a mask."""
        usable = [file.faults for folder in self.folders for file in folder.usable]
        if len(usable) < 2:
            return frozenset()
        counts = Counter(fault for faults in usable for fault in faults & {Fault.SMALL, Fault.NO_MASK})
        frequent = {fault for fault, count in counts.items() if 2 * count > len(usable)}
        return frozenset.intersection(*usable) | frequent

    def count_captions(self) -> dict[CaptionSource, int]:
        """Return the number of usable files by the source of their captions; empty where captions are not used."""
        counts = Counter(
            file.caption_source for folder in self.folders if folder.has_captions for file in folder.usable
        )
        return {source: counts[source] for source in CaptionSource if counts[source]}

    @property
    def summary(self) -> str:
        """One sentence with the numbers of files and of usable ones."""
        parts = []
        for noun in dict.fromkeys(folder.noun for folder in self.folders):
            folders = [folder for folder in self.folders if folder.noun == noun]
            total = sum(len(folder.files) for folder in folders)
            usable = sum(len(folder.usable) for folder in folders)
            excluded = sum(file.is_excluded for folder in folders for file in folder.files)
            text = count_noun(total, noun)
            if total:
                text += ", all usable" if usable == total else f", {usable:,} usable"
            if excluded:
                text += f", {excluded:,} excluded"
            parts.append(text)
        return f"{'; '.join(parts)}." if parts else "No data."


def count_noun(count: int, noun: str) -> str:
    """Return a number with a noun: "1 image", "2,000 images"."""
    return f"1 {noun}" if count == 1 else f"{count:,} {noun}s"


def name_excluded(folder: DataFolder, file: DataFile) -> str:
    """Return the entry of the parameter `exclude` that leaves a file out."""
    return file.name if folder.is_first else f"{PurePath(folder.path).name}/{file.name}"
