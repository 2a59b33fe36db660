"""Removes paths of this machine from the files of a trained model: cards, configurations, and headers of weights."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable
from pathlib import Path

from studio.core import private_paths
from studio.core.files import write_bytes_atomically
from studio.core.model_files.safetensors_header import MAX_HEADER
from studio.core.untrusted_files import open_file, read_file, read_or_else

CARD = "README.md"
"""File name of the model card."""
_TEXTS = (".json", ".jsonl", ".md", ".txt", ".yaml", ".yml")
_WEIGHTS = ".safetensors"
_NAME_OR_PATH = re.compile(r'(name_or_path"\s*:\s*)("(?:[^"\\\n]|\\.)*")')
"""Where diffusers, transformers and peft write which model another one was made from."""


def remove_paths(folder: Path, paths: Iterable[str]) -> None:
    """Replace each of these paths by its last part in all files of a model's folder that may hold texts.

    Raises OSError for a file that cannot be read, and CannotWrite for one that cannot be written.
    """
    known = [*paths]

    def clean(text: str) -> str:
        escaped = (json.dumps(path)[1:-1] for path in known)
        return _NAME_OR_PATH.sub(_clean_name, private_paths.clean_text(text, [*known, *escaped]))

    for file in sorted(file for file in folder.rglob("*") if file.is_file()):
        if file.suffix.lower() in _TEXTS:
            _clean_file(file, clean)
        elif file.suffix.lower() == _WEIGHTS:
            _clean_header(file, clean)


def replace_card_title(folder: Path, before: str, title: str) -> None:
    """Replace the title of the model card, if it is the heading of its first line. Raises CannotWrite."""
    text = read_or_else(b"", read_file, folder / CARD).decode("utf-8", "replace")
    heading, newline, rest = text.partition("\n")
    if title != before and heading.rstrip() == f"# {' '.join(before.split())}":
        write_bytes_atomically(folder / CARD, f"# {title}{newline}{rest}".encode())


def _clean_name(match: re.Match[str]) -> str:
    try:
        value = json.loads(match[2])
    except ValueError:
        return match[0]
    return match[1] + json.dumps(private_paths.name_of_path(value)) if private_paths.is_path(value) else match[0]


def _clean_file(file: Path, clean: Callable[[str], str]) -> None:
    try:
        text = read_file(file).decode()
    except UnicodeDecodeError:
        return
    if (cleaned := clean(text)) != text:
        write_bytes_atomically(file, cleaned.encode())


def _clean_header(file: Path, clean: Callable[[str], str]) -> None:
    """Clean the JSON header in place; it is filled up with spaces, so that the weights stay where they are."""
    with open_file(file) as opened:
        length = int.from_bytes(opened.read(8), "little")
        header = opened.read(length) if length <= MAX_HEADER else b""
    try:
        cleaned = clean(header.decode()).encode().ljust(len(header))
    except UnicodeDecodeError:
        return
    if len(cleaned) == len(header) and cleaned != header:
        with file.open("rb+") as opened:
            opened.seek(8)
            opened.write(cleaned)
