"""The models of a result: their names, the hashes of their weights, their licences."""

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
from studio.core.untrusted_files import read_file, read_or_else
from studio.library.models.licences import licence_of

_HEX64 = re.compile(r"[0-9a-f]{64}")


class Provenance:
    """Hashes weights on a thread of its own. Hashes are kept in a file, by path, size and time of change."""

    def __init__(self, store: Path) -> None:
        self._store = store
        self._digests: dict[str, Any] = _read_json(store)
        self._hashing = ThreadPoolExecutor(1, thread_name_prefix="hashing")

    def note_model(self, name: str, path: Path) -> Future[ModelRef]:
        """Begin to hash a model in a file or folder, while the job runs."""
        return self._hashing.submit(self._build_reference, name, path)

    def note_hub_model(self, name: str) -> Future[ModelRef]:
        """Note a model of the Hugging Face hub; `complete` looks it up once the job has downloaded it."""
        return self._hashing.submit(lambda: ModelRef(name))

    def complete(self, reference: ModelRef, folder: Path | None) -> ModelRef:
        """Fill in hash and licence of a hub model that lies in `folder` since the job downloaded it."""
        return reference if reference.sha256 or folder is None else self._build_reference(reference.name, folder)

    def close(self) -> None:
        self._hashing.shutdown(cancel_futures=True)

    def _build_reference(self, name: str, path: Path) -> ModelRef:
        try:
            return ModelRef(name, weights_digest.digest_weights(path, self._sha256), licence_of(path))
        except OSError:  # the drive went away meanwhile; the result counts, not its pedigree
            return ModelRef(name)

    def _sha256(self, file: Path) -> str:
        blob = file.resolve()
        if _HEX64.fullmatch(blob.name):  # the hub's cache names large files by their hash
            return blob.name
        state = blob.stat()
        stamp = [state.st_size, state.st_mtime_ns]
        known = self._digests.get(str(blob))
        if isinstance(known, dict) and known.get("stamp") == stamp:
            return str(known["sha256"])
        digest = sha256(blob)
        self._digests[str(blob)] = {"stamp": stamp, "sha256": digest}
        with suppress(Exception):  # without it the file is hashed again
            write_bytes_atomically(self._store, json.dumps(self._digests).encode())
        return digest


def _read_json(path: Path) -> dict[str, Any]:
    value = read_or_else(None, lambda: json.loads(read_file(path)))
    return value if isinstance(value, dict) else {}
