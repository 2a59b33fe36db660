"""Which models took part in a result: their names, the hashes of their weights, their licences."""

from __future__ import annotations

import json
import re
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

from studio.core.digests import sha256
from studio.core.files import write_bytes_atomically
from studio.core.model_files import weights_digest
from studio.core.recipe import ModelRef
from studio.library.models.licences import licence_of

_HEX64 = re.compile(r"[0-9a-f]{64}")


class Provenance:
    """Hashes weights in the background, and remembers hashes by path, size and time of change."""

    def __init__(self, memory: Path) -> None:
        self._memory = memory
        self._known: dict[str, Any] = _read_json(memory)
        self._hashing = ThreadPoolExecutor(1, thread_name_prefix="hashing")

    def follow(self, name: str, path: Path) -> Future[ModelRef]:
        """A model in a file or folder; its hash is ready by the time that the first result is."""
        return self._hashing.submit(self._reference, name, path)

    def follow_hub(self, name: str) -> Future[ModelRef]:
        """A model of the Hugging Face hub, which is looked up in its cache once the result is there."""
        return self._hashing.submit(lambda: ModelRef(name))

    def complete(self, reference: ModelRef, folder: Path | None) -> ModelRef:
        """Fills in hash and licence of a hub model whose `folder` is here since it was downloaded by the job."""
        return reference if reference.sha256 or folder is None else self._reference(reference.name, folder)

    def close(self) -> None:
        self._hashing.shutdown(cancel_futures=True)

    def _reference(self, name: str, path: Path) -> ModelRef:
        try:
            return ModelRef(name, weights_digest.digest(path, self._sha256), licence_of(path))
        except OSError:  # the drive went away meanwhile; the result counts, not its pedigree
            return ModelRef(name)

    def _sha256(self, file: Path) -> str:
        blob = file.resolve()
        if _HEX64.fullmatch(blob.name):  # the hub's cache names large files by their hash
            return blob.name
        state = blob.stat()
        stamp = [state.st_size, state.st_mtime_ns]
        known = self._known.get(str(blob))
        if isinstance(known, dict) and known.get("stamp") == stamp:
            return str(known["sha256"])
        digest = sha256(blob)
        self._known[str(blob)] = {"stamp": stamp, "sha256": digest}
        with suppress(Exception):  # only a memory: without it the file is hashed again
            write_bytes_atomically(self._memory, json.dumps(self._known).encode())
        return digest


def _read_json(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}
