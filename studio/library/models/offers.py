"""The models to choose from: starters, trained models, the models folder, and external folders."""

from __future__ import annotations

import os
import re
from collections import Counter
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct
from msgspec.structs import replace

from studio.core import edited_json, paths
from studio.core.paths import Home
from studio.core.untrusted_files import make_valid, read_or_else
from studio.library.creation import MODEL_FILE, find_tile_image
from studio.library.models import external_folders, hub_cache, local_paths, model_kind, model_packages
from studio.library.storage import model_names

if TYPE_CHECKING:
    from studio.library.library import Library

SUFFIXES = (*model_kind.WEIGHTS, *model_kind.PICKLES)
_TRAINED_NAME = re.compile(r"[\w.-]+-[0-9a-f]{10}")
"""Name of a trained model's folder in the library, which ends with the first digits of its id."""


class ModelSource(Enum):
    STARTER = "starter"
    TRAINED = "trained"
    FOLDER = "folder"
    ELSEWHERE = "elsewhere"


class ModelOffer(Struct, frozen=True, kw_only=True):
    """A model to choose. `name` is the value of a `ModelChoice` parameter; `title` is shown to the artist."""

    name: str
    title: str
    path: str
    source: ModelSource
    kind: str = ""
    licence: str = ""
    summary: str = ""
    picture: str = ""
    """Path of its tile image; empty if it has none."""
    connected: bool = True


class _Description(Struct, frozen=True):
    title: str = ""
    kind: str = ""
    licence: str = ""
    summary: str = ""


def list_offers(home: Home, library: Library | None, kind: str) -> list[ModelOffer]:
    """List the models of a kind, or of several (``"autoencoder global-autoencoder"``).

    Order: starters, trained models (newest first), the models folder, external folders (as cached). Models of unknown
    kind are offered everywhere. Each model is listed once, even if several links lead to it, and no two titles are
    equal.
    """
    kinds = kind.split()
    anywhere = (ModelSource.FOLDER, ModelSource.ELSEWHERE)
    offers = list_all(home, library)
    return _make_titles_unique(
        [offer for offer in offers if offer.kind in kinds or (not offer.kind and offer.source in anywhere)]
    )


def list_all(home: Home, library: Library | None) -> list[ModelOffer]:
    """List the models of all kinds. Without a library, trained ones are missing."""
    offers = [
        _build_offer(folder, ModelSource.STARTER)
        for folder in _list_entries(starters_folder())
        if (folder / MODEL_FILE).is_file()
    ]
    for creation in library.list_models() if library else []:
        path = Path(creation.path)
        about = _read_description(path)
        offers.append(
            ModelOffer(
                name=creation.id,
                title=creation.title,
                path=creation.path,
                source=ModelSource.TRAINED,
                kind=creation.model_kind,
                licence=about.licence,
                summary=about.summary,
                picture=str(find_tile_image(path) or ""),
            )
        )
    packages = model_packages.packages_folder(home)
    own = (path for path in _list_entries(home.models) if path.is_dir() or path.suffix.lower() in SUFFIXES)
    offers += [_build_offer(path, ModelSource.FOLDER) for path in own if path != packages]
    return offers + _list_external(home, {os.path.realpath(offer.path) for offer in offers})


def resolve_model(home: Home, choice: str) -> Path | None:
    """Return the path of a chosen model.

    `choice` is the name or short name of a starter, a name in the models folder, a creation's id, the name of a trained
    model's folder, a path, a file name in an external folder, the hub name of a model that the studio has downloaded,
    the name of a model that was used by its path before, or the name or a former name of a trained model. Return None
    for anything else, such as a hub model that is not downloaded.
    """
    if not choice or "\0" in choice:
        return None
    if path := _find_known(home, choice):
        return path
    return next(iter(read_or_else([], model_names.find, home, choice)), None)


def is_known(home: Home, choice: str) -> bool:
    """Check whether a choice resolves to a model by anything else than the name of a trained model."""
    return "\0" not in choice and _find_known(home, choice) is not None


def _find_known(home: Home, choice: str) -> Path | None:
    return read_or_else(None, _resolve_name, home, expand_name(home, choice))  # such as a name that is too long


def _resolve_name(home: Home, choice: str) -> Path | None:
    if _is_name(choice):
        for folder in (starters_folder(), home.models):
            if (folder / choice).exists():
                return folder / choice
    if trained := _find_trained(home, choice):
        return trained
    path = Path(choice).expanduser()
    if path.exists():
        return path.absolute()
    return _find_elsewhere(home, choice)


def is_trusted(home: Home, choice: str) -> bool:
    """Check whether a recipe that somebody else wrote may use a model without asking.

    That is a model in one of the studio's folders or in the external folders, or one that was used before. Raises
    OSError, ValueError or RuntimeError for what is no path.
    """
    choice = expand_name(home, choice)
    if _is_name(choice) and any((folder / choice).exists() for folder in (starters_folder(), home.models)):
        return True
    if _find_trained(home, choice) or _find_elsewhere(home, choice) or model_names.find(home, choice):
        return True
    if hub_cache.is_hub_name(choice) and not Path(choice).exists():
        return hub_cache.find_downloaded(home, choice) is not None
    path = Path(os.path.normpath(Path(choice).expanduser()))
    folders = [starters_folder(), home.models, home.library, *(Path(one.path) for one in external_folders.load(home))]
    return any(folder in path.parents for folder in folders) or local_paths.has(home, path)


def _find_elsewhere(home: Home, choice: str) -> Path | None:
    """Find a model that was downloaded, or by its file name one in an external folder or one that was used before."""
    if hub_cache.is_hub_name(choice) and (own := hub_cache.studio_folder(home, choice)).is_dir():
        return own
    external = (Path(model.path) for folder in external_folders.load(home) for model in folder.models)
    found = next((path for path in external if path.name == choice and path.exists()), None)
    return found or local_paths.find(home, choice)


def expand_name(home: Home, choice: str) -> str:
    """Return the name of the starter with this short name: ``style-ink`` for ``ink``.

    Return `choice` itself if no or several starters match, or if the models folder has an entry of this name.
    """
    if not _is_name(choice) or (starters_folder() / choice).exists() or (home.models / choice).exists():
        return choice
    matches = [path.name for path in _list_entries(starters_folder()) if path.name.partition("-")[2] == choice.lower()]
    return matches[0] if len(matches) == 1 and is_starter(matches[0]) else choice


def find_named(library: Library, name: str, kind: str = "") -> list[ModelOffer]:
    """Return the models that are shown under this name, of any case, and otherwise the trained one that had it before.

    Those of one of the kinds come alone, where there are any.
    """
    wanted = " ".join(name.split()).casefold()
    found = [offer for offer in list_all(library.home, library) if offer.title.casefold() == wanted]
    if not found:
        former = read_or_else([], model_names.find, library.home, name)
        found = [offer for offer in list_all(library.home, library) if Path(offer.path) in former]
    return [offer for offer in found if offer.kind in kind.split()] or found


def list_names(home: Home) -> list[str]:
    """Return the names by which models are chosen, and the titles under which they are shown."""
    trained = map(model_names.read_name, model_names.list_trained(home))
    offers = list_all(home, None)
    return list(dict.fromkeys([*trained, *(offer.title for offer in offers), *(offer.name for offer in offers)]))


def find_disconnected_folder(home: Home, choice: str) -> str:
    """Return the disconnected external folder that contains a choice; empty if there is none."""
    for folder in external_folders.load(home):
        if any(choice in (model.path, Path(model.path).name) and not model.connected for model in folder.models):
            return folder.path
    return ""


def name_of(choice: str, path: Path) -> str:
    """Return the name of a chosen model for a recipe. It is never a path, which means nothing on other machines."""
    if choice and (Path(choice).name == choice or hub_cache.is_hub_name(choice)):
        return choice
    return (hub_cache.name_of(path) if path.is_dir() else "") or path.name


def starters_folder() -> Path:
    return paths.resources_folder() / "starters"


def is_starter(name: str) -> bool:
    return _is_name(name) and (starters_folder() / name / MODEL_FILE).is_file()


def _find_trained(home: Home, creation: str) -> Path | None:
    """Find a trained model by the id in its folder's name or that whole name, since workers do not read the index."""
    if _TRAINED_NAME.fullmatch(creation):
        creation = creation[-10:]
    elif not re.fullmatch("[0-9a-f]{10,64}", creation):
        return None
    for root in (home.library, home.trash):
        for path in root.glob(f"*/*/*/*-{creation[:10]}"):
            if (path / MODEL_FILE).is_file() and _has_id(path, creation):
                return path
    return None


def _has_id(path: Path, creation: str) -> bool:
    from studio.library.storage.writer import digest_of

    return len(creation) == 10 or digest_of(path).startswith(creation)


def _list_external(home: Home, known_paths: set[str]) -> list[ModelOffer]:
    offers = []
    for folder in external_folders.load(home):
        for model in folder.models:
            if model.real not in known_paths:
                known_paths.add(model.real)
                offers.append(
                    ModelOffer(
                        name=model.path,
                        title=model.title,
                        path=model.path,
                        source=ModelSource.ELSEWHERE,
                        kind=model.kind,
                        connected=model.connected,
                    )
                )
    return sorted(offers, key=lambda offer: offer.title.lower())


def _make_titles_unique(offers: list[ModelOffer]) -> list[ModelOffer]:
    """Add file names or as many folder names as needed to titles that occur twice."""
    groups: dict[str, list[str]] = {}
    for offer in offers:
        groups.setdefault(offer.title, []).append(offer.path)
    unique_titles = {title: _disambiguate(title, paths) for title, paths in groups.items() if len(paths) > 1}
    return [_with_unique_title(offer, unique_titles) for offer in offers]


def _with_unique_title(offer: ModelOffer, unique_titles: dict[str, dict[str, str]]) -> ModelOffer:
    title = offer.title
    if title in unique_titles and offer.source in (ModelSource.FOLDER, ModelSource.ELSEWHERE):
        title = unique_titles[title][offer.path]
    if not offer.connected:
        title = f"{title} (not connected)"
    return offer if title == offer.title else replace(offer, title=title)


def _disambiguate(title: str, paths: list[str]) -> dict[str, str]:
    """Return titles by path, each with the shortest end of the folder's path that no other folder has."""
    folders = Counter(Path(path).parent.parts for path in paths)
    depth = max(map(len, folders))
    ends = [Counter(folder[-length:] for folder in folders) for length in range(1, depth + 1)]
    titles = {}
    for path in paths:
        parts = Path(path).parent.parts
        own = title if folders[parts] == 1 else Path(path).name
        length = next((at for at, count in enumerate(ends, 1) if count[parts[-at:]] == 1), depth)
        titles[path] = own if len(folders) == 1 else f"{own} · {'/'.join(parts[-length:])}"
    return titles


def _build_offer(path: Path, source: ModelSource) -> ModelOffer:
    about = _read_description(path)
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


def _read_description(path: Path) -> _Description:
    return edited_json.load_struct(_Description, path / MODEL_FILE)


def _list_entries(folder: Path) -> list[Path]:
    try:
        return sorted(path for path in folder.iterdir() if _is_shown(path.name))
    except OSError:
        return []


def _is_shown(name: str) -> bool:
    return not name.startswith((".", "_")) and make_valid(name) == name


def _is_name(choice: str) -> bool:
    return not set(choice) & set('/\\:*?"<>|') and choice not in (".", "..")
