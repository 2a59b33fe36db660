"""Imports models that were exported here or elsewhere, from a folder or a ZIP archive."""

from __future__ import annotations

import os
import re
import secrets
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from studio.core import edited_json, files
from studio.core.errors import BadInput
from studio.core.model_files.weights_digest import digest_weights
from studio.core.paths import Home
from studio.core.recipe import utc_now
from studio.core.untrusted_files import name_for_display, read_or_else
from studio.library.creation import MODEL_FILE, Creation, CreationKind
from studio.library.models import local_paths
from studio.library.storage import model_archive, model_names, recipe_embedding, sidecar, writer

if TYPE_CHECKING:
    from studio.library.library import Library

_DIGEST = re.compile(r"[0-9a-f]{64}")
_KIND = re.compile(r"[a-z][a-z0-9-]{0,40}")


def import_file(library: Library, path: Path) -> Creation:
    """Import a file, or the model in a folder or a ZIP archive. Raises BadInput for what cannot be imported."""
    is_model = path.is_dir() or path.suffix.lower() == model_archive.SUFFIX
    return import_model(library, path) if is_model else library.import_file(path)


def import_model(library: Library, path: Path) -> Creation:
    """Copy a model into the library with its title, kind, card and training record.

    A model that is there already is returned, out of the trash if it lies there. A name that another model has gets a
    number. Raises BadInput for anything that is no model, and CannotWrite.
    """
    path = path.expanduser().absolute()
    home = library.home
    part = writer.get_day_folder(home) / f"{files.PART}{os.getpid()}-{secrets.token_hex(6)}"
    try:
        part.mkdir(parents=True)
    except OSError as error:
        raise files.describe_write_error(part, error) from error
    try:
        (model_archive.copy if path.is_dir() else model_archive.unpack)(path, part)
        _check_model_file(part, name_for_display(path))
        digest = writer.digest_of(part)
        if known := _find_known(library, part, digest):
            library.restore([known.id] if known.trashed else [])
            return library.get(known.id) or known
        return library.add(_move_into_library(home, part, digest, path.stem), digest=digest)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _find_known(library: Library, part: Path, digest: str) -> Creation | None:
    """Return the model in the library that was exported, perhaps under another name, if it has the same weights."""
    former = edited_json.read(part / MODEL_FILE).members.get("exported_from")
    for id in (digest, former):
        known = library.get(id) if isinstance(id, str) and _DIGEST.fullmatch(id) else None
        if known is None or known.kind is not CreationKind.MODEL or not Path(known.path).is_dir():
            continue
        if id == digest or digest_weights(Path(known.path)) == digest_weights(part):
            return known
    return None


def _check_model_file(folder: Path, name: str) -> None:
    about = edited_json.read(folder / MODEL_FILE).members
    kind, title = about.get("kind"), about.get("title")
    if not isinstance(kind, str) or not _KIND.fullmatch(kind):
        raise BadInput(f"{name} does not say which kind of model it is.", "Export it again.")
    if not isinstance(title, str) or not title.strip() or len(title) > 300:
        raise BadInput(f"{name} does not say what the model is called.", "Export it again.")


def _move_into_library(home: Home, part: Path, digest: str, original: str) -> Path:
    """Move a folder to its place, with its name and time of import beside it, and note the id that it had elsewhere."""
    recipe = read_or_else(None, recipe_embedding.read_recipe, part)
    about = edited_json.read(part / MODEL_FILE).members
    if recipe:
        name = writer.build_file_name(recipe, "", digest, "")
    else:
        name = f"{writer.sanitize_name(str(about['title']))[:60].strip()}-{digest[:10]}"
    target = part.with_name(name)
    title = model_names.choose_free_name(home, str(about["title"]))
    values = {} if title == model_names.read_name(part) else {"title": title}
    sidecar.update(target, imported=original, created=utc_now(), **values)
    try:
        part.rename(target)
        files.sync_folder(target.parent)
    except OSError as error:
        raise files.describe_write_error(target, error) from error
    former = about.get("exported_from")
    if isinstance(former, str) and _DIGEST.fullmatch(former):
        local_paths.remember(home, former, target, digest_weights(target))
    return target
