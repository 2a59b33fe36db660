"""The artist's other folders of models: read where they lie, remembered, and never written to."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from pathlib import Path

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from studio.core.files import write_bytes_atomically
from studio.core.paths import Home
from studio.library.models import folder_layouts, model_kind
from studio.library.models.folder_layouts import Shelf

FILE = "model-folders.json"
MAX_DEPTH = 10
MAX_MODELS = 50_000


class Remembered(Struct, frozen=True, array_like=True):
    """A model in another folder. `real` is its path with all links followed."""

    path: str
    title: str
    kind: str
    real: str
    connected: bool = True


class Folder(Struct, frozen=True, kw_only=True):
    """A folder that the artist added, as it was last seen. `stamps` are the times of all that was looked into."""

    path: str
    program: str = ""
    connected: bool = False
    stamps: dict[str, int] = {}
    models: list[Remembered] = []

    @property
    def told(self) -> str:
        """As in "ComfyUI · 204 models"."""
        if not self.connected:
            return "Not connected"
        count = len(self.models)
        models = f"{count or 'no'} model{'' if count == 1 else 's'}"
        return f"{self.program} · {models}" if self.program else models


def known(home: Home) -> list[Folder]:
    """As remembered, without a look at the folders themselves."""
    file = home.root / FILE
    try:
        return _read(file, file.stat().st_mtime_ns)
    except OSError:
        return []


def refresh(home: Home, folders: Sequence[str], stopped: Callable[[], bool] = lambda: False) -> bool:
    """Looks at the folders and remembers what lies there; True when anything differs from before.

    Slow on the first time, since some files' headers are read; later only times of folders are compared. A folder
    that is not there, as on a drive that is not connected, keeps its models. Raises CannotWrite when the home is full.
    """
    before = {folder.path: folder for folder in known(home)}
    wanted = list(dict.fromkeys(os.path.normpath(Path(folder).expanduser()) for folder in folders if folder.strip()))
    after = [_seen(Path(path), before.get(path, Folder(path=path)), stopped) for path in wanted]
    if stopped() or after == list(before.values()):
        return False
    write_bytes_atomically(home.root / FILE, msgspec.json.encode(after))
    return True


@lru_cache(maxsize=2)
def _read(file: Path, _changed: int) -> list[Folder]:
    try:
        return msgspec.json.decode(file.read_bytes(), type=list[Folder])
    except (msgspec.MsgspecError, UnicodeError):
        return []


def _seen(root: Path, before: Folder, stopped: Callable[[], bool]) -> Folder:
    try:
        there = any(root.iterdir())  # the place where a drive belongs may be an empty folder
    except OSError:
        there = False
    if not there:
        away = [replace(model, connected=False) for model in before.models]
        return replace(before, connected=False, stamps={}, models=away)
    if before.connected and before.stamps and all(_time(path) == time for path, time in before.stamps.items()):
        return before
    try:
        return _scanned(root, before, stopped)
    except OSError:
        return before


def _scanned(root: Path, before: Folder, stopped: Callable[[], bool]) -> Folder:
    layout = folder_layouts.recognised(root)
    stamps = {str(path): _time(str(path)) for path in (root, root / "models", *layout.watched)}
    models: dict[str, Remembered] = {}
    for one in layout.named:
        if one.path.exists():
            _take(models, one.path, one.title, one.kind or model_kind.kind_of(one.path))
    for shelf in layout.shelves:
        for path in _walked(shelf, set(models), stamps, stopped):
            if len(models) < MAX_MODELS:
                _take(models, path, path.stem if path.is_file() else path.name, _kind(path, shelf))
    away = [shelf.folder for shelf in layout.shelves if not shelf.folder.is_relative_to(root)]
    for model in before.models:
        if any(Path(model.path).is_relative_to(folder) and not folder.is_dir() for folder in away):
            models.setdefault(model.real, replace(model, connected=False))
    return Folder(path=str(root), program=layout.program, connected=True, stamps=stamps, models=list(models.values()))


def _take(models: dict[str, Remembered], path: Path, title: str, kind: str) -> None:
    real = os.path.realpath(path)
    models.setdefault(real, Remembered(str(path), title, kind, real))


def _kind(path: Path, shelf: Shelf) -> str:
    """By its shelf; two habits put a model on the shelf of another kind and say so in its name."""
    name = path.name.lower()
    if not shelf.kind:
        return model_kind.kind_of(path)
    if shelf.kind == model_kind.DIFFUSION and ".vae." in name:
        return model_kind.AUTOENCODER
    if shelf.kind == model_kind.CONTROLNET and name.startswith(("ip-adapter", "ip_adapter")):
        return model_kind.IP_ADAPTER
    return shelf.kind


def _walked(shelf: Shelf, entered: set[str], stamps: dict[str, int], stopped: Callable[[], bool]) -> Iterator[Path]:
    """Files and folders that are models. Links are followed; what is in `entered` is not entered again."""
    suffixes = (*model_kind.WEIGHTS, *model_kind.PICKLES) if shelf.kind else model_kind.WEIGHTS
    waiting = [(str(shelf.folder), 0)]
    while waiting and not stopped():
        folder, depth = waiting.pop()
        real = os.path.realpath(folder)
        if real in entered:
            continue
        entered.add(real)
        stamps[folder] = _time(folder)
        try:
            with os.scandir(folder) as entries:
                inside = sorted((entry for entry in entries if not entry.name.startswith(".")), key=lambda e: e.name)
        except OSError:
            continue
        if (depth or not shelf.kind) and model_kind.is_model_folder({entry.name for entry in inside}):
            yield Path(folder)
            continue
        for entry in inside:
            if _answers(entry.is_dir):
                if depth < MAX_DEPTH:
                    waiting.append((entry.path, depth + 1))
            elif entry.name.lower().endswith(suffixes) and _answers(entry.is_file):
                yield Path(entry.path)


def _answers(question: Callable[[], bool]) -> bool:
    """No for a link that leads to itself, too."""
    try:
        return question()
    except OSError:
        return False


def _time(path: str) -> int:
    """0 for what is not there, so that it is noticed when it comes."""
    try:
        return os.stat(path).st_mtime_ns  # noqa: PTH116 - a Path for each is slower than the look
    except OSError:
        return 0
