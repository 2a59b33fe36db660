"""Read training texts from folders: plain text, Markdown and JSON Lines, each document with a title and a kind."""

from __future__ import annotations

import json
import lzma
import re
from collections.abc import Callable, Collection, Generator, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import median
from typing import IO

from studio import api

from ..models.tokenizer import KINDS

SUFFIXES = (".txt", ".md", ".jsonl", ".jsonl.xz")
MAX_FILE_BYTES = 256 * 2**20
"""Largest file that is read, after decompression: a small archive may unpack to a very large file."""
HELD_OUT_FRACTION = 0.02
HARD_WRAP_WIDTH = 70
"""Characters. Prose whose median line is shorter was hard-wrapped, so its lines are joined into paragraphs."""
REPLACEMENT_CHARACTER = "\ufffd"
"""Stands in place of a character that was lost by decoding with a wrong encoding."""
_KIND_WORDS = {"story": ("stories", "story"), "tale": ("tale",), "poem": ("poem", "poetry"), "book": ("novel", "book")}
"""Words in a file name, by the kind that they stand for."""
_SURROGATE = re.compile("[\ud800-\udfff]")
_LOST_APOSTROPHE = re.compile(rf"(?<=[A-Za-z]){REPLACEMENT_CHARACTER}(?=(?:s|t|d|m|ll|re|ve)\b)")
_PLAIN_QUOTES = str.maketrans({
    "“": '"', "”": '"', "„": '"', "‘": "'", "’": "'", "\u00a0": " ", "\r": None, "\ufeff": None,
})  # fmt: skip


@dataclass(frozen=True)
class Document:
    """One text with straight quotes and one empty line between paragraphs. `kind` is one of `KINDS`."""

    title: str
    text: str
    kind: str = "text"
    credit: str = ""

    def is_held_out(self, fraction: float = HELD_OUT_FRACTION) -> bool:
        """Check whether a hash of the text puts it into the `fraction` (0..1) that is kept for evaluation."""
        return api.datasets.is_held_out(f"{self.title}\n{self.text[:200]}", fraction)

    @property
    def is_damaged(self) -> bool:
        """True if the text has lost characters that cannot be restored."""
        return REPLACEMENT_CHARACTER in self.text


@dataclass
class Corpus:
    """All documents that were read, with the files that could not be read."""

    documents: list[Document] = field(default_factory=list)
    skipped: dict[str, str] = field(default_factory=dict)
    """Reason by file name."""
    counts: dict[str, int] = field(default_factory=dict)
    """Number of documents by file name, or by folder and suffix for files that hold one document."""
    encodings: dict[str, str] = field(default_factory=dict)
    """Encoding by file name, of files that are not UTF-8."""


def find_texts(folder: Path, name_filter: Sequence[str] = (), exclude: Collection[str] = ()) -> list[Path]:
    """Return every text file below a folder but those in `exclude`, sorted.

    With `name_filter`, a file name must contain one of its words.

    Raises BadInput if the folder is missing or cannot be read.
    """
    paths = api.datasets.find_files(folder, SUFFIXES, exclude)
    words = [word.casefold() for word in name_filter if word.strip()]
    return [path for path in paths if not words or any(word in path.name.casefold() for word in words)]


def read_documents(path: Path, encodings: dict[str, str] | None = None) -> list[Document]:
    """Read all documents in a file. An encoding other than UTF-8 is noted in `encodings`.

    Raises BadInput if the file is damaged, too large, or not a text.
    """
    kind = kind_of(path.name)
    try:
        with _open(path) as file:
            content = file.read(MAX_FILE_BYTES + 1)
        if len(content) > MAX_FILE_BYTES:
            raise api.BadInput(f"{path.name} is larger than {MAX_FILE_BYTES >> 20} MB.", "Split it into smaller files.")
        decoded = api.decode_text(content)
    except (OSError, EOFError, lzma.LZMAError, UnicodeError) as error:
        raise api.BadInput(f"{path.name} cannot be read as text.", "Save it as UTF-8.") from error
    text = decoded.text
    if encodings is not None and decoded.encoding != "utf-8":
        encodings[path.name] = decoded.encoding
    if not path.name.lower().endswith((".jsonl", ".jsonl.xz")):
        return _build_documents(path.stem.replace("-", " ").replace("_", " "), text, kind)
    lines = text.split("\n")  # not splitlines(): JSON strings may hold the other line separators
    return [document for line in lines if line.strip() for document in _parse_line(line, kind, path.name)]


def read_folders(
    folders: Sequence[Path],
    name_filter: Sequence[str],
    excluded_in: Callable[[Path], Collection[str]] = lambda _: (),
) -> Generator[api.Event, None, Corpus]:
    """Read the documents of several folders, reporting progress and what was left out.

    `excluded_in` returns names of files to leave out, relative to a folder.

    Raises BadInput if a folder is missing or cannot be read.
    """
    corpus = Corpus()
    for folder in folders:
        for path in find_texts(folder, name_filter, excluded_in(folder)):
            yield api.Progress(0, 0, f"Reading {path.name}")
            try:
                documents = read_documents(path, corpus.encodings)
            except api.BadInput as error:
                corpus.skipped[path.name] = str(error)
                continue
            if damaged := sum(document.is_damaged for document in documents):
                documents = [document for document in documents if not document.is_damaged]
                subject = "1 text has" if damaged == 1 else f"{damaged:,} texts have"
                yield api.Notice(f"{path.name}: {subject} lost characters (�) and will not be used.", "warning")
            corpus.documents += documents
            group = path.name if len(documents) > 1 else f"{path.parent.name}/*{path.suffix}"
            corpus.counts[group] = corpus.counts.get(group, 0) + len(documents)
    if detected := {name: found for name, found in corpus.encodings.items() if not found.startswith("utf")}:
        yield api.Notice(api.datasets.describe_encodings(detected))
    if corpus.skipped:
        yield api.datasets.describe_skipped(corpus.skipped)
    return corpus


def read_content(path: Path) -> api.data_report.TextContent:
    """Read the texts of a file for the inspection of the data. Raises BadInput as `read_documents` does."""
    encodings: dict[str, str] = {}
    documents = read_documents(path, encodings)
    texts = [document.text for document in documents if not document.is_damaged]
    return api.data_report.TextContent(texts, encodings.get(path.name, ""), len(documents) - len(texts))


def kind_of(name: str) -> str:
    """Return the kind of the texts in a file by its name: one of `KINDS`."""
    return next((kind for kind, words in _KIND_WORDS.items() if any(word in name.lower() for word in words)), "text")


def clean_text(text: str, *, is_verse: bool = False) -> str:
    """Normalise quotes and paragraph breaks, and join the lines of hard-wrapped prose.

    A lost character in "don\ufffdt" is restored to an apostrophe, the only character that fits there.
    """
    text = re.sub(r"[ \t]+\n", "\n", _LOST_APOSTROPHE.sub("'", text.translate(_PLAIN_QUOTES)))
    lines = [line.strip() for line in text.split("\n")]
    if is_verse:
        return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip()
    lines = [line.lstrip("#* ") if line.startswith(("#", "* * *")) else line for line in lines]
    lengths = [len(line) for line in lines if line]
    is_wrapped = bool(lengths) and median(lengths) < HARD_WRAP_WIDTH and "" in lines
    separator = " " if is_wrapped else "\n\n"
    paragraphs = [separator.join(block.split("\n")) for block in re.split(r"\n{2,}", "\n".join(lines).strip())]
    return "\n\n".join(stripped for paragraph in paragraphs if (stripped := paragraph.strip(" -_")))


def _open(path: Path) -> IO[bytes]:
    return lzma.open(path) if path.name.lower().endswith(".xz") else path.open("rb")


def _parse_line(line: str, kind: str, file_name: str) -> Iterator[Document]:
    try:
        value: object = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise api.BadInput(f"{file_name} has a line that is not valid JSON.", "Repair or remove the line.") from error
    if isinstance(value, dict) and isinstance(value.get("text"), str):
        title, text, credit = (_read_text(value.get(name)) for name in ("title", "text", "credit"))
        for document in _build_documents(title, text, str(value.get("kind") or kind)):
            yield replace(document, credit=_join_lines(credit))


def _read_text(value: object) -> str:
    """Return a JSON string without unpaired surrogates, which some programs leave when they cut a text; else ""."""
    return _SURROGATE.sub(REPLACEMENT_CHARACTER, value) if isinstance(value, str) else ""


def _join_lines(credit: str) -> str:
    return "; ".join(part for line in credit.splitlines() if (part := line.strip("*- \t")))


def _build_documents(title: str, text: str, kind: str) -> list[Document]:
    """Return the document, or nothing if the text is empty."""
    kind = kind if kind in KINDS else "text"
    head, line, rest = text[:400].partition("\n-------")
    if line and head.lstrip().startswith("#"):  # a heading with title, author and year stands above the book
        text = rest + text[400:]
    text = clean_text(text, is_verse=kind == "poem")
    title = " ".join(title.translate(_PLAIN_QUOTES).replace("-", " ").split())[:120]
    return [Document(title[:1].upper() + title[1:], text, kind)] if text else []
