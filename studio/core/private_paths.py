"""Paths of this machine in recipes: told from other texts, and replaced by names in what may be shared."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from studio.core.recipe import ModelRef, Recipe

MAX_PATH = 4096
FOLDER_REFERENCE = "folder:"
"""Prefix of folders in recipes; a hash of the folder's contents, a slash and the folder's name follow."""
_MAX_LISTED = 100_000
_HIDDEN = "…"
"""What stands for the folder around a known path."""
_START = re.compile(r"file:/|~[\w.-]*(?:[/\\]|$)|[A-Za-z]:[/\\]|[/\\]")
_SEPARATORS = re.compile(r"[/\\]+")
_USER_FOLDER = re.compile(r"(?:/home/|/Users/|[A-Za-z]:[/\\]{1,2}Users[/\\]{1,2})[^/\\\s\"'<>|:*?]+")
"""The folder of a user on Linux, macOS and Windows, anywhere in a text."""


def is_path(text: str) -> bool:
    """Check whether a text as a whole is an absolute path of any system, or one in a home folder.

    A slash before a single name is none: prompts begin so.
    """
    start = _START.match(text) if len(text) <= MAX_PATH and not set(text) & set("<>\n") else None
    if start is None:
        return False
    parts = [part for part in _SEPARATORS.split(text[start.end() :]) if part]
    if any(part != part.strip() for part in parts):  # words with slashes between them
        return False
    return len(parts) > 1 or start[0] not in ("/", "\\")


def name_of_path(text: str) -> str:
    """Return the last part of a path of any system."""
    return _SEPARATORS.split(text.rstrip("/\\"))[-1].removeprefix("~")


def hash_folder(folder: Path) -> str:
    """Return a hash of the names and sizes of the files in a folder, by which it is told from others of its name."""
    digest = hashlib.sha256()
    files = 0
    for root, folders, names in os.walk(folder):
        folders.sort()
        for name in sorted(names):
            path = Path(root, name)
            size = path.lstat().st_size if path.is_symlink() or path.exists() else 0
            digest.update(f"{size} {path.relative_to(folder)}\n".encode("utf-8", "surrogateescape"))
            files += 1
        if files > _MAX_LISTED:
            break
    return digest.hexdigest()[:16]


def refer_to_folder(path: Path) -> str:
    """Return the reference to a folder by its hash and name."""
    return f"{FOLDER_REFERENCE}{hash_folder(path)}/{path.name}"


def find_paths(recipe: Recipe) -> set[str]:
    """Return the paths among the parameters and notes of a recipe."""
    return {text for text in _iterate_texts((recipe.params, recipe.notes)) if is_path(text)}


def clean_recipe(recipe: Recipe, folders: Iterable[str] = ()) -> Recipe:
    """Return a recipe without paths: each is replaced by its last part, also inside of notes.

    `folders` are more paths that no note may have. Prompts and other texts stay as they were typed.
    """
    known = _order_by_length({*find_paths(recipe), *folders})
    return replace(
        recipe,
        params=_clean_value(recipe.params, ()),
        inputs=_clean_value(recipe.inputs, ()),
        models=[ModelRef(_clean_text(m.name, ()), m.sha256, _clean_text(m.licence, known)) for m in recipe.models],
        versions=_clean_value(recipe.versions, known),
        notes=_clean_value(recipe.notes, known),
    )


def clean_text(text: str, folders: Iterable[str]) -> str:
    """Return a text, such as a model card, without the paths of these folders, and of what is in them."""
    return _replace_folders(text, _order_by_length(folders))


def _clean_value(value: Any, folders: Sequence[str]) -> Any:
    match value:
        case str():
            return _clean_text(value, folders)
        case Mapping():
            return {_clean_text(str(key), folders): _clean_value(item, folders) for key, item in value.items()}
        case list() | tuple():
            return [_clean_value(item, folders) for item in value]
        case _:
            return value


def _clean_text(text: str, folders: Sequence[str]) -> str:
    if is_path(text):
        return name_of_path(text)
    return _replace_folders(text, folders) if folders else text


def _replace_folders(text: str, folders: Sequence[str]) -> str:
    for folder in folders:
        if folder in text:
            text = text.replace(f"{folder}/", "").replace(f"{folder}\\", "").replace(folder, name_of_path(folder))
    for parent in {str(Path(folder).parent) for folder in folders}:
        if parent in text and is_path(parent):
            text = text.replace(f"{parent}/", "").replace(parent, _HIDDEN)
    return _USER_FOLDER.sub("~", text)


def _order_by_length(folders: Iterable[str]) -> list[str]:
    """Return the folders and the user's home folder, a folder after those in it."""
    every = {folder.rstrip("/\\") for folder in (*folders, str(Path.home()))}
    return sorted((folder for folder in every if is_path(folder)), key=len, reverse=True)


def _iterate_texts(value: Any) -> Iterable[str]:
    """Yield all texts in nested containers."""
    stack = [value]
    while stack:
        match stack.pop():
            case str() as text:
                yield text
            case Mapping() as mapping:
                stack += [*mapping.keys(), *mapping.values()]
            case list() | tuple() as items:
                stack += items
