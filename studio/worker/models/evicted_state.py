"""State of evicted models, kept on the disk until they are loaded again."""

from __future__ import annotations

import hashlib
import logging
import shutil
from collections import OrderedDict
from pathlib import Path

from studio import api

_log = logging.getLogger(__name__)

LIMIT = 2 * 2**30
"""Bytes of all states together; the oldest is dropped first."""


class EvictedStates:
    """A folder in `root` for each evicted model that implements `api.SavesState`. An error here never fails a job:
    a state that cannot be saved is computed again."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._sizes: OrderedDict[str, int] = OrderedDict()

    def save_state(self, key: str, model: object) -> None:
        """Save the state of `model` under `key`, if it has any."""
        if not isinstance(model, api.SavesState):
            return
        self.forget(key)
        folder = self._folder(key)
        try:
            folder.mkdir(parents=True)
            model.save_state(folder)
            self._sizes[key] = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
        except Exception:
            _log.warning("the state of %s could not be saved", key, exc_info=True)
        if not self._sizes.get(key):
            self.forget(key)
        while sum(self._sizes.values()) > LIMIT:
            self.forget(next(iter(self._sizes)))

    def restore_state(self, key: str, model: object) -> None:
        """Give a saved state to the model that was loaded under the same key."""
        if key not in self._sizes or not isinstance(model, api.SavesState):
            return
        try:
            model.restore_state(self._folder(key))
            _log.info("the state of %s was restored, %d MiB", key, self._sizes[key] >> 20)
        except Exception:
            _log.warning("the state of %s could not be restored", key, exc_info=True)
        self.forget(key)

    def forget(self, key: str) -> None:
        self._sizes.pop(key, None)
        shutil.rmtree(self._folder(key), ignore_errors=True)

    def forget_all(self) -> None:
        self._sizes.clear()
        shutil.rmtree(self._root, ignore_errors=True)

    def _folder(self, key: str) -> Path:
        return self._root / hashlib.sha256(key.encode()).hexdigest()[:16]
