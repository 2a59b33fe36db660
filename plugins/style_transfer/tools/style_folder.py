"""A folder of pictures, painted into another folder."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from studio import api

from ..image_io import encoder, image16, manifest
from ..image_io.manifest import Ledger
from ..inference import stylizer

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".avif", ".tif", ".tiff", ".bmp", ".gif")
_SHOWN = 512
"""Pixels along the long side of the previews."""
_LISTED = 50
"""Failures that are told one by one."""


class Folders(api.Params):
    """From where to where."""

    folder: api.FolderInput
    """The pictures to paint. They stay as they are."""
    target: api.FolderInput | None = api.param(None, title="Into the folder")
    """Where the paintings go, under the same names. Empty: a folder beside it, named after the style."""
    subfolders: bool = api.param(False, title="With the folders inside")
    """Paints those as well, into folders of the same names."""


class StyleFolder(api.Tool):
    """Paints all pictures of a folder into another folder."""

    id = "style.folder"
    title = "Style a folder"
    output = "text"
    icon = "mdi6.folder-star-outline"
    pausable = True
    deterministic = False

    class Params(stylizer.Painter, Folders):
        pass

    def run(self, params: Params, ctx: api.Context) -> Iterator[api.Event]:
        found = _found(params.folder, subfolders=params.subfolders)
        yield api.Progress(0, len(found), "Looking at the folder")
        chosen = stylizer.styles(ctx, params)
        target = (
            params.target or params.folder.absolute().parent / f"{params.folder.name} in {_plain(chosen[0][0].title)}"
        )
        _check(params.folder, target)
        book = manifest.opened(target, _settings(params, chosen))
        painted, skipped, failed = 0, 0, {}
        for number, path in enumerate(found):
            if ctx.pause_requested:
                raise api.Paused
            name = path.relative_to(params.folder)
            into = target / encoder.name_of(name)
            if book.is_done(name, path, into):
                skipped += 1
                yield api.Progress(number + 1, len(found), f"{name} is painted already")
                continue
            try:
                _check_free(book, name, into)
                picture = image16.opened(path)
                done = stylizer.painted(ctx, chosen, picture, params, _told(ctx, number, len(found), str(name)))
                encoder.save(into, done, partial(book.add, name, path))
            except api.StudioError as error:
                failed[str(name)] = str(error)
                yield api.Notice(f"{name}: {error}", "warning")
                continue
            painted += 1
            yield api.Preview(done.scaled(image16.fitted(done.size, _SHOWN)).array(), str(name))
        if failed and not painted and not skipped:
            raise api.BadInput(f"None of the {len(found)} pictures could be painted: {next(iter(failed.values()))}", "")
        yield api.Text(_report(target, painted, skipped, failed), title=f"{params.folder.name} painted")

    def estimate(self, params: Params, ctx: api.EstimateContext) -> api.Estimate | None:  # noqa: ARG002
        if not params.style:
            return None
        count = sum(1 for path in os.scandir(params.folder) if path.name.lower().endswith(SUFFIXES))
        second = params.second_style if params.second_style and 0 < params.blend < 1 else ""
        rate = f"{self.id} {params.style} {second} {params.resolution}"
        return api.Estimate(work=count, rate=rate, notes={"folder": f"{count:,} pictures"})


def _found(folder: Path, *, subfolders: bool) -> list[Path]:
    try:
        inside = folder.rglob("*") if subfolders else folder.iterdir()
        found = [path for path in inside if path.suffix.lower() in SUFFIXES and not path.name.startswith(".")]
        found = sorted(path for path in found if path.is_file())
    except OSError as error:
        raise api.BadInput(f"The folder {folder.name} cannot be read: {error.strerror or error}.") from error
    if not found:
        raise api.BadInput(f"There are no pictures in {folder.name}.", "Choose another folder.")
    return found


def _plain(title: str) -> str:
    """As part of a folder's name."""
    return re.sub(r'[\\/:*?"<>|\x00-\x1f]+', " ", title).strip(" .")[:80] or "another style"


def _check(folder: Path, target: Path) -> None:
    if target.resolve() == folder.resolve() or folder.resolve() in target.resolve().parents:
        raise api.BadInput("The paintings would go among the pictures.", "Choose a folder outside of it.")


def _check_free(book: Ledger, name: Path, into: Path) -> None:
    if into.exists() and not book.is_ours(name, into):
        raise api.BadInput(f"{into.name} is in the target folder already and is no painting of this one.", "It stays.")


def _settings(params: stylizer.Painter, chosen: list[stylizer.Share]) -> str:
    """Changes with all that a painting depends on but the picture itself."""
    plain: dict[str, Any] = params.model_dump(mode="json", exclude={"folder", "target", "subfolders"})
    plain["weights"] = [style.fingerprint() for style, _ in chosen]
    return hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()[:16]


def _told(ctx: api.Context, number: int, count: int, name: str) -> stylizer.Tick:
    return lambda share: ctx.emit(api.Progress(number + share, count, f"Painting {name}"))


def _report(target: Path, painted: int, skipped: int, failed: dict[str, str]) -> str:
    lines = [f"{painted:,} painted into {target}."]
    if skipped:
        lines.append(f"{skipped:,} were painted already.")
    if failed:
        lines.append(f"{len(failed):,} could not be painted:\n")
        lines += [f"- {name}: {sentence}" for name, sentence in list(failed.items())[:_LISTED]]
        if len(failed) > _LISTED:
            lines.append(f"- and {len(failed) - _LISTED:,} more")
    return "\n".join(lines) + "\n"
