"""What evicted models leave on the disk, to find it when they are loaded again."""

from __future__ import annotations

import hashlib
import logging
import shutil
from collections import OrderedDict
from pathlib import Path
from typing import Any

from studio import api

_log = logging.getLogger(__name__)

MOST = 2 * 2**30
"""Bytes of all together; what was parked first gives way."""


class Parked:
    """A folder in `root` for each model that is an `api.SavesState`. On the disk, since memory is what is short;
    where it is not, the system keeps such files in it. Nothing here may fail a job: what cannot be parked is made
    again."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._sizes: OrderedDict[str, int] = OrderedDict()

    def save_state(self, key: str, model: Any) -> None:
        """Takes what `model` leaves behind under `key`, if anything."""
        if not isinstance(model, api.SavesState):
            return
        self.forget(key)
        folder = self._folder(key)
        try:
            folder.mkdir(parents=True)
            model.save_state(folder)
            self._sizes[key] = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
        except Exception:
            _log.warning("%s could not be parked", key, exc_info=True)
        if not self._sizes.get(key):
            self.forget(key)
        while sum(self._sizes.values()) > MOST:
            self.forget(next(iter(self._sizes)))

    def restore_state(self, key: str, model: Any) -> None:
        """Gives it back to the model that was loaded under the same key."""
        if key not in self._sizes or not isinstance(model, api.SavesState):
            return
        try:
            model.restore_state(self._folder(key))
            _log.info("%s has back what it left, %d MiB", key, self._sizes[key] >> 20)
        except Exception:
            _log.warning("%s could not be given back what it left", key, exc_info=True)
        self.forget(key)

    def forget(self, key: str) -> None:
        self._sizes.pop(key, None)
        shutil.rmtree(self._folder(key), ignore_errors=True)

    def forget_all(self) -> None:
        self._sizes.clear()
        shutil.rmtree(self._root, ignore_errors=True)

    def _folder(self, key: str) -> Path:
        return self._root / hashlib.sha256(key.encode()).hexdigest()[:16]
