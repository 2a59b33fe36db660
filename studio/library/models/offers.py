"""Models that can be chosen: starters, those trained here, in the models folder, and in other folders."""

from __future__ import annotations

import os
import re
from collections import Counter
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from studio.core import paths
from studio.core.paths import Home
from studio.library.creation import MODEL_FILE, find_tile_image
from studio.library.models import external_folders, hub_cache, model_kind

if TYPE_CHECKING:
    from studio.library.library import Library

SUFFIXES = (*model_kind.WEIGHTS, *model_kind.PICKLES)


class Source(Enum):
    STARTER = "starter"
    TRAINED = "trained"
    FOLDER = "folder"
    ELSEWHERE = "elsewhere"


class ModelOffer(Struct, frozen=True, kw_only=True):
    """A model to choose. `name` is what a `ModelChoice` parameter holds; `title` is for the artist."""

    name: str
    title: str
    path: str
    source: Source
    kind: str = ""
    licence: str = ""
    summary: str = ""
    picture: str = ""
    """The path of a small picture of what it makes; empty where it has none."""
    connected: bool = True


class _About(Struct, frozen=True):
    title: str = ""
    kind: str = ""
    licence: str = ""
    summary: str = ""


def offers(home: Home, library: Library | None, kind: str) -> list[ModelOffer]:
    """The models of a kind, or of several (``"autoencoder global-autoencoder"``): starters first, then
    trained ones, the newest first, then the models folder, then other folders as `model_folders` remembers them.

    What does not tell its kind is offered everywhere. Each model is offered once, whatever links lead to it, and
    no two titles are the same.
    """
    wanted = kind.split()
    found = [_offer(folder, Source.STARTER) for folder in _entries(starters()) if (folder / MODEL_FILE).is_file()]
    for creation in library.list_models() if library else []:
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
                picture=str(find_tile_image(path) or ""),
            )
        )
    mine = (path for path in _entries(home.models) if path.is_dir() or path.suffix.lower() in SUFFIXES)
    found += [_offer(path, Source.FOLDER) for path in mine]
    found += _elsewhere(home, {os.path.realpath(offer.path) for offer in found})
    anywhere = (Source.FOLDER, Source.ELSEWHERE)
    return _told_apart(
        [offer for offer in found if offer.kind in wanted or (not offer.kind and offer.source in anywhere)]
    )


def resolve(home: Home, choice: str) -> Path | None:
    """The path that a choice stands for: a starter, also by its short name, a name in the models folder, a creation's
    id, a path, a file's name in another folder, or the hub's name of a model that the studio has fetched.

    None for what is none of them, such as a hub's model that is not in the models folder.
    """
    if not choice or "\0" in choice:
        return None
    choice = full_name(home, choice)
    if _is_name(choice):
        for folder in (starters(), home.models):
            if (folder / choice).exists():
                return folder / choice
    if re.fullmatch("[0-9a-f]{10,64}", choice) and (trained := _trained(home, choice)):
        return trained
    path = Path(choice).expanduser()
    if path.exists():
        return path.absolute()
    if hub_cache.is_name(choice) and (own := hub_cache.own_folder(home, choice)).is_dir():
        return own
    known = (Path(model.path) for folder in external_folders.known(home) for model in folder.models)
    return next((path for path in known if path.name == choice and path.exists()), None)


def full_name(home: Home, choice: str) -> str:
    """The name of the only starter that is meant by a short one: ``style-ink`` for ``ink``. Else the choice itself,
    as also where something in the models folder is called so."""
    if not _is_name(choice) or (starters() / choice).exists() or (home.models / choice).exists():
        return choice
    meant = [path.name for path in _entries(starters()) if path.name.partition("-")[2] == choice.lower()]
    return meant[0] if len(meant) == 1 and is_starter(meant[0]) else choice


def absent(home: Home, choice: str) -> str:
    """The folder that holds a choice and is not connected now; empty where that is not why it is missing."""
    for folder in external_folders.known(home):
        if any(choice in (model.path, Path(model.path).name) and not model.connected for model in folder.models):
            return folder.path
    return ""


def name_of(choice: str, path: Path) -> str:
    """How a recipe names what a choice stands for: never by a path, which means nothing elsewhere."""
    if choice and (Path(choice).name == choice or hub_cache.is_name(choice)):
        return choice
    return (hub_cache.name_of(path) if path.is_dir() else "") or path.name


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
    from studio.library.storage.writer import digest_of

    return len(creation) == 10 or digest_of(path).startswith(creation)


def _elsewhere(home: Home, taken: set[str]) -> list[ModelOffer]:
    found = []
    for folder in external_folders.known(home):
        for model in folder.models:
            if model.real not in taken:
                taken.add(model.real)
                found.append(
                    ModelOffer(
                        name=model.path,
                        title=model.title,
                        path=model.path,
                        source=Source.ELSEWHERE,
                        kind=model.kind,
                        connected=model.connected,
                    )
                )
    return sorted(found, key=lambda offer: offer.title.lower())


def _told_apart(offers: list[ModelOffer]) -> list[ModelOffer]:
    """Those of one title get their file's whole name, or as much of their folders' names as it takes."""
    groups: dict[str, list[str]] = {}
    for offer in offers:
        groups.setdefault(offer.title, []).append(offer.path)
    told = {title: _told(title, paths) for title, paths in groups.items() if len(paths) > 1}
    return [_titled(offer, told) for offer in offers]


def _titled(offer: ModelOffer, told: dict[str, dict[str, str]]) -> ModelOffer:
    title = offer.title
    if title in told and offer.source in (Source.FOLDER, Source.ELSEWHERE):
        title = told[title][offer.path]
    if not offer.connected:
        title = f"{title} (not connected)"
    return offer if title == offer.title else replace(offer, title=title)


def _told(title: str, paths: list[str]) -> dict[str, str]:
    """By path: the title with the shortest end of its folder's path that no other folder has."""
    folders = Counter(Path(path).parent.parts for path in paths)
    depth = max(map(len, folders))
    ends = [Counter(folder[-length:] for folder in folders) for length in range(1, depth + 1)]
    told = {}
    for path in paths:
        parts = Path(path).parent.parts
        own = title if folders[parts] == 1 else Path(path).name
        length = next((at for at, count in enumerate(ends, 1) if count[parts[-at:]] == 1), depth)
        told[path] = own if len(folders) == 1 else f"{own} · {'/'.join(parts[-length:])}"
    return told


def _offer(path: Path, source: Source) -> ModelOffer:
    about = _about(path)
    return ModelOffer(
        name=path.name,
        title=about.title or hub_cache.name_of(path) or (path.stem if path.is_file() else path.name),
        path=str(path),
        source=source,
        kind=about.kind or model_kind.kind_of(path),
        licence=about.licence,
        summary=about.summary,
        picture=str(find_tile_image(path) or ""),
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
