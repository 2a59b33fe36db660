"""The names of models. Those of trained ones are unique, and change without changing the model's files.

A trained model's first name is the title in its `studio.json`. A later one is in the sidecar, with the names before it,
so that the id, which is the digest of the model's files, stays the same.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from studio.core import edited_json, paths
from studio.core.errors import BadInput
from studio.core.paths import Home
from studio.core.untrusted_files import make_printable
from studio.library.creation import MODEL_FILE
from studio.library.storage import sidecar

MAX_NAME = 120
"""Maximum number of characters of a name that is typed."""
MAX_FORMER = 20
"""Number of former names that are kept."""
_UNNAMED = "My model"


def read_name(model: Path) -> str:
    """Return the name of a model: of a file its stem, of a folder its present name, title or folder's name."""
    if model.is_file():
        return model.stem
    title = edited_json.read(model / MODEL_FILE).members.get("title")
    return sidecar.read(model).title or (title if isinstance(title, str) else "") or model.name


def clean_name(name: str) -> str:
    """Return a name that was typed, on one line and printable. Raises BadInput if it is empty or too long."""
    cleaned = make_printable(" ".join(name.split()))
    if not cleaned:
        raise BadInput("A model needs a name.", "Type one.")
    if len(cleaned) > MAX_NAME:
        raise BadInput(f"The name has {len(cleaned)} characters; the maximum is {MAX_NAME}.")
    return cleaned


def choose_free_name(home: Home, name: str) -> str:
    """Return the name, or with the first number from 2 on that makes it differ from those of all other models."""
    name = make_printable(" ".join(name.split())) or _UNNAMED
    taken = {read_name(model).casefold() for model in list_models(home)}
    number, free = 2, name
    while free.casefold() in taken:
        free = f"{name} {number}"
        number += 1
    return free


def rename(home: Home, model: Path, name: str) -> None:
    """Give a trained model another name. The names before lead to it, too (see `find`).

    Raises BadInput for a name that cannot be used or that another model has, and CannotWrite.
    """
    name, before = clean_name(name), read_name(model)
    if name == before:
        return
    if any(read_name(other).casefold() == name.casefold() for other in list_models(home) if other != model):
        raise BadInput(f"There is already a model {name}.", "Choose another name.")
    former = [one for one in sidecar.read(model).former_titles if one not in (name, before)]
    sidecar.update(model, title=name, former_titles=[*former, before][-MAX_FORMER:])


def find(home: Home, name: str) -> list[Path]:
    """Return the trained models of this name, of any case; if there is none, the last one that had it before."""
    wanted = " ".join(name.split()).casefold()
    models = list(list_trained(home))
    if found := [model for model in models if read_name(model).casefold() == wanted]:
        return found
    former = (model for model in models if wanted in map(str.casefold, sidecar.read(model).former_titles))
    return [model for model in [next(former, None)] if model]


def list_trained(home: Home) -> Iterator[Path]:
    """Yield the folders of all trained models, those in the trash last, each newest first."""
    for root in (home.library, home.trash):
        for path in sorted(root.glob(f"*/*/*/*-{'[0-9a-f]' * 10}"), reverse=True):
            if (path / MODEL_FILE).is_file():
                yield path


def list_models(home: Home) -> Iterator[Path]:
    """Yield trained models, starters, and what is in the models folder."""
    yield from list_trained(home)
    for folder in (paths.resources_folder() / "starters", home.models):
        if folder.is_dir():
            yield from (path for path in sorted(folder.iterdir()) if not path.name.startswith((".", "_")))
