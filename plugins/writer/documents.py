"""Texts from folders: plain files, Markdown, and lines of JSON, each with its title and its kind."""

from __future__ import annotations

import hashlib
import json
import lzma
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import IO, Any

from studio import api

KINDS = ("story", "tale", "poem", "book", "text")
"""What a small model can be asked for, each by a token of its own."""
SUFFIXES = (".txt", ".md", ".jsonl", ".jsonl.xz")
_TOLD_BY = {"story": ("stories", "story"), "tale": ("tale",), "poem": ("poem", "poetry"), "book": ("novel", "book")}
LONGEST_FILE = 256 * 2**20
"""Bytes, unpacked, beyond which a file is left out: what is packed may be far larger than it looks."""
HELD_OUT_SHARE = 0.02
WRAPPED = 70
"""Characters: prose whose lines are shorter than this was broken to fit a page, and is joined again."""
LOST = "\ufffd"
"""Stands where a letter was lost by a wrong encoding."""
_HALF = re.compile("[\ud800-\udfff]")
_LOST_APOSTROPHE = re.compile(rf"(?<=[A-Za-z]){LOST}(?=(?:s|t|d|m|ll|re|ve)\b)")
_STRAIGHT = str.maketrans({"“": '"', "”": '"', "„": '"', "‘": "'", "’": "'", "\u00a0": " ", "\r": None, "\ufeff": None})


@dataclass(frozen=True)
class Document:
    """One text, without typographic quotes; an empty line stands between paragraphs."""

    title: str
    text: str
    kind: str = "text"
    credit: str = ""

    def is_held_out(self, share: float = HELD_OUT_SHARE) -> bool:
        """Whether it is of the `share` that is kept for measuring: told from its words alone."""
        digest = hashlib.sha256(f"{self.title}\n{self.text[:200]}".encode()).digest()
        return int.from_bytes(digest[:4]) < share * 2**32

    @property
    def is_damaged(self) -> bool:
        """Whether letters were lost that nothing tells."""
        return LOST in self.text


def find(folder: Path, only: Sequence[str] = ()) -> list[Path]:
    """Every text in a folder and those inside, in order; with `only`, those whose name has one of these words.

    Raises BadInput when the folder is missing or may not be read.
    """
    if not folder.is_dir():
        raise api.BadInput(f"There is no folder {folder}.", "Check the path.")
    words = [word.casefold() for word in only if word.strip()]
    try:
        files = sorted(path for path in folder.rglob("*") if path.name.lower().endswith(SUFFIXES) and path.is_file())
    except OSError as error:
        raise api.BadInput(f"The folder {folder} may not be read.", "Change its permissions.") from error
    found = [path for path in files if not path.name.startswith(".")]
    return [path for path in found if not words or any(word in path.name.casefold() for word in words)]


def read(path: Path) -> list[Document]:
    """What is in a file. Raises BadInput when it is damaged, too large, or no text."""
    kind = kind_of(path.name)
    try:
        with _opened(path) as file:
            whole = file.read(LONGEST_FILE + 1)
        if len(whole) > LONGEST_FILE:
            raise api.BadInput(f"{path.name} is larger than {LONGEST_FILE >> 20} MB.", "Cut it into parts.")
        text = whole.decode("utf-8-sig")
    except (OSError, EOFError, lzma.LZMAError, UnicodeDecodeError) as error:
        raise api.BadInput(f"{path.name} cannot be read as a text.", "Save it as UTF-8.") from error
    if not path.name.lower().endswith((".jsonl", ".jsonl.xz")):
        return _some(path.stem.replace("-", " ").replace("_", " "), text, kind)
    lines = text.split("\n")  # and not at the other breaks that JSON may hold
    return [document for line in lines if line.strip() for document in _from_line(line, kind, path.name)]


def kind_of(name: str) -> str:
    """What the texts in a file are, told by its name: one of `KINDS`."""
    return next((kind for kind, words in _TOLD_BY.items() if any(word in name.lower() for word in words)), "text")


def cleaned(text: str, *, verse: bool = False) -> str:
    """Straight quotes, one empty line between paragraphs, and prose without the line breaks of a page. A lost sign in
    "don\ufffdt" can only have been an apostrophe."""
    text = re.sub(r"[ \t]+\n", "\n", _LOST_APOSTROPHE.sub("'", text.translate(_STRAIGHT)))
    lines = [line.strip() for line in text.split("\n")]
    if verse:
        return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip()
    lines = [line.lstrip("#* ") if line.startswith(("#", "* * *")) else line for line in lines]
    full = [len(line) for line in lines if line]
    between = " " if full and median(full) < WRAPPED and "" in lines else "\n\n"
    paragraphs = re.split(r"\n{2,}", "\n".join(lines).strip())
    return "\n\n".join(joined for part in paragraphs if (joined := between.join(part.split("\n")).strip(" -_")))


def _opened(path: Path) -> IO[bytes]:
    return lzma.open(path) if path.name.lower().endswith(".xz") else path.open("rb")


def _from_line(line: str, kind: str, name: str) -> Iterator[Document]:
    try:
        value: Any = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise api.BadInput(f"{name} has a line that is no JSON.", "Repair it, or leave it out.") from error
    if isinstance(value, dict) and isinstance(value.get("text"), str):
        title, text, credit = (_whole(value.get(name)) for name in ("title", "text", "credit"))
        for one in _some(title, text, str(value.get("kind") or kind)):
            yield replace(one, credit=_in_line(credit))


def _whole(text: Any) -> str:
    """What JSON holds, without halves of letters, as programs leave them that cut texts; empty for no text."""
    return _HALF.sub(LOST, text) if isinstance(text, str) else ""


def _in_line(credit: str) -> str:
    return "; ".join(part for line in credit.splitlines() if (part := line.strip("*- \t")))


def _some(title: str, text: str, kind: str) -> list[Document]:
    kind = kind if kind in KINDS else "text"
    head, line, rest = text[:400].partition("\n-------")
    if line and head.lstrip().startswith("#"):  # A heading of title, author and year stands above the book.
        text = rest + text[400:]
    text = cleaned(text, verse=kind == "poem")
    title = " ".join(title.translate(_STRAIGHT).replace("-", " ").split())[:120]
    return [Document(title[:1].upper() + title[1:], text, kind)] if text else []
