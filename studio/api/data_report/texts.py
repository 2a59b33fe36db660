"""Inspect folders of texts."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from msgspec.structs import replace

from studio.api.data_report.checks import InspectionContext
from studio.api.data_report.faults import LOCKED_FOLDER, describe_faults
from studio.core.data_report import DataFile, DataFolder, DataReport, Fault, Finding, count_noun
from studio.core.errors import BadInput
from studio.core.untrusted_files import make_printable, name_for_display

CHARACTERS_PER_TOKEN = 4
MAX_EXCERPT = 300


@dataclass(frozen=True)
class TextContent:
    """The texts in one file; `damaged` is the number of texts with lost characters, which are not among them."""

    texts: Sequence[str]
    encoding: str = ""
    damaged: int = 0


@dataclass(frozen=True)
class TextSource:
    """A folder of texts to inspect. `read` returns the texts of a file or raises BadInput.

    `paths` may include subfolders that may not be read.
    """

    folder: Path
    paths: Sequence[Path]
    read: Callable[[Path], TextContent]
    excluded: frozenset[str] = frozenset()
    is_first: bool = False


def inspect_texts(sources: Sequence[TextSource], ctx: InspectionContext) -> DataReport:
    """Inspect the texts of folders."""
    total, done = sum(len(source.paths) for source in sources), 0
    first_with: dict[bytes, str] = {}
    encodings: dict[str, int] = defaultdict(int)
    folders = []
    for source in sources:
        files = []
        for path in source.paths:
            ctx.report_progress(done, total)
            file, content = _inspect_text(source, path, first_with)
            files.append(file)
            if content and file.is_usable:
                encodings[content.encoding or "utf-8"] += 1
            done += 1
        folders.append(DataFolder(path=str(source.folder), noun="text file", files=tuple(files),
                                  is_first=source.is_first))  # fmt: skip
    ctx.report_progress(total, total)
    report = DataReport(folders=tuple(folders))
    characters = report.count_characters()
    facts = [
        ("Texts", f"{report.count_texts():,}"),
        ("Characters", f"{characters:,}, about {characters // CHARACTERS_PER_TOKEN:,} tokens"),
        ("Encodings", ", ".join(f"{name} ({count:,})" for name, count in encodings.items())),
    ]
    report = replace(report, facts=tuple(fact for fact in facts if fact[1]))
    return replace(report, warnings=tuple(describe_faults(report)))


def _inspect_text(source: TextSource, path: Path, first_with: dict[bytes, str]) -> tuple[DataFile, TextContent | None]:
    name = path.relative_to(source.folder).as_posix()
    is_excluded = name in source.excluded
    if path.is_dir():
        return DataFile(name=f"{name}/", findings=(LOCKED_FOLDER,)), None
    try:
        content = source.read(path)
    except BadInput as error:
        return DataFile(name=name, findings=(Finding(Fault.BROKEN, str(error)),), is_excluded=is_excluded), None
    findings = []
    if content.damaged:
        findings.append(
            Finding(Fault.DAMAGED, f"{count_noun(content.damaged, 'text')} with lost characters (�) will not be used.")
        )
    if not any(content.texts):
        text = "other text" if content.damaged else "text"
        findings.append(Finding(Fault.EMPTY, f"{name_for_display(path)} contains no {text}."))
    elif not is_excluded:
        digest = hashlib.sha256("\0".join(content.texts).encode("utf-8", "replace")).digest()
        if (first := first_with.setdefault(digest, name)) != name:
            findings.append(Finding(Fault.DUPLICATE, f"The same text as {make_printable(first)}."))
    file = DataFile(
        name=name,
        characters=sum(map(len, content.texts)),
        texts=len(content.texts),
        excerpt=next((text[:MAX_EXCERPT] for text in content.texts if text), ""),
        findings=tuple(findings),
        is_excluded=is_excluded,
    )
    return file, content
