"""A plugin whose import ends or hangs the process must not do so at every start.

While a plugin is imported, a small file names it. A worker that finds such a name knows which
plugin took its predecessor down (or was being imported when the studio was closed, which is no
fault of the plugin), so it first imports that plugin in a process of its own. A plugin that
fails there is left out until its files change.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from studio.core.errors import StudioError
from studio.worker.plugins.sources import EntryPointSource, FileSource, Source

HUNG = 70
"""Exit status of a worker that gave up on an import."""


class Suspects:
    """`memory` is a small JSON file; `limit` the seconds that one import may take."""

    def __init__(self, memory: Path, limit: float) -> None:
        self._memory = memory
        self._limit = limit
        self._suspected, self._refused = _read(memory)
        self._began: float | None = None
        self._acquitted = False

    @contextmanager
    def guarded(self, source: Source) -> Iterator[None]:
        """Raises StudioError, before the body is run, for a plugin that cannot be imported safely."""
        self._refuse(source)
        self._write(importing=_key(source))
        self._began = time.monotonic()
        try:
            yield
        finally:
            self._began = None
            self._write()

    def acquit(self) -> None:
        """The worker is ended by the studio, which is no fault of the plugin that is being imported."""
        self._acquitted = True
        self._write()

    def end_if_hung(self) -> None:
        """Called now and then from another thread: an import cannot be interrupted, but its process can end."""
        began = self._began
        if began is not None and time.monotonic() - began > self._limit:
            sys.stderr.write("the import of a plugin takes too long: the worker ends, and will leave it out\n")
            sys.stderr.flush()
            os._exit(HUNG)

    def _refuse(self, source: Source) -> None:
        key, stamp = _key(source), _stamp(source)
        refused = self._refused.pop(key, None)
        if refused is None or refused["stamp"] != stamp:
            if key != self._suspected and refused is None:
                return
            self._suspected = ""
            sentence = self._tried_apart(source)
            if not sentence:
                return
            refused = {"stamp": stamp, "sentence": sentence}
        self._refused[key] = refused
        self._write()
        raise StudioError(refused["sentence"], "It is tried again once its files change.")

    def _tried_apart(self, source: Source) -> str:
        """What is wrong with the plugin; nothing where its import does no harm."""
        arguments = [source.origin, source.name, source.path]
        try:
            done = subprocess.run(
                [sys.executable, "-m", "studio.worker.plugins.import_guard", *arguments],
                stdin=subprocess.DEVNULL,
                stdout=sys.stderr.fileno(),
                timeout=self._limit,
                check=False,
            )
        except subprocess.TimeoutExpired:
            return f"{source.name} was left out: its import takes more than {self._limit:g} seconds."
        if done.returncode:
            return f"{source.name} was left out: its import ends the program (status {done.returncode})."
        return ""

    def _write(self, importing: str = "") -> None:
        """Without it a bad plugin costs one worker more, so a full disk is no reason to stop."""
        importing = "" if self._acquitted else importing
        part = self._memory.with_name(f"{self._memory.name}.{os.getpid()}")
        with suppress(OSError):
            part.write_text(json.dumps({"importing": importing, "refused": self._refused}), encoding="utf-8")
            part.replace(self._memory)


def _read(memory: Path) -> tuple[str, dict[str, dict[str, Any]]]:
    try:
        kept = json.loads(memory.read_text(encoding="utf-8"))
        refused = {
            str(key): {"stamp": str(why["stamp"]), "sentence": str(why["sentence"])}
            for key, why in kept["refused"].items()
        }
        return str(kept["importing"]), refused
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return "", {}


def _key(source: Source) -> str:
    return f"{source.origin}:{source.name}"


def _stamp(source: Source) -> str:
    """Changes with the plugin's files; with its version, where it is installed."""
    path = Path(source.path)
    files = sorted(path.rglob("*.py")) if path.is_dir() else [path] if path.is_file() else []
    states = [(file.name, file.stat().st_size, file.stat().st_mtime_ns) for file in files]
    return f"{source.version} {states}"


def _import(origin: str, name: str, path: str) -> None:
    """Exit status 0 whenever the process lives on: an exception is dealt with where it is shown."""
    from importlib.metadata import EntryPoint

    from studio.worker.plugins.sources import GROUP

    installed = origin == "installed"
    source = EntryPointSource(EntryPoint(name, path, GROUP)) if installed else FileSource(Path(path), origin)
    try:
        source.load()
    except BaseException:
        sys.stderr.write(f"{name} raises at import\n")


if __name__ == "__main__":
    _import(*sys.argv[1:])
