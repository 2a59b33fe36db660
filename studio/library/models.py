"""Models that can be chosen: starters, those trained here, and those in the models folder."""

from __future__ import annotations

import re
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
from msgspec import Struct

from studio.core import paths
from studio.core.paths import Home
from studio.library.creation import MODEL_FILE

if TYPE_CHECKING:
    from studio.library.library import Library

SUFFIXES = (".safetensors", ".ckpt", ".pt", ".pth", ".bin", ".onnx", ".pkl", ".gguf", ".dfm")


class Source(Enum):
    STARTER = "starter"
    TRAINED = "trained"
    FOLDER = "folder"


class ModelOffer(Struct, frozen=True, kw_only=True):
    """A model to choose. `name` is what a `ModelChoice` parameter holds; `title` is for the artist."""

    name: str
    title: str
    path: str
    source: Source
    kind: str = ""
    licence: str = ""
    summary: str = ""


class _About(Struct, frozen=True):
    title: str = ""
    kind: str = ""
    licence: str = ""
    summary: str = ""


def offers(home: Home, library: Library | None, kind: str) -> list[ModelOffer]:
    """The models of a kind, or of several (``"autoencoder global-autoencoder"``): starters first, then
    trained ones, the newest first, then the models folder.

    What lies in the models folder and does not say its kind is offered everywhere.
    """
    kinds = kind.split()
    found = [_offer(folder, Source.STARTER) for folder in _entries(starters()) if (folder / MODEL_FILE).is_file()]
    for creation in library.models() if library else []:
        path = Path(creation.path)
        about = _about(path)
        found.append(
            ModelOffer(
                name=creation.id,
                title=creation.title,
                path=creation.path,
                source=Source.TRAINED,
                kind=creation.model_kind,
                licence=about.licence,
                summary=about.summary,
            )
        )
    mine = (path for path in _entries(home.models) if path.is_dir() or path.suffix.lower() in SUFFIXES)
    found += [_offer(path, Source.FOLDER) for path in mine]
    return [offer for offer in found if offer.kind in kinds or (not offer.kind and offer.source is Source.FOLDER)]


def resolve(home: Home, choice: str) -> Path | None:
    """The path that a choice stands for: a starter, a name in the models folder, a creation's id, or a path.

    None for what is none of them, such as a model's name on the hub.
    """
    if not choice or "\0" in choice:
        return None
    if _is_name(choice):
        for folder in (starters(), home.models):
            if (folder / choice).exists():
                return folder / choice
    if re.fullmatch("[0-9a-f]{10,64}", choice) and (trained := _trained(home, choice)):
        return trained
    path = Path(choice).expanduser()
    return path.absolute() if path.exists() else None


def starters() -> Path:
    return paths.resources() / "starters"


def is_starter(name: str) -> bool:
    return _is_name(name) and (starters() / name / MODEL_FILE).is_file()


def _trained(home: Home, creation: str) -> Path | None:
    """Found by its name, which ends in the id: a worker reads no index."""
    for root in (home.library, home.trash):
        for path in root.glob(f"*/*/*/*-{creation[:10]}"):
            if (path / MODEL_FILE).is_file() and _is(path, creation):
                return path
    return None


def _is(path: Path, creation: str) -> bool:
    from studio.library.writer import sha_of

    return len(creation) == 10 or sha_of(path).startswith(creation)


def _offer(path: Path, source: Source) -> ModelOffer:
    about = _about(path)
    return ModelOffer(
        name=path.name,
        title=about.title or path.stem,
        path=str(path),
        source=source,
        kind=about.kind,
        licence=about.licence,
        summary=about.summary,
    )


def _about(path: Path) -> _About:
    try:
        return msgspec.json.decode((path / MODEL_FILE).read_bytes(), type=_About)
    except (OSError, msgspec.MsgspecError, UnicodeError):
        return _About()


def _entries(folder: Path) -> list[Path]:
    try:
        return sorted(path for path in folder.iterdir() if not path.name.startswith((".", "_")))
    except OSError:
        return []


def _is_name(choice: str) -> bool:
    return not set(choice) & set('/\\:*?"<>|') and choice not in (".", "..")
