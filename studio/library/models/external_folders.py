"""Model folders of other programs: read in place, cached in the home, and never written to."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from pathlib import Path

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from studio.core import edited_json
from studio.core.files import write_bytes_atomically
from studio.core.paths import Home
from studio.core.untrusted_files import make_valid, read_file, read_or_else
from studio.library.models import folder_layouts, model_kind
from studio.library.models.folder_layouts import TypedFolder

FILE = "model-folders.json"
MAX_DEPTH = 10
MAX_MODELS = 50_000
MAX_FOLDERS = 20_000
"""Number of folders in which one folder of models is searched."""
_log = logging.getLogger(__name__)


class ExternalModel(Struct, frozen=True, array_like=True):
    """A model in an external folder. `real` is its path with all links resolved."""

    path: str
    title: str
    kind: str
    real: str
    connected: bool = True


class ExternalFolder(Struct, frozen=True, kw_only=True):
    """The last state of a folder that the artist added. `stamps` are modification times of all scanned folders."""

    path: str
    program: str = ""
    connected: bool = False
    stamps: dict[str, int] = {}
    models: list[ExternalModel] = []

    @property
    def summary(self) -> str:
        """Text such as "ComfyUI · 204 models"."""
        if not self.connected:
            return "Not connected"
        count = len(self.models)
        models = f"{count or 'no'} model{'' if count == 1 else 's'}"
        return f"{self.program} · {models}" if self.program else models


def load(home: Home) -> list[ExternalFolder]:
    """Load the cached state without reading the folders."""
    file = home.root / FILE
    try:
        return _decode_file(file, file.stat().st_mtime_ns)
    except OSError:
        return []


def refresh(home: Home, folders: Sequence[str], is_cancelled: Callable[[], bool] = lambda: False) -> bool:
    """Scan the folders and cache their models. Return True if anything changed.

    The first scan reads file headers and is slow; later ones compare modification times. A missing folder, as on a
    drive that is not connected, keeps its models. Raises CannotWrite if the cache cannot be written.
    """
    before = {folder.path: folder for folder in load(home)}
    paths = list(dict.fromkeys(os.path.normpath(Path(folder).expanduser()) for folder in folders if folder.strip()))
    after = [_check_folder(Path(path), before.get(path, ExternalFolder(path=path)), is_cancelled) for path in paths]
    if is_cancelled() or after == list(before.values()):
        return False
    write_bytes_atomically(home.root / FILE, msgspec.json.encode(after))
    return True


@lru_cache(maxsize=2)
def _decode_file(file: Path, _changed: int) -> list[ExternalFolder]:
    stored = read_or_else(None, lambda: edited_json.loads(read_file(file)))
    return edited_json.convert_items(stored, list[ExternalFolder]) or []


def _check_folder(root: Path, before: ExternalFolder, is_cancelled: Callable[[], bool]) -> ExternalFolder:
    try:
        exists = any(root.iterdir())  # the mount point of a missing drive may be an empty folder
    except OSError:
        exists = False
    if not exists:
        away = [replace(model, connected=False) for model in before.models]
        return replace(before, connected=False, stamps={}, models=away)
    if (
        before.connected
        and before.stamps
        and all(_modification_time(path) == time for path, time in before.stamps.items())
    ):
        return before
    return read_or_else(before, _scan_folder, root, before, is_cancelled)


def _scan_folder(root: Path, before: ExternalFolder, is_cancelled: Callable[[], bool]) -> ExternalFolder:
    layout = folder_layouts.detect_layout(root)
    stamps = {str(path): _modification_time(str(path)) for path in (root, root / "models", *layout.watched)}
    models: dict[str, ExternalModel] = {}
    for listed in layout.listed:
        if read_or_else(False, listed.path.exists):
            _add_model(models, listed.path, listed.title, listed.kind or model_kind.kind_of(listed.path))
    for typed_folder in layout.folders:
        for path in _walk_folder(typed_folder, set(models), stamps, is_cancelled):
            if len(models) < MAX_MODELS:
                _add_model(
                    models, path, path.stem if path.is_file() else path.name, _kind_in_folder(path, typed_folder)
                )
    away = [typed.folder for typed in layout.folders if not typed.folder.is_relative_to(root)]
    for model in before.models:
        if any(Path(model.path).is_relative_to(folder) and not folder.is_dir() for folder in away):
            models.setdefault(model.real, replace(model, connected=False))
    return ExternalFolder(
        path=str(root), program=layout.program, connected=True, stamps=stamps, models=list(models.values())
    )


def _add_model(models: dict[str, ExternalModel], path: Path, title: str, kind: str) -> None:
    real = os.path.realpath(path)
    models.setdefault(real, ExternalModel(str(path), title, kind, real))


def _kind_in_folder(path: Path, typed_folder: TypedFolder) -> str:
    """Return the kind of a model by its folder. Two kinds are often stored in other folders and marked in the name."""
    name = path.name.lower()
    if not typed_folder.kind:
        return model_kind.kind_of(path)
    if typed_folder.kind == model_kind.DIFFUSION and ".vae." in name:
        return model_kind.AUTOENCODER
    if typed_folder.kind == model_kind.CONTROLNET and name.startswith(("ip-adapter", "ip_adapter")):
        return model_kind.IP_ADAPTER
    return typed_folder.kind


def _walk_folder(
    typed_folder: TypedFolder, visited: set[str], stamps: dict[str, int], is_cancelled: Callable[[], bool]
) -> Iterator[Path]:
    """Yield files and folders that are models. Follows links, and skips real paths in `visited`."""
    suffixes = (*model_kind.WEIGHTS, *model_kind.PICKLES) if typed_folder.kind else model_kind.WEIGHTS
    waiting = [(str(typed_folder.folder), 0)]
    searched = 0
    while waiting and not is_cancelled():
        if (searched := searched + 1) > MAX_FOLDERS:
            _log.info("%s has more than %d folders, so not all are searched", typed_folder.folder, MAX_FOLDERS)
            return
        folder, depth = waiting.pop()
        real = os.path.realpath(folder)
        if real in visited:
            continue
        visited.add(real)
        stamps[folder] = _modification_time(folder)
        try:
            with os.scandir(folder) as entries:
                inside = sorted(filter(_is_shown, entries), key=lambda entry: entry.name)
        except OSError:
            continue
        if (depth or not typed_folder.kind) and model_kind.is_model_folder({entry.name for entry in inside}):
            yield Path(folder)
            continue
        for entry in inside:
            if _is_true(entry.is_dir):
                if depth < MAX_DEPTH:
                    waiting.append((entry.path, depth + 1))
            elif entry.name.lower().endswith(suffixes) and _is_true(entry.is_file):
                yield Path(entry.path)


def _is_shown(entry: os.DirEntry[str]) -> bool:
    """Check whether a name is not hidden and is UTF-8, as the cache and the screen need."""
    return not entry.name.startswith(".") and make_valid(entry.name) == entry.name


def _is_true(check: Callable[[], bool]) -> bool:
    """Call a check of a path. Return False for a link that leads to itself."""
    try:
        return check()
    except OSError:
        return False


def _modification_time(path: str) -> int:
    """Return the modification time in ns, or 0 for a missing path, so that its appearance is noticed."""
    try:
        return os.stat(path).st_mtime_ns  # noqa: PTH116 - creating a Path takes longer than the call
    except OSError:
        return 0
