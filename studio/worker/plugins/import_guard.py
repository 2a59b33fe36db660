"""Protection against a plugin whose import ends or hangs the process: it must not do so at every start.

While a plugin is imported, a small file names it. A worker that finds such a name knows which
plugin took its predecessor down (or was being imported when the studio was closed, which is no
fault of the plugin), so it first imports that plugin in a process of its own. A plugin that
fails there is left out until its files change.
"""

from __future__ import annotations

import json
import logging
import os
import secrets
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NoReturn

from studio.core.errors import StudioError
from studio.worker.plugins.sources import EntryPointSource, FileSource, Source

HUNG = 70
"""Exit status of a worker that gave up on an import."""


class ImportGuard:
    """`store` is a small JSON file; `limit` the seconds that one import may take."""

    def __init__(self, store: Path, limit: float) -> None:
        self._store = store
        self._limit = limit
        self._suspected, self._refused = _read(store)
        self._import_start: float | None = None
        self._released = False

    @contextmanager
    def guard(self, source: Source) -> Iterator[None]:
        """Note the import while the body runs. Raises StudioError before it for a plugin that is not safe to import."""
        self._check(source)
        self._write(importing=_key(source))
        self._import_start = time.monotonic()
        process = os.getpid()
        try:
            yield
        finally:
            if os.getpid() != process:  # a copy of the worker that the plugin forked must not go on as a second one
                os._exit(0)
            self._import_start = None
            self._write()

    def release(self) -> None:
        """Suspect no plugin: the studio ends the worker, which is no fault of the plugin that is being imported."""
        self._released = True
        self._write()

    def exit_if_hung(self) -> None:
        """End the process if an import takes too long, since it cannot be interrupted. Called from another thread."""
        start = self._import_start
        if start is not None and time.monotonic() - start > self._limit:
            sys.stderr.write("the import of a plugin takes too long: the worker ends, and will leave it out\n")
            sys.stderr.flush()
            os._exit(HUNG)

    def _check(self, source: Source) -> None:
        key, stamp = _key(source), _file_stamp(source)
        entry = self._refused.pop(key, None)
        if entry is None or entry["stamp"] != stamp:
            if key != self._suspected and entry is None:
                return
            self._suspected = ""
            sentence = self._try_in_subprocess(source)
            if not sentence:
                return
            entry = {"stamp": stamp, "sentence": sentence}
        self._refused[key] = entry
        self._write()
        raise StudioError(entry["sentence"], "It is tried again once its files change.")

    def _try_in_subprocess(self, source: Source) -> str:
        """Import a plugin in a process of its own. Returns why it is left out, or an empty text.

        Only the token in the file counts as success: a plugin may end the process with any status, 0 included.
        """
        token = secrets.token_hex(8)
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
            answer = Path(folder, "answer")
            arguments = [str(answer), token, source.origin, source.name, source.path]
            try:
                result = subprocess.run(
                    [sys.executable, "-m", "studio.worker.plugins.import_guard", *arguments],
                    stdin=subprocess.DEVNULL,
                    stdout=2,
                    timeout=self._limit,
                    check=False,
                )
            except subprocess.TimeoutExpired:
                return f"{source.name} was left out: its import takes more than {self._limit:g} seconds."
            if answer.is_file() and answer.read_text("utf-8") == token:
                return ""
        return f"{source.name} was left out: its import ends the program (status {result.returncode})."

    def _write(self, importing: str = "") -> None:
        """Store the state. A full disk is no reason to stop: without it a bad plugin costs one more worker."""
        importing = "" if self._released else importing
        part = self._store.with_name(f"{self._store.name}.{os.getpid()}")
        with suppress(OSError):
            part.write_text(json.dumps({"importing": importing, "refused": self._refused}), encoding="utf-8")
            part.replace(self._store)


def _read(store: Path) -> tuple[str, dict[str, dict[str, Any]]]:
    try:
        stored = json.loads(store.read_text(encoding="utf-8"))
        refused = {
            str(key): {"stamp": str(entry["stamp"]), "sentence": str(entry["sentence"])}
            for key, entry in stored["refused"].items()
        }
        return str(stored["importing"]), refused
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return "", {}


def _key(source: Source) -> str:
    return f"{source.origin}:{source.name}"


def _file_stamp(source: Source) -> str:
    """Return a text that changes with the plugin's files, or with its version where it is installed."""
    path = Path(source.path)
    files = sorted(path.rglob("*.py")) if path.is_dir() else [path] if path.is_file() else []
    states = [(file.name, file.stat().st_size, file.stat().st_mtime_ns) for file in files]
    return f"{source.version} {states}"


def _try(answer: str, token: str, origin: str, name: str, path: str) -> NoReturn:
    """Load a plugin as the worker does, and write the token. An exception is no failure: discovery shows it.

    Ends like the worker, without what a plugin has registered for the interpreter's own end.
    """
    from importlib.metadata import EntryPoint

    from studio.worker.plugins.discovery import discover
    from studio.worker.plugins.sources import GROUP
    from studio.worker.stdio import open_log, take_over

    take_over()
    logging.basicConfig(stream=open_log())
    process = os.getpid()
    installed = origin == "installed"
    discover([EntryPointSource(EntryPoint(name, path, GROUP)) if installed else FileSource(Path(path), origin)])
    if os.getpid() == process:
        Path(answer).write_text(token, "utf-8")
    os._exit(0)


if __name__ == "__main__":
    _try(*sys.argv[1:])
